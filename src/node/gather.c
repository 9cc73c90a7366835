/* gather.c - commands that several nodes execute parts of: split by keys, or spread over all; and one reply of their replies.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/encode.h"
#include "base/number.h"
#include "node/route.h"

/* A command on the whole database that has lost one of its nodes is begun anew after this: the routes may be others by then. */
#define BEGIN_ANEW_MS 20
#define INDETERMINATE "-INDETERMINATE "
/* So long after a change of routes each node is told which slots to speak for: they may not see it alike yet. */
#define UNSURE_MS 3000

/* What becomes of the parts' replies. */
enum gathering {
    GATHER_OK,    /* all fine: OK */
    GATHER_SUM,   /* integers: their sum */
    GATHER_ORDER, /* arrays with an element for each key: in the order of the keys */
    GATHER_JOIN,  /* arrays: one after another */
    GATHER_SCAN,  /* cursor and keys: up to where all have come */
    GATHER_CHOOSE /* any that is not null */
};

struct gather_part {
    uint16_t member;
    uint32_t argc;       /* of its command; its keys, for GATHER_ORDER */
    struct buffer reply; /* GATHER_ORDER and the like: kept until all are there */
    size_t position;     /* in reply, while it is read */
};

struct gather {
    struct mem *mem;
    struct sink sink;
    enum gathering kind;
    uint32_t part_capacity, part_count, parts_left;
    uint32_t key_count;
    struct gather_part *parts;
    uint16_t *part_of_key; /* GATHER_ORDER: by key */
    int64_t sum;
    struct buffer error; /* the first error reply of a part, one that says INDETERMINATE before others */
    bool has_no_memory;
    bool is_write, has_run; /* a part was executed, or perhaps */
    /* Of a command on the whole database: what it takes to begin it anew. */
    const struct command *command; /* NULL: of another one */
    unsigned flags;
    struct awaited request; /* its copy */
    uint64_t deadline_ms, retry_ms;
    bool has_lost;            /* a part */
    struct list_node waiting; /* cluster->gathers */
};

static void gather_free(struct gather *gather) {
    forward_release(&gather->request);
    for (uint32_t i = 0; i < gather->part_capacity; i++)
        buffer_release(&gather->parts[i].reply);
    buffer_release(&gather->error);
    mem_free(gather->mem, gather->parts, gather->part_capacity * sizeof *gather->parts);
    mem_free(gather->mem, gather->part_of_key, (gather->key_count + 1) * sizeof *gather->part_of_key);
    mem_free(gather->mem, gather, sizeof *gather);
}

/* ---- Reading replies (of nodes that have proved themselves; nonsense is an error all the same) ---- */

/* Reads ":number" or "*number" and the like; false: it is none. */
static bool read_head(const uint8_t *reply, size_t size, char type, int64_t *number, size_t *head_size) {
    const uint8_t *end = size > 1 ? memchr(reply + 1, '\r', size - 1) : NULL;
    if (end == NULL || reply[0] != (uint8_t)type || (size_t)(end - reply) + 2 > size || end[1] != '\n')
        return false;
    *head_size = (size_t)(end - reply) + 2;
    return number_parse_int64((const char *)reply + 1, (size_t)(end - reply) - 1, number);
}

/* The size of the bulk string or null that begins here; 0: it is neither. */
static size_t element_size(const uint8_t *at, size_t left) {
    int64_t length;
    size_t head;
    if (left >= 3 && memcmp(at, "_\r\n", 3) == 0)
        return 3;
    if (!read_head(at, left, '$', &length, &head) || length < -1)
        return 0;
    if (length == -1)
        return head;
    return (uint64_t)length + head + 2 <= left ? (size_t)length + head + 2 : 0;
}

/* ---- Assembling ---- */

static bool append_head(struct buffer *out, char type, uint64_t number) {
    return buffer_append_format(out, "%c%llu\r\n", type, (unsigned long long)number);
}

