/* crash_start.c - a start on whatever a crash has left, and what is to be said of it.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/crash_history.h"

#include <errno.h>
#include <stdio.h>

/* A load that takes more moments than this hangs. */
#define MOMENTS_MAX 1000000u

/* ---- What a disk holds ---- */

void crash_hash_file(const struct simulated_disk *disk, const char *name, uint64_t hash[2]) {
    size_t size;
    const uint8_t *bytes = simulated_disk_bytes(disk, name, &size);
    XXH128_hash_t made = XXH3_128bits(bytes, size);
    hash[0] = made.low64;
    hash[1] = made.high64;
}

static int32_t image_of(const struct crash_history *history, const struct simulated_disk *disk,
                        const char *name, bool *is_there) {
    size_t size;
    uint64_t hash[2];
    *is_there = simulated_disk_bytes(disk, name, &size) != NULL;
    if (!*is_there)
        return NO_IMAGE;
    crash_hash_file(disk, name, hash);
    for (int32_t i = history->save_count - 1; i >= 0; i--)
        if (history->saves[i].is_written && history->saves[i].file_hash[0] == hash[0] &&
            history->saves[i].file_hash[1] == hash[1])
            return i;
    return NO_IMAGE;
}

struct crash_found crash_look(const struct crash_history *history, const struct simulated_disk *disk) {
    struct crash_found found;
    found.newest = image_of(history, disk, CRASH_NAME, &found.has_newest);
    found.previous = image_of(history, disk, CRASH_PREVIOUS, &found.has_previous);
    return found;
}

int32_t crash_best(const struct crash_found *found) {
    return found->newest != NO_IMAGE ? found->newest : found->previous;
}

/* Before anybody touches it: what was promised is there. */
static void judge_disk(struct crash_history *history, const struct crash_promise *promise,
                       const struct crash_found *found) {
    if (!promise->is_spoilt && ((found->has_newest && found->newest == NO_IMAGE) ||
                                (found->has_previous && found->previous == NO_IMAGE)))
        crash_fail(history, "I-NAMES: an incomplete file has the name of %s checkpoint",
                   found->has_newest && found->newest == NO_IMAGE ? "the newest" : "the previous");
    else if (crash_best(found) < promise->floor)
        crash_fail(history, "I-DUR: image %d was reported complete, and what is left is image %d",
                   promise->floor, crash_best(found));
}

/* ---- The identity ---- */

static bool is_same_node(const struct actor_identity *one, const struct actor_identity *other) {
    return memcmp(one->node_id, other->node_id, NODE_ID_SIZE) == 0;
}

static void judge_identity(struct crash_history *history, const struct crash_start *start,
                           enum identity_status status, int error) {
    const struct crash_promise *promise = start->promise;
    const struct identity *identity = &start->life->identity;
    bool is_known = promise->past.incarnation != 0;
    if (is_known && is_same_node(&promise->past, &identity->actor) &&
        identity->actor.incarnation <= promise->past.incarnation)
        crash_fail(history, "I-DOT: incarnation %llu is taken after %llu",
                   (unsigned long long)identity->actor.incarnation,
                   (unsigned long long)promise->past.incarnation);
    else if (start->is_disturbed)
        return;
    else if (!identity->is_kept)
        crash_fail(history, "the identity is not kept (status %d, error %d)", status, error);
    else if (promise->id_is_unknown)
        return;
    else if (is_known && !is_same_node(&promise->past, &identity->actor))
        crash_fail(history, "the node is another one (status %d)", status);
    else if (promise->has_checkpoint && !identity->has_checkpoint)
        crash_fail(history, "the identity has forgotten that there is a checkpoint");
}

static void take_identity(struct crash_history *history, const struct crash_start *start) {
    struct identity *identity = &start->life->identity;
    struct crash_promise *promise = start->promise;
    uint8_t fresh_id[NODE_ID_SIZE] = {0x1d};
    int error;
    memcpy(fresh_id + 1, &history->next_id, sizeof history->next_id);
    history->next_id++;
    enum identity_status status =
        identity_take(identity, &start->life->identity_view, CRASH_NAME, fresh_id, &error);
    trace_number(&history->trace, (uint64_t)status << 32 | identity->actor.incarnation);
    judge_identity(history, start, status, error);
    if (status == IDENTITY_REPLACED)
        crash_see(history, SAW_OTHER_NODE);
    if (!identity->is_kept)
        return;
    promise->past = identity->actor;
    promise->has_checkpoint = identity->has_checkpoint;
    promise->id_is_unknown = false;
}

/* ---- Loading ---- */

struct words {
    uint32_t warnings;
    char last[CHECKPOINT_PROBLEM_SIZE];
};

static void say(void *context, int level, const char *text) {
    struct words *words = context;
    words->warnings += level != 0;
    snprintf(words->last, sizeof words->last, "%s", text);
}

