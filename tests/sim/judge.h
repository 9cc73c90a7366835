/* judge.h - watches the node execute, command by command, and says at once when an answer is wrong.
 *
 * Knows from the bytes that the node was given which requests are complete, and from the bytes that it produced how it
 * answered each; runs the model in the same order and at the same time.
 * May touch: conversations, the model, invariants. Must never know: streams, how requests are drawn.
 * Invariants: after each call into the node, every complete request has exactly one answer, unless the node holds the
 * session back or has closed it, and then there is a reason (I-REPLY).
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "sim/conversation.h"
#include "sim/keeper.h"
#include "sim/machine.h"
#include "sim/model.h"
#include "sim/sightings.h"

struct judge {
    struct world *world;
    const struct swarm *swarm;
    struct machine *machine;
    struct model *model;
    struct keeper keeper;
    struct buffer expected;
    struct sightings *sightings;
    uint64_t judged, unknown;
    uint64_t next_check; /* of the invariants, in requests judged */
};

void judge_init(struct judge *judge, struct world *world, const struct swarm *swarm, struct machine *machine,
                struct sightings *sightings);
void judge_release(struct judge *judge);

/* What the machine is to be started with. connection->watch is a struct conversation. */
struct machine_observer judge_observer(struct judge *judge);

/* All invariants, now. */
void judge_check(struct judge *judge);

#endif
