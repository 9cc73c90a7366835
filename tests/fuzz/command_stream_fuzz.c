/* command_stream_fuzz.c - any script of what several clients say to one node, each answer judged by the simulator's model.
 *
 * Input: lines. A line that begins with a digit is what that client says: words with spaces between them.
 *   0 set k1 hello      client 0 sends a request and reads the answer       0& ...  it is written, and sent with the next
 *   0" set k1 hello     the same as people type it, with quotes             0% ...  a half of what is written is sent
 *   +1500               time goes on, and the node does its background work
 *   !0                  the client is gone; another one takes its place
 *   |3                  from now on bytes travel in pieces of so many at most
 *   @                   as the very first line: the server has a password, `secret`
 * In a word: ~ alone is the empty word; #300x is 300 bytes x; $payload is what DUMP last gave, $cursor what SCAN last
 * gave; the bytes 1 to 4 stand for space, LF, zero and CR.
 * Checked: every request gets exactly one answer, whole and right by the model; nothing else is ever sent; a connection is
 * closed when the model says so and never else; in the end the keys are the model's; no memory is lost. Left to the
 * simulator: what holds clients back or closes others, settings, lack of memory, clocks that go back.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/node.h"
#include "sim/model.h"
#include "sim/reply_reader.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_SIZE_MAX 4096
#define CLIENTS        4
#define WORDS_MAX      10 /* as many as the server takes from strangers */
#define WAITING_MAX    32
#define STRANGER_MS    30000
#define START_WALL_MS  INT64_C(1700000000000)
#define START_CLOCK_MS 5000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct request {
    struct buffer bytes; /* of all words */
    struct argument argv[WORDS_MAX];
    uint32_t argc;
    size_t end; /* in all that the client has written */
};

struct client {
    struct session *session; /* NULL: not connected */
    struct model_session *model;
    struct buffer wire; /* written, not yet sent */
    struct buffer received;
    size_t written, sent;
    struct request waiting[WAITING_MAX];
    unsigned waiting_count;
    uint64_t connected_ms;
};

struct stage {
    struct mem mem, own; /* the node's, and ours */
    struct config config;
    struct node *node;
    struct model *model;
    struct client clients[CLIENTS];
    struct buffer expected, payload, cursor;
    uint64_t elapsed_ms;
    size_t piece;
    bool has_password;
};

/* ---- What the node asks of the world ---- */

static uint64_t host_clock_ns(void *context) {
    return (START_CLOCK_MS + ((struct stage *)context)->elapsed_ms) * 1000000;
}

static void host_log(void *context, enum node_log_level level, const char *text) {
    (void)context, (void)level, (void)text;
}

static void host_facts(void *context, struct host_facts *facts) {
    (void)context;
    *facts = (struct host_facts){.resident_bytes = 1 << 20, .process_id = 1};
}

static bool host_setting_changed(void *context, const char *name, char error[256]) {
    (void)context, (void)name, (void)error;
    return true;
}

static bool host_config_read(void *context, struct buffer *text, char error[256]) {
    (void)context, (void)text;
    snprintf(error, 256, "no file");
    return false;
}

static bool host_config_write(void *context, const void *text, size_t size, char error[256]) {
    (void)context, (void)text, (void)size;
    snprintf(error, 256, "no file");
    return false;
}

static void host_memory_purge(void *context) {
    (void)context;
}

static void host_sleep_us(void *context, uint64_t us) {
    (void)context, (void)us;
}

static void turn(struct stage *stage) {
    int64_t wall_ms = START_WALL_MS + (int64_t)stage->elapsed_ms;
    node_turn(stage->node, host_clock_ns(stage), wall_ms * 1000);
    model_set_time(stage->model, wall_ms);
}

static void stage_init(struct stage *stage, bool has_password) {
    struct node_host host = {.context = stage,
                             .clock_ns = host_clock_ns,
                             .thread_cpu_ns = host_clock_ns,
                             .log = host_log,
                             .facts = host_facts,
                             .setting_changed = host_setting_changed,
                             .config_read = host_config_read,
                             .config_write = host_config_write,
                             .memory_purge = host_memory_purge,
                             .sleep_us = host_sleep_us};
    static const char password_line[] = "requirepass secret\n";
    struct config_problem problem;
    stage->has_password = has_password;
    stage->piece = INPUT_SIZE_MAX;
    CHECK(config_init(&stage->config, &stage->mem));
    CHECK(!has_password ||
          config_apply_text(&stage->config, password_line, sizeof password_line - 1, NULL, &problem));
    struct node_options options = {.mem = &stage->mem,
                                   .host = &host,
                                   .config = &stage->config,
                                   .random_seed = 1,
                                   .monotonic_ns = host_clock_ns(stage),
                                   .wall_us = START_WALL_MS * 1000};
    stage->node = node_new(&options);
    struct model_options model_options = {.mem = &stage->own, .password = has_password ? "secret" : NULL};
    stage->model = model_new(&model_options);
    CHECK(stage->node != NULL && stage->model != NULL);
    struct buffer *buffers[] = {&stage->expected, &stage->payload, &stage->cursor};
    for (unsigned i = 0; i < 3; i++)
        buffer_init(buffers[i], &stage->own);
    CHECK(buffer_append_text(&stage->payload, "none") && buffer_append_text(&stage->cursor, "0"));
    turn(stage);
}

