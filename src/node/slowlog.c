/* slowlog.c - a list of slow calls, newest first, one allocation each; SLOWLOG GET, LEN, RESET.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/slowlog.h"

#include "node/handlers.h"
#include "node/redaction.h"
#include "node/text_reply.h"

#include <stdio.h>

/* "... (4294967295 more arguments)" and the like. */
#define REMARK_SIZE   48
#define DEFAULT_COUNT 10

/* Behind the sizes follow the bytes: address, name, arguments. */
struct entry_header {
    struct list_node link;
    uint64_t id;
    int64_t time_s;
    uint64_t duration_us;
    size_t size; /* of the allocation */
    uint32_t argument_count;
    uint32_t address_size, name_size;
    uint32_t sizes[SLOWLOG_ARGUMENTS_MAX];
    uint8_t bytes[];
};

struct slowlog {
    struct list entries; /* newest first */
    uint32_t count;
    uint64_t next_id;
};

/* What is kept of one argument: the first bytes of it, and a remark on the rest. */
struct kept {
    const void *data;
    uint32_t size;
    uint32_t remark_size;
    char remark[REMARK_SIZE];
};

struct slowlog *slowlog_new(struct mem *mem) {
    struct slowlog *slowlog = mem_alloc_zeroed(mem, sizeof *slowlog);
    if (slowlog != NULL)
        list_init(&slowlog->entries);
    return slowlog;
}

static void trim(struct mem *mem, struct slowlog *slowlog, uint64_t most) {
    while (slowlog->count > most) {
        struct list_node *oldest = list_last(&slowlog->entries);
        struct entry_header *entry = LIST_ENTRY(oldest, struct entry_header, link);
        list_remove(oldest);
        mem_free(mem, entry, entry->size);
        slowlog->count--;
    }
}

void slowlog_free(struct mem *mem, struct slowlog *slowlog) {
    trim(mem, slowlog, 0);
    mem_free(mem, slowlog, sizeof *slowlog);
}

uint32_t slowlog_size(const struct slowlog *slowlog) {
    return slowlog->count;
}

static void keep(struct kept *kept, const struct argument *argument) {
    kept->data = argument->data;
    kept->size = argument->size;
    kept->remark_size = 0;
    if (argument->size > SLOWLOG_ARGUMENT_SIZE_MAX) {
        kept->size = SLOWLOG_ARGUMENT_SIZE_MAX;
        kept->remark_size = (uint32_t)snprintf(kept->remark, sizeof kept->remark, "... (%u more bytes)",
                                               argument->size - SLOWLOG_ARGUMENT_SIZE_MAX);
    }
}

/* Fills in what is kept of each argument; returns how many there are. */
static uint32_t keep_all(struct kept kept[SLOWLOG_ARGUMENTS_MAX], const struct argument *argv,
                         uint32_t argc) {
    static const struct argument redacted = {.data = (const uint8_t *)REDACTION_TEXT,
                                             .size = sizeof REDACTION_TEXT - 1};
    struct redaction redaction = redaction_begin(argv, argc);
    uint32_t count = argc < SLOWLOG_ARGUMENTS_MAX ? argc : SLOWLOG_ARGUMENTS_MAX;
    for (uint32_t i = 0; i < count; i++)
        keep(&kept[i], redaction_covers(&redaction, argv, argc, i) ? &redacted : &argv[i]);
    if (argc > SLOWLOG_ARGUMENTS_MAX) {
        struct kept *last = &kept[SLOWLOG_ARGUMENTS_MAX - 1];
        last->size = 0;
        last->remark_size = (uint32_t)snprintf(last->remark, sizeof last->remark, "... (%u more arguments)",
                                               argc - SLOWLOG_ARGUMENTS_MAX + 1);
    }
    return count;
}

static uint8_t *put(uint8_t *at, const void *data, size_t size) {
    if (size != 0)
        memcpy(at, data, size);
    return at + size;
}

static struct entry_header *entry_new(struct mem *mem, const struct session *session, const struct kept *kept,
                                      uint32_t count) {
    size_t address_size = strlen(session->peer_address);
    size_t size = sizeof(struct entry_header) + address_size + session->name.size;
    for (uint32_t i = 0; i < count; i++)
        size += kept[i].size + kept[i].remark_size;
    struct entry_header *entry = mem_alloc(mem, size);
    if (entry == NULL)
        return NULL;
    *entry = (struct entry_header){.size = size,
                                   .argument_count = count,
                                   .address_size = (uint32_t)address_size,
                                   .name_size = (uint32_t)session->name.size};
    uint8_t *at = put(entry->bytes, session->peer_address, address_size);
    at = put(at, session->name.data, session->name.size);
    for (uint32_t i = 0; i < count; i++) {
        entry->sizes[i] = kept[i].size + kept[i].remark_size;
        at = put(at, kept[i].data, kept[i].size);
        at = put(at, kept[i].remark, kept[i].remark_size);
    }
    return entry;
}

void slowlog_note(struct node *node, struct session *session, const struct argument *argv, uint32_t argc,
                  uint64_t duration_ns) {
    struct slowlog *slowlog = node->slowlog;
    struct kept kept[SLOWLOG_ARGUMENTS_MAX];
    uint32_t count = keep_all(kept, argv, argc);
    struct entry_header *entry = entry_new(node->mem, session, kept, count);
    if (entry == NULL)
        return;
    entry->id = slowlog->next_id++;
    entry->time_s = node->wall_ms / 1000;
    entry->duration_us = duration_ns / 1000;
    list_prepend(&slowlog->entries, &entry->link);
    slowlog->count++;
    trim(node->mem, slowlog, node->config->slowlog_max_len);
}

static void reply_entry(struct reply *reply, const struct entry_header *entry) {
    reply_array(reply, 6);
    reply_integer(reply, (int64_t)entry->id);
    reply_integer(reply, entry->time_s);
    reply_integer(reply, (int64_t)entry->duration_us);
    reply_array(reply, entry->argument_count);
    const uint8_t *name = entry->bytes + entry->address_size;
    const uint8_t *at = name + entry->name_size;
    for (uint32_t i = 0; i < entry->argument_count; i++) {
        reply_bulk(reply, at, entry->sizes[i]);
        at += entry->sizes[i];
    }
    reply_bulk(reply, entry->bytes, entry->address_size);
    reply_bulk(reply, name, entry->name_size);
}

void handle_slowlog_get(struct node *node, struct session *session, struct call *call) {
    (void)session;
    static const char wrong_count[] = "ERR count should be greater than or equal to -1";
    const struct slowlog *slowlog = node->slowlog;
    int64_t count = DEFAULT_COUNT;
    if (call->argc > 3) {
        text_reply_wrong_form(call, "SLOWLOG");
        return;
    }
    if (call->argc == 3 && !call_integer(call, 2, &count, wrong_count))
        return;
    if (count < -1) {
        reply_error(call->reply, wrong_count);
        return;
    }
    if (count == -1 || count > slowlog->count)
        count = slowlog->count;
    reply_array(call->reply, (size_t)count);
    LIST_FOR_EACH(link, &slowlog->entries) {
        if (count-- == 0)
            break;
        reply_entry(call->reply, LIST_ENTRY(link, struct entry_header, link));
    }
}

void handle_slowlog_len(struct node *node, struct session *session, struct call *call) {
    (void)session;
    reply_integer(call->reply, node->slowlog->count);
}

void handle_slowlog_reset(struct node *node, struct session *session, struct call *call) {
    (void)session;
    trim(node->mem, node->slowlog, 0);
    reply_ok(call->reply);
}
