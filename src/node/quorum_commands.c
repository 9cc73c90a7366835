/* quorum_commands.c - KV.QUORUM: how many copies a connection's reads and writes are about.
 *
 * May touch: node, the session. Must never know: keys.
 * Tests: tests/unit/node/quorum_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "node/handlers.h"
#include "node/quorum_inside.h"

/* A number of copies, 0: as the settings say. false: the error is replied. */
static bool take_copies(const struct node *node, struct reply *reply, const struct argument *word,
                        uint8_t *copies) {
    int64_t number;
    if (!number_parse_int64((const char *)word->data, word->size, &number)) {
        reply_error(reply, ERROR_NOT_INTEGER);
        return false;
    }
    if (number < 0 || number > (int64_t)node->config->replication_factor) {
        reply_error_format(reply, "ERR a quorum must be between 0 and %u, the replication-factor",
                           node->config->replication_factor);
        return false;
    }
    *copies = (uint8_t)number;
    return true;
}

static void reply_copies(const struct node *node, const struct session *session, struct reply *reply) {
    struct quorum_facts facts;
    quorum_read_facts(node, &facts);
    reply_array(reply, 2);
    reply_integer(reply, session->read_quorum != 0 ? session->read_quorum : facts.read);
    reply_integer(reply, session->write_quorum != 0 ? session->write_quorum : facts.write);
}

void handle_kv_quorum(struct node *node, struct session *session, struct call *call) {
    uint8_t reads, writes;
    if (node->cluster == NULL) {
        reply_error(call->reply, "ERR This instance has cluster support disabled");
    } else if (call->argc == 1) {
        reply_copies(node, session, call->reply);
    } else if (call->argc != 3) {
        reply_error(call->reply, ERROR_SYNTAX);
    } else if (take_copies(node, call->reply, &call->argv[1], &reads) &&
               take_copies(node, call->reply, &call->argv[2], &writes)) {
        session->read_quorum = reads;
        session->write_quorum = writes;
        session->flags = (session->flags & ~SESSION_QUORUM) | (reads | writes ? SESSION_QUORUM : 0);
        if (reads > 1 || writes > 1)
            node->cluster->quorums->is_wanted_by_session = true;
        reply_ok(call->reply);
    }
}
