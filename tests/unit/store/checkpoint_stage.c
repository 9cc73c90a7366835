/* checkpoint_stage.c - the stage of the tests of saving and loading.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "checkpoint_stage.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define STEPS_MAX 1000000

static void submit(void *context, struct work *work) {
    struct stage *stage = context;
    work->next = NULL;
    if (stage->last != NULL)
        stage->last->next = work;
    else
        stage->first = work;
    stage->last = work;
    stage->queued++;
}

bool stage_run_one(struct stage *stage) {
    struct work *work = stage->first;
    if (work == NULL)
        return false;
    stage->first = work->next;
    if (stage->first == NULL)
        stage->last = NULL;
    stage->queued--;
    work->run(work);
    work->done(work);
    return true;
}

static void make_keyspace(struct stage *stage) {
    uint8_t seed[HASH_SEED_SIZE] = "sixteen bytes..";
    stage->keyspace = keyspace_new(&stage->mem, seed, 1);
    stage->keyspace->is_alone = true;
    keyspace_set_time(stage->keyspace, STAGE_NOW_MS);
}

void stage_open(struct stage *stage) {
    *stage = (struct stage){.queue = {.context = stage, .submit = submit}};
    memory_disk_init(&stage->folder);
    make_keyspace(stage);
}

void stage_close(struct stage *stage) {
    cr_assert_eq(stage->queued, 0);
    cr_assert_eq(stage->folder.open_files, 0, "a file is left open");
    keyspace_free(stage->keyspace);
    cr_assert_eq(stage->mem.used_bytes, 0, "%zu bytes are left", stage->mem.used_bytes);
    memory_disk_release(&stage->folder);
}

void stage_restart(struct stage *stage) {
    keyspace_free(stage->keyspace);
    cr_assert_eq(stage->mem.used_bytes, 0, "%zu bytes are left", stage->mem.used_bytes);
    make_keyspace(stage);
}

struct checkpoint_writer *stage_begin_save(struct stage *stage) {
    struct checkpoint_options options = {.keyspace = stage->keyspace,
                                         .disk = &stage->folder.disk,
                                         .queue = &stage->queue,
                                         .name = "dump",
                                         .serial = 4711};
    return checkpoint_writer_new(&options);
}

struct checkpoint_progress stage_finish_save(struct stage *stage, struct checkpoint_writer *writer) {
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        enum checkpoint_state state = checkpoint_writer_step(writer, 100);
        if (state == CHECKPOINT_DONE || state == CHECKPOINT_FAILED)
            break;
        if (state == CHECKPOINT_WAITING)
            cr_assert(stage_run_one(stage), "it waits for nothing");
    }
    struct checkpoint_progress progress = checkpoint_writer_progress(writer);
    cr_assert(progress.state == CHECKPOINT_DONE || progress.state == CHECKPOINT_FAILED);
    checkpoint_writer_free(writer);
    return progress;
}

struct checkpoint_progress stage_save(struct stage *stage) {
    struct checkpoint_writer *writer = stage_begin_save(stage);
    cr_assert_not_null(writer);
    return stage_finish_save(stage, writer);
}

static void say(void *context, int level, const char *text) {
    struct stage *stage = context;
    size_t size = strlen(stage->said);
    snprintf(stage->said + size, sizeof stage->said - size, "%d %s\n", level, text);
}

struct checkpoint_load_progress stage_load(struct stage *stage, bool is_expected, bool start_empty) {
    struct checkpoint_load_options options = {.keyspace = stage->keyspace,
                                              .disk = &stage->folder.disk,
                                              .queue = &stage->queue,
                                              .name = "dump",
                                              .is_expected = is_expected,
                                              .start_empty = start_empty,
                                              .say = say,
                                              .context = stage};
    stage->said[0] = '\0';
    struct checkpoint_loader *loader = checkpoint_loader_new(&options);
    cr_assert_not_null(loader);
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        enum checkpoint_load_state state = checkpoint_loader_step(loader, 100);
        if (state == CHECKPOINT_LOAD_WAITING)
            cr_assert(stage_run_one(stage), "it waits for nothing");
        else if (state != CHECKPOINT_LOAD_WORKING)
            break;
    }
    struct checkpoint_load_progress progress = *checkpoint_loader_progress(loader);
    checkpoint_loader_free(loader);
    return progress;
}

static struct argument key_of(const char *text) {
    return (struct argument){
        .data = (const uint8_t *)text, .size = (uint32_t)strlen(text), .slot = ARGUMENT_NOT_PLACED};
}

void stage_put(struct stage *stage, uint32_t database, const char *key, const void *value, uint32_t size,
               int64_t expiry_ms) {
    struct argument argument = key_of(key);
    struct value made = {.data = value, .size = size, .expiry_ms = expiry_ms};
    cr_assert(keyspace_put(stage->keyspace, database, &argument, &made));
}

void stage_fill(struct stage *stage, unsigned keys) {
    char key[32], value[64];
    for (unsigned i = 0; i < keys; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        int size = snprintf(value, sizeof value, "the value of %u", i);
        stage_put(stage, 0, key, value, (uint32_t)size, EXPIRY_NONE);
    }
}

const struct record *stage_find(struct stage *stage, uint32_t database, const char *key) {
    struct argument argument = key_of(key);
    struct entry entry;
    return keyspace_lookup(stage->keyspace, database, &argument, LOOKUP_PEEK, &entry);
}

void stage_is_filled(struct stage *stage, unsigned keys) {
    char key[32], value[64];
    cr_assert_eq(keyspace_size(stage->keyspace, 0), keys);
    for (unsigned i = 0; i < keys; i++) {
        snprintf(key, sizeof key, "key:%u", i);
        int size = snprintf(value, sizeof value, "the value of %u", i);
        const struct record *record = stage_find(stage, 0, key);
        cr_assert_not_null(record, "%s is not there", key);
        cr_assert_eq(record_value_size(record), (uint32_t)size);
        cr_assert_eq(memcmp(record_value_const(record), value, (size_t)size), 0);
    }
}