/* Elements of the parts in the order of the keys. */
static bool assemble_order(struct gather *gather, struct buffer *out) {
    append_head(out, '*', gather->key_count);
    for (uint32_t i = 0; i < gather->part_count; i++) {
        struct gather_part *part = &gather->parts[i];
        int64_t count;
        if (!read_head(part->reply.data, part->reply.size, '*', &count, &part->position))
            return false;
    }
    for (uint32_t i = 0; i < gather->key_count; i++) {
        struct gather_part *part = &gather->parts[gather->part_of_key[i]];
        const uint8_t *at = part->reply.data + part->position;
        size_t size = element_size(at, part->reply.size - part->position);
        if (size == 0)
            return false;
        buffer_append(out, at, size);
        part->position += size;
    }
    return true;
}

static bool assemble_join(struct gather *gather, struct buffer *out) {
    int64_t total = 0;
    for (uint32_t i = 0; i < gather->part_count; i++) {
        struct gather_part *part = &gather->parts[i];
        int64_t count;
        if (!read_head(part->reply.data, part->reply.size, '*', &count, &part->position) || count < 0)
            return false;
        total += count;
    }
    append_head(out, '*', (uint64_t)total);
    for (uint32_t i = 0; i < gather->part_count; i++) {
        struct gather_part *part = &gather->parts[i];
        buffer_append(out, part->reply.data + part->position, part->reply.size - part->position);
    }
    return true;
}

/* The cursor that a part's reply begins with; false: it is no reply of SCAN. */
static bool read_cursor(struct gather_part *part, uint64_t *cursor, int64_t *keys) {
    const uint8_t *data = part->reply.data;
    size_t size = part->reply.size, head;
    int64_t number;
    if (!read_head(data, size, '*', &number, &head) || number != 2)
        return false;
    size_t element = element_size(data + head, size - head), inner;
    if (element == 0 || !read_head(data + head, size - head, '$', &number, &inner) || number <= 0)
        return false;
    if (!number_parse_uint64((const char *)data + head + inner, (size_t)number, cursor))
        return false;
    part->position = head + element;
    if (!read_head(data + part->position, size - part->position, '*', keys, &inner))
        return false;
    part->position += inner;
    return true;
}

/* Every part has gone over the same range of the ring, up to a place of its own: what is behind the nearest of these will be found
 * again by the next call, and is left out. */
static bool assemble_scan(struct node *node, struct gather *gather, struct buffer *out) {
    uint64_t nearest = 0;
    struct buffer keys;
    buffer_init(&keys, gather->mem);
    uint64_t found = 0;
    int64_t count;
    for (uint32_t i = 0; i < gather->part_count; i++) {
        uint64_t cursor;
        if (!read_cursor(&gather->parts[i], &cursor, &count))
            return false;
        if (cursor != 0 && (nearest == 0 || cursor < nearest))
            nearest = cursor;
    }
    for (uint32_t i = 0; i < gather->part_count; i++) {
        struct gather_part *part = &gather->parts[i];
        while (part->position < part->reply.size) {
            const uint8_t *at = part->reply.data + part->position;
            size_t size = element_size(at, part->reply.size - part->position), head;
            int64_t length;
            if (size == 0 || !read_head(at, size, '$', &length, &head) || length < 0) {
                buffer_release(&keys);
                return false;
            }
            struct argument key = {.data = at + head, .size = (uint32_t)length, .slot = ARGUMENT_NOT_PLACED};
            if (nearest == 0 || keyspace_scan_place(node->keyspace, &key) < nearest) {
                buffer_append(&keys, at, size);
                found++;
            }
            part->position += size;
        }
    }
    char text[NUMBER_INT64_SIZE];
    size_t digits = number_format_uint64(text, nearest);
    append_head(out, '*', 2);
    append_head(out, '$', digits);
    buffer_append(out, text, digits);
    buffer_append(out, "\r\n", 2);
    append_head(out, '*', found);
    buffer_append(out, keys.data, keys.size);
    out->failed = out->failed || keys.failed;
    buffer_release(&keys);
    return true;
}

static bool is_null(const uint8_t *reply, size_t size) {
    return (size >= 3 && memcmp(reply, "_\r\n", 3) == 0) || (size >= 5 && memcmp(reply, "$-1\r\n", 5) == 0);
}

/* One of those that are there, at random. */
static void assemble_choice(struct node *node, struct gather *gather, struct buffer *out) {
    uint32_t first = rng_below(&node->keyspace->random, gather->part_count);
    const struct buffer *reply = &gather->parts[first].reply;
    for (uint32_t i = 0; i < gather->part_count && is_null(reply->data, reply->size); i++)
        reply = &gather->parts[(first + i + 1) % gather->part_count].reply;
    buffer_append(out, reply->data, reply->size);
}

