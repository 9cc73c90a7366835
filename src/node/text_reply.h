/* text_reply.h - what the node's handlers share: long texts as replies, and the error for words they do not
 * know.
 *
 * May touch: proto, cmd. Must never know: sessions.
 * Tests: tests/unit/node/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_TEXT_REPLY_H
#define NODE_TEXT_REPLY_H

#include "cmd/call.h"

/* Replies a text that was built in a buffer, and releases the buffer. */
static inline void text_reply(struct call *call, struct buffer *text) {
    if (text->failed)
        call_no_memory(call);
    else
        reply_verbatim(call->reply, "txt", text->data, text->size);
    buffer_release(text);
}

/* A subcommand that was called in no form that it has. */
static inline void text_reply_wrong_form(struct call *call, const char *container) {
    reply_error_format(call->reply,
                       "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
                       call->argv[1].size < 128 ? (int)call->argv[1].size : 128,
                       (const char *)call->argv[1].data, container);
}

#endif
