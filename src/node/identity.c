/* identity.c - the file is never changed in its place: each version of it is a new one, locked before it gets the name.
 *
 * Two processes that start at the same time meet at a lock: of the file, or, while there is none, of the temporary one.
 * Emptying the temporary file needs no lock, so what is in place is read again before it is believed.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/identity.h"

#include "base/checksum.h"
#include "base/number.h"
#include "store/checkpoint_names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TITLE      "redis-kv node "
#define CHECK_SIZE 23 /* "check ", 16 digits, end of the line */
/* No version of the file is longer than this. */
#define TEXT_SIZE_MAX 512
/* So often somebody else may come in between before it is called busy. */
#define ATTEMPTS_MAX 4

_Static_assert(CHECKPOINT_NAME_MAX + sizeof ".node.temporary" <= DISK_NAME_SIZE, "all names of it have room");

struct text {
    size_t size;
    char bytes[TEXT_SIZE_MAX];
};

enum meaning { MEANING_GOOD, MEANING_NEWER, MEANING_DAMAGED };

static void add_check(char *out, const struct text *text, size_t size) {
    char line[CHECK_SIZE + 1];
    snprintf(line, sizeof line, "check %016" PRIx64 "\n", checksum_bytes(text->bytes, size));
    memcpy(out, line, CHECK_SIZE);
}

