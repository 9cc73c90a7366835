/* disk.c - files as two runs of bytes, the one that is seen and the durable one, with the writes that lie between them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/disk.h"

#include "base/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Of operations that fail, so many of a thousand have done their work all the same. */
#define DONE_THOUGH_FAILED_PERMILLE 250

/* All writes append: at offset, and before the next one. */
struct unsynced_write {
    uint64_t offset;
    uint64_t size;
    bool is_dropped; /* by a failed sync: readers see it, but it will never be durable */
};

struct stored_file {
    struct stored_file *next;
    struct stored_file *twin; /* in the copy that is being made */
    uint32_t references;      /* by names, changes of names, and whoever has it open */
    struct buffer seen, durable;
    bool is_emptied; /* since the last sync; old bytes may come back */
    struct unsynced_write *writes;
    uint32_t write_count, write_capacity;
    const struct disk_file *locker;
};

struct disk_file {
    struct simulated_disk *disk;
    struct disk_file *next;
    struct stored_file *file;
    size_t position;
};

enum change_kind { CHANGE_CREATE, CHANGE_RENAME, CHANGE_REMOVE };

struct name_change {
    enum change_kind kind;
    char name[DISK_NAME_SIZE]; /* the new one, or the one that goes */
    struct stored_file *file;
};

const char *disk_operation_name(enum disk_operation operation) {
    static const char *const names[] = {"create", "open",  "write",  "read",   "begin_sync", "sync",
                                        "lock",   "close", "rename", "remove", "sync_names"};
    return operation < DISK_OPERATION_COUNT ? names[operation] : "?";
}

/* ---- Memory ---- */

static void *take(struct mem *mem, size_t size) {
    void *pointer = mem_alloc_zeroed(mem, size);
    CHECK(pointer != NULL);
    return pointer;
}

/* Room for one more in an array. */
static void *with_room(struct mem *mem, void *array, uint32_t count, uint32_t *capacity, size_t item_size) {
    if (count < *capacity)
        return array;
    uint32_t more = *capacity == 0 ? 8 : *capacity * 2;
    array = mem_resize(mem, array, *capacity * item_size, more * item_size);
    CHECK(array != NULL);
    *capacity = more;
    return array;
}

static void append(struct buffer *buffer, const void *data, size_t size) {
    CHECK(buffer_append(buffer, data, size));
}

static void append_zeros(struct buffer *buffer, size_t size) {
    CHECK(buffer_reserve(buffer, size));
    if (size != 0)
        memset(buffer->data + buffer->size, 0, size);
    buffer->size += size;
}

/* Puts bytes at a place that may lie behind the end; what is between is zero. */
static void overlay(struct buffer *buffer, uint64_t offset, const uint8_t *data, size_t size) {
    if (buffer->size < offset + size)
        append_zeros(buffer, offset + size - buffer->size);
    if (size != 0)
        memcpy(buffer->data + offset, data, size);
}

/* ---- Files ---- */

static struct stored_file *file_new(struct simulated_disk *disk) {
    struct stored_file *file = take(disk->mem, sizeof *file);
    buffer_init(&file->seen, disk->mem);
    buffer_init(&file->durable, disk->mem);
    file->next = disk->files;
    disk->files = file;
    return file;
}

static void file_let_go(struct simulated_disk *disk, struct stored_file *file) {
    if (--file->references != 0)
        return;
    struct stored_file **place = &disk->files;
    while (*place != file)
        place = &(*place)->next;
    *place = file->next;
    buffer_release(&file->seen);
    buffer_release(&file->durable);
    mem_free(disk->mem, file->writes, file->write_capacity * sizeof *file->writes);
    mem_free(disk->mem, file, sizeof *file);
}

static void file_empty(struct stored_file *file) {
    file->is_emptied = true;
    file->seen.size = 0;
    file->write_count = 0;
}

