/* crash.c - histories: lives of a node one after the other, and the crash points in them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/crash.h"

#include "sim/crash_history.h"
#include "store/checkpoint_writer.h"
#include "store/image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* 2025-06-01. */
#define BEGIN_MS INT64_C(1748736000000)
/* A save that takes more moments than this hangs. */
#define MOMENTS_MAX 1000000u
/* A start and a save take about so many operations of the disk. */
#define OPERATIONS_ABOUT 30
/* Of the operations of a quiet save so many have a crash point. */
#define QUIET_PERMILLE 60
/* Every so many histories, one is run twice. */
#define REPEAT_EVERY 10
#define FAILURES_MAX 5
/* In so many crash points everything rare should have been seen. */
#define SIGHTING_POINTS 10000

void crash_fail(struct crash_history *history, const char *format, ...) {
    if (crash_has_failed(history))
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(history->result->failure, sizeof history->result->failure, format, arguments);
    va_end(arguments);
    history->result->has_failed = true;
    trace_note(&history->trace, history->result->points, "FAILED %s", history->result->failure);
}

#define NOTE(history, ...) trace_note(&(history)->trace, (history)->result->points, __VA_ARGS__)

/* ---- Crash points ---- */

static void describe_disk(struct crash_history *history, const struct simulated_disk *disk,
                          const char *words) {
    struct crash_found found = crash_look(history, disk);
    NOTE(history, "%s: newest %s (image %d), previous %s (image %d)", words,
         found.has_newest ? "there" : "missing", found.newest, found.has_previous ? "there" : "missing",
         found.previous);
}

/* Spoils one of the files that are left, or two. */
static void damage(struct crash_history *history, struct simulated_disk *disk, struct crash_promise *promise,
                   struct rng *rng) {
    if (disk->change_count != 0)
        return; /* what is left of it would depend on the next crash */
    static const char *const names[] = {CRASH_NAME, CRASH_NAME, CRASH_PREVIOUS, CRASH_NODE,
                                        CRASH_NAME ".temporary"};
    for (uint64_t count = chance_permille(rng, 400) ? 2 : 1; count > 0; count--) {
        const char *name = names[rng_below(rng, sizeof names / sizeof *names)];
        enum disk_damage kind = (enum disk_damage)rng_below(rng, DAMAGE_COUNT);
        if (!simulated_disk_damage(disk, name, kind, rng))
            continue;
        NOTE(history, "%s is spoilt, kind %d", name, (int)kind);
        if (strcmp(name, CRASH_NODE) == 0)
            promise->id_is_unknown = true;
        else
            promise->is_spoilt = true;
    }
    struct crash_found found = crash_look(history, disk);
    if (crash_best(&found) < promise->floor)
        promise->floor = crash_best(&found);
}

/* What the next process finds: the machine crashed, or only the process did. */
static void crash_disk(struct crash_history *history, const struct simulated_disk *disk,
                       struct simulated_disk *after, struct rng *rng) {
    size_t size;
    uint64_t before[2], left[2];
    if (chance_permille(rng, history->conditions.kill_permille)) {
        simulated_disk_copy(disk, after);
        crash_see(history, SAW_KILLED);
        return;
    }
    simulated_disk_crash(disk, after, rng);
    if (simulated_disk_bytes(disk, CRASH_NAME ".temporary", &size) == NULL ||
        simulated_disk_bytes(after, CRASH_NAME ".temporary", &size) == NULL)
        return;
    crash_hash_file(disk, CRASH_NAME ".temporary", before);
    crash_hash_file(after, CRASH_NAME ".temporary", left);
    if (before[0] != left[0] && size != 0)
        crash_see(history, SAW_TORN);
}

