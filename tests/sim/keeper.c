/* keeper.c - images of the model, and files and starts that must be the same.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/keeper.h"

#include "base/hash.h"
#include "node/state.h"
#include "sim/invariants.h"
#include "store/image.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS_FIRST      64
#define DIFFERENCE_SIZE 256
/* A load that takes more steps than this hangs. */
#define STEPS_MAX 10000000u
/* Odd, and its bits are well mixed: the same key in two databases has two places. */
#define PLACE_FACTOR UINT64_C(0x9e3779b97f4a7c15)
/* The first files of a run are all looked at, of the others one of so many. */
#define FILES_FIRST 4
#define FILES_EVERY 6

static void see(struct keeper *keeper, enum sighting sighting) {
    keeper->sightings->seen[sighting]++;
}

/* ---- Images ---- */

static void image_release(struct keeper *keeper, struct kept_image *image) {
    mem_free(&keeper->world->mem, image->keys, image->capacity * sizeof *image->keys);
    *image = (struct kept_image){0};
}

struct taking {
    struct keeper *keeper;
    struct kept_image *image;
};

static void take_key(void *context, const struct model_record *record) {
    const struct taking *taking = context;
    struct kept_image *image = taking->image;
    if (image->count == image->capacity) {
        size_t capacity = image->capacity == 0 ? KEYS_FIRST : image->capacity * 2;
        image->keys = mem_resize(&taking->keeper->world->mem, image->keys,
                                 image->capacity * sizeof *image->keys, capacity * sizeof *image->keys);
        CHECK(image->keys != NULL);
        image->capacity = capacity;
    }
    struct kept_key *key = &image->keys[image->count++];
    *key = (struct kept_key){.place = XXH3_64bits(record->key, record->key_size) +
                                      (record->database + 1) * PLACE_FACTOR,
                             .value = XXH3_64bits(record->value, record->value_size),
                             .expiry_ms = record->expiry_ms,
                             .database = record->database,
                             .shape = model_visible_shape(record)};
    memcpy(key->key, record->key,
           record->key_size < sizeof key->key ? record->key_size : sizeof key->key - 1);
    image->has_long = image->has_long || record->key_size + record->value_size > IMAGE_LONG_SIZE;
}

static int by_place(const void *first, const void *second) {
    uint64_t a = ((const struct kept_key *)first)->place, b = ((const struct kept_key *)second)->place;
    return a < b ? -1 : a > b;
}

static void finish_image(struct kept_image *image) {
    if (image->count != 0)
        qsort(image->keys, image->count, sizeof *image->keys, by_place);
}

/* What the model holds now, without what has expired. */
static void take_model(struct keeper *keeper, struct kept_image *image) {
    struct taking taking = {.keeper = keeper, .image = image};
    *image = (struct kept_image){.taken_ms = keeper->machine->node->keyspace->now_ms};
    model_each(keeper->model, take_key, &taking);
    finish_image(image);
}

static void take_keyspace(struct keeper *keeper, struct keyspace *keyspace, struct kept_image *image) {
    struct taking taking = {.keeper = keeper, .image = image};
    *image = (struct kept_image){0};
    keyspace_each(keyspace, take_key, &taking);
    finish_image(image);
}

static void differ(const struct kept_key *key, const char *words, char difference[DIFFERENCE_SIZE]) {
    char shown[3 * KEEPER_KEY_SIZE];
    snprintf(difference, DIFFERENCE_SIZE, "database %u, key '%s': %s", key->database,
             trace_readable(shown, sizeof shown, key->key, strnlen(key->key, sizeof key->key)), words);
}

/* Whether there is what should be, and nothing else; what has expired until now_ms may be missing, and what had expired
 * when the image was taken may be there. */