static void file_write(struct simulated_disk *disk, struct stored_file *file, const uint8_t *data,
                       size_t size) {
    if (size == 0)
        return;
    file->writes =
        with_room(disk->mem, file->writes, file->write_count, &file->write_capacity, sizeof *file->writes);
    file->writes[file->write_count++] =
        (struct unsynced_write){.offset = file->seen.size, .size = size, .is_dropped = false};
    append(&file->seen, data, size);
}

static void file_sync(struct stored_file *file) {
    if (file->is_emptied)
        file->durable.size = 0;
    file->is_emptied = false;
    for (uint32_t i = 0; i < file->write_count; i++)
        if (!file->writes[i].is_dropped)
            overlay(&file->durable, file->writes[i].offset, file->seen.data + file->writes[i].offset,
                    file->writes[i].size);
    if (file->durable.size < file->seen.size)
        append_zeros(&file->durable, file->seen.size - file->durable.size);
    file->write_count = 0;
}

static void file_drop(struct stored_file *file) {
    for (uint32_t i = 0; i < file->write_count; i++)
        file->writes[i].is_dropped = true;
}

/* ---- Names ---- */

static struct stored_name *name_find(const struct name_list *list, const char *name) {
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->names[i].name, name) == 0)
            return &list->names[i];
    return NULL;
}

static void name_take_out(struct simulated_disk *disk, struct name_list *list, struct stored_name *name) {
    struct stored_file *file = name->file;
    *name = list->names[--list->count];
    file_let_go(disk, file);
}

static void name_put(struct simulated_disk *disk, struct name_list *list, const char *name,
                     struct stored_file *file) {
    struct stored_name *found = name_find(list, name);
    file->references++;
    if (found != NULL) {
        file_let_go(disk, found->file);
    } else {
        list->names = with_room(disk->mem, list->names, list->count, &list->capacity, sizeof *list->names);
        found = &list->names[list->count++];
        snprintf(found->name, sizeof found->name, "%s", name);
    }
    found->file = file;
}

static void apply(struct simulated_disk *disk, struct name_list *list, const struct name_change *change) {
    change->file->references++;
    /* One file has one name, whichever of the changes before this one were lost. */
    for (uint32_t i = 0; i < list->count; i++)
        if (list->names[i].file == change->file) {
            name_take_out(disk, list, &list->names[i]);
            break;
        }
    if (change->kind != CHANGE_REMOVE)
        name_put(disk, list, change->name, change->file);
    file_let_go(disk, change->file);
}

static void change_names(struct simulated_disk *disk, enum change_kind kind, const char *name,
                         struct stored_file *file) {
    disk->changes = with_room(disk->mem, disk->changes, disk->change_count, &disk->change_capacity,
                              sizeof *disk->changes);
    struct name_change *change = &disk->changes[disk->change_count++];
    *change = (struct name_change){.kind = kind, .file = file};
    snprintf(change->name, sizeof change->name, "%s", name);
    file->references++;
    apply(disk, &disk->names, change);
}

static void forget_changes(struct simulated_disk *disk) {
    for (uint32_t i = 0; i < disk->change_count; i++)
        file_let_go(disk, disk->changes[i].file);
    disk->change_count = 0;
}

static void list_release(struct simulated_disk *disk, struct name_list *list) {
    while (list->count > 0)
        name_take_out(disk, list, &list->names[list->count - 1]);
    mem_free(disk->mem, list->names, list->capacity * sizeof *list->names);
    *list = (struct name_list){0};
}

/* ---- What the user of the disk calls ---- */

