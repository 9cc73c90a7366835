/* pipeline.c - from bytes to executed commands: batches, early fetching of memory, back pressure, holds.
 *
 * A batch is what lies complete in the input, up to BATCH_COMMANDS: all its keys are placed and their memory is asked for
 * before the first command runs, so that the misses of a pipeline overlap instead of adding up.
 * Tests: tests/unit/node/pipeline_test.c, tests/sim/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/load.h"
#include "node/cluster.h"
#include "node/state.h"
#include "node/transaction.h"

/* A private input buffer reads at least so much at once, and never reserves more than has already come plus this. */
#define INPUT_READ_MIN (16 * 1024)
#define INPUT_READ_MAX (1024 * 1024)
/* An empty private buffer above this is given back. */
#define INPUT_KEPT_MAX (16 * 1024)
/* `needed` is believed only where waiting saves much: short requests are looked at whenever bytes come, so that
 * errors in them are reported at once. */
#define INPUT_NEEDED_MIN (64 * 1024)
/* Replies that wait: above this a session's further requests wait, too. */
#define OUTPUT_CLOGGED_SIZE (32u * 1024 * 1024)
/* Replies of other nodes that a session awaits, and those behind them: above this its further requests wait, too. */
#define REPLIES_AWAITED_MAX 10000
/* Of a long record so many lines are asked for ahead of its request; behind them the processor goes on by itself. */
#define LINES_AHEAD_MAX 24
/* A shared output buffer that grew beyond this is handed to the session that made it grow. */
#define OUTPUT_SHARED_MAX (1024 * 1024)

/* What was parsed once is not measured anew: the client was known then, or the request small enough. */
static struct request_limits limits_of(const struct node *node, const struct session *session,
                                       bool was_parsed) {
    if (LIKELY(session->flags & SESSION_AUTHENTICATED) || was_parsed) {
        uint64_t bulk = node->config->proto_max_bulk_len;
        return (struct request_limits){.arguments_max = REQUEST_ARGUMENTS_MAX,
                                       .bulk_max = bulk < VALUE_SIZE_MAX ? (uint32_t)bulk : VALUE_SIZE_MAX};
    }
    return (struct request_limits){.arguments_max = UNAUTHENTICATED_ARGUMENTS_MAX,
                                   .bulk_max = UNAUTHENTICATED_BULK_MAX,
                                   .unauthenticated = true};
}

bool node_arguments_grow(struct node *node, size_t wanted) {
    size_t capacity = node->argument_capacity * 2;
    if (capacity < wanted)
        capacity = wanted;
    struct argument *arguments =
        mem_resize(node->mem, node->arguments, node->argument_capacity * sizeof *arguments,
                   capacity * sizeof *arguments);
    if (arguments == NULL)
        return false;
    node->arguments = arguments;
    node->argument_capacity = capacity;
    return true;
}

/* First stage for one request: places its keys and asks for their slots' headers. */
static inline void place_keys(struct node *node, const struct session *session, const struct command *command,
                              struct argument *argv, uint32_t argc) {
    int first = command->first_key;
    if (first <= 0)
        return;
    int last = command_last_key(command, argc);
    struct database *database = node->keyspace->databases[session->database];
    for (int i = first; i <= last && node->batch_key_count < BATCH_KEYS; i += command->key_step) {
        keyspace_place(node->keyspace, &argv[i]);
        if (LIKELY(database != NULL))
            prefetch(&database->slots[argv[i].slot]);
        if (UNLIKELY(node->routes != NULL))
            cluster_prefetch(node->cluster, node->keyspace->ledger, argv[i].slot);
        node->batch_keys[node->batch_key_count++] = &argv[i];
    }
}

/* The further stages, over all keys of the batch. About every tenth key has been displaced from its full home bucket: it is
 * looked for a stage later than the others. */