static bool is_same(const struct kept_image *wanted, const struct kept_image *there, int64_t now_ms,
                    char difference[DIFFERENCE_SIZE]) {
    size_t i = 0, j = 0;
    while (i < wanted->count || j < there->count) {
        const struct kept_key *want = &wanted->keys[i], *have = &there->keys[j];
        if (i == wanted->count || (j < there->count && have->place < want->place)) {
            /* It had expired, and the clock was set back meanwhile. */
            if (have->expiry_ms != MODEL_NO_EXPIRY && have->expiry_ms < wanted->taken_ms) {
                j++;
                continue;
            }
            differ(have, "it should not be there", difference);
            return false;
        }
        if (j == there->count || want->place < have->place) {
            if (want->expiry_ms == MODEL_NO_EXPIRY || want->expiry_ms >= now_ms) {
                differ(want, "it is missing", difference);
                return false;
            }
            i++;
            continue;
        }
        const char *words = want->value != have->value           ? "it has another value"
                            : want->expiry_ms != have->expiry_ms ? "it has another expiry"
                                                                 : NULL;
        if (words == NULL && want->shape != have->shape)
            words = "it has another encoding";
        if (words != NULL) {
            differ(have, words, difference);
            return false;
        }
        i++;
        j++;
    }
    return true;
}

/* ---- Files ---- */

static uint64_t hash_file(const struct keeper *keeper) {
    size_t size;
    const uint8_t *bytes = simulated_disk_bytes(machine_disk(keeper->machine), MACHINE_CHECKPOINT, &size);
    return bytes == NULL ? 0 : XXH3_64bits(bytes, size) | 1;
}

static void say_nothing(void *context, int level, const char *text) {
    (void)context;
    (void)level;
    (void)text;
}

/* Loads the newest checkpoint into an empty keyspace. false: `difference` says why it cannot be. */
static bool load_file(struct keeper *keeper, struct keyspace *keyspace, char difference[DIFFERENCE_SIZE]) {
    struct simulated_disk disk;
    struct crash_queue queue;
    size_t size;
    const uint8_t *bytes = simulated_disk_bytes(machine_disk(keeper->machine), MACHINE_CHECKPOINT, &size);
    if (bytes == NULL) {
        snprintf(difference, DIFFERENCE_SIZE, "there is no file");
        return false;
    }
    simulated_disk_init(&disk, &keeper->world->mem, 1);
    simulated_disk_put(&disk, MACHINE_CHECKPOINT, bytes, size);
    crash_queue_init(&queue);
    const struct checkpoint_load_options options = {.keyspace = keyspace,
                                                    .disk = &disk.disk,
                                                    .queue = &queue.queue,
                                                    .name = MACHINE_CHECKPOINT,
                                                    .is_expected = true,
                                                    .say = say_nothing};
    struct checkpoint_loader *loader = checkpoint_loader_new(&options);
    CHECK(loader != NULL);
    enum checkpoint_load_state state;
    uint32_t steps = 0;
    do {
        state = checkpoint_loader_step(loader, JOB_STEP_UNITS);
        if (state == CHECKPOINT_LOAD_WAITING)
            CHECK(crash_queue_run(&queue) && crash_queue_finish(&queue));
        CHECK(++steps < STEPS_MAX);
    } while (state == CHECKPOINT_LOAD_WORKING || state == CHECKPOINT_LOAD_WAITING);
    if (state != CHECKPOINT_LOADED)
        snprintf(difference, DIFFERENCE_SIZE, "it cannot be loaded: %.200s",
                 checkpoint_loader_progress(loader)->problem);
    while (crash_queue_run(&queue) || crash_queue_finish(&queue))
        continue;
    checkpoint_loader_free(loader);
    simulated_disk_release(&disk);
    return state == CHECKPOINT_LOADED;
}