/* Counts an operation. 0: it may go on; else the error that it ends with. */
static int begin(struct simulated_disk *disk, enum disk_operation operation, const char *name) {
    const struct disk_faults *faults = &disk->faults;
    if (disk->observe != NULL && !disk->is_stopped)
        disk->observe(disk->observer, operation, name);
    disk->operations++;
    if (faults->stop_at != 0 && disk->operations >= faults->stop_at)
        disk->is_stopped = true;
    if (disk->is_stopped)
        return DISK_STOPPED;
    if (faults->fail_at != 0 && disk->operations >= faults->fail_at &&
        disk->operations - faults->fail_at < (faults->fail_for == 0 ? 1 : faults->fail_for))
        return faults->fail_error;
    bool changes_names = operation == DISK_CREATE || operation == DISK_RENAME || operation == DISK_REMOVE;
    if (faults->is_forbidden && (changes_names || operation == DISK_OPEN))
        return EACCES;
    return faults->is_read_only && changes_names ? EROFS : 0;
}

/* Whether what fails is done all the same: nobody knows after EIO. */
static bool is_done_though(struct simulated_disk *disk, int error) {
    return error == 0 || (error == EIO && chance_permille(&disk->random, DONE_THOUGH_FAILED_PERMILLE));
}

static struct disk_file *open_file(struct simulated_disk *disk, struct stored_file *file) {
    struct disk_file *opened = take(disk->mem, sizeof *opened);
    *opened = (struct disk_file){.disk = disk, .next = disk->open_files, .file = file};
    disk->open_files = opened;
    file->references++;
    return opened;
}

static int disk_create(void *context, const char *name, struct disk_file **file) {
    struct simulated_disk *disk = context;
    int error = begin(disk, DISK_CREATE, name);
    if (!is_done_though(disk, error))
        return error;
    struct stored_name *found = name_find(&disk->names, name);
    struct stored_file *stored;
    if (found != NULL) {
        stored = found->file;
        file_empty(stored);
    } else {
        stored = file_new(disk);
        change_names(disk, CHANGE_CREATE, name, stored);
    }
    if (error == 0)
        *file = open_file(disk, stored);
    return error;
}

static int disk_open(void *context, const char *name, struct disk_file **file, uint64_t *size) {
    struct simulated_disk *disk = context;
    int error = begin(disk, DISK_OPEN, name);
    if (error != 0)
        return error;
    struct stored_name *found = name_find(&disk->names, name);
    if (found == NULL)
        return ENOENT;
    *file = open_file(disk, found->file);
    *size = found->file->seen.size;
    return 0;
}

static int disk_write(struct disk_file *file, const void *data, size_t size) {
    struct simulated_disk *disk = file->disk;
    struct disk_faults *faults = &disk->faults;
    int error = begin(disk, DISK_WRITE, "");
    if (error == DISK_STOPPED)
        return error;
    if (error != 0)
        size = rng_below(&disk->random, size + 1);
    if (faults->has_room_left && size > faults->room_bytes) {
        size = faults->room_bytes;
        error = ENOSPC;
    }
    if (faults->has_room_left)
        faults->room_bytes -= size;
    file_write(disk, file->file, data, size);
    return error;
}

static int disk_read(struct disk_file *file, void *data, size_t size, size_t *got) {
    int error = begin(file->disk, DISK_READ, "");
    const struct buffer *seen = &file->file->seen;
    *got = 0;
    if (error != 0)
        return error;
    size_t left = seen->size > file->position ? seen->size - file->position : 0;
    *got = size < left ? size : left;
    if (*got != 0)
        memcpy(data, seen->data + file->position, *got);
    file->position += *got;
    return 0;
}

static void disk_begin_sync(struct disk_file *file) {
    (void)begin(file->disk, DISK_BEGIN_SYNC, "");
}

static int disk_sync(struct disk_file *file) {
    int error = begin(file->disk, DISK_SYNC, "");
    if (error == 0)
        file_sync(file->file);
    else if (error != DISK_STOPPED)
        file_drop(file->file);
    return error;
}

static int disk_lock(struct disk_file *file) {
    int error = begin(file->disk, DISK_LOCK, "");
    if (error != 0)
        return error;
    if (file->file->locker != NULL && file->file->locker != file)
        return EWOULDBLOCK;
    file->file->locker = file;
    return 0;
}