static bool assemble(struct node *node, struct gather *gather, struct buffer *out) {
    switch (gather->kind) {
    case GATHER_OK: buffer_append(out, "+OK\r\n", 5); return true;
    case GATHER_SUM: return append_head(out, ':', (uint64_t)gather->sum);
    case GATHER_ORDER: return assemble_order(gather, out);
    case GATHER_JOIN: return assemble_join(gather, out);
    case GATHER_SCAN: return assemble_scan(node, gather, out);
    case GATHER_CHOOSE: assemble_choice(node, gather, out); return true;
    }
    return false;
}

static void give_text(struct node *node, struct sink sink, const char *line) {
    sink.take(node, sink.target, sink.part, (const uint8_t *)line, strlen(line));
}

static const char *out_of_memory(bool has_written) {
    return has_written ? "-" ERROR_INDETERMINATE "\r\n" : "-" ERROR_NO_MEMORY "\r\n";
}

static bool begins_with(const uint8_t *reply, size_t size, const char *begin) {
    return size >= strlen(begin) && memcmp(reply, begin, strlen(begin)) == 0;
}

/* Where something was written, no error may say that nothing was: it is told behind another word. */
static void give_error(struct node *node, struct gather *gather, struct buffer *out) {
    struct sink sink = gather->sink;
    const struct buffer *error = &gather->error;
    if (gather->is_write && gather->has_run && !begins_with(error->data, error->size, INDETERMINATE)) {
        buffer_append_format(out, INDETERMINATE "a part of it was executed, of another one is said: ");
        buffer_append(out, error->data + 1, error->size - 1);
        error = out;
    }
    if (error->failed)
        give_text(node, sink, "-" ERROR_INDETERMINATE "\r\n");
    else
        sink.take(node, sink.target, sink.part, error->data, error->size);
}

static void complete(struct node *node, struct gather *gather) {
    struct sink sink = gather->sink;
    struct buffer out;
    if (gather->has_lost && node->monotonic_ms < gather->deadline_ms) {
        gather->retry_ms = node->monotonic_ms + BEGIN_ANEW_MS;
        list_append(&node->cluster->gathers, &gather->waiting);
        node->cluster->must_work = true;
        return;
    }
    buffer_init(&out, gather->mem);
    if (gather->error.size != 0)
        give_error(node, gather, &out);
    else if (gather->has_no_memory)
        give_text(node, sink, out_of_memory(gather->is_write && gather->has_run));
    else if (!assemble(node, gather, &out))
        give_text(node, sink, "-ERR another node has sent a reply that makes no sense\r\n");
    else if (out.failed)
        give_text(node, sink, "-" ERROR_NO_MEMORY "\r\n");
    else
        sink.take(node, sink.target, sink.part, out.data, out.size);
    buffer_release(&out);
    gather_free(gather);
}

/* Whether a part was given up because its node is not to be had. */
static bool is_lost(const uint8_t *reply, size_t size) {
    return begins_with(reply, size, "-" ERROR_INDETERMINATE) || begins_with(reply, size, "-" ERROR_NOBODY);
}

static void take_part_error(struct gather *gather, const uint8_t *reply, size_t size) {
    bool is_unknown = begins_with(reply, size, INDETERMINATE);
    if (gather->error.size != 0 && (!is_unknown || gather->has_run))
        return;
    buffer_clear(&gather->error);
    if (!buffer_append(&gather->error, reply, size))
        gather->has_no_memory = true;
}

static void take_part(struct node *node, void *target, uint32_t index, const uint8_t *reply, size_t size) {
    struct gather *gather = target;
    gather->has_lost = gather->has_lost || (gather->command != NULL && is_lost(reply, size));
    struct gather_part *part = &gather->parts[index];
    int64_t number;
    size_t head;
    bool is_error = reply[0] == '-';
    if (is_error)
        take_part_error(gather, reply, size);
    gather->has_run = gather->has_run || !is_error || begins_with(reply, size, INDETERMINATE);
    if (is_error) {
        /* All else that is wanted of it is known. */
    } else if (gather->kind == GATHER_SUM) {
        if (read_head(reply, size, ':', &number, &head))
            gather->sum += number;
    } else if (gather->kind != GATHER_OK && !buffer_append(&part->reply, reply, size)) {
        gather->has_no_memory = true;
    }
    if (--gather->parts_left == 0)
        complete(node, gather);
}