/* I-IMAGE: the file of a save that was reported complete holds what there was at its begin, no more and no less. */
static void look_at_file(struct keeper *keeper) {
    const struct kept_image *wanted = &keeper->images[0];
    static const uint8_t seed[HASH_SEED_SIZE] = {1, 2, 3};
    char difference[DIFFERENCE_SIZE];
    keeper->must_look = false;
    if (keeper->files_checked++ >= FILES_FIRST && keeper->files_checked % FILES_EVERY != 0)
        return;
    struct keyspace *keyspace = keyspace_new(&keeper->mem, seed, 1);
    CHECK(keyspace != NULL);
    keyspace->is_alone = true;
    actors_set_self(&keyspace->actors, &keeper->machine->identity.actor);
    /* Nothing that was live then has expired. */
    keyspace_set_time(keyspace, wanted->taken_ms);
    if (load_file(keeper, keyspace, difference)) {
        struct kept_image found;
        take_keyspace(keeper, keyspace, &found);
        if (!is_same(wanted, &found, INT64_MIN, difference))
            world_fail(keeper->world,
                       "I-IMAGE: checkpoint %llu, of %zu keys, is complete, and in its file: %s",
                       (unsigned long long)wanted->number, wanted->count, difference);
        image_release(keeper, &found);
    } else {
        world_fail(keeper->world, "I-IMAGE: checkpoint %llu is complete, and %s",
                   (unsigned long long)wanted->number, difference);
    }
    keyspace_free(keyspace);
    see(keeper, SIGHTING_SAVED);
    if (wanted->has_long)
        see(keeper, SIGHTING_SAVED_LONG);
}

/* ---- Saves ---- */

static void save_begins(struct keeper *keeper) {
    keeper->is_running = true;
    keeper->troubles = keeper->machine->troubles;
    /* What has failed in this turn may have done so behind its begin. */
    keeper->had_trouble = keeper->machine->has_trouble || keeper->machine->memory_failed;
    take_model(keeper, &keeper->running);
    keeper->latest_ms = keeper->running.taken_ms;
    keeper->running.number = ++keeper->images_taken;
    world_note(keeper->world, "image %llu: %zu keys", (unsigned long long)keeper->running.number,
               keeper->running.count);
}

static void drop_images(struct keeper *keeper) {
    for (unsigned i = 0; i < keeper->image_count; i++)
        image_release(keeper, &keeper->images[i]);
    keeper->image_count = 0;
}

static void keep_running_image(struct keeper *keeper) {
    CHECK(keeper->image_count < KEEPER_IMAGES);
    keeper->images[keeper->image_count++] = keeper->running;
    keeper->running = (struct kept_image){0};
}

static void save_fails(struct keeper *keeper) {
    const struct persistence *persistence = &keeper->machine->node->persistence;
    struct model_saving *saving = model_saving(keeper->model);
    bool is_changed = hash_file(keeper) != keeper->file_hash;
    if (persistence->is_cancelled) {
        see(keeper, SIGHTING_SAVE_GIVEN_UP);
    } else {
        /* What has failed in between, the log has not said yet; it will before commands run again. */
        bool had_trouble = keeper->had_trouble || keeper->machine->troubles != keeper->troubles ||
                           machine_lacks_memory(keeper->machine);
        if (!had_trouble)
            world_fail(keeper->world, "I-SAVE: a save has failed, and nothing was in its way");
        saving->has_failed = saving->has_failed || persistence->reason == SAVE_FOR_RULE ||
                             persistence->reason == SAVE_FOR_BGSAVE;
        see(keeper, keeper->had_trouble || keeper->machine->has_trouble ? SIGHTING_SAVE_FAILED
                                                                        : SIGHTING_SAVE_WITHOUT_MEMORY);
    }
    /* It may have got its name all the same. */
    if (is_changed)
        keep_running_image(keeper);
    else
        image_release(keeper, &keeper->running);
}

