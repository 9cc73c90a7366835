/* model_scan.c - SCAN and KEYS: which keys an answer may name, and which a complete SCAN must have named.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "sim/model_inside.h"

#define CURSOR_LIMIT (UINT64_C(1) << 53)
#define SCAN_BITS    64

/* ---- Patterns: '*' and '?' only; with others anything may match ---- */

static bool is_simple(const struct argument *pattern) {
    return pattern->size == 0 || (memchr(pattern->data, '[', pattern->size) == NULL &&
                                  memchr(pattern->data, '\\', pattern->size) == NULL);
}

static bool matches_rest(const uint8_t *pattern, size_t pattern_size, const uint8_t *text, size_t size) {
    if (pattern_size == 0)
        return size == 0;
    if (pattern[0] == '*')
        return matches_rest(pattern + 1, pattern_size - 1, text, size) ||
               (size != 0 && matches_rest(pattern, pattern_size, text + 1, size - 1));
    return size != 0 && (pattern[0] == '?' || pattern[0] == text[0]) &&
           matches_rest(pattern + 1, pattern_size - 1, text + 1, size - 1);
}

/* NULL: any key. An empty key is matched by "*" alone (it stands for no pattern) and by the empty pattern. */
static bool matches(const struct argument *pattern, const uint8_t *key, size_t size) {
    if (pattern == NULL || (pattern->size == 1 && pattern->data[0] == '*'))
        return true;
    if (size == 0)
        return pattern->size == 0;
    return matches_rest(pattern->data, pattern->size, key, size);
}

/* ---- The keys of an answer ---- */

struct listing {
    struct model_call *call;
    const struct argument *pattern;
    uint64_t mark;
    unsigned bit; /* to be set in those that are named; SCAN_BITS: none */
    uint64_t count;
    bool forbids_twice;
};

/* Whether all elements of the array at `at` are live keys that match. */
static bool check_keys(struct listing *listing, const uint8_t *at, size_t size) {
    struct model_call *call = listing->call;
    uint64_t count;
    size_t first;
    if (!reply_elements(at, size, &count, &first))
        return false;
    at += first;
    size -= first;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *key;
        size_t key_size, taken = reply_measure(at, size, 0);
        if (taken == 0 || !reply_bulk_value(at, taken, &key, &key_size))
            return false;
        struct model_entry *entry = entry_any(call->model, call->session->database, key, key_size);
        if (!entry_is_live(call->model, entry))
            return false;
        if (listing->pattern != NULL && is_simple(listing->pattern) &&
            !matches(listing->pattern, key, key_size))
            return false;
        if (listing->forbids_twice && entry->listed == listing->mark)
            return false;
        entry->listed = listing->mark;
        if (listing->bit < SCAN_BITS)
            entry->scans |= UINT64_C(1) << listing->bit;
        at += taken;
        size -= taken;
    }
    listing->count = count;
    return true;
}

/* ---- KEYS ---- */

struct match_count {
    const struct model *model;
    const struct argument *pattern;
    uint64_t count;
};

static void count_match(struct model_entry *entry, void *context) {
    struct match_count *count = context;
    count->count +=
        entry_is_live(count->model, entry) && matches(count->pattern, entry->key, entry->key_size);
}

static void run_keys(struct model_call *call) {
    if (call->answer == NULL) {
        judge(call, true, "");
        return;
    }
    const struct argument *pattern = &call->argv[1];
    struct listing listing = {.call = call,
                              .pattern = pattern,
                              .mark = ++call->model->listings,
                              .bit = SCAN_BITS,
                              .forbids_twice = true};
    if (!check_keys(&listing, call->answer, call->answer_size)) {
        judge(call, false, "live keys that match, each once");
        return;
    }
    struct match_count expected = {.model = call->model, .pattern = pattern};
    database_each(call->model, call->session->database, count_match, &expected);
    judge(call, !is_simple(pattern) || listing.count == expected.count, "all keys that match");
}

/* ---- SCAN ---- */

static void end_scan(struct model *model, struct scan_progress *scan) {
    if (scan->is_running && scan->bit < SCAN_BITS)
        model->scan_bits &= ~(UINT64_C(1) << scan->bit);
    scan->is_running = false;
}

void scan_forget(struct model *model, struct model_session *session) {
    end_scan(model, &session->scan);
}

static void clear_bit(struct model_entry *entry, void *context) {
    const struct scan_progress *scan = context;
    entry->scans &= ~(UINT64_C(1) << scan->bit);
}

static void begin_scan(struct model_call *call) {
    struct model *model = call->model;
    struct scan_progress *scan = &call->session->scan;
    end_scan(model, scan);
    *scan = (struct scan_progress){
        .is_running = true, .database = call->session->database, .begun = model->births};
    while (scan->bit < SCAN_BITS && model->scan_bits >> scan->bit & 1)
        scan->bit++;
    if (scan->bit == SCAN_BITS)
        return;
    model->scan_bits |= UINT64_C(1) << scan->bit;
    database_each(model, scan->database, clear_bit, scan);
}

