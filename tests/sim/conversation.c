/* conversation.c - the list of requests and the queue of replies.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/conversation.h"

#define COMPACT_SIZE 65536

struct conversation *conversation_new(struct world *world, uint32_t client) {
    struct conversation *conversation = world_alloc(world, sizeof *conversation);
    conversation->world = world;
    conversation->client = client;
    buffer_init(&conversation->replies, &world->mem);
    reply_reader_init(&conversation->reader, 0);
    return conversation;
}

static void free_first(struct conversation *conversation) {
    struct saying *request = conversation->first;
    conversation->first = request->next;
    if (conversation->first == NULL)
        conversation->last = NULL;
    world_free(conversation->world, request, request->bytes);
}

void conversation_free(struct conversation *conversation) {
    while (conversation->first != NULL)
        free_first(conversation);
    buffer_release(&conversation->replies);
    world_free(conversation->world, conversation, sizeof *conversation);
}

struct saying *conversation_add(struct conversation *conversation, enum saying_kind kind,
                                const struct argument *argv, uint32_t argc, size_t bytes) {
    size_t size = sizeof(struct saying) + argc * sizeof *argv;
    for (uint32_t i = 0; i < argc; i++)
        size += argv[i].size;
    struct saying *request = world_alloc(conversation->world, size);
    request->bytes = size;
    request->kind = kind;
    request->argc = argc;
    request->argv = (struct argument *)(request + 1);
    uint8_t *at = (uint8_t *)(request->argv + argc);
    for (uint32_t i = 0; i < argc; i++) {
        request->argv[i] = (struct argument){.data = at, .size = argv[i].size, .slot = ARGUMENT_NOT_PLACED};
        if (argv[i].size != 0)
            memcpy(at, argv[i].data, argv[i].size);
        at += argv[i].size;
    }
    conversation->unanswered += kind == SAYING_PLAIN;
    conversation->written += bytes;
    request->end = conversation->written;
    if (conversation->last == NULL)
        conversation->first = request;
    else
        conversation->last->next = request;
    conversation->last = request;
    if (conversation->to_run == NULL)
        conversation->to_run = request;
    return request;
}

void conversation_trim(struct conversation *conversation) {
    while (conversation->first != NULL && conversation->first->has_run && !conversation->first->is_answered)
        free_first(conversation);
}

/* A whole answer has arrived: it belongs to the oldest request that waits for one. */
static void take_answer(struct conversation *conversation, const uint8_t *reply, size_t size,
                        conversation_answered *answered, void *context) {
    conversation_trim(conversation);
    struct saying *request = conversation->first;
    if (conversation->is_monitor || conversation->refusal != NULL)
        return;
    if (request == NULL || !request->has_run) {
        world_fail(conversation->world, "I-REPLY: client %u received an answer that it had not asked for",
                   conversation->client);
        return;
    }
    answered(context, request, reply, size);
    request->is_answered = false;
    conversation->unanswered -= request->kind == SAYING_PLAIN;
    conversation_trim(conversation);
}

/* Forgets the answers that have been received whole. */
static void compact(struct conversation *conversation) {
    if (conversation->answer_begin != conversation->replies.size && conversation->answer_begin < COMPACT_SIZE)
        return;
    buffer_consume(&conversation->replies, conversation->answer_begin);
    conversation->received -= conversation->answer_begin;
    conversation->answer_begin = 0;
}

void conversation_receive(struct conversation *conversation, const uint8_t *data, size_t size,
                          conversation_answered *answered, void *context) {
    struct buffer *replies = &conversation->replies;
    if (size > replies->size - conversation->received ||
        memcmp(replies->data + conversation->received, data, size) != 0) {
        world_fail(conversation->world, "client %u received other bytes than the node had produced for it",
                   conversation->client);
        return;
    }
    while (size > 0 && !world_has_failed(conversation->world)) {
        bool is_complete;
        size_t taken = reply_reader_take(&conversation->reader, data, size, &is_complete);
        data += taken;
        size -= taken;
        conversation->received += taken;
        if (conversation->reader.is_broken) {
            world_fail(conversation->world, "I-REPLY: what client %u received is no reply",
                       conversation->client);
        } else if (is_complete) {
            const uint8_t *answer = replies->data + conversation->answer_begin;
            take_answer(conversation, answer, conversation->received - conversation->answer_begin, answered,
                        context);
            conversation->answer_begin = conversation->received;
        }
    }
    compact(conversation);
}
