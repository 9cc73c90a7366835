/* membership_detector.c - who is up: heartbeats, suspicions, witnesses, and what happens as time passes.
 *
 * A heartbeat that stands still for the timeout makes its member suspect, and so does a broken connection, at once. From the
 * first suspicion at a heartbeat on, the member has a short time in which to show a higher one, which acquits it everywhere.
 * After that time it is down if two nodes suspect it: this one, and those that said so in their latest gossip, as long
 * as they are not suspected for long themselves. Where nobody else is left who could be a witness, this node decides
 * alone, and waits longer.
 *
 * Whoever hears of a suspicion asks the accused, and passes its answer on to those who suspect it: links that fail between
 * some nodes only kill nobody.
 *
 * After a connection broke, and after a member is down, the gossip of others may still bring heartbeats from before that:
 * those prove nothing unless they are a few above the known one. A living member that hears of the suspicion leaps ahead, so
 * that this costs it no time.
 * May touch: base. Must never know: entries' contents, the bytes of messages, files.
 * Sources: van Renesse et al. 1998 (heartbeats by gossip); Das et al., SWIM, 2002 (suspicion before death); Dadgar et al.,
 * Lifeguard, 2018 (a node that was slow itself accuses nobody of it).
 * Tests: tests/unit/cluster/membership_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/membership_inside.h"

#include <math.h>

/* All times follow the two settings. With an interval of 200 ms and a timeout of 1 s for three members: */
#define CONFIRM_PERCENT        25 /* of the timeout: 250 ms between the first suspicion and down */
#define CONFIRM_PAIR_PERCENT   60 /* where only two could speak: each lost message weighs more */
#define CONFIRM_ALONE_PERCENT  80 /* where this node has to decide alone */
#define CONFIRM_BROKEN_PERCENT 90 /* of the interval, if a connection broke: 180 ms */
#define BROKEN_ALONE_PERCENT   200
#define PROBE_INTERVALS \
    5 /* a member that is down is tried once a second: half of a split cluster finds the other */
#define HEARSAY_SLACK 3

/* Rumours take longer to reach all where there are more: a fifth of the timeout more for each doubling. */
#define TIMEOUT_MEMBERS      3
#define TIMEOUT_PER_DOUBLING 0.2

uint64_t detector_timeout(const struct membership *membership) {
    double doublings = membership->live_count <= TIMEOUT_MEMBERS
                           ? 0
                           : log2((double)membership->live_count / TIMEOUT_MEMBERS);
    return (uint64_t)((double)membership->suspect_timeout_ms * (1 + TIMEOUT_PER_DOUBLING * doublings));
}

/* ---- Evidence ---- */

void detector_doubt(const struct membership *membership, struct roster_member *one) {
    one->doubted_heartbeat = one->member.heartbeat + HEARSAY_SLACK + gossip_depth(membership);
}

/* The accused is asked at once, over this node's own link: that finds it alive where only some links fail. */
static void accuse(struct membership *membership, uint16_t index) {
    struct roster_member *one = roster_at(membership, index);
    if (one->is_accused)
        return;
    one->is_accused = true;
    one->accused_ms = membership->now_ms;
    gossip_enqueue(membership, index, GOSSIP_GREETING);
}

static void drop_accusations(struct roster_member *one) {
    one->is_accused = false;
    one->witness_count = 0;
}

void detector_acquit(struct roster_member *one) {
    drop_accusations(one);
    one->is_broken = false;
}

void detector_revive(struct membership *membership, uint16_t index) {
    struct roster_member *one = roster_at(membership, index);
    bool was_down = one->member.state == MEMBER_DOWN;
    one->member.heard_ms = membership->now_ms;
    if (one->member.state != MEMBER_UP) {
        if (!roster_reserve_events(membership, 1))
            return;
        roster_set_state(membership, index, MEMBER_UP);
        roster_add_event(membership, MEMBERSHIP_UP, index, one->member.entry.incarnation);
        membership->epoch += was_down;
    }
    detector_acquit(one);
}