/* A start that comes to no good end: the power goes in it, the memory ends, or the disk makes errors. */
static void disturb(struct crash_history *history, struct simulated_disk *disk, struct crash_promise *promise,
                    struct rng *rng) {
    struct crash_life life;
    uint64_t draw = rng_below(rng, 10), at = chance_between(rng, 1, OPERATIONS_ABOUT), memory_fuse = 0;
    if (draw < 6)
        disk->faults.stop_at = at;
    else if (draw < 8)
        memory_fuse = chance_magnitude(rng, 1, 500);
    else
        disk->faults = (struct disk_faults){.fail_at = at,
                                            .fail_for = chance_magnitude(rng, 1, 8),
                                            .fail_error = chance_permille(rng, 700) ? EIO : EACCES};
    const struct crash_start start = {.life = &life,
                                      .disk = disk,
                                      .promise = promise,
                                      .rng = rng,
                                      .is_disturbed = true,
                                      .memory_fuse = memory_fuse};
    crash_start(history, &start);
    if (disk->is_stopped)
        crash_see(history, SAW_POWER_IN_START);
    crash_end(history, &life);
    history->result->points++;
}

static void crash_point(struct crash_history *history) {
    struct rng *rng = &history->chance_of_crashes;
    struct crash_promise promise = history->promise;
    struct simulated_disk disks[2], *disk = &disks[0];
    struct crash_life life;
    crash_disk(history, &history->disk, disk, rng);
    if (chance_permille(rng, history->conditions.damage_permille))
        damage(history, disk, &promise, rng);
    bool is_disturbed = chance_permille(rng, history->conditions.disturb_permille);
    if (is_disturbed) {
        disturb(history, disk, &promise, rng);
        disk = &disks[1];
        crash_disk(history, &disks[0], disk, rng);
    }
    if (!crash_has_failed(history)) {
        const struct crash_start start = {.life = &life,
                                          .disk = disk,
                                          .promise = &promise,
                                          .rng = rng,
                                          .start_empty = chance_permille(rng, 50)};
        crash_start(history, &start);
        crash_end(history, &life);
        history->result->points++;
    }
    if (crash_has_failed(history))
        describe_disk(history, disk, is_disturbed ? "after two crashes" : "after the crash");
    for (unsigned i = 0; i <= is_disturbed; i++)
        simulated_disk_release(&disks[i]);
}

/* The disk is about to do something. */
static void observe(void *context, enum disk_operation operation, const char *name) {
    struct crash_history *history = context;
    if (crash_has_failed(history))
        return;
    if (operation == DISK_RENAME && strcmp(name, CRASH_NAME) == 0 && history->is_saving) {
        struct crash_save *save = &history->saves[history->save_count - 1];
        crash_hash_file(&history->disk, CRASH_NAME ".temporary", save->file_hash);
        save->is_written = true;
    }
    NOTE(history, "operation %" PRIu64 ": %s %s", history->disk.operations + 1,
         disk_operation_name(operation), name);
    uint32_t draws = history->is_dirty ? history->conditions.draws : 1;
    if (history->is_quiet)
        draws = chance_permille(&history->chance_of_crashes, QUIET_PERMILLE);
    for (; draws > 0 && !crash_has_failed(history); draws--)
        crash_point(history);
    history->is_dirty = operation != DISK_OPEN && operation != DISK_READ && operation != DISK_LOCK &&
                        operation != DISK_CLOSE && operation != DISK_BEGIN_SYNC;
}

/* ---- Writes and saves ---- */

static void write_some(struct crash_history *history, uint64_t count) {
    for (; count > 0; count--) {
        const char *word = crash_write(history->life.keyspace, &history->keys, &history->conditions.mix,
                                       &history->random, history->space);
        trace_bytes(&history->trace, word, strlen(word));
        if (!history->is_saving)
            continue;
        if (strcmp(word, "flush") == 0)
            crash_see(history, SAW_FLUSH);
        else if (strcmp(word, "swap") == 0)
            crash_see(history, SAW_SWAP);
        else if (strcmp(word, "merge") == 0)
            crash_see(history, SAW_MERGE);
    }
    history->now_ms = history->life.keyspace->now_ms;
}

