/* debug_commands.c - DEBUG: what tests and developers ask for; refused unless enable-debug-command allows it.
 *
 * May touch: node, store, data. Must never know: clocks, threads (the host sleeps).
 * Tests: tests/unit/node/debug_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "node/handlers.h"
#include "node/memory_report.h"
#include "node/text_reply.h"

#include <stdio.h>

/* An hour: a longer sleep is a mistake, and would wrap around somewhere. */
#define SLEEP_MAX_S 3600.0
#define ACCESS_MASK 0xffffffu

/* ---- Actions ---- */

static void debug_sleep(struct node *node, struct session *session, struct call *call) {
    (void)session;
    const struct argument *seconds = &call->argv[2];
    double wanted_s = 0;
    /* What is no number is no sleep, as clients know it. */
    if (!number_parse_double((const char *)seconds->data, seconds->size, &wanted_s) || wanted_s < 0)
        wanted_s = 0;
    if (wanted_s > SLEEP_MAX_S)
        wanted_s = SLEEP_MAX_S;
    if (wanted_s > 0)
        node->host.sleep_us(node->host.context, (uint64_t)(wanted_s * 1e6));
    reply_ok(call->reply);
}

static void debug_set_active_expire(struct node *node, struct session *session, struct call *call) {
    (void)session;
    const struct argument *word = &call->argv[2];
    int64_t number = 0;
    bool is_on = number_parse_int64((const char *)word->data, word->size, &number) && number != 0;
    node->active_expiry_is_off = !is_on;
    reply_ok(call->reply);
}

static void debug_error(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    reply_error_format(call->reply, "%.*s", (int)call->argv[2].size, (const char *)call->argv[2].data);
}

static void debug_log(struct node *node, struct session *session, struct call *call) {
    (void)session;
    node_log(node, NODE_LOG_WARNING, "DEBUG LOG: %.*s", (int)call->argv[2].size,
             (const char *)call->argv[2].data);
    reply_ok(call->reply);
}

static const char *encoding_name(const struct record *record) {
    switch (record_encoding(record)) {
    case ENCODING_NATURAL: return "natural";
    case ENCODING_EMBEDDED: return "embstr";
    default: return "raw";
    }
}

static void debug_object(struct node *node, struct session *session, struct call *call) {
    (void)session;
    struct entry entry;
    const struct record *record =
        keyspace_lookup(node->keyspace, call->database, &call->argv[2], LOOKUP_PEEK, &entry);
    if (record == NULL) {
        reply_error(call->reply, ERROR_NO_SUCH_KEY);
        return;
    }
    char line[256];
    snprintf(line, sizeof line,
             "Value at:%p refcount:1 encoding:%s serializedlength:%u lru:%u lru_seconds_idle:%u slot:%u "
             "record_bytes:%zu actor:%u counter:%llu",
             (const void *)record, encoding_name(record), record_value_size(record), record_access_s(record),
             (node->keyspace->now_s - record_access_s(record)) & ACCESS_MASK, call->argv[2].slot,
             record_size(record), record->actor, (unsigned long long)record->counter);
    reply_simple(call->reply, line);
}

/* How a database's keys lie in its slots. */
static void describe_slots(struct buffer *text, const struct database *database) {
    uint32_t used = 0, split = 0, fullest = 0, records = 0;
    uint64_t counted = 0;
    for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
        const struct dict *dict = &database->slots[slot];
        used += dict->count != 0;
        split += (dict->word & DICT_IS_DIRECTORY) != 0;
        counted += dict->count;
        if (dict->count > records) {
            records = dict->count;
            fullest = slot;
        }
    }
    buffer_append_format(text, "keys: %llu, with an expiry: %llu, records: %llu\n",
                         (unsigned long long)database->keys, (unsigned long long)database->expiring,
                         (unsigned long long)counted);
    buffer_append_format(text, "slots in use: %u of %u, split into leaves: %u\n", used, SLOT_COUNT, split);
    buffer_append_format(text, "fullest slot: %u with %u records, %.2f on average\n", fullest, records,
                         used == 0 ? 0 : (double)counted / used);
    buffer_append_format(text, "bytes of tables: %llu\n", (unsigned long long)memory_report_tables(database));
}

static void debug_htstats(struct node *node, struct session *session, struct call *call) {
    (void)session;
    int64_t index;
    if (!call_integer(call, 2, &index, NULL))
        return;
    if (index < 0 || index >= DATABASE_COUNT) {
        reply_error(call->reply, "ERR Out of range database");
        return;
    }
    struct buffer text;
    buffer_init(&text, node->mem);
    if (node->keyspace->databases[index] == NULL)
        buffer_append_text(&text, "This database has never been written to: it has no tables.\n");
    else
        describe_slots(&text, node->keyspace->databases[index]);
    text_reply(call, &text);
}

static node_handler debug_help;

static const struct {
    const char *name, *arguments, *help;
    uint32_t argc; /* with DEBUG and the name */
    node_handler *act;
} actions[] = {
    {"ERROR", " <text>", "Replies the text as an error.", 3, debug_error},
    {"HTSTATS", " <database>", "How the keys of a database lie in its slot tables.", 3, debug_htstats},
    {"LOG", " <text>", "Writes the text to the server's log.", 3, debug_log},
    {"OBJECT", " <key>", "How the value of a key is kept.", 3, debug_object},
    {"RELOAD", "", "Saves all keys, forgets them and loads them again.", 2, handle_debug_reload},
    {"SET-ACTIVE-EXPIRE", " <0|1>", "Whether keys that nobody asks for are looked through for expired ones.",
     3, debug_set_active_expire},
    {"SLEEP", " <seconds>", "Stops the whole server for so long; decimals are allowed.", 3, debug_sleep},
    {"HELP", "", "This text.", 2, debug_help},
};
#define ACTION_COUNT (sizeof actions / sizeof *actions)

static void debug_help(struct node *node, struct session *session, struct call *call) {
    (void)node;
    (void)session;
    char line[160];
    reply_array(call->reply, 1 + 2 * ACTION_COUNT);
    reply_simple(call->reply, "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for (unsigned i = 0; i < ACTION_COUNT; i++) {
        snprintf(line, sizeof line, "%s%s", actions[i].name, actions[i].arguments);
        reply_simple(call->reply, line);
        snprintf(line, sizeof line, "    %s", actions[i].help);
        reply_simple(call->reply, line);
    }
}

/* ---- The command ---- */

void handle_debug(struct node *node, struct session *session, struct call *call) {
    for (unsigned i = 0; i < ACTION_COUNT; i++)
        if (argument_is(&call->argv[1], actions[i].name) && call->argc == actions[i].argc) {
            actions[i].act(node, session, call);
            return;
        }
    text_reply_wrong_form(call, "DEBUG");
}