void detector_hear(struct membership *membership, uint16_t index, uint64_t heartbeat, enum hearing how) {
    struct roster_member *one = roster_at(membership, index);
    if (!roster_is_present(one) || (one->is_heartbeat_known && heartbeat <= one->member.heartbeat))
        return;
    one->is_heartbeat_known = true;
    one->member.heartbeat = heartbeat;
    if (how == HEARD_OF_SUSPECTED)
        return;
    one->is_heard_here = true;
    bool is_doubtful = one->is_broken || one->member.state == MEMBER_DOWN;
    if (how == HEARD_DIRECTLY) {
        one->is_broken_refuted = false;
        for (uint8_t i = 0; i < one->witness_count; i++)
            gossip_enqueue(membership, one->witnesses[i].member, GOSSIP_GREETING);
    } else if (is_doubtful && heartbeat < one->doubted_heartbeat) {
        one->member.heard_ms = membership->now_ms;
        drop_accusations(one);
        if (one->is_broken)
            accuse(membership, index);
        return;
    } else if (one->is_broken) {
        one->is_broken_refuted = true;
    }
    detector_revive(membership, index);
}

static void forget_witness(struct roster_member *one, uint16_t reporter) {
    for (uint8_t i = 0; i < one->witness_count; i++)
        if (one->witnesses[i].member == reporter) {
            one->witnesses[i] = one->witnesses[--one->witness_count];
            return;
        }
}

void detector_note_report(struct membership *membership, uint16_t index, uint16_t reporter,
                          uint64_t heartbeat, bool is_suspected) {
    struct roster_member *one = roster_at(membership, index);
    if (one->witness_count > 0)
        forget_witness(one, reporter);
    if (!is_suspected || index == reporter || heartbeat < one->member.heartbeat || !roster_is_live(one))
        return;
    if (one->witness_count == WITNESSES_KEPT)
        one->witness_count--;
    one->witnesses[one->witness_count++] = (struct witness){reporter, membership->now_ms};
    accuse(membership, index);
}

/* ---- Verdicts ---- */

static bool suspect(struct membership *membership, uint16_t index) {
    struct roster_member *one = roster_at(membership, index);
    if (!roster_reserve_events(membership, 1))
        return false;
    roster_set_state(membership, index, MEMBER_SUSPECT);
    accuse(membership, index);
    roster_add_event(membership, MEMBERSHIP_SUSPECT, index, one->member.entry.incarnation);
    membership->wants_burst = true;
    return true;
}

void membership_note_broken(struct membership *membership, uint16_t member, uint64_t now_ms) {
    membership_note_time(membership, now_ms);
    if (member == 0 || member >= membership->count)
        return;
    struct roster_member *one = roster_at(membership, member);
    /* Others hear it, though no connection from here succeeds: what counts is whether they go on hearing it. */
    bool is_old_news = one->is_broken_refuted &&
                       membership->now_ms - one->member.heard_ms < membership->suspect_timeout_ms / 2;
    if (!roster_is_live(one) || one->is_broken || is_old_news ||
        (one->member.state == MEMBER_UP && !suspect(membership, member)))
        return;
    one->is_broken = true;
    detector_doubt(membership, one);
}

static uint64_t percent(uint64_t value, uint64_t share) {
    return value * share / 100;
}

static uint64_t alone_ms(const struct roster_member *one, uint64_t interval_ms, uint64_t timeout_ms) {
    return one->is_broken ? percent(interval_ms, BROKEN_ALONE_PERCENT)
                          : percent(timeout_ms, CONFIRM_ALONE_PERCENT);
}

/* Whether what this member says, or could say, counts: it may well be down itself. */
static bool is_able(const struct membership *membership, const struct roster_member *one,
                    uint64_t timeout_ms) {
    return one->member.state == MEMBER_UP        ? !one->is_stranger
           : one->member.state == MEMBER_SUSPECT ? membership->now_ms - one->member.state_ms <
                                                       alone_ms(one, membership->interval_ms, timeout_ms)
                                                 : false;
}

static bool is_guilty(const struct membership *membership, uint16_t index, uint32_t able_count,
                      uint64_t timeout_ms) {
    const struct roster_member *one = roster_at(membership, index);
    bool is_suspect = one->member.state == MEMBER_SUSPECT;
    /* Those who could speak: this node among them, the accused not. */
    uint32_t others = able_count - is_able(membership, one, timeout_ms);
    if (others < 2)
        return is_suspect && membership->now_ms - one->member.state_ms >=
                                 alone_ms(one, membership->interval_ms, timeout_ms);
    uint32_t voices = is_suspect;
    for (uint8_t i = 0; i < one->witness_count; i++)
        voices += membership->now_ms - one->witnesses[i].told_ms <= 2 * timeout_ms &&
                  is_able(membership, roster_at(membership, one->witnesses[i].member), timeout_ms);
    uint64_t confirm_ms = one->is_broken ? percent(membership->interval_ms, CONFIRM_BROKEN_PERCENT)
                          : others == 2  ? percent(timeout_ms, CONFIRM_PAIR_PERCENT)
                                         : percent(timeout_ms, CONFIRM_PERCENT);
    return voices >= 2 && membership->now_ms - one->accused_ms >= confirm_ms;
}