static void let_go_of(struct disk_file *file) {
    struct simulated_disk *disk = file->disk;
    struct disk_file **place = &disk->open_files;
    while (*place != file)
        place = &(*place)->next;
    *place = file->next;
    if (file->file->locker == file)
        file->file->locker = NULL;
    file_let_go(disk, file->file);
    mem_free(disk->mem, file, sizeof *file);
}

static int disk_close(struct disk_file *file) {
    int error = begin(file->disk, DISK_CLOSE, "");
    let_go_of(file);
    return error;
}

static int disk_rename(void *context, const char *from, const char *to) {
    struct simulated_disk *disk = context;
    int error = begin(disk, DISK_RENAME, to);
    struct stored_name *found = name_find(&disk->names, from);
    if (error == 0 && found == NULL)
        return ENOENT;
    if (found != NULL && strcmp(from, to) != 0 && is_done_though(disk, error))
        change_names(disk, CHANGE_RENAME, to, found->file);
    return error;
}

static int disk_remove(void *context, const char *name) {
    struct simulated_disk *disk = context;
    int error = begin(disk, DISK_REMOVE, name);
    struct stored_name *found = name_find(&disk->names, name);
    if (error == 0 && found == NULL)
        return ENOENT;
    if (found != NULL && is_done_though(disk, error))
        change_names(disk, CHANGE_REMOVE, name, found->file);
    return error;
}

static int disk_sync_names(void *context) {
    struct simulated_disk *disk = context;
    int error = begin(disk, DISK_SYNC_NAMES, "");
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < disk->change_count; i++)
        apply(disk, &disk->durable_names, &disk->changes[i]);
    forget_changes(disk);
    return 0;
}

static const char *disk_error_text(int error) {
    return error == DISK_STOPPED ? "the simulated power is gone" : strerror(error);
}

/* ---- The disk as a whole ---- */

void simulated_disk_init(struct simulated_disk *disk, struct mem *mem, uint64_t seed) {
    *disk = (struct simulated_disk){
        .mem = mem,
        .disk = {.context = disk,
                 .create = disk_create,
                 .open = disk_open,
                 .write = disk_write,
                 .read = disk_read,
                 .begin_sync = disk_begin_sync,
                 .sync = disk_sync,
                 .lock = disk_lock,
                 .close = disk_close,
                 .rename = disk_rename,
                 .remove = disk_remove,
                 .sync_names = disk_sync_names,
                 .error_text = disk_error_text},
    };
    rng_init(&disk->random, seed);
}

void simulated_disk_release(struct simulated_disk *disk) {
    while (disk->open_files != NULL)
        let_go_of(disk->open_files);
    forget_changes(disk);
    mem_free(disk->mem, disk->changes, disk->change_capacity * sizeof *disk->changes);
    list_release(disk, &disk->names);
    list_release(disk, &disk->durable_names);
    CHECK(disk->files == NULL);
    *disk = (struct simulated_disk){.mem = disk->mem};
}

/* What becomes of everything that is not durable, in one crash. */
enum crash_mood { MOOD_ALL_LOST, MOOD_ALL_KEPT, MOOD_MIXED };

static enum crash_mood draw_mood(struct rng *rng) {
    uint64_t draw = rng_below(rng, 4);
    return draw == 0 ? MOOD_ALL_LOST : draw == 1 ? MOOD_ALL_KEPT : MOOD_MIXED;
}

/* How many of the first bytes of a piece of a write are on the disk. */
static size_t draw_kept(struct rng *rng, enum crash_mood mood, size_t size) {
    if (mood != MOOD_MIXED)
        return mood == MOOD_ALL_KEPT ? size : 0;
    uint64_t draw = rng_below(rng, 100);
    return draw < 50 ? 0 : draw < 90 ? size : rng_below(rng, size + 1);
}