static void fetch_keys(struct node *node, const struct session *session) {
    struct database *database = node->keyspace->databases[session->database];
    uint32_t count = node->batch_key_count, displaced_count = 0;
    uint8_t *displaced = node->batch_displaced;
    if (count < 2 || database == NULL) {
        node->batch_key_count = 0;
        return; /* one key: nothing to overlap with */
    }
    for (uint32_t i = 0; i < count; i++)
        dict_prefetch_bucket(&database->slots[node->batch_keys[i]->slot], node->batch_keys[i]->hash);
    for (uint32_t i = 0; i < count; i++) {
        const struct argument *key = node->batch_keys[i];
        if (dict_prefetch_record(&database->slots[key->slot], key->hash, 0, &node->batch_records[i]) ==
            DICT_DISPLACED)
            displaced[displaced_count++] = (uint8_t)i;
    }
    for (uint32_t i = 0; i < displaced_count; i++) {
        const struct argument *key = node->batch_keys[displaced[i]];
        dict_prefetch_record(&database->slots[key->slot], key->hash, 1, &node->batch_records[displaced[i]]);
    }
}

/* The first key's record of a request, if it is likely a long one. */
static inline const struct record *long_record(const struct node *node,
                                               const struct batched_request *request) {
    if (request->first_key >= node->batch_key_count)
        return NULL;
    const struct record *record = node->batch_records[request->first_key];
    return record != NULL && record->flags & RECORD_LONG ? record : NULL;
}

/* The last stage, for records of more than the lines that fetch_keys() asks for: notes how many are left; they are too many to
 * ask for those of all requests at once. Where the record of the first request is short, the others most likely are as well:
 * then nothing is noted, and false returned. (To look at a later one would be to wait for it.) */
static bool look_ahead(struct node *node, uint32_t count) {
    if (count == 0 || LIKELY(long_record(node, &node->batch[0]) == NULL))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct record *record = long_record(node, &node->batch[i]);
        if (record == NULL)
            continue;
        size_t lines = record_size(record) / CACHE_LINE_SIZE;
        node->batch[i].lines_ahead = (uint8_t)(lines < LINES_AHEAD_MAX ? lines : LINES_AHEAD_MAX);
    }
    return true;
}

void node_place_keys(struct node *node, const struct session *session, const struct command *command,
                     struct argument *argv, uint32_t argc) {
    place_keys(node, session, command, argv, argc);
}

void node_fetch_keys(struct node *node, const struct session *session) {
    fetch_keys(node, session);
}

/* By now the record may be gone: its bytes must not be read. */
static inline void fetch_lines(const struct node *node, const struct batched_request *request) {
    for (uint32_t line = 2; line <= request->lines_ahead; line++)
        prefetch((const char *)node->batch_records[request->first_key] + (size_t)line * CACHE_LINE_SIZE);
}

struct batch {
    uint32_t count;
    uint32_t arguments_used;
    size_t end;                 /* of the input looked at */
    bool has_long;              /* records: see look_ahead() */
    enum request_status status; /* of the last parse: why it ended */
    struct request request;     /* of that */
};

/* Whether two short names are the same byte for byte. Most requests of a pipeline repeat the name before them: this is cheaper
 * than to find its row. */
static inline bool is_same_name(const struct argument *a, const struct argument *b) {
    uint32_t size = a->size;
    if (size != b->size || size > 8 || size < 2)
        return false;
    if (size >= 4)
        return load_u32(a->data) == load_u32(b->data) &&
               load_u32(a->data + size - 4) == load_u32(b->data + size - 4);
    return load_u16(a->data) == load_u16(b->data) &&
           load_u16(a->data + size - 2) == load_u16(b->data + size - 2);
}

const struct command *node_find_command(const struct node *node, const struct argument *name,
                                        const struct argument *name_before,
                                        const struct command *command_before) {
    if (LIKELY(name_before != NULL) && is_same_name(name, name_before))
        return command_before;
    return command_find(node->commands, name->data, name->size);
}

