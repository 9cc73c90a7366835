/* refusals.c - a few places, of which the one that was quiet for longest makes room.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/refusals.h"

#include <stdio.h>
#include <string.h>

/* Copies what fits of `size` bytes of text. */
static void copy(char *to, size_t room, const char *text, size_t size) {
    size = size < room ? size : room - 1;
    memcpy(to, text, size);
    to[size] = '\0';
}

void refusal_describe(struct refusal *refusal, const char *address, const char *reason) {
    const char *colon = refusal->is_caller ? NULL : strrchr(address, ':');
    if (address[0] == '\0')
        address = "?";
    size_t size = colon == NULL ? strlen(address) : (size_t)(colon - address);
    copy(refusal->address, sizeof refusal->address, address, size);
    copy(refusal->reason, sizeof refusal->reason, reason, strlen(reason));
}

static bool is_same(const struct refusal *one, const struct refusal *other) {
    return one->is_caller == other->is_caller && one->is_theirs == other->is_theirs &&
           strcmp(one->address, other->address) == 0 && strcmp(one->reason, other->reason) == 0;
}

static bool goes_on(const struct refusal *refusal, uint64_t now_ms) {
    return refusal->address[0] != '\0' && now_ms - refusal->last_ms < REFUSALS_OVER_MS;
}

/* The place of what is the same; NULL: there is none. */
static struct refusal *find(struct refusals *refusals, const struct refusal *what) {
    for (uint32_t i = 0; i < REFUSALS_MAX; i++)
        if (is_same(&refusals->places[i], what))
            return &refusals->places[i];
    return NULL;
}

/* The place that was quiet for longest; NULL: none was for long. */
static struct refusal *make_room(struct refusals *refusals, uint64_t now_ms) {
    struct refusal *oldest = refusals->places;
    for (uint32_t i = 1; i < REFUSALS_MAX; i++)
        if (refusals->places[i].last_ms < oldest->last_ms)
            oldest = &refusals->places[i];
    return goes_on(oldest, now_ms) ? NULL : oldest;
}

const struct refusal *refusals_note(struct refusals *refusals, const struct refusal *what, uint64_t now_ms) {
    struct refusal *known = find(refusals, what), *place = known;
    refusals->count++;
    if (place == NULL) {
        if ((place = make_room(refusals, now_ms)) == NULL)
            return NULL;
        *place = *what;
        place->times = 0;
    }
    place->times++;
    place->last_ms = now_ms;
    if (known != NULL && now_ms - place->warned_ms < REFUSALS_WARN_MS)
        return NULL;
    place->warned_ms = now_ms;
    return place;
}

uint32_t refusals_next(const struct refusals *refusals, uint32_t from, uint64_t now_ms) {
    while (from < REFUSALS_MAX && !goes_on(&refusals->places[from], now_ms))
        from++;
    return from;
}

void refusals_print(const struct refusal *refusal, uint64_t now_ms, char text[REFUSALS_PRINTED_SIZE]) {
    snprintf(
        text, REFUSALS_PRINTED_SIZE, "addr=%s,direction=%s,refused_by=%s,times=%llu,ms_ago=%llu,reason=%s",
        refusal->address, refusal->is_caller ? "to" : "from", refusal->is_theirs ? "peer" : "self",
        (unsigned long long)refusal->times, (unsigned long long)(now_ms - refusal->last_ms), refusal->reason);
}