/* ---- Connections ---- */

static void connect_client(struct stage *stage, struct client *client) {
    struct node_client facts = {.owner = client,
                                .descriptor = 7,
                                .is_loopback = true,
                                .peer_address = "127.0.0.1:50000",
                                .local_address = "127.0.0.1:6379"};
    *client = (struct client){.connected_ms = stage->elapsed_ms};
    buffer_init(&client->wire, &stage->own);
    buffer_init(&client->received, &stage->own);
    client->session = node_accept(stage->node, &facts);
    CHECK(client->session != NULL);
    client->model = model_open(stage->model, client->session->id);
}

static void drop_request(struct client *client) {
    buffer_release(&client->waiting[0].bytes);
    client->waiting_count--;
    memmove(client->waiting, client->waiting + 1, client->waiting_count * sizeof *client->waiting);
    for (unsigned i = 0; i < client->waiting_count; i++)
        CHECK(client->waiting[i].argc <= WORDS_MAX);
}

static void disconnect(struct stage *stage, struct client *client) {
    if (client->session == NULL)
        return;
    while (client->waiting_count != 0)
        drop_request(client);
    buffer_release(&client->wire);
    buffer_release(&client->received);
    model_close(stage->model, client->model);
    node_close(stage->node, client->session);
    client->session = NULL;
}

/* ---- Judging ---- */

static void show(const char *what, const uint8_t *data, size_t size) {
    fprintf(stderr, "%s", what);
    for (size_t i = 0; i < size && i < 600; i++)
        fprintf(stderr, data[i] >= ' ' && data[i] < 127 ? "%c" : "\\x%02x", data[i]);
    fprintf(stderr, "\n");
}

static void fail(const struct stage *stage, const struct request *request, const struct client *client) {
    for (uint32_t i = 0; i < request->argc; i++)
        show(i == 0 ? "request:  " : "          ", request->argv[i].data, request->argv[i].size);
    show("received: ", client->received.data, client->received.size);
    show("expected: ", stage->expected.data, stage->expected.size);
    __builtin_trap();
}

/* Keeps what later words may stand for. */
static void remember(struct stage *stage, const struct request *request, const uint8_t *answer, size_t size) {
    const uint8_t *data;
    size_t data_size, first;
    uint64_t count;
    struct buffer *kept = argument_is(&request->argv[0], "dump") ? &stage->payload : &stage->cursor;
    if (argument_is(&request->argv[0], "scan") && reply_elements(answer, size, &count, &first)) {
        answer += first;
        size -= first;
    } else if (kept == &stage->cursor) {
        return;
    }
    if (reply_bulk_value(answer, size, &data, &data_size)) {
        buffer_clear(kept);
        CHECK(buffer_append(kept, data, data_size));
    }
}

static void judge_request(struct stage *stage, struct client *client, const struct request *request) {
    struct model_request asked = {.argv = request->argv, .argc = request->argc};
    if (!model_is_silent(client->model, request->argv, request->argc)) {
        unsigned protocol = model_protocol(client->model);
        const struct buffer *received = &client->received;
        asked.answer = received->data;
        asked.answer_size = reply_measure(received->data, received->size, protocol);
        /* HELLO answers in the protocol that it switches to, and may stand in a transaction. */
        if (asked.answer_size == 0 &&
            (argument_is(&request->argv[0], "hello") || argument_is(&request->argv[0], "exec")))
            asked.answer_size = reply_measure(received->data, received->size, 0);
        if (asked.answer_size == 0)
            fail(stage, request, client);
    }
    enum model_verdict verdict = model_run(stage->model, client->model, &asked, &stage->expected);
    if (verdict != MODEL_RIGHT && verdict != MODEL_UNKNOWN)
        fail(stage, request, client);
    if (asked.answer != NULL) {
        remember(stage, request, asked.answer, asked.answer_size);
        buffer_consume(&client->received, asked.answer_size);
    }
}