/* Collects complete requests from data[begin..size). */
static void collect(struct node *node, struct session *session, uint8_t *data, size_t begin, size_t size,
                    struct batch *batch) {
    bool is_known = session->flags & SESSION_AUTHENTICATED;
    struct request_limits limits = limits_of(node, session, !is_known && begin < session->input_parsed);
    uint32_t count = 0, used = 0;
    size_t end = begin;
    node->batch_key_count = 0;
    batch->status = REQUEST_COMPLETE;
    while (count < BATCH_COMMANDS && end < size) {
        struct argument *argv = node->arguments + used;
        enum request_status status = request_parse(data + end, size - end, &limits, argv,
                                                   node->argument_capacity - used, &batch->request);
        if (UNLIKELY(status != REQUEST_COMPLETE)) {
            if (status == REQUEST_NO_ROOM && count == 0 && node_arguments_grow(node, batch->request.argc))
                continue;
            batch->status = status;
            break;
        }
        end += batch->request.consumed;
        uint32_t argc = batch->request.argc;
        if (UNLIKELY(argc == 0))
            continue;
        const struct argument *name_before =
            count == 0 ? NULL : &node->arguments[node->batch[count - 1].first];
        const struct command *command =
            node_find_command(node, argv, name_before, count == 0 ? NULL : node->batch[count - 1].command);
        node->batch[count++] = (struct batched_request){
            .command = command, .first = used, .argc = argc, .first_key = (uint16_t)node->batch_key_count};
        used += argc;
        if (LIKELY(command != NULL))
            place_keys(node, session, command, argv, argc);
        if (UNLIKELY(!is_known))
            break; /* AUTH may change the limits for what follows */
    }
    batch->count = count;
    batch->arguments_used = used;
    batch->end = end;
}

/* Whether CLIENT PAUSE holds this request back, or the coming end. */
static bool is_paused(const struct node *node, const struct session *session, const struct command *command) {
    if (LIKELY(node->pause_until_ms == 0 && !node->persistence.holds_commands) || command == NULL)
        return false;
    if (node->persistence.holds_commands)
        return command->id != COMMAND_ID_SHUTDOWN;
    if (!node->pause_writes_only)
        return command->id != COMMAND_ID_CLIENT && command->id != COMMAND_ID_SHUTDOWN;
    if (command->id == COMMAND_ID_EXEC)
        return transaction_has_writes(session);
    return (command->flags & (COMMAND_WRITE | COMMAND_MAY_REPLICATE)) != 0;
}

/* Keeps the requests from `index` of the batch on, and the bytes behind it, for later. They are written anew as plain
 * requests, for an inline one has been unquoted in place and could not be parsed a second time. */
static void hold(struct node *node, struct session *session, const struct batch *batch, uint32_t index,
                 const uint8_t *rest, size_t rest_size) {
    struct buffer held;
    buffer_init(&held, node->mem);
    for (; index < batch->count; index++) {
        const struct batched_request *request = &node->batch[index];
        buffer_append_format(&held, "*%u\r\n", request->argc);
        for (uint32_t i = 0; i < request->argc; i++) {
            const struct argument *argument = &node->arguments[request->first + i];
            buffer_append_format(&held, "$%u\r\n", argument->size);
            buffer_append(&held, argument->data, argument->size);
            buffer_append(&held, "\r\n", 2);
        }
    }
    size_t parsed = held.size;
    if (session->input_parsed > batch->end)
        parsed += session->input_parsed - batch->end;
    buffer_append(&held, rest, rest_size);
    if (held.failed)
        node_kill(node, session, false);
    buffer_release(&session->input);
    session->input = held;
    session->input_needed = 0;
    session->input_parsed = parsed;
    if (session->flags & SESSION_BLOCKED)
        return; /* it is known where it waits */
    session->flags |= SESSION_PAUSED;
    list_append(&node->paused, &session->paused);
}

/* Books the requests from `first` to before `end`: each command that was not timed by itself gets an equal share. Runs of one
 * command are booked together. */