static void add_save(struct crash_history *history) {
    CHECK(history->save_count < CRASH_IMAGES_MAX);
    struct crash_save *save = &history->saves[history->save_count++];
    *save = (struct crash_save){.is_written = false};
    crash_image_take(&save->image, &history->mem, history->life.keyspace, &history->keys);
}

static void note_longs(struct crash_history *history) {
    const struct image *image = history->life.keyspace->image;
    for (uint32_t i = 0; image != NULL && i < image->long_count; i++) {
        crash_see(history, SAW_LONG_RECORD);
        if (image->longs[i].is_owned)
            crash_see(history, SAW_LONG_REPLACED);
    }
}

/* Steps of the loop, work of the helper, and writes, in any order. */
static struct checkpoint_progress run_writer(struct crash_history *history, struct checkpoint_writer *writer,
                                             bool is_cancelled, uint32_t writes_permille) {
    const struct crash_conditions *conditions = &history->conditions;
    struct crash_queue *queue = &history->life.queue;
    struct rng *random = &history->random;
    /* Cancelled at some moment, or while the file is being finished. */
    bool is_late = is_cancelled && chance_permille(random, 500);
    uint64_t cancel_at = is_cancelled && !is_late ? chance_magnitude(random, 1, 200) : UINT64_MAX;
    enum checkpoint_state state = CHECKPOINT_WORKING;
    for (uint32_t moment = 1; state == CHECKPOINT_WORKING || state == CHECKPOINT_WAITING; moment++) {
        uint64_t draw = rng_below(random, 4);
        CHECK(moment < MOMENTS_MAX);
        if (moment == cancel_at || (is_late && history->life.keyspace->image == NULL)) {
            checkpoint_writer_cancel(writer);
            is_late = false;
        }
        note_longs(history);
        if (chance_permille(random, writes_permille))
            write_some(history, 1);
        if (draw == 0)
            crash_queue_run(queue);
        else if (draw == 1)
            crash_queue_finish(queue);
        else
            state =
                checkpoint_writer_step(writer, (uint32_t)chance_magnitude(random, 1, conditions->budget_max));
    }
    return checkpoint_writer_progress(writer);
}

static void draw_faults(struct crash_history *history, bool *loses_power) {
    static const int errors[] = {EIO, EIO, ENOSPC, EROFS};
    struct rng *random = &history->random;
    struct disk_faults *faults = &history->disk.faults;
    uint64_t at = history->disk.operations + chance_between(random, 1, OPERATIONS_ABOUT);
    *faults = (struct disk_faults){.stop_at = 0};
    *loses_power = chance_permille(random, history->conditions.power_permille);
    if (*loses_power)
        faults->stop_at = at;
    if (!chance_permille(random, history->conditions.fault_permille))
        return;
    if (chance_permille(random, 300)) {
        faults->has_room_left = true;
        faults->room_bytes = chance_magnitude(random, 1, 1000000);
    } else {
        faults->fail_at = at;
        faults->fail_for = chance_magnitude(random, 1, 100);
        faults->fail_error = errors[rng_below(random, sizeof errors / sizeof *errors)];
    }
}

static bool has_faults(const struct disk_faults *faults) {
    return faults->stop_at != 0 || faults->fail_at != 0 || faults->has_room_left;
}

/* Right after a save was reported complete. */
static void judge_complete(struct crash_history *history, int32_t image) {
    struct crash_found found = crash_look(history, &history->disk);
    int32_t floor = history->promise.floor;
    if (found.newest != image)
        crash_fail(history, "I-DUR: image %d is complete, but its name has image %d", image, found.newest);
    else if (floor != NO_IMAGE && found.previous < floor)
        crash_fail(history, "image %d is complete, and the one before it, %d, is gone", image, floor);
    history->promise.floor = image;
    history->promise.is_spoilt = false;
}