/* What a web page makes a browser send: the connection ends without a word. */
static bool is_from_browser(const struct request *request) {
    return argument_is(&request->argv[0], "post") || argument_is(&request->argv[0], "host:");
}

/* All that the node was given has been executed: request by request, all that was answered is right, and nothing is left. */
static void judge(struct stage *stage, struct client *client) {
    while (client->waiting_count != 0 && client->waiting[0].end <= client->sent &&
           !model_is_closing(client->model)) {
        if (is_from_browser(&client->waiting[0])) {
            CHECK(node_wants_close(client->session));
            disconnect(stage, client);
            return;
        }
        judge_request(stage, client, &client->waiting[0]);
        drop_request(client);
    }
    if (client->received.size != 0)
        show("unasked: ", client->received.data, client->received.size);
    CHECK(client->received.size == 0);
    bool is_late_stranger =
        !model_is_authenticated(client->model) && stage->elapsed_ms - client->connected_ms >= STRANGER_MS;
    CHECK(model_is_closing(client->model) ? node_wants_close(client->session)
                                          : is_late_stranger || !node_wants_close(client->session));
    if (node_wants_close(client->session))
        disconnect(stage, client);
}

/* Reads all that the node has for the client. */
static void receive(struct stage *stage, struct client *client) {
    for (;;) {
        struct node_span span = node_output(stage->node, client->session);
        if (span.size == 0)
            return;
        size_t taken = span.size < stage->piece ? span.size : stage->piece;
        CHECK(buffer_append(&client->received, span.data, taken));
        node_sent(stage->node, client->session, taken);
    }
}

static void attend(struct stage *stage) {
    struct session *session;
    while ((session = node_attention(stage->node)) != NULL) {
        struct client *client = session->owner;
        receive(stage, client);
        judge(stage, client);
    }
}

/* The first bytes of what is written are sent, piece by piece. */
static void send_bytes(struct stage *stage, struct client *client, size_t size) {
    while (size != 0 && client->session != NULL) {
        struct node_span space = node_input_space(stage->node, client->session);
        size_t piece = size < stage->piece ? size : stage->piece;
        CHECK(space.size >= piece);
        memcpy(space.data, client->wire.data, piece);
        buffer_consume(&client->wire, piece);
        client->sent += piece;
        size -= piece;
        node_input(stage->node, client->session, piece);
        receive(stage, client);
        judge(stage, client);
        attend(stage);
    }
}

/* ---- Requests ---- */