static void book(struct node *node, struct session *session, uint32_t first, uint32_t end,
                 uint64_t duration_ns) {
    uint32_t counted = 0;
    for (uint32_t i = first; i < end; i++)
        counted += node->batch[i].is_counted;
    if (counted == 0)
        return;
    uint64_t share_ns = duration_ns / counted;
    int64_t slow_us = node->config->slowlog_log_slower_than_us;
    bool is_slow = UNLIKELY(slow_us >= 0 && share_ns >= (uint64_t)slow_us * 1000);
    for (uint32_t i = first; i < end;) {
        const struct batched_request *request = &node->batch[i];
        if (!request->is_counted) {
            i++;
            continue;
        }
        if (is_slow) {
            node_book(node, session, request->command, 1, share_ns, node->arguments + request->first,
                      request->argc);
            i++;
            continue;
        }
        uint32_t run = 1;
        while (i + run < end && node->batch[i + run].is_counted &&
               node->batch[i + run].command == request->command)
            run++;
        node_book(node, session, request->command, run, share_ns, NULL, 0);
        i += run;
    }
}

void node_book_batch(struct node *node, struct session *session, uint32_t first, uint32_t end,
                     uint64_t duration_ns) {
    book(node, session, first, end, duration_ns);
}

/* Runs the batch; returns how many requests ran (fewer where one closes the session, waits or is held back). What is timed by itself
 * (INFO, CONFIG and SLOWLOG among it) finds all before it booked, and is no part of what is shared out. */
static uint32_t run(struct node *node, struct session *session, const struct batch *batch) {
    uint64_t started_ns = node_clock_ns(node);
    uint32_t i = 0, booked = 0;
    for (; i < batch->count; i++) {
        struct batched_request *request = &node->batch[i];
        if (UNLIKELY(is_paused(node, session, request->command)))
            break;
        if (UNLIKELY(batch->has_long) && i + 1 < batch->count)
            fetch_lines(node, request + 1);
        bool is_timed = request->command != NULL && node_is_timed(request->command, request->argc);
        if (UNLIKELY(is_timed) && i != booked) {
            uint64_t now_ns = node_clock_ns(node);
            book(node, session, booked, i, now_ns - started_ns);
            booked = i;
            started_ns = now_ns;
        }
        const struct command *ran =
            node_dispatch(node, session, request->command, node->arguments + request->first, request->argc);
        request->is_counted = ran != NULL;
        request->command = ran;
        if (UNLIKELY(is_timed) && ran == NULL) {
            booked = i + 1;
            started_ns = node_clock_ns(node);
        }
        if (UNLIKELY(session->flags & (SESSION_CLOSE_AFTER_REPLY | SESSION_CLOSE_NOW | SESSION_BLOCKED))) {
            i++;
            break;
        }
    }
    if (LIKELY(i != booked))
        book(node, session, booked, i, node_clock_ns(node) - started_ns);
    return i;
}

static size_t unsent_size(const struct session *session) {
    return session->outgoing->size - (session->outgoing == &session->pending ? session->pending_sent : 0) +
           session->parked.size;
}

/* Cuts a session whose unread replies pass a limit, and clogs one that should read first. */
void node_check_output(struct node *node, struct session *session) {
    size_t unsent = unsent_size(session);
    if (UNLIKELY(session->place_count > REPLIES_AWAITED_MAX))
        session->flags |= SESSION_CLOGGED;
    if (LIKELY(unsent <= UNAUTHENTICATED_OUTPUT_MAX))
        return;
    uint64_t hard = node->config->output_limits[CLIENT_CLASS_NORMAL].hard_bytes;
    if ((hard != 0 && unsent > hard) || !(session->flags & SESSION_AUTHENTICATED)) {
        if (node_kill_over_limit(node, session))
            node_log(node, NODE_LOG_WARNING,
                     "Client %s closed: %zu bytes of replies wait, more than its limit",
                     session->peer_address, unsent);
    } else if (unsent > OUTPUT_CLOGGED_SIZE) {
        session->flags |= SESSION_CLOGGED;
    }
}