static void judge_failed(struct crash_history *history, const struct checkpoint_progress *progress,
                         bool is_cancelled, bool lacks_memory) {
    if (lacks_memory)
        crash_see(history, SAW_NO_MEMORY_IN_SAVE);
    else if (history->disk.is_stopped)
        crash_see(history, SAW_POWER_IN_SAVE);
    else if (is_cancelled)
        crash_see(history, SAW_CANCELLED_SAVE);
    else if (has_faults(&history->disk.faults))
        crash_see(history, SAW_FAILED_SAVE);
    else
        crash_fail(history, "a save has failed without a fault: %s, error %d", progress->failed_at,
                   progress->error);
    if (progress->failed_at == NULL)
        crash_fail(history, "a save has failed, and nobody says at what");
}

static void save(struct crash_history *history) {
    struct crash_life *life = &history->life;
    struct rng *random = &history->random;
    bool loses_power, is_cancelled = chance_permille(random, history->conditions.cancel_permille);
    bool lacks_memory = chance_permille(random, 80);
    const struct checkpoint_options options = {.keyspace = life->keyspace,
                                               .disk = &life->view,
                                               .queue = &life->queue.queue,
                                               .name = CRASH_NAME,
                                               .serial = rng_next64(random)};
    draw_faults(history, &loses_power);
    add_save(history);
    int32_t image = history->save_count - 1;
    NOTE(history, "save of image %d", image);
    life->mem.fuse = lacks_memory ? chance_magnitude(random, 1, 30) : 0;
    struct checkpoint_writer *writer = checkpoint_writer_new(&options);
    if (writer == NULL) {
        CHECK(lacks_memory);
        life->mem.fuse = 0;
        history->disk.faults = (struct disk_faults){.stop_at = 0};
        return;
    }
    history->is_saving = true;
    if (history->options->sabotage == SABOTAGE_LATE_IMAGE) {
        crash_image_release(&history->saves[image].image, &history->mem, &history->keys);
        write_some(history, 5);
        crash_image_take(&history->saves[image].image, &history->mem, life->keyspace, &history->keys);
    }
    /* Writes would have to do without memory, too: that is tried elsewhere (allocations.h). */
    struct checkpoint_progress progress =
        run_writer(history, writer, is_cancelled, lacks_memory ? 0 : history->conditions.writes_permille);
    history->is_saving = false;
    life->mem.fuse = 0;
    NOTE(history, "%s: %" PRIu64 " records, %" PRIu64 " bytes, error %d",
         progress.state == CHECKPOINT_DONE ? "complete" : progress.failed_at, progress.records,
         progress.bytes, progress.error);
    history->result->saves++;
    if (progress.copied_bytes != 0)
        crash_see(history, SAW_COPIED);
    if (progress.state == CHECKPOINT_DONE) {
        if (has_faults(&history->disk.faults) && history->disk.faults.fail_at < history->disk.operations)
            crash_see(history, SAW_COMPLETE_FAULTY_SAVE);
        judge_complete(history, image);
        if (identity_note_checkpoint(&life->identity, &life->identity_view) == 0 && life->identity.is_kept)
            history->promise.has_checkpoint = true;
    } else {
        judge_failed(history, &progress, is_cancelled, lacks_memory);
    }
    checkpoint_writer_free(writer);
    if (!loses_power)
        history->disk.faults = (struct disk_faults){.stop_at = 0};
}

/* ---- A history ---- */