static void crash_write(const struct stored_file *file, const struct unsynced_write *write,
                        struct buffer *after, struct rng *rng, enum crash_mood mood) {
    for (uint64_t at = write->offset, end = at + write->size, next; at < end; at = next) {
        next = (at / DISK_SECTOR_SIZE + 1) * DISK_SECTOR_SIZE;
        if (next > end)
            next = end;
        size_t kept = draw_kept(rng, mood, next - at);
        if (kept != 0)
            overlay(after, at, file->seen.data + at, kept);
    }
}

static void crash_file(const struct stored_file *file, struct buffer *after, struct rng *rng,
                       enum crash_mood mood) {
    bool is_emptied =
        file->is_emptied && mood != MOOD_ALL_LOST && (mood == MOOD_ALL_KEPT || rng_below(rng, 2));
    if (!is_emptied)
        append(after, file->durable.data, file->durable.size);
    uint64_t least = after->size, most = file->seen.size > least ? file->seen.size : least;
    for (uint32_t i = 0; i < file->write_count; i++)
        if (!file->writes[i].is_dropped)
            crash_write(file, &file->writes[i], after, rng, mood);
    uint64_t size = mood == MOOD_ALL_KEPT   ? most
                    : mood == MOOD_ALL_LOST ? least
                                            : chance_between(rng, least, most);
    if (after->size < size)
        append_zeros(after, size - after->size);
    after->size = size;
}

/* A first part of the changes, or any of them. */
static void crash_names(const struct simulated_disk *disk, struct simulated_disk *scratch,
                        struct name_list *list, struct rng *rng, enum crash_mood mood) {
    uint32_t first = mood == MOOD_ALL_LOST ? 0 : disk->change_count;
    bool is_any = mood == MOOD_MIXED && rng_below(rng, 2);
    if (mood == MOOD_MIXED && !is_any)
        first = (uint32_t)rng_below(rng, disk->change_count + 1);
    for (uint32_t i = 0; i < disk->durable_names.count; i++)
        name_put(scratch, list, disk->durable_names.names[i].name, disk->durable_names.names[i].file);
    for (uint32_t i = 0; i < first; i++)
        if (!is_any || rng_below(rng, 2))
            apply(scratch, list, &disk->changes[i]);
}

void simulated_disk_crash(const struct simulated_disk *disk, struct simulated_disk *after, struct rng *rng) {
    /* Lists borrow the files of the old disk for a moment; the count of references is as before at the end. */
    struct simulated_disk scratch = {.mem = disk->mem, .files = disk->files};
    struct name_list left = {0};
    /* Bytes and names are written by different ways, and fare differently. */
    enum crash_mood mood_of_names = draw_mood(rng), mood = draw_mood(rng);
    simulated_disk_init(after, disk->mem, rng_next64(rng));
    crash_names(disk, &scratch, &left, rng, mood_of_names);
    for (uint32_t i = 0; i < left.count; i++) {
        struct stored_file *file = file_new(after);
        crash_file(left.names[i].file, &file->durable, rng, mood);
        append(&file->seen, file->durable.data, file->durable.size);
        name_put(after, &after->names, left.names[i].name, file);
        name_put(after, &after->durable_names, left.names[i].name, file);
    }
    list_release(&scratch, &left);
}

static void copy_names(const struct name_list *from, struct simulated_disk *after, struct name_list *to) {
    for (uint32_t i = 0; i < from->count; i++)
        name_put(after, to, from->names[i].name, from->names[i].file->twin);
}