struct missing {
    const struct model *model;
    const struct scan_progress *scan;
    const struct model_entry *found;
};

static void look_for_missing(struct model_entry *entry, void *context) {
    struct missing *missing = context;
    if (entry_is_live(missing->model, entry) && entry->born <= missing->scan->begun &&
        !(entry->scans >> missing->scan->bit & 1))
        missing->found = entry;
}

/* A SCAN has come to its end: every key that was there all the time was named. */
static bool is_scan_complete(struct model_call *call, const struct scan_progress *scan) {
    struct missing missing = {.model = call->model, .scan = scan};
    if (scan->bit < SCAN_BITS && !scan->is_filtered)
        database_each(call->model, scan->database, look_for_missing, &missing);
    return missing.found == NULL;
}

struct scan_words {
    uint64_t cursor;
    bool is_plain_cursor; /* only digits */
    const struct argument *pattern, *type;
};

/* false: the error is answered, or judged. */
static bool read_scan_words(struct model_call *call, struct scan_words *words) {
    int64_t cursor;
    words->is_plain_cursor = word_integer(&call->argv[1], &cursor) && cursor >= 0;
    words->cursor = words->is_plain_cursor ? (uint64_t)cursor : 0;
    if (!words->is_plain_cursor && reply_begins(call, "-ERR invalid cursor")) {
        judge(call, true, ""); /* what else counts as a number is not the model's business */
        return false;
    }
    for (uint32_t i = 2; i < call->argc; i += 2) {
        const struct argument *word = &call->argv[i];
        int64_t count;
        if (i + 1 == call->argc ||
            (!word_is(word, "count") && !word_is(word, "match") && !word_is(word, "type"))) {
            answer_error(call, WORDS_SYNTAX);
            return false;
        }
        if (word_is(word, "match")) {
            words->pattern = &call->argv[i + 1];
        } else if (word_is(word, "type")) {
            words->type = &call->argv[i + 1];
        } else if (!word_integer(&call->argv[i + 1], &count) || count < 1) {
            answer_error(call, word_integer(&call->argv[i + 1], &count) ? WORDS_SYNTAX : WORDS_NOT_INTEGER);
            return false;
        }
    }
    return true;
}

/* Reads the answer's cursor; *rest: where the keys begin. */
static bool read_answer(const struct model_call *call, uint64_t *cursor, size_t *rest) {
    uint64_t count;
    size_t first, taken, text_size;
    const uint8_t *text;
    int64_t number;
    if (!reply_elements(call->answer, call->answer_size, &count, &first) || count != 2)
        return false;
    taken = reply_measure(call->answer + first, call->answer_size - first, 0);
    if (!reply_bulk_value(call->answer + first, taken, &text, &text_size) ||
        !text_integer(text, text_size, &number) || number < 0)
        return false;
    *cursor = (uint64_t)number;
    *rest = first + taken;
    return true;
}

static void run_scan(struct model_call *call) {
    struct scan_words words = {0};
    struct scan_progress *scan = &call->session->scan;
    uint64_t next;
    size_t rest;
    if (!read_scan_words(call, &words))
        return;
    if (call->answer == NULL) {
        end_scan(call->model, scan);
        judge(call, true, "");
        return;
    }
    if (!read_answer(call, &next, &rest)) {
        judge(call, false, "a cursor and keys");
        return;
    }
    if (words.is_plain_cursor && words.cursor == 0)
        begin_scan(call);
    else if (!scan->is_running || scan->cursor != words.cursor || scan->database != call->session->database)
        end_scan(call->model, scan);
    scan->is_filtered = scan->is_filtered || words.pattern != NULL || words.type != NULL;
    struct listing listing = {.call = call,
                              .pattern = words.pattern,
                              .mark = ++call->model->listings,
                              .bit = scan->is_running ? scan->bit : SCAN_BITS};
    if (!check_keys(&listing, call->answer + rest, call->answer_size - rest))
        judge(call, false, "live keys that match");
    else if (words.type != NULL && !word_is(words.type, "string") && listing.count != 0)
        judge(call, false, "no keys, for there are strings only");
    else if (next >= CURSOR_LIMIT || (words.is_plain_cursor && next != 0 && next <= words.cursor))
        judge(call, false, "a cursor that goes on, below 2^53");
    else if (next == 0 && scan->is_running && !is_scan_complete(call, scan))
        judge(call, false, "SCAN: a key that was there all the time, which was never returned");
    else
        judge(call, true, "");
    scan->cursor = next;
    if (next == 0)
        end_scan(call->model, scan);
}

static const struct model_command rows[] = {
    {"keys", 2, 0, run_keys},
    {"scan", -2, 0, run_scan},
    {0},
};

const struct model_command *model_scan_commands(void) {
    return rows;
}
