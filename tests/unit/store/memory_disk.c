/* memory_disk.c - files as blocks of memory, names as a small table.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/memory_disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk_file {
    struct memory_disk *disk;
    struct memory_file *file;
    size_t position;
};

/* ---- Files and names ---- */

static void drop(struct memory_file *file) {
    if (--file->holders == 0) {
        free(file->data);
        free(file);
    }
}

static struct memory_file **place_of(struct memory_disk *disk, const char *name) {
    for (unsigned i = 0; i < MEMORY_DISK_FILES; i++)
        if (disk->files[i] != NULL && strcmp(disk->files[i]->name, name) == 0)
            return &disk->files[i];
    return NULL;
}

static void set_name(struct memory_file *file, const char *name) {
    cr_assert_lt(strlen(name), sizeof file->name);
    cr_assert_null(strchr(name, '/'));
    snprintf(file->name, sizeof file->name, "%s", name);
}

static struct memory_file *add(struct memory_disk *disk, const char *name) {
    unsigned place = 0;
    while (place < MEMORY_DISK_FILES && disk->files[place] != NULL)
        place++;
    cr_assert_lt(place, MEMORY_DISK_FILES, "too many files");
    struct memory_file *file = calloc(1, sizeof *file);
    cr_assert_not_null(file);
    set_name(file, name);
    file->holders = 1;
    return disk->files[place] = file;
}

static void append(struct memory_file *file, const void *data, size_t size) {
    if (file->capacity - file->size < size) {
        file->capacity = 2 * file->capacity + size;
        file->data = realloc(file->data, file->capacity);
        cr_assert_not_null(file->data);
    }
    if (size != 0)
        memcpy(file->data + file->size, data, size);
    file->size += size;
}

/* ---- What may fail ---- */

/* 0, or the errno with which this operation is to fail. */
static int operate(struct memory_disk *disk) {
    disk->operations++;
    if (disk->fail_in == 0)
        return 0;
    if (disk->fail_in > 1) {
        disk->fail_in--;
        return 0;
    }
    if (!disk->failure_stays)
        disk->fail_in = 0;
    return disk->fail_error;
}

static void note(struct memory_disk *disk, const char *what, const char *name, const char *other) {
    size_t size = strlen(disk->log);
    int more = snprintf(disk->log + size, sizeof disk->log - size, "%s%s%s%s%s; ", what, name[0] ? " " : "",
                        name, other[0] ? " " : "", other);
    cr_assert_lt((size_t)more, sizeof disk->log - size, "the log is full");
}

static struct disk_file *open_file(struct memory_disk *disk, struct memory_file *file) {
    struct disk_file *opened = calloc(1, sizeof *opened);
    cr_assert_not_null(opened);
    *opened = (struct disk_file){.disk = disk, .file = file};
    file->holders++;
    disk->open_files++;
    return opened;
}

static int create_file(void *context, const char *name, struct disk_file **opened) {
    struct memory_disk *disk = context;
    int error = operate(disk);
    if (error != 0)
        return error;
    note(disk, "create", name, "");
    struct memory_file **place = place_of(disk, name), *file = place == NULL ? add(disk, name) : *place;
    file->size = 0;
    *opened = open_file(disk, file);
    return 0;
}

static int open_existing(void *context, const char *name, struct disk_file **opened, uint64_t *size) {
    struct memory_disk *disk = context;
    int error = operate(disk);
    if (error != 0)
        return error;
    struct memory_file **place = place_of(disk, name);
    if (place == NULL)
        return ENOENT;
    *size = (*place)->size;
    *opened = open_file(disk, *place);
    return 0;
}

static int write_file(struct disk_file *opened, const void *data, size_t size) {
    int error = operate(opened->disk);
    append(opened->file, data, error == 0 ? size : size / 2);
    return error;
}

static int read_file(struct disk_file *opened, void *data, size_t size, size_t *got) {
    int error = operate(opened->disk);
    size_t left = opened->file->size - opened->position;
    *got = error != 0 ? 0 : size < left ? size : left;
    if (*got != 0)
        memcpy(data, opened->file->data + opened->position, *got);
    opened->position += *got;
    return error;
}

static void begin_sync(struct disk_file *opened) {
    opened->disk->begun_syncs++;
}

static int sync_file(struct disk_file *opened) {
    int error = operate(opened->disk);
    if (error == 0)
        note(opened->disk, "sync", opened->file->name, "");
    return error;
}

static int lock_file(struct disk_file *opened) {
    return operate(opened->disk);
}

static int close_file(struct disk_file *opened) {
    int error = operate(opened->disk);
    opened->disk->open_files--;
    drop(opened->file);
    free(opened);
    return error;
}

static int rename_file(void *context, const char *from, const char *to) {
    struct memory_disk *disk = context;
    int error = operate(disk);
    if (error != 0)
        return error;
    struct memory_file **place = place_of(disk, from), **replaced = place_of(disk, to);
    if (place == NULL)
        return ENOENT;
    note(disk, "rename", from, to);
    if (place == replaced)
        return 0;
    if (replaced != NULL) {
        drop(*replaced);
        *replaced = NULL;
    }
    set_name(*place, to);
    return 0;
}

static int remove_file(void *context, const char *name) {
    struct memory_disk *disk = context;
    int error = operate(disk);
    if (error != 0)
        return error;
    struct memory_file **place = place_of(disk, name);
    if (place == NULL)
        return ENOENT;
    note(disk, "remove", name, "");
    (*place)->name[0] = 0;
    drop(*place);
    *place = NULL;
    return 0;
}

static int sync_names(void *context) {
    int error = operate(context);
    if (error == 0)
        note(context, "sync_names", "", "");
    return error;
}

static const char *error_text(int error) {
    return error == ENOSPC ? "no space" : error == EIO ? "input/output error" : "an error";
}

/* ---- For the tests ---- */

void memory_disk_init(struct memory_disk *disk) {
    *disk = (struct memory_disk){.disk = {.context = disk,
                                          .create = create_file,
                                          .open = open_existing,
                                          .write = write_file,
                                          .read = read_file,
                                          .begin_sync = begin_sync,
                                          .sync = sync_file,
                                          .lock = lock_file,
                                          .close = close_file,
                                          .rename = rename_file,
                                          .remove = remove_file,
                                          .sync_names = sync_names,
                                          .error_text = error_text},
                                 .fail_error = EIO};
}

void memory_disk_release(struct memory_disk *disk) {
    for (unsigned i = 0; i < MEMORY_DISK_FILES; i++)
        if (disk->files[i] != NULL)
            drop(disk->files[i]);
    memory_disk_init(disk);
}

const struct memory_file *memory_disk_find(const struct memory_disk *disk, const char *name) {
    for (unsigned i = 0; i < MEMORY_DISK_FILES; i++)
        if (disk->files[i] != NULL && strcmp(disk->files[i]->name, name) == 0)
            return disk->files[i];
    return NULL;
}

void memory_disk_put(struct memory_disk *disk, const char *name, const void *data, size_t size) {
    struct memory_file **place = place_of(disk, name), *file = place == NULL ? add(disk, name) : *place;
    file->size = 0;
    append(file, data, size);
}

void memory_disk_copy(struct memory_disk *to, const struct memory_disk *from) {
    memory_disk_init(to);
    for (unsigned i = 0; i < MEMORY_DISK_FILES; i++)
        if (from->files[i] != NULL)
            memory_disk_put(to, from->files[i]->name, from->files[i]->data, from->files[i]->size);
}