/* A part that there is nobody for. */
static void take_error(struct node *node, struct gather *gather, const char *error) {
    (void)node;
    gather->has_lost = true;
    if (gather->error.size == 0 && !buffer_append_format(&gather->error, "-%s\r\n", error))
        gather->has_no_memory = true;
}

/* ---- Splitting ---- */

static enum gathering gathering_of(const struct command *command) {
    switch (command->id) {
    case COMMAND_ID_MGET: return GATHER_ORDER;
    case COMMAND_ID_MSET:
    case COMMAND_ID_FLUSHALL:
    case COMMAND_ID_FLUSHDB: return GATHER_OK;
    case COMMAND_ID_KEYS: return GATHER_JOIN;
    case COMMAND_ID_SCAN: return GATHER_SCAN;
    case COMMAND_ID_RANDOMKEY: return GATHER_CHOOSE;
    default: return GATHER_SUM;
    }
}

static struct gather *gather_new(struct node *node, const struct command *command, struct sink sink,
                                 uint32_t part_max, uint32_t key_count) {
    struct gather *gather = mem_alloc_zeroed(node->mem, sizeof *gather);
    struct gather_part *parts = mem_alloc_zeroed(node->mem, part_max * sizeof *parts);
    uint16_t *part_of_key = mem_alloc(node->mem, (key_count + 1) * sizeof *part_of_key);
    if (gather == NULL || parts == NULL || part_of_key == NULL) {
        mem_free(node->mem, gather, sizeof *gather);
        mem_free(node->mem, parts, part_max * sizeof *parts);
        mem_free(node->mem, part_of_key, (key_count + 1) * sizeof *part_of_key);
        return NULL;
    }
    for (uint32_t i = 0; i < part_max; i++)
        buffer_init(&parts[i].reply, node->mem);
    *gather = (struct gather){.mem = node->mem, .sink = sink, .kind = gathering_of(command), .parts = parts};
    gather->part_of_key = part_of_key;
    gather->is_write = command->flags & COMMAND_WRITE;
    gather->part_capacity = part_max;
    gather->key_count = key_count;
    buffer_init(&gather->error, node->mem);
    return gather;
}

/* Finds out which part each key belongs to. Returns the number of parts. */
static uint32_t sort_keys(struct node *node, struct gather *gather, const struct command *command,
                          struct argument *argv) {
    uint32_t parts = 0;
    for (uint32_t i = 0; i < gather->key_count; i++) {
        struct argument *key = &argv[1 + i * (uint32_t)command->key_step];
        keyspace_place(node->keyspace, key);
        uint16_t member = node->routes == NULL ? ROUTE_SELF : node->routes[key->slot];
        uint32_t part = 0;
        while (part < parts && gather->parts[part].member != member)
            part++;
        if (part == parts) {
            gather->parts[part].member = member;
            parts++;
        }
        gather->part_of_key[i] = (uint16_t)part;
        gather->parts[part].argc += (uint32_t)command->key_step;
    }
    return parts;
}