/* The helper and the loop take turns as they like. */
static enum checkpoint_load_state run_loader(struct crash_history *history, const struct crash_start *start,
                                             struct checkpoint_loader *loader) {
    struct crash_queue *queue = &start->life->queue;
    enum checkpoint_load_state state = CHECKPOINT_LOAD_WORKING;
    uint32_t budget_max = history->conditions.budget_max;
    for (uint32_t moment = 0; state == CHECKPOINT_LOAD_WORKING || state == CHECKPOINT_LOAD_WAITING;
         moment++) {
        uint64_t draw = rng_below(start->rng, 4);
        if (draw == 0)
            crash_queue_run(queue);
        else if (draw == 1)
            crash_queue_finish(queue);
        else
            state = checkpoint_loader_step(loader, (uint32_t)chance_magnitude(start->rng, 1, budget_max));
        CHECK(moment < MOMENTS_MAX);
    }
    return state;
}

/* What should have come of the load, by what was found before. */
static void judge_load(struct crash_history *history, const struct crash_start *start,
                       const struct crash_found *found, enum checkpoint_load_state state,
                       const struct checkpoint_load_progress *progress) {
    int32_t expected = crash_best(found);
    bool has_files = found->has_newest || found->has_previous;
    bool is_expected = start->life->identity.has_checkpoint;
    char difference[256];
    if (state == CHECKPOINT_LOADED) {
        /* Errors of the disk may hide the newest one. */
        bool is_other = start->disk->faults.fail_at != 0 && progress->from_previous;
        if (is_other)
            expected = found->previous;
        start->life->loaded = expected;
        if (expected == NO_IMAGE)
            crash_fail(history, "I-CORRUPT: a file was loaded that is no image, byte by byte");
        else if (!is_other && progress->from_previous != (found->newest == NO_IMAGE))
            crash_fail(history, "the wrong generation was loaded (%s)",
                       progress->from_previous ? "previous" : "newest");
        else if (!crash_image_is_held(&history->saves[expected].image, start->life->keyspace, &history->keys,
                                      difference, sizeof difference))
            crash_fail(history, "I-EXACT: image %d was loaded, but %s", expected, difference);
        return;
    }
    if (state == CHECKPOINT_LOAD_REFUSED && progress->problem[0] == '\0')
        crash_fail(history, "a start was refused without a reason");
    if (state == CHECKPOINT_LOAD_NOTHING && has_files && !start->start_empty)
        crash_fail(history, "begun without data, though there are files");
    if (start->is_disturbed)
        return;
    if (expected != NO_IMAGE)
        crash_fail(history, "image %d was there, and not loaded: %s", expected, progress->problem);
    else if ((state == CHECKPOINT_LOAD_REFUSED) != ((has_files || is_expected) && !start->start_empty))
        crash_fail(history, "%s, with%s files and%s checkpoint before: %s",
                   state == CHECKPOINT_LOAD_REFUSED ? "refused" : "begun without data",
                   has_files ? "" : "out", is_expected ? " a" : "out a", progress->problem);
}

static void note_sightings(struct crash_history *history, const struct crash_start *start,
                           const struct crash_found *found, enum checkpoint_load_state state,
                           const struct checkpoint_load_progress *progress) {
    size_t size;
    if (state == CHECKPOINT_LOADED) {
        crash_see(history, !progress->from_previous ? SAW_NEWEST
                           : found->has_newest      ? SAW_PREVIOUS
                                                    : SAW_BETWEEN);
        if (start->life->loaded > start->promise->floor)
            crash_see(history, SAW_EARLY);
        if (progress->records_expired != 0)
            crash_see(history, SAW_EXPIRED);
    } else if (state == CHECKPOINT_LOAD_NOTHING) {
        crash_see(history, start->start_empty ? SAW_EMPTY : SAW_NOTHING);
    } else if (start->memory_fuse != 0) {
        crash_see(history, SAW_NO_MEMORY_IN_START);
    } else if (start->is_disturbed) {
        crash_see(history, SAW_ERROR_IN_START);
    } else {
        crash_see(history, found->has_newest || found->has_previous ? SAW_REFUSED : SAW_MISSING);
    }
    if (simulated_disk_bytes(start->disk, CRASH_NAME ".damaged", &size) != NULL)
        crash_see(history, SAW_SET_ASIDE);
}

/* After a start: what is damaged is out of the way of the next checkpoint; what could not be used is still there. */
static void judge_names(struct crash_history *history, const struct crash_start *start,
                        const struct crash_found *before, enum checkpoint_load_state state) {
    struct crash_found after = crash_look(history, start->disk);
    bool is_up = state == CHECKPOINT_LOADED || state == CHECKPOINT_LOAD_NOTHING;
    size_t size;
    if (start->is_disturbed)
        return;
    if (after.newest != before->newest || after.previous != before->previous)
        crash_fail(history, "the start has changed a whole file");
    else if (is_up && after.has_newest && after.newest == NO_IMAGE)
        crash_fail(history, "a damaged file keeps the name of the newest checkpoint");
    else if (is_up && simulated_disk_bytes(start->disk, CRASH_NAME ".temporary", &size) != NULL)
        crash_fail(history, "an unfinished file stays after the start");
    else if (!is_up && (after.has_newest != before->has_newest || after.has_previous != before->has_previous))
        crash_fail(history, "a refused start has moved a file");
}