static void reject_broken(struct node *node, struct session *session, const char *error) {
    size_t mark = reply_mark(&session->reply);
    node->statistics.protocol_errors++;
    reply_error(&session->reply, error);
    if (session->flags & SESSION_ORDERED)
        route_note_local(node, session, mark);
    node_kill(node, session, true);
}

/* Executes what is complete in data[0..size); returns how much of it is done with. Bytes not done with are the caller's to keep. */
static size_t process(struct node *node, struct session *session, uint8_t *data, size_t size) {
    size_t done = 0;
    session->input_needed = 0;
    while (done < size && !(session->flags & SESSION_HELD)) {
        struct batch batch;
        collect(node, session, data, done, size, &batch);
        fetch_keys(node, session);
        batch.has_long = look_ahead(node, batch.count);
        uint32_t ran = batch.count == 0 ? 0 : run(node, session, &batch);
        node_check_output(node, session);
        if (UNLIKELY(session->flags & (SESSION_CLOSE_AFTER_REPLY | SESSION_CLOSE_NOW)))
            return size;
        if (UNLIKELY(ran < batch.count)) {
            hold(node, session, &batch, ran, data + batch.end, size - batch.end);
            return size;
        }
        done = batch.end;
        if (batch.status == REQUEST_INCOMPLETE) {
            if (batch.request.needed > INPUT_NEEDED_MIN)
                session->input_needed = batch.request.needed;
            break;
        }
        if (UNLIKELY(session->flags & SESSION_HELD))
            break; /* what comes behind is looked at again when the reply before it is there */
        if (UNLIKELY(batch.status == REQUEST_BROKEN)) {
            reject_broken(node, session, batch.request.error);
            return size;
        }
        if (UNLIKELY(batch.status == REQUEST_NO_ROOM && batch.count == 0)) {
            /* The request may not even be complete: there is nothing yet to be answered. */
            node_log(node, NODE_LOG_WARNING, "Client %s closed: no memory for the arguments of its request",
                     session->peer_address);
            node_kill(node, session, false);
            return size;
        }
    }
    return done;
}

static inline void set_outgoing(struct session *session, struct buffer *outgoing) {
    session->outgoing = outgoing;
    if (LIKELY(!(session->flags & SESSION_ORDERED)))
        session->reply.out = outgoing;
}

/* Chooses where replies go: into the shared buffer while nothing waits, behind what waits otherwise. */
static void begin_output(struct node *node, struct session *session) {
    if (node->output_owner != NULL && node->output_owner != session)
        set_outgoing(node->output_owner, &node->output_owner->pending);
    if (session->pending.size == 0) {
        if (node->output_owner != session)
            buffer_clear(&node->output);
        set_outgoing(session, &node->output);
        node->output_owner = session;
    } else {
        set_outgoing(session, &session->pending);
    }
}

void node_leave_shared_output(struct node *node, struct session *session) {
    if (node->output_owner == session && node->output.size == 0) {
        set_outgoing(session, &session->pending);
        node->output_owner = NULL;
    }
}

static void process_private(struct node *node, struct session *session) {
    struct buffer input = session->input;
    size_t done = process(node, session, input.data, input.size);
    if (session->input.data != input.data)
        return; /* a hold has released it and put another buffer in its place */
    buffer_consume(&session->input, done);
    session->input_parsed -= done < session->input_parsed ? done : session->input_parsed;
    if (session->input.size == 0 && session->input.capacity > INPUT_KEPT_MAX)
        buffer_release(&session->input);
}

void node_process_input(struct node *node, struct session *session) {
    begin_output(node, session);
    if (session->input.size != 0)
        process_private(node, session);
}

