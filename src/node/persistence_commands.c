/* persistence_commands.c - SAVE, BGSAVE, LASTSAVE, SHUTDOWN over node/persistence.h.
 *
 * May touch: node. Must never know: how keys are saved.
 * Tests: tests/unit/node/persistence_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/handlers.h"

static void reply_not_started(struct call *call, enum save_start start) {
    switch (start) {
    case SAVE_RUNS_ALREADY: reply_error(call->reply, "ERR Background save already in progress"); break;
    case SAVE_NO_MEMORY: call_no_memory(call); break;
    default: reply_error(call->reply, "ERR There is no disk to save to"); break;
    }
}

/* Answered when the keys are on disk. */
void handle_save(struct node *node, struct session *session, struct call *call) {
    enum save_start start = persistence_save(node, SAVE_FOR_SAVE);
    if (start == SAVE_STARTED)
        node_block(session, &node->persistence.savers);
    else
        reply_not_started(call, start);
}

/* SCHEDULE is for times when something else keeps a save from beginning: here nothing does. */
void handle_bgsave(struct node *node, struct session *session, struct call *call) {
    struct persistence *persistence = &node->persistence;
    if (call->argc > 2 || (call->argc == 2 && !argument_is(&call->argv[1], "schedule"))) {
        reply_error(call->reply, ERROR_SYNTAX);
    } else if (session->flags & SESSION_IN_EXEC && persistence->phase == PERSISTENCE_IDLE) {
        /* The image is not to be taken in the middle of a transaction. */
        persistence->is_scheduled = true;
        reply_simple(call->reply, "Background saving scheduled");
    } else {
        enum save_start start = persistence_save(node, SAVE_FOR_BGSAVE);
        if (start == SAVE_STARTED)
            reply_simple(call->reply, "Background saving started");
        else
            reply_not_started(call, start);
    }
}

void handle_lastsave(struct node *node, struct session *session, struct call *call) {
    (void)session;
    reply_integer(call->reply, node->persistence.saved_s);
}

void handle_debug_reload(struct node *node, struct session *session, struct call *call) {
    if (session->flags & SESSION_IN_EXEC) {
        reply_error(call->reply, "ERR DEBUG RELOAD inside a transaction is not allowed");
        return;
    }
    enum save_start start = persistence_reload(node);
    if (start == SAVE_STARTED)
        node_block(session, &node->persistence.savers);
    else
        reply_not_started(call, start);
}

/* ---- SHUTDOWN ---- */

enum shutdown_word { WORD_SAVE = 1, WORD_NOSAVE = 2, WORD_NOW = 4, WORD_FORCE = 8, WORD_ABORT = 16 };

/* Which words are given; 0 with *is_fine false: one is none, or they contradict each other. */
static unsigned shutdown_words(const struct call *call, bool *is_fine) {
    static const struct {
        const char *word;
        enum shutdown_word bit;
    } words[] = {{"save", WORD_SAVE},
                 {"nosave", WORD_NOSAVE},
                 {"now", WORD_NOW},
                 {"force", WORD_FORCE},
                 {"abort", WORD_ABORT}};
    unsigned given = 0;
    *is_fine = true;
    for (uint32_t i = 1; i < call->argc; i++) {
        unsigned found = 0;
        for (unsigned w = 0; w < sizeof words / sizeof *words; w++)
            if (argument_is(&call->argv[i], words[w].word))
                found = words[w].bit;
        *is_fine = *is_fine && found != 0;
        given |= found;
    }
    if ((given & WORD_ABORT && given != WORD_ABORT) || (given & WORD_SAVE && given & WORD_NOSAVE))
        *is_fine = false;
    return given;
}

/* Who asks for the end gets no answer, but for the reason why it does not come. */
void handle_shutdown(struct node *node, struct session *session, struct call *call) {
    bool is_fine;
    unsigned given = shutdown_words(call, &is_fine);
    if (!is_fine) {
        reply_error(call->reply, ERROR_SYNTAX);
        return;
    }
    if (given & WORD_ABORT) {
        if (persistence_abort_stop(node))
            reply_ok(call->reply);
        else
            reply_error(call->reply, "ERR No shutdown in progress.");
        return;
    }
    node_log(node, NODE_LOG_WARNING, "A client asks for the server's end (SHUTDOWN): %s",
             session->peer_address);
    enum node_stop how = given & WORD_NOSAVE ? NODE_STOP_NOSAVE
                         : given & WORD_SAVE ? NODE_STOP_SAVE
                                             : NODE_STOP_DEFAULT;
    persistence_stop(node, how, given & WORD_FORCE, given & WORD_NOW);
    if (node->shutdown != NODE_RUNNING)
        node_kill(node, session, false);
    else if (node->persistence.is_stopping || node->persistence.is_leaving)
        node_block(session, &node->persistence.stoppers);
    else
        reply_error(call->reply, "ERR Errors trying to SHUTDOWN. Check logs.");
}
