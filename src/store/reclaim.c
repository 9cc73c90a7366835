/* reclaim.c - empties flushed databases slot by slot.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "store/reclaim.h"

#define QUEUE_FIRST_CAPACITY 4
/* Looking at an empty slot costs next to nothing: so many are a unit. */
#define SLOTS_PER_UNIT 16

void reclaim_init(struct reclaim *reclaim, struct mem *mem) {
    *reclaim = (struct reclaim){.mem = mem};
}

bool reclaim_take(struct reclaim *reclaim, struct database *database) {
    if (reclaim->queued == reclaim->capacity) {
        uint32_t capacity = reclaim->capacity == 0 ? QUEUE_FIRST_CAPACITY : reclaim->capacity * 2;
        struct database **queue = mem_resize(reclaim->mem, reclaim->queue, reclaim->capacity * sizeof *queue,
                                             capacity * sizeof *queue);
        if (queue == NULL)
            return false;
        reclaim->queue = queue;
        reclaim->capacity = capacity;
    }
    reclaim->queue[reclaim->queued++] = database;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
        reclaim->pending += database->slots[slot].count;
    return true;
}

uint32_t reclaim_step(struct reclaim *reclaim, uint32_t budget) {
    uint32_t spent = 0, empty_slots = 0;
    while (reclaim->queued != 0 && spent < budget) {
        struct database *database = reclaim->queue[0];
        struct dict *dict = &database->slots[reclaim->slot];
        uint32_t before = dict->count;
        uint32_t units = dict_drain(dict, reclaim->mem, budget - spent);
        reclaim->pending -= before - dict->count;
        reclaim->done += before - dict->count;
        if (units == 0)
            empty_slots++;
        spent += units != 0 ? units : empty_slots % SLOTS_PER_UNIT == 0;
        if (units != 0)
            continue; /* the same slot again, until it has nothing left */
        if (++reclaim->slot < SLOT_COUNT)
            continue;
        reclaim->slot = 0;
        mem_free(reclaim->mem, database, sizeof *database);
        reclaim->queued--;
        memmove(reclaim->queue, reclaim->queue + 1, reclaim->queued * sizeof *reclaim->queue);
    }
    return spent;
}

void reclaim_release(struct reclaim *reclaim) {
    while (reclaim->queued != 0)
        reclaim_step(reclaim, UINT32_MAX / 2);
    mem_free(reclaim->mem, reclaim->queue, reclaim->capacity * sizeof *reclaim->queue);
    reclaim_init(reclaim, reclaim->mem);
}