static struct crash_conditions draw_conditions(struct rng *random) {
    struct crash_conditions conditions = {
        .mix = {.value_max = (uint32_t)chance_magnitude(random, 8, 6000),
                .long_permille =
                    chance_permille(random, 500) ? (uint32_t)chance_between(random, 100, 600) : 0,
                .flush_permille = chance_permille(random, 500) ? (uint32_t)chance_between(random, 1, 20) : 0,
                .swap_permille = chance_permille(random, 500) ? (uint32_t)chance_between(random, 1, 40) : 0,
                .expiry_permille =
                    chance_permille(random, 700) ? (uint32_t)chance_between(random, 20, 700) : 0,
                .expiry_max_ms = (uint32_t)chance_magnitude(random, 100, 100000)},
        .databases = (uint32_t)chance_between(random, 1, 3),
        .keys = (uint32_t)chance_magnitude(random, 1, 300),
        .saves = (uint32_t)chance_between(random, 2, 6),
        .writes_permille = (uint32_t)chance_between(random, 0, 900),
        .budget_max = (uint32_t)chance_magnitude(random, 1, 2048),
        .quiet_saves_max = (uint32_t)chance_between(random, 0, 8),
        .draws = (uint32_t)chance_between(random, 2, 6),
        .damage_permille = chance_permille(random, 500) ? (uint32_t)chance_between(random, 20, 600) : 0,
        .disturb_permille = (uint32_t)chance_between(random, 0, 300),
        .kill_permille = (uint32_t)chance_between(random, 0, 300),
        .power_permille = (uint32_t)chance_between(random, 0, 600),
        .fault_permille = chance_permille(random, 500) ? (uint32_t)chance_between(random, 100, 700) : 0,
        .cancel_permille = (uint32_t)chance_between(random, 0, 100),
        .is_alone = chance_permille(random, 500)};
    conditions.writes_max = conditions.keys * 3 + 10;
    return conditions;
}

/* The node comes up, told to begin without data where it must be; the power may go while it does. */
static void come_up(struct crash_history *history) {
    struct crash_start start = {.life = &history->life,
                                .disk = &history->disk,
                                .promise = &history->promise,
                                .rng = &history->random};
    history->disk.observe = observe;
    history->disk.observer = history;
    for (unsigned attempt = 0; attempt < 2 && !crash_has_failed(history); attempt++) {
        crash_start(history, &start);
        if (history->life.keyspace != NULL)
            break;
        crash_end(history, &history->life);
        start.start_empty = true;
    }
    history->is_dirty = true;
    NOTE(history, "up with image %d, incarnation %" PRIu64, history->life.loaded,
         history->life.identity.actor.incarnation);
    if (!crash_has_failed(history) && history->life.keyspace == NULL)
        crash_fail(history, "the node does not come up");
}

/* What is there after a process has ended: its disk, or what a crash leaves of it. */
static void go_down(struct crash_history *history) {
    struct simulated_disk after;
    history->disk.observe = NULL;
    crash_end(history, &history->life);
    if (history->disk.is_stopped)
        simulated_disk_crash(&history->disk, &after, &history->random);
    else
        simulated_disk_copy(&history->disk, &after);
    simulated_disk_release(&history->disk);
    /* The copy moves here: its table points at its place. */
    simulated_disk_copy(&after, &history->disk);
    simulated_disk_release(&after);
    if (chance_permille(&history->random, history->conditions.damage_permille))
        damage(history, &history->disk, &history->promise, &history->random);
    describe_disk(history, &history->disk, "down");
}

/* Writes, a save, and perhaps another start. */
static void live_on(struct crash_history *history, bool is_quiet) {
    history->is_quiet = is_quiet;
    write_some(history, rng_below(&history->random, history->conditions.writes_max + 1));
    save(history);
    if (!crash_has_failed(history) && is_quiet && !history->disk.is_stopped)
        crash_point(history);
    if (!crash_has_failed(history) && (history->disk.is_stopped || chance_permille(&history->random, 250))) {
        go_down(history);
        come_up(history);
    }
}

static void live(struct crash_history *history) {
    come_up(history);
    for (uint32_t i = 0; i < history->conditions.saves; i++) {
        uint64_t quiet = rng_below(&history->random, history->conditions.quiet_saves_max + 1);
        for (; quiet > 0 && !crash_has_failed(history); quiet--)
            live_on(history, true);
        if (!crash_has_failed(history))
            live_on(history, false);
    }
    if (history->life.keyspace != NULL)
        crash_end(history, &history->life);
}