void simulated_disk_copy(const struct simulated_disk *disk, struct simulated_disk *after) {
    struct rng random = disk->random;
    simulated_disk_init(after, disk->mem, rng_next64(&random));
    for (struct stored_file *file = disk->files; file != NULL; file = file->next) {
        struct stored_file *twin = file->twin = file_new(after);
        twin->references = 1; /* this function's */
        append(&twin->seen, file->seen.data, file->seen.size);
        append(&twin->durable, file->durable.data, file->durable.size);
        twin->is_emptied = file->is_emptied;
        for (uint32_t i = 0; i < file->write_count; i++) {
            twin->writes = with_room(after->mem, twin->writes, twin->write_count, &twin->write_capacity,
                                     sizeof *twin->writes);
            twin->writes[twin->write_count++] = file->writes[i];
        }
    }
    copy_names(&disk->durable_names, after, &after->names);
    copy_names(&disk->durable_names, after, &after->durable_names);
    for (uint32_t i = 0; i < disk->change_count; i++)
        change_names(after, disk->changes[i].kind, disk->changes[i].name, disk->changes[i].file->twin);
    for (struct stored_file *file = disk->files; file != NULL; file = file->next)
        file_let_go(after, file->twin);
}

static void spoil(struct buffer *bytes, enum disk_damage damage, struct rng *rng) {
    uint64_t at = rng_below(rng, bytes->size), sector = at / DISK_SECTOR_SIZE * DISK_SECTOR_SIZE;
    size_t size = bytes->size - sector < DISK_SECTOR_SIZE ? bytes->size - sector : DISK_SECTOR_SIZE;
    switch (damage) {
    case DAMAGE_BIT: bytes->data[at] ^= (uint8_t)(1u << rng_below(rng, 8)); break;
    case DAMAGE_SECTOR: memset(bytes->data + sector, 0, size); break;
    case DAMAGE_OTHER:
        memmove(bytes->data + sector, bytes->data + rng_below(rng, bytes->size - size + 1), size);
        break;
    case DAMAGE_CUT: bytes->size = at; break;
    case DAMAGE_LONGER:
        for (uint64_t more = chance_magnitude(rng, 1, 4096); more > 0; more--)
            CHECK(buffer_append_byte(bytes, (uint8_t)rng_next64(rng)));
        break;
    case DAMAGE_GONE:
    case DAMAGE_COUNT: break;
    }
}

bool simulated_disk_damage(struct simulated_disk *disk, const char *name, enum disk_damage damage,
                           struct rng *rng) {
    struct stored_name *found = name_find(&disk->names, name);
    if (found == NULL || found->file->seen.size == 0)
        return false;
    if (damage == DAMAGE_GONE) {
        struct name_change change = {.kind = CHANGE_REMOVE, .file = found->file};
        found->file->references++;
        apply(disk, &disk->names, &change);
        apply(disk, &disk->durable_names, &change);
        file_let_go(disk, change.file);
        return true;
    }
    struct buffer *seen = &found->file->seen, before;
    buffer_init(&before, disk->mem);
    append(&before, seen->data, seen->size);
    spoil(seen, damage, rng);
    bool is_other = before.size != seen->size || memcmp(before.data, seen->data, before.size) != 0;
    buffer_release(&before);
    if (found->file->write_count == 0 && !found->file->is_emptied) {
        buffer_clear(&found->file->durable);
        append(&found->file->durable, seen->data, seen->size);
    }
    return is_other;
}

const uint8_t *simulated_disk_bytes(const struct simulated_disk *disk, const char *name, size_t *size) {
    const struct stored_name *found = name_find(&disk->names, name);
    *size = found == NULL ? 0 : found->file->seen.size;
    return found == NULL ? NULL : *size == 0 ? (const uint8_t *)"" : found->file->seen.data;
}

void simulated_disk_put(struct simulated_disk *disk, const char *name, const void *data, size_t size) {
    struct stored_file *file = file_new(disk);
    append(&file->seen, data, size);
    append(&file->durable, data, size);
    change_names(disk, CHANGE_CREATE, name, file);
    for (uint32_t i = 0; i < disk->change_count; i++)
        apply(disk, &disk->durable_names, &disk->changes[i]);
    forget_changes(disk);
}

void simulated_disk_flush(struct simulated_disk *disk) {
    for (struct stored_file *file = disk->files; file != NULL; file = file->next)
        file_sync(file);
}