static void judge(struct membership *membership) {
    uint64_t timeout_ms = detector_timeout(membership);
    uint32_t able_count = 0, accused_count = 0;
    for (uint32_t i = 0; i < membership->count; i++) {
        struct roster_member *one = roster_at(membership, (uint16_t)i);
        if (i != 0 && one->member.state == MEMBER_UP &&
            membership->now_ms - one->member.heard_ms > timeout_ms)
            suspect(membership, (uint16_t)i);
        able_count += is_able(membership, one, timeout_ms);
        accused_count += one->is_accused;
    }
    for (uint32_t i = 1; i < membership->count && accused_count > 0; i++) {
        struct roster_member *one = roster_at(membership, (uint16_t)i);
        if (!one->is_accused || !roster_is_live(one) ||
            !is_guilty(membership, (uint16_t)i, able_count, timeout_ms) ||
            !roster_reserve_events(membership, 1))
            continue;
        able_count -= is_able(membership, one, timeout_ms);
        roster_set_state(membership, (uint16_t)i, MEMBER_DOWN);
        detector_acquit(one);
        membership->epoch++;
        roster_add_event(membership, MEMBERSHIP_DOWN, (uint16_t)i, one->member.entry.incarnation);
    }
}

/* ---- Time ---- */

/* Nobody could be heard in the gap, so it does not count for anybody; and others may suspect this node by now. */
static void pass_over_gap(struct membership *membership, uint64_t gap_ms) {
    for (uint32_t i = 1; i < membership->count; i++) {
        struct roster_member *one = roster_at(membership, (uint16_t)i);
        if (!roster_is_live(one))
            continue;
        one->member.heard_ms += gap_ms;
        if (one->member.state == MEMBER_SUSPECT)
            one->member.state_ms += gap_ms;
        one->accused_ms += gap_ms;
        for (uint8_t witness = 0; witness < one->witness_count; witness++)
            one->witnesses[witness].told_ms += gap_ms;
    }
    membership->wants_refutation = true;
}

void membership_note_time(struct membership *membership, uint64_t now_ms) {
    if (now_ms <= membership->now_ms)
        return;
    uint64_t gap_ms = now_ms - membership->now_ms;
    membership->now_ms = now_ms;
    if (gap_ms > 2 * membership->interval_ms)
        pass_over_gap(membership, gap_ms - membership->interval_ms);
}

static void probe_one_that_is_down(struct membership *membership) {
    uint32_t down_count = membership->present_count - membership->live_count;
    if (down_count == 0 || membership->now_ms < membership->next_probe_ms)
        return;
    membership->next_probe_ms = membership->now_ms + PROBE_INTERVALS * membership->interval_ms;
    uint32_t chosen = (uint32_t)rng_below(&membership->rng, down_count);
    for (uint32_t i = 1; i < membership->count; i++)
        if (roster_at(membership, (uint16_t)i)->member.state == MEMBER_DOWN && chosen-- == 0) {
            gossip_enqueue(membership, (uint16_t)i, GOSSIP_GREETING);
            return;
        }
}

/* What everybody shall hear at once, at most once in an interval. */
static void speak_up(struct membership *membership) {
    if (membership->wants_refutation && membership->now_ms >= membership->next_refutation_ms) {
        membership->next_refutation_ms = membership->now_ms + membership->interval_ms;
        membership->wants_refutation = false;
        roster_self(membership)->heartbeat += REFUTATION_STEP;
        gossip_greet_everybody(membership);
        return;
    }
    if (membership->wants_burst && membership->now_ms >= membership->next_burst_ms) {
        membership->next_burst_ms = membership->now_ms + membership->interval_ms;
        membership->wants_burst = false;
        gossip_greet_everybody(membership);
    }
}

void membership_tick(struct membership *membership, uint64_t now_ms) {
    membership_note_time(membership, now_ms);
    struct member *self = roster_self(membership);
    if (self->state == MEMBER_REMOVED)
        return;
    judge(membership);
    if (membership->now_ms >= membership->next_beat_ms) {
        membership->next_beat_ms += membership->interval_ms;
        if (membership->next_beat_ms <= membership->now_ms)
            membership->next_beat_ms = membership->now_ms + membership->interval_ms;
        self->heartbeat++;
        self->heard_ms = membership->now_ms;
        gossip_greet(membership, membership->fan_out);
    }
    speak_up(membership);
    probe_one_that_is_down(membership);
}