static void spoil_loaded(struct crash_history *history, struct keyspace *keyspace) {
    enum crash_sabotage sabotage = history->options->sabotage;
    struct entry entry;
    for (uint32_t i = 0; i < history->keys.count; i++) {
        struct argument key = history->keys.keys[i];
        struct record *record = keyspace_lookup(keyspace, 0, &key, LOOKUP_PEEK, &entry);
        if (record == NULL)
            continue;
        if (sabotage == SABOTAGE_OTHER_VERSION)
            record->counter++;
        else if (sabotage == SABOTAGE_FORGOTTEN_KEY)
            keyspace_remove(keyspace, 0, &key, &entry, REMOVE_MOVED);
        return;
    }
}

static void stay_down(struct crash_life *life) {
    keyspace_free(life->keyspace);
    life->keyspace = NULL;
}

static void load(struct crash_history *history, const struct crash_start *start,
                 const struct crash_found *found) {
    struct crash_life *life = start->life;
    struct words words = {.warnings = 0};
    const struct checkpoint_load_options options = {.keyspace = life->keyspace,
                                                    .disk = &life->view,
                                                    .queue = &life->queue.queue,
                                                    .name = CRASH_NAME,
                                                    .is_expected = life->identity.has_checkpoint,
                                                    .start_empty = start->start_empty,
                                                    .say = say,
                                                    .context = &words};
    life->mem.fuse = start->memory_fuse;
    struct checkpoint_loader *loader = checkpoint_loader_new(&options);
    if (loader == NULL) {
        CHECK(start->memory_fuse != 0);
        life->mem.fuse = 0;
        stay_down(life);
        return;
    }
    enum checkpoint_load_state state = run_loader(history, start, loader);
    const struct checkpoint_load_progress *progress = checkpoint_loader_progress(loader);
    life->mem.fuse = 0;
    if (state == CHECKPOINT_LOADED)
        spoil_loaded(history, life->keyspace);
    judge_load(history, start, found, state, progress);
    judge_names(history, start, found, state);
    note_sightings(history, start, found, state, progress);
    trace_number(&history->trace, (uint64_t)state << 32 | (uint32_t)life->loaded);
    if (state == CHECKPOINT_LOADED && is_same_node(&progress->writer, &life->identity.actor) &&
        progress->writer.incarnation >= life->identity.actor.incarnation)
        crash_fail(history, "I-DOT: the file was written by incarnation %llu, and this start is %llu",
                   (unsigned long long)progress->writer.incarnation,
                   (unsigned long long)life->identity.actor.incarnation);
    if (progress->from_previous && found->has_newest && words.warnings == 0)
        crash_fail(history, "nobody was told that a file is damaged");
    checkpoint_loader_free(loader);
    bool is_up = state == CHECKPOINT_LOADED || state == CHECKPOINT_LOAD_NOTHING;
    if (!is_up)
        stay_down(life);
    /* From now on this is what there is. */
    struct crash_found after = crash_look(history, start->disk);
    if (is_up && !start->is_disturbed) {
        start->promise->floor = life->loaded;
        start->promise->is_spoilt = after.has_previous && after.previous == NO_IMAGE;
    } else if (start->disk->faults.fail_at != 0 && start->promise->floor > crash_best(&after)) {
        /* What could not be read may be taken for damaged, and set aside. */
        start->promise->floor = crash_best(&after);
    }
}

void crash_start(struct crash_history *history, const struct crash_start *start) {
    struct crash_life *life = start->life;
    uint8_t seed[HASH_SEED_SIZE];
    struct crash_found found = crash_look(history, start->disk);
    *life = (struct crash_life){.disk = start->disk, .loaded = NO_IMAGE};
    crash_queue_init(&life->queue);
    crash_sabotage_disk(life, history->options->sabotage);
    judge_disk(history, start->promise, &found);
    take_identity(history, start);
    uint64_t word = rng_next64(start->rng);
    memcpy(seed, &word, sizeof word);
    memcpy(seed + sizeof word, &word, sizeof seed - sizeof word);
    life->keyspace = keyspace_new(&life->mem, seed, word);
    CHECK(life->keyspace != NULL);
    life->keyspace->is_alone = history->conditions.is_alone;
    keyspace_set_time(life->keyspace, history->now_ms + (int64_t)chance_magnitude(start->rng, 1, 8000) - 200);
    actors_set_self(&life->keyspace->actors, &life->identity.actor);
    load(history, start, &found);
}

void crash_end(struct crash_history *history, struct crash_life *life) {
    identity_release(&life->identity, &life->identity_view);
    if (life->keyspace != NULL)
        keyspace_free(life->keyspace);
    life->keyspace = NULL;
    if (life->mem.used_bytes != 0)
        crash_fail(history, "I-LEAK: %zu bytes are left", life->mem.used_bytes);
    if (life->disk->open_files != NULL)
        crash_fail(history, "I-LEAK: a file is still open");
}
