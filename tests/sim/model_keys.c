/* model_keys.c - the commands on whole keys and databases.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/model_inside.h"

static struct model_entry *find(struct model_call *call, uint32_t index) {
    return entry_find(call->model, call->session->database, &call->argv[index]);
}

/* ---- DEL EXISTS TYPE ---- */

static void run_del(struct model_call *call) {
    int64_t count = 0;
    for (uint32_t i = 1; i < call->argc; i++) {
        struct model_entry *entry = find(call, i);
        if (entry == NULL)
            continue;
        entry_remove(call->model, call->session->database, entry);
        count++;
    }
    answer_integer(call, count);
}

static void run_exists(struct model_call *call) {
    int64_t count = 0;
    for (uint32_t i = 1; i < call->argc; i++)
        count += find(call, i) != NULL;
    answer_integer(call, count);
}

static void run_type(struct model_call *call) {
    answer_text(call, find(call, 1) == NULL ? "+none" : "+string");
}

/* ---- RENAME COPY MOVE ---- */

static bool same_word(const struct argument *a, const struct argument *b) {
    return bytes_equal(a->data, a->size, b->data, b->size);
}

static bool read_database(struct model_call *call, uint32_t index, uint32_t *database) {
    int64_t number;
    if (!word_integer(&call->argv[index], &number)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return false;
    }
    if (number < INT32_MIN || number > INT32_MAX) {
        answer_error(call, "ERR value is out of range, value must between -2147483648 and 2147483647");
        return false;
    }
    if (number < 0 || number >= MODEL_DATABASES) {
        answer_error(call, WORDS_DATABASE);
        return false;
    }
    *database = (uint32_t)number;
    return true;
}

static void put_copy(struct model_call *call, const struct model_entry *from, uint32_t database,
                     const struct argument *to) {
    entry_put(call->model, database, to, from->value, from->value_size, from->expiry_ms, from->shape);
}

static void rename_to(struct model_call *call, bool only_if_absent) {
    const struct argument *to = &call->argv[2];
    struct model_entry *from = find(call, 1);
    if (from == NULL) {
        answer_error(call, "ERR no such key");
        return;
    }
    bool is_same = same_word(&call->argv[1], to);
    if (only_if_absent && (is_same || find(call, 2) != NULL)) {
        answer_integer(call, 0);
        return;
    }
    if (!is_same) {
        put_copy(call, from, call->session->database, to);
        entry_remove(call->model, call->session->database, from);
    }
    if (only_if_absent)
        answer_integer(call, 1);
    else
        answer_text(call, "+OK");
}

static void run_rename(struct model_call *call) {
    rename_to(call, false);
}

static void run_renamenx(struct model_call *call) {
    rename_to(call, true);
}

static void run_copy(struct model_call *call) {
    uint32_t database = call->session->database;
    bool replaces = false;
    for (uint32_t i = 3; i < call->argc; i++) {
        if (word_is(&call->argv[i], "replace")) {
            replaces = true;
        } else if (word_is(&call->argv[i], "db") && i + 1 < call->argc) {
            if (!read_database(call, ++i, &database))
                return;
        } else {
            answer_error(call, WORDS_SYNTAX);
            return;
        }
    }
    if (database == call->session->database && same_word(&call->argv[1], &call->argv[2])) {
        answer_error(call, "ERR source and destination objects are the same");
        return;
    }
    const struct model_entry *from = find(call, 1);
    bool is_done = from != NULL && (entry_find(call->model, database, &call->argv[2]) == NULL || replaces);
    if (is_done)
        put_copy(call, from, database, &call->argv[2]);
    answer_integer(call, is_done);
}