/* What is left to the simulator: see above. And what betrays a web page, and ends the connection. */
static bool is_left_out(const struct request *request) {
    static const char *const names[] = {"config", "debug", "monitor", "shutdown", "post", "host:"};
    static const char *const of_client[] = {"kill", "pause", "unpause"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (argument_is(&request->argv[0], names[i]))
            return true;
    for (unsigned i = 0; i < sizeof of_client / sizeof *of_client; i++)
        if (request->argc > 1 && argument_is(&request->argv[0], "client") &&
            argument_is(&request->argv[1], of_client[i]))
            return true;
    return false;
}

/* Whether a request could make a string that takes long to look at: these commands take offsets. */
static bool is_too_far(const struct request *request) {
    bool is_field = argument_is(&request->argv[0], "bitfield");
    if (!is_field && !argument_is(&request->argv[0], "setbit") && !argument_is(&request->argv[0], "setrange"))
        return false;
    size_t digits_max = is_field ? 2 : 3;
    for (uint32_t i = 2; i < request->argc; i++) {
        const struct argument *word = &request->argv[i];
        size_t digits = 0;
        for (uint32_t at = 0; at <= word->size; at++) {
            bool is_digit = at < word->size && isdigit(word->data[at]);
            if (!is_digit && digits > digits_max && digits <= 10)
                return true; /* with more, no offset is meant */
            digits = is_digit ? digits + 1 : 0;
        }
    }
    return false;
}

/* #300x: false if the word is no such thing. */
static bool add_run(struct buffer *bytes, const uint8_t *word, size_t size) {
    size_t count = 0;
    if (size < 3 || size > 6 || word[0] != '#' || isdigit(word[size - 1]))
        return false;
    for (size_t i = 1; i + 1 < size; i++) {
        if (!isdigit(word[i]))
            return false;
        count = count * 10 + (size_t)(word[i] - '0');
    }
    count %= 2000;
    CHECK(buffer_reserve(bytes, count + 1));
    memset(bytes->data + bytes->size, word[size - 1], count);
    bytes->size += count;
    return true;
}

static bool is_word(const uint8_t *word, size_t size, const char *text) {
    return size == strlen(text) && memcmp(word, text, size) == 0;
}

static void add_word(const struct stage *stage, struct request *request, const uint8_t *word, size_t size) {
    struct buffer *bytes = &request->bytes;
    size_t begin = bytes->size;
    if (is_word(word, size, "$payload")) {
        CHECK(buffer_append(bytes, stage->payload.data, stage->payload.size));
    } else if (is_word(word, size, "$cursor")) {
        CHECK(buffer_append(bytes, stage->cursor.data, stage->cursor.size));
    } else if (!is_word(word, size, "~") && !add_run(bytes, word, size)) {
        for (size_t i = 0; i < size; i++)
            CHECK(buffer_append_byte(bytes, word[i] >= 1 && word[i] <= 4 ? (uint8_t) " \n\0\r"[word[i] - 1]
                                                                         : word[i]));
    }
    request->argv[request->argc++].size = (uint32_t)(bytes->size - begin);
}

/* Reads the words of a line; false: there is nothing to be said. */
static bool read_request(const struct stage *stage, struct request *request, const uint8_t *line,
                         size_t size) {
    *request = (struct request){0};
    buffer_init(&request->bytes, stage->expected.mem);
    for (size_t at = 0; at < size && request->argc < WORDS_MAX;) {
        const uint8_t *space = memchr(line + at, ' ', size - at);
        size_t length = space == NULL ? size - at : (size_t)(space - (line + at));
        if (length != 0)
            add_word(stage, request, line + at, length);
        at += length + 1;
    }
    const uint8_t *data = request->bytes.data;
    for (uint32_t i = 0; i < request->argc; i++) {
        request->argv[i].data = data == NULL ? (const uint8_t *)"" : data;
        request->argv[i].slot = ARGUMENT_NOT_PLACED;
        data = data == NULL ? NULL : data + request->argv[i].size;
    }
    if (request->argc != 0 && !is_left_out(request) && !is_too_far(request))
        return true;
    buffer_release(&request->bytes);
    return false;
}

static void write_array(struct buffer *wire, const struct request *request) {
    CHECK(buffer_append_format(wire, "*%u\r\n", request->argc));
    for (uint32_t i = 0; i < request->argc; i++)
        CHECK(buffer_append_format(wire, "$%u\r\n", request->argv[i].size) &&
              buffer_append(wire, request->argv[i].data, request->argv[i].size) &&
              buffer_append(wire, "\r\n", 2));
}

static void write_typed(struct buffer *wire, const struct request *request) {
    for (uint32_t i = 0; i < request->argc; i++) {
        const struct argument *word = &request->argv[i];
        CHECK(buffer_append_text(wire, i == 0 ? "\"" : " \""));
        for (uint32_t at = 0; at < word->size; at++)
            CHECK(isalnum(word->data[at]) ? buffer_append_byte(wire, word->data[at])
                                          : buffer_append_format(wire, "\\x%02X", word->data[at]));
        CHECK(buffer_append_text(wire, "\""));
    }
    CHECK(buffer_append_text(wire, request->argv[0].size % 2 == 0 ? "\n" : "\r\n"));
}

/* form: '"' and '&' and '%' as above. */
static void say(struct stage *stage, struct client *client, char form, const uint8_t *line, size_t size) {
    if (client->session == NULL)
        connect_client(stage, client);
    if (client->waiting_count == WAITING_MAX) {
        send_bytes(stage, client, client->wire.size);
        if (client->session == NULL)
            return;
    }
    struct request *request = &client->waiting[client->waiting_count];
    if (!read_request(stage, request, line, size))
        return;
    client->waiting_count++;
    size_t before = client->wire.size;
    if (form == '"')
        write_typed(&client->wire, request);
    else
        write_array(&client->wire, request);
    client->written += client->wire.size - before;
    request->end = client->written;
    if (form != '&')
        send_bytes(stage, client, form == '%' ? client->wire.size / 2 : client->wire.size);
}

static void say_text(struct stage *stage, struct client *client, const char *line) {
    say(stage, client, ' ', (const uint8_t *)line, strlen(line));
    CHECK(client->session != NULL && client->waiting_count == 0);
}

/* ---- The script ---- */

static void wait_ms(struct stage *stage, uint64_t ms) {
    stage->elapsed_ms += ms;
    turn(stage);
    for (unsigned steps = 0; steps < 50 && node_work(stage->node) == 0; steps++)
        continue;
    attend(stage);
}

static uint64_t line_number(const uint8_t *line, size_t size) {
    uint64_t number = 0;
    for (size_t i = 1; i < size && i < 9 && isdigit(line[i]); i++)
        number = number * 10 + (uint64_t)(line[i] - '0');
    return number;
}

static void run_line(struct stage *stage, const uint8_t *line, size_t size) {
    uint64_t number = line_number(line, size);
    if (line[0] == '+') {
        wait_ms(stage, number);
    } else if (line[0] == '|') {
        stage->piece = number == 0 ? INPUT_SIZE_MAX : number % INPUT_SIZE_MAX + 1;
    } else if (line[0] == '!') {
        disconnect(stage, &stage->clients[number % CLIENTS]);
    } else if (isdigit(line[0]) && size > 1) {
        bool has_form = memchr("\"&%", line[1], 3) != NULL;
        say(stage, &stage->clients[(line[0] - '0') % CLIENTS], has_form ? (char)line[1] : ' ',
            line + 1 + has_form, size - 1 - has_form);
    }
}

struct key_list {
    struct buffer bytes; /* of each key: database, size, bytes */
};

static void list_key(void *context, const struct model_record *record) {
    struct key_list *list = context;
    uint32_t numbers[2] = {record->database, (uint32_t)record->key_size};
    CHECK(buffer_append(&list->bytes, numbers, sizeof numbers) &&
          buffer_append(&list->bytes, record->key, record->key_size));
}

static void ask(struct stage *stage, struct client *client, const char *command, const uint8_t *key,
                size_t key_size) {
    struct request *request = &client->waiting[client->waiting_count++];
    *request = (struct request){.argc = 2};
    buffer_init(&request->bytes, &stage->own);
    CHECK(buffer_append_text(&request->bytes, command) && buffer_append(&request->bytes, key, key_size));
    size_t size = strlen(command);
    request->argv[0] = (struct argument){request->bytes.data, (uint32_t)size, ARGUMENT_NOT_PLACED, 0};
    request->argv[1] =
        (struct argument){request->bytes.data + size, (uint32_t)key_size, ARGUMENT_NOT_PLACED, 0};
    write_array(&client->wire, request);
    request->end = client->written = client->sent + client->wire.size;
    send_bytes(stage, client, client->wire.size);
    CHECK(client->session != NULL && client->waiting_count == 0);
}

/* A client that has seen nothing asks for all keys that there should be, and how many there are. */
static void check_keys(struct stage *stage) {
    struct key_list list;
    struct client *client = &stage->clients[0];
    char line[32];
    buffer_init(&list.bytes, &stage->own);
    stage->piece = INPUT_SIZE_MAX;
    for (unsigned i = 0; i < CLIENTS; i++)
        disconnect(stage, &stage->clients[i]);
    attend(stage);
    say_text(stage, client, stage->has_password ? "auth secret" : "ping");
    model_each(stage->model, list_key, &list);
    for (size_t at = 0; at < list.bytes.size;) {
        uint32_t numbers[2];
        memcpy(numbers, list.bytes.data + at, sizeof numbers);
        at += sizeof numbers;
        snprintf(line, sizeof line, "select %u", numbers[0]);
        say_text(stage, client, line);
        static const char *const commands[] = {"get", "pexpiretime", "type"};
        for (unsigned i = 0; i < 3; i++)
            ask(stage, client, commands[i], list.bytes.data + at, numbers[1]);
        at += numbers[1];
    }
    for (unsigned database = 0; database < MODEL_DATABASES; database++) {
        snprintf(line, sizeof line, "select %u", database);
        say_text(stage, client, line);
        say_text(stage, client, "dbsize");
    }
    disconnect(stage, client);
    buffer_release(&list.bytes);
}

static void stage_release(struct stage *stage) {
    model_free(stage->model);
    node_free(stage->node);
    config_release(&stage->config);
    buffer_release(&stage->expected);
    buffer_release(&stage->payload);
    buffer_release(&stage->cursor);
    CHECK(stage->mem.used_bytes == 0 && stage->mem.allocations == 0);
    CHECK(stage->own.used_bytes == 0 && stage->own.allocations == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > INPUT_SIZE_MAX)
        return 0;
    struct stage *stage = calloc(1, sizeof *stage);
    CHECK(stage != NULL);
    stage_init(stage, size != 0 && data[0] == '@');
    for (size_t at = 0; at < size;) {
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        size_t length = newline == NULL ? size - at : (size_t)(newline - (data + at));
        if (length != 0)
            run_line(stage, data + at, length);
        at += length + 1;
    }
    check_keys(stage);
    stage_release(stage);
    free(stage);
    return 0;
}