void identity_print_id(const uint8_t id[NODE_ID_SIZE], char text[IDENTITY_ID_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < NODE_ID_SIZE; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    text[IDENTITY_ID_SIZE - 1] = '\0';
}

static void write_text(struct text *text, const struct actor_identity *actor, bool has_checkpoint) {
    char id[IDENTITY_ID_SIZE];
    identity_print_id(actor->node_id, id);
    text->size = (size_t)snprintf(text->bytes, sizeof text->bytes - CHECK_SIZE,
                                  TITLE "1\nid %s\nincarnation %" PRIu64 "\ncheckpoint %s\n", id,
                                  actor->incarnation, has_checkpoint ? "yes" : "no");
    add_check(text->bytes + text->size, text, text->size);
    text->size += CHECK_SIZE;
}

static bool read_digit(char digit, uint8_t *value) {
    if (digit >= '0' && digit <= '9')
        *value = (uint8_t)(digit - '0');
    else if (digit >= 'a' && digit <= 'f')
        *value = (uint8_t)(digit - 'a' + 10);
    else
        return false;
    return true;
}

static bool read_id(const char *digits, uint8_t id[NODE_ID_SIZE]) {
    for (unsigned i = 0; i < NODE_ID_SIZE; i++) {
        uint8_t high, low;
        if (!read_digit(digits[2 * i], &high) || !read_digit(digits[2 * i + 1], &low))
            return false;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool texts_are_equal(const struct text *a, const struct text *b) {
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* Finds the few things that vary; then the file must be, byte by byte, the one that they make. */
static enum meaning read_text(const struct text *text, struct actor_identity *actor, bool *has_checkpoint) {
    static const char before_id[] = TITLE "1\nid ", before_number[] = "\nincarnation ";
    const size_t id_at = sizeof before_id - 1,
                 number_at = id_at + 2 * NODE_ID_SIZE + sizeof before_number - 1;
    char check[CHECK_SIZE];
    if (text->size < CHECK_SIZE + sizeof TITLE)
        return MEANING_DAMAGED;
    add_check(check, text, text->size - CHECK_SIZE);
    if (memcmp(check, text->bytes + text->size - CHECK_SIZE, CHECK_SIZE) != 0 ||
        memcmp(text->bytes, TITLE, sizeof TITLE - 1) != 0)
        return MEANING_DAMAGED;
    /* Whole, and of a version whose lines have another meaning. */
    if (memcmp(text->bytes + sizeof TITLE - 1, "1\n", 2) != 0)
        return MEANING_NEWER;
    if (text->size <= number_at || !read_id(text->bytes + id_at, actor->node_id))
        return MEANING_DAMAGED;
    const char *number = text->bytes + number_at, *end = memchr(number, '\n', text->size - number_at);
    if (end == NULL || !number_parse_uint64(number, (size_t)(end - number), &actor->incarnation) ||
        actor->incarnation == 0 || actor->incarnation == UINT64_MAX)
        return MEANING_DAMAGED;
    for (unsigned i = 0; i < 2; i++) {
        struct text made;
        *has_checkpoint = i != 0;
        write_text(&made, actor, *has_checkpoint);
        if (texts_are_equal(&made, text))
            return MEANING_GOOD;
    }
    return MEANING_DAMAGED;
}

/* What is longer than any of ours is read as far as it shows that. */
static int read_file(const struct disk *disk, struct disk_file *file, struct text *text) {
    return disk->read(file, text->bytes, sizeof text->bytes, &text->size);
}

/* What has this name now. */
static int read_name(const struct disk *disk, const char *name, struct text *text) {
    struct disk_file *file;
    uint64_t size;
    int error = disk->open(disk->context, name, &file, &size);
    if (error != 0)
        return error;
    error = read_file(disk, file, text);
    disk->close(file);
    return error;
}

/* Opens, locks and reads the file. It may have been replaced between the first two, and then the lock is of a file that
 * nobody sees any more: no two versions of it are equal, so one more look tells. 0, ENOENT, EWOULDBLOCK (*text is
 * what could be read), or another errno; the file is open after 0 only. */
static int hold(const struct disk *disk, const char *name, struct disk_file **file, struct text *text) {
    for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        struct text seen;
        uint64_t size;
        text->size = 0;
        int error = disk->open(disk->context, name, file, &size);
        if (error != 0)
            return error;
        int lock_error = disk->lock(*file);
        if ((error = read_file(disk, *file, text)) == 0 && lock_error == 0)
            error = read_name(disk, name, &seen);
        if (error == 0 && lock_error == 0 && texts_are_equal(text, &seen))
            return 0;
        disk->close(*file);
        if (lock_error != 0)
            return lock_error;
        if (error != 0 && error != ENOENT)
            return error;
    }
    return EWOULDBLOCK;
}

/* 0 where nobody has this name. */
static int find_nobody(const struct disk *disk, const char *name) {
    struct disk_file *file;
    uint64_t size;
    int error = disk->open(disk->context, name, &file, &size);
    if (error == 0)
        disk->close(file);
    return error == 0 ? EWOULDBLOCK : error == ENOENT ? 0 : error;
}

static void release_lock(struct identity *identity, const struct disk *disk) {
    if (identity->lock != NULL)
        disk->close(identity->lock);
    identity->lock = NULL;
}

/* Puts a new version of the file in place, with its lock. EWOULDBLOCK: another process does, or (without a lock) has done, the same;
 * EAGAIN: what is in place is not what was written. */
static int put_in_place(struct identity *identity, const struct disk *disk, const struct text *text) {
    char temporary[DISK_NAME_SIZE];
    struct disk_file *file;
    struct text seen;
    /* A try that failed at the very end has left just this, under our lock. Another one like it would let others, who
     * have opened the first, take its lock for that of the second. */
    if (identity->lock != NULL && read_name(disk, identity->name, &seen) == 0 && texts_are_equal(text, &seen))
        return disk->sync_names(disk->context);
    snprintf(temporary, sizeof temporary, "%.*s.temporary", DISK_NAME_SIZE - 11, identity->name);
    int error = disk->create(disk->context, temporary, &file);
    if (error != 0)
        return error;
    if ((error = disk->lock(file)) == 0 && identity->lock == NULL)
        error = find_nobody(disk, identity->name);
    if (error != 0) {
        disk->close(file); /* the file may be another's, and stays */
        return error;
    }
    if ((error = disk->write(file, text->bytes, text->size)) == 0)
        error = disk->sync(file);
    if (error == 0)
        error = disk->rename(disk->context, temporary, identity->name);
    /* After a failure it is there, too, where only the answer was lost; then it needs its lock as well. */
    bool is_there = read_name(disk, identity->name, &seen) == 0 && texts_are_equal(text, &seen);
    if (error != 0 && !is_there) {
        disk->close(file);
        disk->remove(disk->context, temporary);
        return error;
    }
    release_lock(identity, disk);
    identity->lock = file;
    return error != 0 ? error : !is_there ? EAGAIN : disk->sync_names(disk->context);
}

static int keep(struct identity *identity, const struct disk *disk, const struct actor_identity *actor,
                bool has_checkpoint) {
    struct text text;
    int error = EAGAIN;
    write_text(&text, actor, has_checkpoint);
    for (unsigned attempt = 0; attempt < ATTEMPTS_MAX && error == EAGAIN; attempt++)
        error = put_in_place(identity, disk, &text);
    return error == EAGAIN ? EWOULDBLOCK : error;
}

static int set_aside(const struct identity *identity, const struct disk *disk) {
    char damaged[DISK_NAME_SIZE];
    snprintf(damaged, sizeof damaged, "%.*s.damaged", DISK_NAME_SIZE - 9, identity->name);
    return disk->rename(disk->context, identity->name, damaged);
}

/* The file is there, and ours as long as identity->lock holds it. */
static enum identity_status take_held(struct identity *identity, const struct disk *disk,
                                      const struct text *text, int *error) {
    struct actor_identity actor;
    bool has_checkpoint;
    switch (read_text(text, &actor, &has_checkpoint)) {
    case MEANING_GOOD:
        identity->has_checkpoint = has_checkpoint;
        actor.incarnation++;
        if ((*error = keep(identity, disk, &actor, has_checkpoint)) == 0)
            identity->actor = actor;
        return IDENTITY_TAKEN;
    case MEANING_NEWER: *error = ENOTSUP; return IDENTITY_NOT_KEPT;
    case MEANING_DAMAGED:
        if ((*error = set_aside(identity, disk)) == 0) {
            release_lock(identity, disk);
            *error = keep(identity, disk, &identity->actor, false);
        }
        return IDENTITY_REPLACED;
    }
    return IDENTITY_NOT_KEPT;
}

enum identity_status identity_take(struct identity *identity, const struct disk *disk, const char *dbfilename,
                                   const uint8_t fresh_id[NODE_ID_SIZE], int *error) {
    enum identity_status status = IDENTITY_NEW;
    struct text text;
    *identity = (struct identity){.actor = {.incarnation = 1}};
    memcpy(identity->actor.node_id, fresh_id, NODE_ID_SIZE);
    *error = 0;
    if (strlen(dbfilename) > CHECKPOINT_NAME_MAX) {
        *error = ENAMETOOLONG;
        return IDENTITY_NOT_KEPT;
    }
    snprintf(identity->name, sizeof identity->name, "%s.node", dbfilename);
    int held = hold(disk, identity->name, &identity->lock, &text);
    if (held == 0) {
        status = take_held(identity, disk, &text, error);
    } else {
        identity->lock = NULL;
        *error = held;
        if (held == ENOENT) {
            *error = keep(identity, disk, &identity->actor, false);
        } else if (held == EWOULDBLOCK) {
            /* Whose it is does not matter here; that there should be a checkpoint does. */
            struct actor_identity other;
            bool has_checkpoint;
            identity->has_checkpoint =
                read_text(&text, &other, &has_checkpoint) == MEANING_GOOD && has_checkpoint;
        }
    }
    identity->is_kept = *error == 0;
    if (identity->is_kept)
        return status;
    identity_release(identity, disk);
    if (*error != EWOULDBLOCK)
        return IDENTITY_NOT_KEPT;
    *error = 0;
    return IDENTITY_BUSY;
}

int identity_raise(struct identity *identity, const struct disk *disk, uint64_t seen) {
    struct actor_identity actor = identity->actor;
    if (seen < actor.incarnation)
        return 0;
    if (seen >= UINT64_MAX - 1)
        return ERANGE; /* there would be no next start */
    actor.incarnation = seen + 1;
    int error = identity->is_kept ? keep(identity, disk, &actor, identity->has_checkpoint) : 0;
    if (error == 0)
        identity->actor = actor;
    return error;
}

int identity_note_checkpoint(struct identity *identity, const struct disk *disk) {
    if (identity->has_checkpoint)
        return 0;
    int error = identity->is_kept ? keep(identity, disk, &identity->actor, true) : 0;
    identity->has_checkpoint = error == 0;
    return error;
}

void identity_release(struct identity *identity, const struct disk *disk) {
    release_lock(identity, disk);
}