static void run_move(struct model_call *call) {
    uint32_t database;
    if (!read_database(call, 2, &database))
        return;
    if (database == call->session->database) {
        answer_error(call, "ERR source and destination objects are the same");
        return;
    }
    struct model_entry *from = find(call, 1);
    bool is_done = from != NULL && entry_find(call->model, database, &call->argv[1]) == NULL;
    if (is_done) {
        put_copy(call, from, database, &call->argv[1]);
        entry_remove(call->model, call->session->database, from);
    }
    answer_integer(call, is_done);
}

/* ---- Expiry ---- */

static void expire(struct model_call *call, int64_t base_ms, int64_t unit_ms) {
    bool nx = false, xx = false, gt = false, lt = false;
    for (uint32_t i = 3; i < call->argc; i++) {
        const struct argument *word = &call->argv[i];
        bool *option = word_is(word, "nx")   ? &nx
                       : word_is(word, "xx") ? &xx
                       : word_is(word, "gt") ? &gt
                       : word_is(word, "lt") ? &lt
                                             : NULL;
        if (option == NULL) {
            /* Texts end at a zero byte. */
            size_t size = 0;
            while (size < word->size && size < 128 && word->data[size] != '\0')
                size++;
            if (size == 128)
                judge(call, reply_begins(call, "-ERR Unsupported option "), "Unsupported option");
            else
                answer_error(call, "ERR Unsupported option %.*s", (int)size, (const char *)word->data);
            return;
        }
        *option = true;
    }
    if (nx && (xx || gt || lt)) {
        answer_error(call, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return;
    }
    if (gt && lt) {
        answer_error(call, "ERR GT and LT options at the same time are not compatible");
        return;
    }
    int64_t number;
    if (!word_integer(&call->argv[2], &number)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return;
    }
    __int128 scaled = (__int128)number * unit_ms, moment = scaled + base_ms;
    if (scaled > INT64_MAX || scaled < INT64_MIN || moment > INT64_MAX || moment < INT64_MIN) {
        answer_error(call, "ERR invalid expire time in '%s' command", call->name);
        return;
    }
    struct model_entry *entry = find(call, 1);
    bool has_expiry = entry != NULL && entry->expiry_ms != MODEL_NO_EXPIRY;
    /* No expiry is later than any. */
    if (entry == NULL || (nx && has_expiry) || (xx && !has_expiry) ||
        (gt && (!has_expiry || moment <= entry->expiry_ms)) ||
        (lt && has_expiry && moment >= entry->expiry_ms)) {
        answer_integer(call, 0);
        return;
    }
    if (moment <= call->model->now_ms)
        entry_remove(call->model, call->session->database, entry);
    else
        entry_set_expiry(call->model, call->session->database, entry, (int64_t)moment);
    answer_integer(call, 1);
}

static void run_expire(struct model_call *call) {
    expire(call, call->model->now_ms, 1000);
}

static void run_pexpire(struct model_call *call) {
    expire(call, call->model->now_ms, 1);
}

static void run_expireat(struct model_call *call) {
    expire(call, 0, 1000);
}

static void run_pexpireat(struct model_call *call) {
    expire(call, 0, 1);
}

static void run_persist(struct model_call *call) {
    struct model_entry *entry = find(call, 1);
    bool is_done = entry != NULL && entry->expiry_ms != MODEL_NO_EXPIRY;
    if (is_done)
        entry_set_expiry(call->model, call->session->database, entry, MODEL_NO_EXPIRY);
    answer_integer(call, is_done);
}

static void show_expiry(struct model_call *call, int64_t base_ms, int64_t unit_ms) {
    const struct model_entry *entry = find(call, 1);
    if (entry == NULL)
        answer_integer(call, -2);
    else if (entry->expiry_ms == MODEL_NO_EXPIRY)
        answer_integer(call, -1);
    else
        answer_integer(call, (int64_t)(((__int128)entry->expiry_ms - base_ms + unit_ms / 2) / unit_ms));
}

static void run_ttl(struct model_call *call) {
    show_expiry(call, call->model->now_ms, 1000);
}

static void run_pttl(struct model_call *call) {
    show_expiry(call, call->model->now_ms, 1);
}

static void run_expiretime(struct model_call *call) {
    show_expiry(call, 0, 1000);
}

static void run_pexpiretime(struct model_call *call) {
    show_expiry(call, 0, 1);
}

/* ---- Whole databases ---- */

static void run_dbsize(struct model_call *call) {
    uint64_t ghosts, live = database_count(call->model, call->session->database, &ghosts);
    int64_t said;
    bool is_right =
        call->answer == NULL || (reply_integer_value(call->answer, call->answer_size, &said) && said >= 0 &&
                                 (uint64_t)said >= live && (uint64_t)said <= live + ghosts);
    judge(call, is_right, "another number of keys");
}

/* Any live key; nothing only if there is none (or they are few among many that have expired). */
static void run_randomkey(struct model_call *call) {
    uint64_t ghosts, live = database_count(call->model, call->session->database, &ghosts);
    const uint8_t *key;
    size_t size;
    bool is_right = call->answer == NULL;
    if (call->answer != NULL && reply_is_nil(call->answer, call->answer_size))
        is_right = live == 0 || ghosts >= 100;
    else if (call->answer != NULL && reply_bulk_value(call->answer, call->answer_size, &key, &size))
        is_right = entry_is_live(call->model, entry_any(call->model, call->session->database, key, size));
    judge(call, is_right, "a live key");
}

static bool read_flush_words(struct model_call *call) {
    if (call->argc == 1 ||
        (call->argc == 2 && (word_is(&call->argv[1], "async") || word_is(&call->argv[1], "sync"))))
        return true;
    answer_error(call, WORDS_SYNTAX);
    return false;
}

static void flush(struct model_call *call, uint32_t database) {
    watch_tell_database(call->model, database, database);
    database_empty(call->model, database);
}

static void run_flushdb(struct model_call *call) {
    if (!read_flush_words(call))
        return;
    flush(call, call->session->database);
    answer_text(call, "+OK");
}

static void run_flushall(struct model_call *call) {
    if (!read_flush_words(call))
        return;
    for (uint32_t database = 0; database < MODEL_DATABASES; database++)
        flush(call, database);
    answer_text(call, "+OK");
}

static void run_swapdb(struct model_call *call) {
    static const char *const not_a_number[] = {"ERR invalid first DB index", "ERR invalid second DB index"};
    int64_t numbers[2];
    for (unsigned i = 0; i < 2; i++)
        if (!word_integer(&call->argv[1 + i], &numbers[i]) || numbers[i] < INT32_MIN ||
            numbers[i] > INT32_MAX) {
            answer_error(call, "%s", not_a_number[i]);
            return;
        }
    for (unsigned i = 0; i < 2; i++)
        if (numbers[i] < 0 || numbers[i] >= MODEL_DATABASES) {
            answer_error(call, WORDS_DATABASE);
            return;
        }
    answer_text(call, "+OK");
    if (numbers[0] == numbers[1])
        return;
    watch_tell_database(call->model, (uint32_t)numbers[0], (uint32_t)numbers[1]);
    struct model_database kept = call->model->databases[numbers[0]];
    call->model->databases[numbers[0]] = call->model->databases[numbers[1]];
    call->model->databases[numbers[1]] = kept;
    /* A SCAN of either sees other keys now. */
    for (struct model_session *session = call->model->sessions; session != NULL; session = session->next)
        if (session->scan.database == numbers[0] || session->scan.database == numbers[1])
            session->scan.is_running = false;
}

/* ---- OBJECT ---- */

static bool is_integer(const struct model_entry *entry, int64_t *number) {
    return entry->shape == SHAPE_NATURAL && text_integer(entry->value, entry->value_size, number);
}

static void run_object_encoding(struct model_call *call) {
    const struct model_entry *entry = find(call, 2);
    int64_t number;
    if (entry == NULL)
        answer_null(call);
    else if (is_integer(entry, &number))
        answer_bulk_text(call, "int");
    else
        answer_bulk_text(call, entry->shape != SHAPE_RAW && entry->value_size <= MODEL_SHORT_VALUE ? "embstr"
                                                                                                   : "raw");
}

static void run_object_refcount(struct model_call *call) {
    const struct model_entry *entry = find(call, 2);
    int64_t number;
    if (entry == NULL)
        answer_null(call);
    else
        answer_integer(call, is_integer(entry, &number) && number >= 0 && number < 10000 ? INT32_MAX : 1);
}

/* ---- DUMP RESTORE ---- */

/* More than clients remember. */
#define DUMPS_KEPT 4096

static void *take(struct model *model, size_t size) {
    void *pointer = mem_alloc_zeroed(model->options.mem, size + 1);
    CHECK(pointer != NULL);
    return pointer;
}

static void dump_free(struct model *model, struct model_dump *dump) {
    mem_free(model->options.mem, dump->payload, dump->payload_size + 1);
    mem_free(model->options.mem, dump->value, dump->value_size + 1);
    mem_free(model->options.mem, dump, sizeof *dump + 1);
}

static void dump_keep(struct model *model, const uint8_t *payload, size_t payload_size,
                      const struct model_entry *entry) {
    struct model_dump *dump = take(model, sizeof *dump);
    dump->payload = take(model, payload_size);
    dump->payload_size = payload_size;
    memcpy(dump->payload, payload, payload_size);
    dump->value = take(model, entry->value_size);
    dump->value_size = entry->value_size;
    if (entry->value_size != 0)
        memcpy(dump->value, entry->value, entry->value_size);
    dump->next = model->dumps;
    model->dumps = dump;
    if (++model->dump_count > DUMPS_KEPT)
        model_dumps_trim(model, DUMPS_KEPT / 2);
}

void model_dumps_trim(struct model *model, unsigned kept) {
    struct model_dump **place = &model->dumps;
    for (unsigned i = 0; i < kept && *place != NULL; i++)
        place = &(*place)->next;
    while (*place != NULL) {
        struct model_dump *dump = *place;
        *place = dump->next;
        dump_free(model, dump);
        model->dump_count--;
    }
}

static const struct model_dump *dump_of(const struct model *model, const struct argument *payload) {
    const struct model_dump *dump = model->dumps;
    while (dump != NULL && !bytes_equal(dump->payload, dump->payload_size, payload->data, payload->size))
        dump = dump->next;
    return dump;
}

static void run_dump(struct model_call *call) {
    const struct model_entry *entry = find(call, 1);
    const uint8_t *payload;
    size_t size;
    if (entry == NULL) {
        answer_null(call);
        return;
    }
    bool is_right = call->answer == NULL;
    if (call->answer != NULL && reply_bulk_value(call->answer, call->answer_size, &payload, &size) &&
        size > 0) {
        is_right = true;
        dump_keep(call->model, payload, size, entry);
    }
    judge(call, is_right, "a payload");
}

/* false: the error is answered. */
static bool read_restore_words(struct model_call *call, bool *replaces, bool *is_absolute) {
    int64_t idle = -1, frequency = -1;
    for (uint32_t i = 4; i < call->argc; i++) {
        const struct argument *word = &call->argv[i];
        bool has_more = i + 1 < call->argc;
        if (word_is(word, "replace")) {
            *replaces = true;
        } else if (word_is(word, "absttl")) {
            *is_absolute = true;
        } else if ((word_is(word, "idletime") && has_more && frequency == -1) ||
                   (word_is(word, "freq") && has_more && idle == -1)) {
            bool is_idle = word_is(word, "idletime");
            int64_t *number = is_idle ? &idle : &frequency;
            if (!word_integer(&call->argv[++i], number)) {
                answer_error(call, WORDS_NOT_INTEGER);
                return false;
            }
            if (*number < 0 || (!is_idle && *number > 255)) {
                answer_error(call, is_idle ? "ERR Invalid IDLETIME value, must be >= 0"
                                           : "ERR Invalid FREQ value, must be >= 0 and <= 255");
                return false;
            }
        } else {
            answer_error(call, WORDS_SYNTAX);
            return false;
        }
    }
    return true;
}

/* Of payloads that were never given out the model only knows that they are refused, or (by a miracle) taken. */
static void run_restore(struct model_call *call) {
    bool replaces = false, is_absolute = false;
    if (!read_restore_words(call, &replaces, &is_absolute))
        return;
    if (!replaces && find(call, 1) != NULL) {
        answer_error(call, "BUSYKEY Target key name already exists.");
        return;
    }
    int64_t ttl_ms;
    if (!word_integer(&call->argv[2], &ttl_ms)) {
        answer_error(call, WORDS_NOT_INTEGER);
        return;
    }
    if (ttl_ms < 0) {
        answer_error(call, "ERR Invalid TTL value, must be >= 0");
        return;
    }
    const struct model_dump *dump = dump_of(call->model, &call->argv[3]);
    if (dump == NULL) {
        judge(call,
              call->answer == NULL || reply_begins(call, "-ERR DUMP payload") ||
                  reply_begins(call, "-ERR Bad data"),
              "an error about the payload");
        return;
    }
    __int128 expiry_ms = ttl_ms == 0   ? MODEL_NO_EXPIRY
                         : is_absolute ? ttl_ms
                                       : (__int128)ttl_ms + call->model->now_ms;
    answer_text(call, "+OK");
    if (ttl_ms != 0 && (expiry_ms <= call->model->now_ms || expiry_ms > INT64_MAX)) {
        struct model_entry *old = find(call, 1);
        if (old != NULL)
            entry_remove(call->model, call->session->database, old);
        return;
    }
    entry_put(call->model, call->session->database, &call->argv[1], dump->value, dump->value_size,
              (int64_t)expiry_ms, SHAPE_NATURAL);
}

static const struct model_command rows[] = {
    {"copy", -3, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_copy},
    {"dbsize", 1, 0, run_dbsize},
    {"del", -2, MODEL_WRITES, run_del},
    {"dump", 2, 0, run_dump},
    {"exists", -2, 0, run_exists},
    {"expire", -3, MODEL_WRITES, run_expire},
    {"expireat", -3, MODEL_WRITES, run_expireat},
    {"expiretime", 2, 0, run_expiretime},
    {"flushall", -1, MODEL_WRITES, run_flushall},
    {"flushdb", -1, MODEL_WRITES, run_flushdb},
    {"move", 3, MODEL_WRITES, run_move},
    {"object", -2, MODEL_ANYTHING, NULL},
    {"object|encoding", 3, 0, run_object_encoding},
    {"object|refcount", 3, 0, run_object_refcount},
    {"persist", 2, MODEL_WRITES, run_persist},
    {"pexpire", -3, MODEL_WRITES, run_pexpire},
    {"pexpireat", -3, MODEL_WRITES, run_pexpireat},
    {"pexpiretime", 2, 0, run_pexpiretime},
    {"pttl", 2, 0, run_pttl},
    {"randomkey", 1, 0, run_randomkey},
    {"rename", 3, MODEL_WRITES, run_rename},
    {"renamenx", 3, MODEL_WRITES, run_renamenx},
    {"restore", -4, MODEL_NEEDS_MEMORY | MODEL_WRITES, run_restore},
    {"swapdb", 3, MODEL_WRITES, run_swapdb},
    {"touch", -2, 0, run_exists},
    {"ttl", 2, 0, run_ttl},
    {"type", 2, 0, run_type},
    {"unlink", -2, MODEL_WRITES, run_del},
    {0},
};

const struct model_command *model_key_commands(void) {
    return rows;
}