void crash_history_run(const struct crash_options *options, struct crash_result *result) {
    struct crash_history history = {.options = options, .result = result, .now_ms = BEGIN_MS};
    history.promise.floor = NO_IMAGE;
    rng_init(&history.random, options->seed * 2);
    rng_init(&history.chance_of_crashes, options->seed * 2 + 1);
    trace_init(&history.trace, &history.mem);
    history.trace.prints_all = options->is_verbose;
    history.conditions = draw_conditions(&history.random);
    history.keys =
        crash_keys_make(&history.mem, &history.random, history.conditions.databases, history.conditions.keys);
    history.space = mem_alloc(&history.mem, CRASH_VALUE_MAX);
    CHECK(history.space != NULL);
    simulated_disk_init(&history.disk, &history.mem, rng_next64(&history.random));
    live(&history);
    result->operations += history.disk.operations;
    result->hash = history.trace.hash;
    if (result->has_failed && options->last_lines != 0)
        trace_print(&history.trace, options->last_lines);
    simulated_disk_release(&history.disk);
    for (int32_t i = 0; i < history.save_count; i++)
        crash_image_release(&history.saves[i].image, &history.mem, &history.keys);
    crash_keys_release(&history.keys, &history.mem);
    mem_free(&history.mem, history.space, CRASH_VALUE_MAX);
    trace_release(&history.trace, &history.mem);
    CHECK(history.mem.used_bytes == 0);
}

/* ---- Many histories ---- */

struct crash_tally {
    uint64_t points, saves, histories;
    uint64_t seen[SAW_COUNT];
};

static bool run_one(const struct crash_plan *plan, uint64_t seed, struct crash_tally *tally) {
    struct crash_options options = {
        .seed = seed, .last_lines = plan->last_lines, .is_verbose = plan->is_verbose};
    struct crash_result result = {.points = 0}, again = {.points = 0};
    crash_history_run(&options, &result);
    tally->points += result.points;
    tally->saves += result.saves;
    tally->histories++;
    for (unsigned i = 0; i < SAW_COUNT; i++)
        tally->seen[i] += result.seen[i];
    if (result.has_failed) {
        printf("FAILED crash seed=0x%" PRIx64 "  (sim --crashes 1 --seed %" PRIu64 ")\n   %s\n", seed, seed,
               result.failure);
        return false;
    }
    if (seed % REPEAT_EVERY != 0)
        return true;
    options.is_verbose = false;
    crash_history_run(&options, &again);
    if (again.hash == result.hash)
        return true;
    printf("FAILED crash seed=0x%" PRIx64 "  I-DET: the second run was another one\n", seed);
    return false;
}

/* What was never seen was never tested. */
static void look_for_unseen(const struct crash_tally *tally, uint64_t *passed, uint64_t *failed) {
    static const char *const words[] = {
#define X(name, text) text,
        CRASH_SIGHTINGS(X)
#undef X
    };
    for (unsigned i = 0; i < SAW_COUNT; i++) {
        if (tally->seen[i] != 0) {
            ++*passed;
            continue;
        }
        ++*failed;
        printf("FAILED never seen in %" PRIu64 " crash points: %s\n", tally->points, words[i]);
    }
}

void crash_histories(const struct crash_plan *plan, uint64_t *passed, uint64_t *failed) {
    struct crash_tally tally = {.points = 0};
    uint64_t bad = 0;
    printf("SIM crashes seed=0x%" PRIx64 "...\n", plan->first);
    for (uint64_t seed = plan->first; tally.points < plan->points && bad < FAILURES_MAX; seed++) {
        if (run_one(plan, seed, &tally))
            ++*passed;
        else
            bad++;
        fflush(stdout);
    }
    printf("%" PRIu64 " crash points in %" PRIu64 " saves of %" PRIu64 " histories\n", tally.points,
           tally.saves, tally.histories);
    *failed += bad;
    if (bad == 0 && tally.points >= SIGHTING_POINTS)
        look_for_unseen(&tally, passed, failed);
}
