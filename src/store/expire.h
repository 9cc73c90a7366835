/* expire.h - reclaims keys whose time has come without waiting for somebody to ask for them.
 *
 * Each slot (each leaf of a large one) knows the earliest expiry among its records, so that only slots in which
 * something has surely expired are walked. The time is kept in ticks of 256 ms: 32 bits last for 34 years.
 * What another node coordinates is reclaimed at its word (keyspace_apply_expired), or here LEDGER_EXPIRY_GRACE_MS later.
 * May touch: base, data, store. Must never know: commands.
 * Invariant: no record of a leaf expires before the leaf's `earliest`, no leaf before the slot's.
 * Tests: tests/unit/store/expire_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_EXPIRE_H
#define STORE_EXPIRE_H

#include <stdint.h>

struct keyspace;

/* Other slots than before are coordinated here (slot_ledger.flags), or the keyspace is alone or no longer: what is due may be due earlier. */
void keyspace_expire_anew(struct keyspace *keyspace);

#define EXPIRE_TICK_SHIFT 8
/* 2024-01-01 in ticks of 256 ms. */
#define EXPIRE_TICK_BASE (INT64_C(1704067200000) >> EXPIRE_TICK_SHIFT)

/* The last tick: UINT32_MAX stands for a slot where nothing expires. */
#define EXPIRE_TICK_MAX (UINT32_MAX - 1)

/* The tick of a time in ms since 1970; what lies outside is clamped. */
static inline uint32_t expire_tick(int64_t ms) {
    int64_t tick = (ms >> EXPIRE_TICK_SHIFT) - EXPIRE_TICK_BASE;
    if (tick < 0)
        return 0;
    return tick > EXPIRE_TICK_MAX ? EXPIRE_TICK_MAX : (uint32_t)tick;
}

/* At this time, what has a lower tick has surely expired, or shares its tick with all that lies outside on the same side:
 * while the wall clock stands before 2024 (a machine without one), or after 2058, slots are walked too early, but none of
 * them never. */
static inline uint32_t expire_due_tick(int64_t now_ms) {
    uint32_t tick = expire_tick(now_ms);
    return tick == 0 || tick == EXPIRE_TICK_MAX ? tick + 1 : tick;
}

#endif