struct node_span node_input_space(struct node *node, struct session *session) {
    if (UNLIKELY(!node_wants_read(node, session)))
        return (struct node_span){0};
    struct buffer *input = &session->input;
    if (LIKELY(input->size == 0))
        return (struct node_span){node->input_chunk, INPUT_CHUNK_SIZE};
    size_t wanted = session->input_needed > input->size ? session->input_needed - input->size : 0;
    /* At most as much again as has come: a length header alone reserves nothing. */
    if (wanted > input->size)
        wanted = input->size;
    if (wanted < INPUT_READ_MIN)
        wanted = INPUT_READ_MIN;
    if (!buffer_reserve(input, wanted)) {
        node_kill(node, session, false);
        return (struct node_span){0};
    }
    size_t room = input->capacity - input->size;
    return (struct node_span){input->data + input->size, room < INPUT_READ_MAX ? room : INPUT_READ_MAX};
}

void node_input(struct node *node, struct session *session, size_t size) {
    node->statistics.reads++;
    node->statistics.input_bytes += size;
    session->input_bytes += size;
    session->active_ms = node->monotonic_ms;
    begin_output(node, session);
    struct buffer *input = &session->input;
    if (LIKELY(input->size == 0)) {
        size_t done = process(node, session, node->input_chunk, size);
        if (UNLIKELY(done < size) && !buffer_append(input, node->input_chunk + done, size - done))
            node_kill(node, session, false);
        return;
    }
    input->size += size;
    if (input->size > node->config->client_query_buffer_limit) {
        node->statistics.input_buffer_closed++;
        node_log(node, NODE_LOG_WARNING, "Client %s closed: its request passes client-query-buffer-limit",
                 session->peer_address);
        node_kill(node, session, false);
        return;
    }
    if (input->size >= session->input_needed)
        process_private(node, session);
}

struct node_span node_output(struct node *node, struct session *session) {
    (void)node;
    if (UNLIKELY(session->flags & SESSION_CLOSE_NOW))
        return (struct node_span){0};
    struct buffer *out = session->outgoing;
    if (out->size == 0)
        return (struct node_span){0};
    size_t sent = out == &session->pending ? session->pending_sent : 0;
    return (struct node_span){out->data + sent, out->size - sent};
}

/* Moves what the connection did not take out of the shared buffer. */
static void keep_unsent(struct node *node, struct session *session, size_t sent) {
    struct buffer *shared = &node->output;
    if (shared->capacity > OUTPUT_SHARED_MAX) {
        buffer_release(&session->pending);
        session->pending = *shared;
        session->pending_sent = sent;
        buffer_init(shared, node->mem);
    } else if (!buffer_append(&session->pending, shared->data + sent, shared->size - sent)) {
        node_kill(node, session, false);
    }
    buffer_clear(shared);
    set_outgoing(session, &session->pending);
    node->output_owner = NULL;
}

void node_unclog(struct node *node, struct session *session) {
    if (UNLIKELY(session->flags & SESSION_CLOGGED) && unsent_size(session) < OUTPUT_CLOGGED_SIZE / 2 &&
        session->place_count < REPLIES_AWAITED_MAX / 2) {
        session->flags = (session->flags & ~SESSION_CLOGGED) | SESSION_RESUME;
        node_raise(node, session);
    }
}

void node_sent(struct node *node, struct session *session, size_t size) {
    node->statistics.writes += size != 0;
    node->statistics.output_bytes += size;
    session->output_bytes += size;
    if (LIKELY(session->outgoing == &node->output)) {
        if (LIKELY(size == node->output.size)) {
            buffer_clear(&node->output);
            if (UNLIKELY(node->output.capacity > OUTPUT_SHARED_MAX))
                buffer_release(&node->output);
        } else {
            keep_unsent(node, session, size);
        }
    } else {
        session->pending_sent += size;
        if (session->pending_sent == session->pending.size) {
            buffer_release(&session->pending);
            session->pending_sent = 0;
        }
    }
    node_unclog(node, session);
}