static void save_ends(struct keeper *keeper, bool is_complete) {
    struct model_saving *saving = model_saving(keeper->model);
    keeper->is_running = false;
    if (is_complete) {
        if (hash_file(keeper) == keeper->file_hash)
            world_fail(keeper->world, "I-IMAGE: a save is reported complete, and the file is as before");
        drop_images(keeper);
        keep_running_image(keeper);
        keeper->has_floor = keeper->must_look = true;
        saving->has_failed = false;
        saving->saved_s = keeper->machine->node->keyspace->now_ms / 1000;
        if (keeper->machine->node->persistence.last_copied_bytes != 0)
            see(keeper, SIGHTING_SAVED_MEANWHILE);
    } else {
        save_fails(keeper);
    }
    keeper->file_hash = hash_file(keeper);
    saving->has_ended_well = is_complete;
}

/* Whether a save has begun or ended. */
static void look(struct keeper *keeper, bool is_complete) {
    bool has_writer = keeper->machine->node->persistence.writer != NULL;
    if (keeper->is_running && !has_writer)
        save_ends(keeper, is_complete);
    else if (!keeper->is_running && has_writer)
        save_begins(keeper);
}

static void inform(struct keeper *keeper) {
    const struct persistence *persistence = &keeper->machine->node->persistence;
    struct model_saving *saving = model_saving(keeper->model);
    saving->is_saving = keeper->is_running;
    saving->is_noting = persistence->answers_with_note;
    saving->is_loading = keeper->is_loading;
}

void keeper_judged(struct keeper *keeper) {
    if (model_saving(keeper->model)->is_saving && !keeper->is_running)
        save_begins(keeper);
}

void keeper_produced(struct keeper *keeper) {
    const struct persistence *persistence = &keeper->machine->node->persistence;
    if (keeper->is_running && persistence->writer == NULL)
        world_fail(keeper->world, "I-SAVE: a save was asked for, and none runs");
    else if (!keeper->is_running && persistence->writer != NULL && !persistence->is_stopping)
        world_fail(keeper->world, "I-SAVE: a save has begun that nobody asked for");
    else
        look(keeper, false); /* SHUTDOWN has begun one */
    inform(keeper);
}

/* ---- Loading ---- */

/* I-DUR: what was loaded is the newest image that was reported complete, or a later one. */
static void loaded(struct keeper *keeper) {
    struct kept_image found;
    char difference[DIFFERENCE_SIZE] = "";
    unsigned i = keeper->image_count;
    take_keyspace(keeper, keeper->machine->node->keyspace, &found);
    while (i > 0 && !is_same(&keeper->images[i - 1], &found, keeper->latest_ms, difference))
        i--;
    if (i == 0 && (keeper->has_floor || found.count != 0))
        world_fail(keeper->world, "I-DUR: loaded were %zu keys; image %llu was complete, and %s", found.count,
                   keeper->has_floor ? (unsigned long long)keeper->images[0].number : 0, difference);
    if (i != 0) {
        struct kept_image kept = keeper->images[i - 1];
        keeper->images[i - 1] = (struct kept_image){0};
        if (!keeper->has_floor || i > 1)
            see(keeper, SIGHTING_LOADED_UNREPORTED);
        see(keeper, SIGHTING_LOADED);
        drop_images(keeper);
        keeper->images[keeper->image_count++] = kept;
        keeper->has_floor = true;
    } else {
        drop_images(keeper);
    }
    image_release(keeper, &found);
    keeper->is_loading = false;
    keeper->file_hash = hash_file(keeper);
    model_follow_node(keeper->model, keeper->machine->node);
}

void keeper_begun(struct keeper *keeper) {
    struct model_saving *saving = model_saving(keeper->model);
    keeper->is_loading = true;
    keeper->is_running = keeper->must_look = false;
    keeper->latest_ms = world_wall_us(keeper->world) / 1000;
    model_forget_keys(keeper->model);
    model_set_time(keeper->model, keeper->latest_ms);
    saving->has_failed = saving->has_ended_well = false;
    saving->saved_s = keeper->machine->node->wall_ms / 1000;
    inform(keeper);
}