void gather_split(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                  uint32_t argc, struct sink sink) {
    uint32_t step = (uint32_t)command->key_step, key_count = (argc - 1) / step;
    uint32_t members = membership_count(node->cluster->membership) + 1;
    if ((argc - 1) % step != 0) { /* MSET of an odd number: the handler knows what to say */
        route_execute_at(node, ROUTE_SELF, command, flags, argv, argc, sink);
        return;
    }
    struct gather *gather =
        gather_new(node, command, sink, key_count < members ? key_count : members, key_count);
    struct argument *part_argv = mem_alloc(node->mem, argc * sizeof *part_argv);
    if (gather == NULL || part_argv == NULL) {
        if (gather != NULL)
            gather_free(gather);
        mem_free(node->mem, part_argv, argc * sizeof *part_argv);
        give_text(node, sink, "-" ERROR_NO_MEMORY "\r\n");
        return;
    }
    gather->has_run = flags & FORWARD_REPEATED;
    uint32_t parts = gather->part_count = sort_keys(node, gather, command, argv);
    gather->parts_left = parts + 1; /* one is ours: nothing is complete before all are on their way */
    for (uint32_t part = 0; part < parts; part++) {
        uint32_t part_argc = 1;
        part_argv[0] = argv[0];
        for (uint32_t i = 0; i < key_count; i++)
            if (gather->part_of_key[i] == part)
                for (uint32_t j = 0; j < step; j++)
                    part_argv[part_argc++] = argv[1 + i * step + j];
        route_execute(node, command, flags, part_argv, part_argc, (struct sink){take_part, gather, part});
    }
    mem_free(node->mem, part_argv, argc * sizeof *part_argv);
    if (--gather->parts_left == 0)
        complete(node, gather);
}

/* ---- Spreading ---- */

/* What the nodes are asked: the client's command, and at its end the set of slots that each is to speak for, where there may be doubt. */
struct spread {
    struct argument *argv;
    uint32_t argc, room;
    char count[NUMBER_INT64_SIZE];
    bool has_sets;
    struct slot_set set;
    uint8_t set_bytes[sizeof(struct slot_set)];
};

/* SCAN asks each node for its share of the wanted number only. */
static void share_count(struct spread *spread, uint32_t members) {
    int64_t count = 10;
    uint32_t at = 0;
    for (uint32_t i = 2; i + 1 < spread->argc; i += 2)
        if (argument_is(&spread->argv[i], "count")) {
            if (!number_parse_int64((const char *)spread->argv[i + 1].data, spread->argv[i + 1].size, &count))
                return; /* the handler knows what to say */
            at = i + 1;
        }
    if (count < 1 || spread->argc % 2 != 0)
        return;
    if (at == 0) {
        spread->argv[spread->argc] =
            (struct argument){.data = (const uint8_t *)"COUNT", .size = 5, .slot = ARGUMENT_NOT_PLACED};
        at = spread->argc + 1;
        spread->argc += 2;
    }
    uint64_t share = ((uint64_t)count + members - 1) / members;
    spread->argv[at] = (struct argument){.data = (const uint8_t *)spread->count,
                                         .size = (uint32_t)number_format_uint64(spread->count, share),
                                         .slot = ARGUMENT_NOT_PLACED};
}

/* Who is asked: all members, or those that the routes of some slots lead to. Returns whether every slot has somebody to speak for it. */
static bool choose_members(struct node *node, struct gather *gather, bool has_sets) {
    const struct cluster *cluster = node->cluster;
    bool is_whole = true;
    for (uint32_t i = 0; i < gather->part_capacity; i++)
        if (!has_sets && cluster_is_asked(cluster, (uint16_t)i))
            gather->parts[gather->part_count++].member = (uint16_t)i;
    for (uint32_t slot = 0; has_sets && slot < SLOT_COUNT; slot++) {
        uint16_t member = cluster->routes[slot];
        uint32_t part = 0;
        if (member == ROUTE_NOBODY) {
            is_whole = false;
            continue;
        }
        while (part < gather->part_count && gather->parts[part].member != member)
            part++;
        if (part == gather->part_count)
            gather->parts[gather->part_count++].member = member;
    }
    return is_whole;
}

/* Has a member do its part. */
static void ask(struct node *node, struct gather *gather, uint32_t part, struct spread *spread) {
    struct cluster *cluster = node->cluster;
    uint16_t member = gather->parts[part].member;
    unsigned flags = gather->flags | FORWARD_PART;
    uint32_t argc = spread->argc;
    if (spread->has_sets) {
        memset(&spread->set, 0, sizeof spread->set);
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
            if (cluster->routes[slot] == member) {
                slot_set_add(&spread->set, slot);
                flags |= failover_flags(node, slot, member);
            }
        flags |= FORWARD_SECOND_HOP;
    }
    if (spread->has_sets && member != ROUTE_SELF) {
        for (uint32_t word = 0; word < SLOT_COUNT / 64; word++)
            encode_fixed(spread->set_bytes + 8 * word, spread->set.bits[word], 8);
        spread->argv[argc++] = (struct argument){
            .data = spread->set_bytes, .size = sizeof spread->set_bytes, .slot = ARGUMENT_NOT_PLACED};
    }
    cluster->spoken = spread->has_sets && member == ROUTE_SELF ? &spread->set : NULL;
    route_execute_at(node, member, gather->command, flags, spread->argv, argc,
                     (struct sink){take_part, gather, part});
    cluster->spoken = NULL;
}