/* ---- Turns and ends ---- */

void keeper_turn(struct keeper *keeper) {
    int64_t now_ms = world_wall_us(keeper->world) / 1000;
    if (now_ms > keeper->latest_ms)
        keeper->latest_ms = now_ms;
}

static bool begins_with(const char *text, const char *words) {
    return strncmp(text, words, strlen(words)) == 0;
}

void keeper_logged(struct keeper *keeper, const char *text) {
    const struct persistence *persistence = &keeper->machine->node->persistence;
    bool was_running = keeper->is_running;
    look(keeper, begins_with(text, "Saved "));
    /* One that did not even begin. */
    if (!was_running && begins_with(text, "Saving failed")) {
        if (!machine_lacks_memory(keeper->machine))
            world_fail(keeper->world, "I-SAVE: no save could begin, and nothing was in its way");
        if (persistence->reason == SAVE_FOR_RULE || persistence->reason == SAVE_FOR_BGSAVE)
            model_saving(keeper->model)->has_failed = true;
    }
    if (begins_with(text, "The server does not end"))
        see(keeper, SIGHTING_STOP_FAILED);
}

void keeper_worked(struct keeper *keeper) {
    if (keeper->must_look && !world_has_failed(keeper->world))
        look_at_file(keeper);
    look(keeper, false);
    if (keeper->is_loading && !keeper->machine->node->persistence.is_loading)
        loaded(keeper);
    inform(keeper);
}

/* The process has said that all is saved: then all is. */
static void ends_by_itself(struct keeper *keeper) {
    const struct node *node = keeper->machine->node;
    struct kept_image now;
    char difference[DIFFERENCE_SIZE];
    enum node_shutdown wish = node_shutdown_wish(node);
    if (wish == NODE_SHUTDOWN_REFUSED && keeper->troubles == keeper->machine->troubles)
        world_fail(keeper->world, "I-DUR: the keys were not loaded, and nothing was in the way");
    bool has_saved = wish == NODE_SHUTDOWN && !node->persistence.stop_is_final &&
                     (node->persistence.stop == NODE_STOP_SAVE ||
                      (node->persistence.stop == NODE_STOP_DEFAULT && node->config->save_count != 0));
    if (!has_saved)
        return;
    take_model(keeper, &now);
    if (!keeper->has_floor || keeper->image_count != 1 ||
        !is_same(&keeper->images[0], &now, keeper->latest_ms, difference))
        world_fail(keeper->world, "I-DUR: the process ends after it has saved, but %s",
                   keeper->has_floor ? difference : "there is no checkpoint");
    image_release(keeper, &now);
    see(keeper, SIGHTING_STOPPED);
}

void keeper_ends(struct keeper *keeper, enum process_end end) {
    if (end == PROCESS_ENDED)
        ends_by_itself(keeper);
    else
        see(keeper, end == PROCESS_KILLED ? SIGHTING_KILLED : SIGHTING_POWER_CUT);
    if (keeper->is_running && end == PROCESS_LOST_POWER)
        see(keeper, SIGHTING_POWER_IN_SAVE);
    /* It may be complete, and nobody knows of it yet. */
    if (keeper->is_running)
        keep_running_image(keeper);
    keeper->is_running = false;
    keeper->troubles = keeper->machine->troubles;
}

void keeper_init(struct keeper *keeper, struct machine *machine, struct model *model,
                 struct sightings *sightings) {
    *keeper =
        (struct keeper){.world = machine->world, .machine = machine, .model = model, .sightings = sightings};
}

void keeper_release(struct keeper *keeper) {
    drop_images(keeper);
    image_release(keeper, &keeper->running);
    if (keeper->mem.used_bytes != 0)
        world_fail(keeper->world, "I-LEAK: loading a file has left %zu bytes", keeper->mem.used_bytes);
}