bool gather_is_sure(const struct node *node) {
    const struct cluster *cluster = node->cluster;
    return !cluster->has_detours && node->monotonic_ms - cluster->rerouted_ms >= UNSURE_MS;
}

/* before: the same command, of which a part was lost; NULL: it begins. */
static void spread_until(struct node *node, const struct command *command, unsigned flags,
                         const struct argument *argv, uint32_t argc, struct sink sink, uint64_t deadline_ms,
                         const struct gather *before) {
    bool has_run = before != NULL && before->has_run;
    struct cluster *cluster = node->cluster;
    struct gather *gather = gather_new(node, command, sink, membership_count(cluster->membership), 0);
    struct spread *spread = mem_alloc(node->mem, sizeof *spread);
    struct argument *copy = mem_alloc(node->mem, (argc + 3) * sizeof *copy);
    if (gather == NULL || spread == NULL || copy == NULL ||
        !forward_keep(node, argv, argc, &gather->request)) {
        if (gather != NULL)
            gather_free(gather);
        mem_free(node->mem, spread, sizeof *spread);
        mem_free(node->mem, copy, (argc + 3) * sizeof *copy);
        give_text(node, sink, out_of_memory(command->flags & COMMAND_WRITE && has_run));
        return;
    }
    gather->command = command;
    gather->has_run = has_run;
    gather->flags = flags;
    gather->deadline_ms = deadline_ms;
    spread->argv = copy;
    spread->argc = argc;
    memcpy(copy, argv, argc * sizeof *copy);
    spread->has_sets = before != NULL || !gather_is_sure(node);
    if (!choose_members(node, gather, spread->has_sets))
        take_error(node, gather, ERROR_NOBODY);
    if (command->id == COMMAND_ID_SCAN)
        share_count(spread, gather->part_count);
    gather->parts_left = gather->part_count + 1;
    for (uint32_t i = 0; i < gather->part_count; i++)
        ask(node, gather, i, spread);
    mem_free(node->mem, spread, sizeof *spread);
    mem_free(node->mem, copy, (argc + 3) * sizeof *copy);
    if (--gather->parts_left == 0)
        complete(node, gather);
}

void gather_spread(struct node *node, const struct command *command, unsigned flags, struct argument *argv,
                   uint32_t argc, struct sink sink) {
    spread_until(node, command, flags, argv, argc, sink, node->monotonic_ms + ROUTE_PATIENCE_MS, NULL);
}

/* The client's command once more, with the nodes that are there now. */
static void begin_anew(struct node *node, struct gather *gather) {
    struct argument *argv;
    uint32_t argc;
    if (!forward_arguments(node, &gather->request, &argv, &argc)) {
        give_text(node, gather->sink, out_of_memory(gather->is_write && gather->has_run));
    } else {
        spread_until(node, gather->command, gather->flags, argv, argc, gather->sink, gather->deadline_ms,
                     gather);
        mem_free(node->mem, argv, argc * sizeof *argv);
    }
    gather_free(gather);
}

uint32_t gather_work(struct node *node) {
    struct list *gathers = &node->cluster->gathers;
    struct list_node *link;
    /* In the order of their times: those that come back are behind all others. */
    while ((link = list_first(gathers)) != NULL) {
        struct gather *gather = LIST_ENTRY(link, struct gather, waiting);
        if (node->monotonic_ms < gather->retry_ms)
            return (uint32_t)(gather->retry_ms - node->monotonic_ms);
        list_remove(link);
        begin_anew(node, gather);
    }
    return UINT32_MAX;
}

void gather_release(struct node *node) {
    struct list_node *link;
    while ((link = list_first(&node->cluster->gathers)) != NULL) {
        struct gather *gather = LIST_ENTRY(link, struct gather, waiting);
        list_remove(link);
        gather->deadline_ms = 0;
        complete(node, gather);
    }
}
