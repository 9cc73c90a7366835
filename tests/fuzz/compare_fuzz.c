/* compare_fuzz.c - two copies compare themselves while some of what they hear is made up: nothing breaks, and honest rounds end equal.
 *
 * Input: steps. Each begins with a byte: bits 0-1 what is done, bits 2-4 a kind of question, bits 5-7 the allocation that
 * fails at the copy that hears something (0: none does). Then
 *   HONEST    the question under way (or a new round's) is answered, and the answer goes to the asker
 *   CHANGED   2 bytes for a place, 1 byte: the same, but the answer's byte at the place is changed by that
 *   ANSWER    1 byte for a size, that many bytes: the asker hears these behind the right head of an answer
 *   QUESTION  2 bytes for a size, that many bytes: the answerer hears these behind the right head of a question of that kind
 * Checked: what is refused changes and appends nothing but records; the asker's next question makes sense to the answerer whatever
 * the asker was told; a step walks and sends little; all records can be applied; afterwards a few honest rounds make the copies equal.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/antientropy.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/encode.h"

#include <stdio.h>

#define NOW_MS         INT64_C(1790000000000)
#define STEPS_MAX      48
#define ROUNDS_MAX     4
#define QUESTIONS_MAX  1000
#define MESSAGE_MAX    (64 * 1024)
#define SHARED         60u
#define ELSEWHERE      40u
#define EMPTY_SLOTS    300u /* more than one message names */
#define ANSWER_BIT     0x80u
#define RECORDS_WALKED (COMPARE_STEP_RECORDS + 64)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HONEST, CHANGED, ANSWER, QUESTION };

struct copy {
    struct mem mem;
    struct keyspace *keyspace;
    struct entries_writer writer;
    struct entries_reader reader;
    struct compare_statistics statistics;
    struct buffer message, records;
};

struct stage {
    struct copy asker, answerer;
    struct comparer comparer;
    struct slot_set set;
};

/* ---- The copies ---- */

#define KEY_SIZE 32

/* The keys of a kind lie in 1 slot, or in 8. */
static struct argument make_key(char text[KEY_SIZE], char kind, unsigned number) {
    int size = snprintf(text, KEY_SIZE, "{%c%u}%u", kind, kind == 's' ? 0 : number % 8, number);
    return (struct argument){
        .data = (const uint8_t *)text, .size = (uint32_t)size, .slot = ARGUMENT_NOT_PLACED};
}

static void put(struct copy *copy, char kind, unsigned number, const char *value, int64_t expiry_ms) {
    char text[KEY_SIZE];
    struct argument key = make_key(text, kind, number);
    struct value made = {
        .data = (const uint8_t *)value, .size = (uint32_t)strlen(value), .expiry_ms = expiry_ms};
    CHECK(keyspace_put(copy->keyspace, 0, &key, &made));
    ledger_clear_effects(copy->keyspace->ledger);
}

/* The asker's key is told to the answerer, too, and its slot is compared. */
static void tell(struct stage *stage, char kind, unsigned number) {
    char text[KEY_SIZE];
    struct argument key = make_key(text, kind, number);
    struct copy *copy = &stage->asker;
    CHECK(entries_add_record(&copy->writer, &copy->keyspace->actors, &copy->records,
                             keyspace_find_record(copy->keyspace, &key)));
    slot_set_add(&stage->set, key.slot);
}

static void copy_init(struct copy *copy, uint8_t name) {
    *copy = (struct copy){0};
    uint8_t seed[HASH_SEED_SIZE] = "sixteen bytes..";
    copy->keyspace = keyspace_new(&copy->mem, seed, name);
    CHECK(copy->keyspace != NULL && ledger_attach(copy->keyspace));
    struct actor_identity self = {.node_id = {name}, .incarnation = 1};
    actors_set_self(&copy->keyspace->actors, &self);
    keyspace_set_time(copy->keyspace, NOW_MS);
    keyspace_set_alone(copy->keyspace, false);
    while (ledger_walk_step(copy->keyspace, 1000) != 0)
        continue;
    entries_writer_init(&copy->writer, &copy->mem);
    entries_reader_init(&copy->reader, &copy->mem);
    buffer_init(&copy->message, &copy->mem);
    buffer_init(&copy->records, &copy->mem);
}

static void copy_release(struct copy *copy) {
    buffer_release(&copy->message);
    buffer_release(&copy->records);
    entries_writer_release(&copy->writer);
    entries_reader_release(&copy->reader);
    keyspace_free(copy->keyspace);
    CHECK(copy->mem.used_bytes == 0 && copy->mem.allocations == 0);
}

static void deliver(struct copy *from, struct copy *to) {
    struct entries_options options = {.keyspace = to->keyspace};
    struct entries_outcome outcome = {0};
    buffer_init(&outcome.fetches, &to->mem);
    buffer_init(&outcome.answers, &to->mem);
    CHECK(entries_apply(&to->reader, &options, from->records.data, from->records.size, &outcome) ==
          ENTRIES_APPLIED);
    CHECK(outcome.fetches.size == 0 && outcome.answers.size == 0 && outcome.refused == 0);
    ledger_clear_effects(to->keyspace->ledger);
    buffer_clear(&from->records);
}

/* A crowded slot and some others; most is the same, and one key has expired at both. */
static void stage_init(struct stage *stage) {
    copy_init(&stage->asker, 'a');
    copy_init(&stage->answerer, 'b');
    comparer_init(&stage->comparer, &stage->asker.mem);
    stage->set = (struct slot_set){{0}};
    for (uint32_t slot = 0; slot < EMPTY_SLOTS; slot++)
        slot_set_add(&stage->set, slot);
    for (unsigned i = 0; i < SHARED + ELSEWHERE; i++) {
        char kind = i < SHARED ? 's' : 'e';
        put(&stage->asker, kind, i, "value", i == 7 ? NOW_MS + 1 : EXPIRY_NONE);
        tell(stage, kind, i);
    }
    deliver(&stage->asker, &stage->answerer);
    for (unsigned i = 0; i < 5; i++) {
        put(&stage->asker, 's', i * 11, "changed", EXPIRY_NONE);
        put(&stage->answerer, 's', i * 9, "changed, too", EXPIRY_NONE);
        put(&stage->asker, 'e', 1000 + i, "more", EXPIRY_NONE);
        put(&stage->answerer, 'e', 2000 + i, "more", EXPIRY_NONE);
    }
    keyspace_set_time(stage->asker.keyspace, NOW_MS + 1000);
    keyspace_set_time(stage->answerer.keyspace, NOW_MS + 1000);
}

/* ---- Steps ---- */

static void check_step(const struct copy *copy) {
    CHECK(copy->statistics.most_records_walked <= RECORDS_WALKED);
    CHECK(copy->message.size <= MESSAGE_MAX && copy->records.size <= MESSAGE_MAX);
}

static uint64_t content(const struct stage *stage, const struct copy *copy) {
    uint64_t digest = keyspace_size(copy->keyspace, 0);
    for (uint32_t slot = slot_set_next(&stage->set, 0); slot < SLOT_COUNT;
         slot = slot_set_next(&stage->set, slot + 1))
        digest = digest * 31 + ledger_slot_digest(copy->keyspace->ledger, slot);
    return digest;
}

/* The answerer hears `size` bytes. Returns whether it took them. */
static bool ask(struct stage *stage, const uint8_t *data, size_t size, uint64_t fuse) {
    struct copy *answerer = &stage->answerer;
    struct compare_finding finding;
    uint64_t before = content(stage, answerer);
    answerer->mem.fuse = fuse;
    bool done = compare_answer(answerer->keyspace, &stage->set, true, &answerer->writer, data, size,
                               &answerer->message, &answerer->records, &finding, &answerer->statistics);
    bool had_memory = fuse == 0 || answerer->mem.fuse != 0;
    answerer->mem.fuse = 0;
    ledger_clear_effects(answerer->keyspace->ledger);
    CHECK(done == (answerer->message.size > 0));
    CHECK(done || !had_memory || (content(stage, answerer) == before && answerer->records.size == 0));
    CHECK(!finding.is_settled || finding.is_equal);
    CHECK(!finding.is_equal || !finding.has_differed);
    check_step(answerer);
    return done;
}

/* The asker hears `size` bytes. */
static void answer(struct stage *stage, const uint8_t *data, size_t size, uint64_t fuse) {
    struct copy *asker = &stage->asker;
    deliver(&stage->answerer, asker);
    buffer_release(&asker->message);
    asker->mem.fuse = fuse;
    bool done = comparer_receive(&stage->comparer, asker->keyspace, &asker->writer, data, size,
                                 &asker->message, &asker->records, &asker->statistics);
    asker->mem.fuse = 0;
    CHECK(done || stage->comparer.state == COMPARE_IDLE);
    CHECK(stage->comparer.state == COMPARE_RUNNING || asker->message.size == 0);
    /* It was taken for an answer of another round or step: the right one will not come any more. */
    if (stage->comparer.state == COMPARE_RUNNING && asker->message.size == 0)
        comparer_reset(&stage->comparer);
    check_step(asker);
}

static void begin_if_idle(struct stage *stage) {
    struct copy *asker = &stage->asker;
    if (stage->comparer.state == COMPARE_RUNNING)
        return;
    buffer_clear(&asker->message);
    CHECK(comparer_begin(&stage->comparer, asker->keyspace, &stage->set, true, &asker->message,
                         &asker->statistics));
}

/* The question under way is answered. Without memory it is asked again. */
static void ask_honestly(struct stage *stage, uint64_t fuse) {
    struct copy *asker = &stage->asker;
    deliver(asker, &stage->answerer);
    if (ask(stage, asker->message.data, asker->message.size, fuse))
        return;
    CHECK(fuse != 0);
    deliver(&stage->answerer, asker);
    CHECK(ask(stage, asker->message.data, asker->message.size, 0));
}

static void step_answer(struct stage *stage, const uint8_t *body, size_t size, uint64_t fuse) {
    struct copy *answerer = &stage->answerer;
    uint8_t head[1 + 2 * ENCODE_VARINT_MAX];
    head[0] = (uint8_t)(stage->comparer.question | ANSWER_BIT);
    uint8_t *end = encode_varint(encode_varint(head + 1, stage->comparer.round), stage->comparer.step);
    CHECK(buffer_append(&answerer->message, head, (size_t)(end - head)));
    CHECK(buffer_append(&answerer->message, body, size));
    answer(stage, answerer->message.data, answerer->message.size, fuse);
}

static void step_question(struct stage *stage, uint8_t kind, const uint8_t *body, size_t size,
                          uint64_t fuse) {
    struct buffer question;
    buffer_init(&question, &stage->asker.mem);
    uint8_t head[1 + 2 * ENCODE_VARINT_MAX + 8];
    head[0] = kind;
    uint8_t *end = encode_varint(encode_varint(head + 1, 7), 1);
    end = encode_fixed(end, slot_set_digest(&stage->set), 8);
    CHECK(buffer_append(&question, head, (size_t)(end - head)) && buffer_append(&question, body, size));
    ask(stage, question.data, question.size, fuse);
    deliver(&stage->answerer, &stage->asker);
    buffer_release(&question);
}

static void step(struct stage *stage, struct cursor *cursor) {
    struct copy *answerer = &stage->answerer;
    uint8_t what = cursor_u8(cursor);
    uint64_t fuse = what >> 5;
    buffer_release(&answerer->message);
    if ((what & 3) == QUESTION) {
        size_t size = cursor_u16(cursor);
        const uint8_t *body = cursor_bytes(cursor, size);
        if (!cursor_failed(cursor))
            step_question(stage, what >> 2 & 7, body, size, fuse);
        return;
    }
    begin_if_idle(stage);
    if ((what & 3) == ANSWER) {
        size_t size = cursor_u8(cursor);
        const uint8_t *body = cursor_bytes(cursor, size);
        if (!cursor_failed(cursor))
            step_answer(stage, body, size, fuse);
        return;
    }
    ask_honestly(stage, what & 16 ? fuse : 0);
    struct buffer *message = &answerer->message;
    if ((what & 3) == CHANGED) {
        size_t place = cursor_u16(cursor) % message->size;
        message->data[place] ^= cursor_u8(cursor);
    }
    answer(stage, message->data, message->size, what & 16 ? 0 : fuse);
}

/* ---- The end ---- */

static bool round_is_equal(struct stage *stage) {
    begin_if_idle(stage);
    for (unsigned i = 0; stage->comparer.state == COMPARE_RUNNING; i++) {
        CHECK(i < QUESTIONS_MAX);
        buffer_clear(&stage->answerer.message);
        ask_honestly(stage, 0);
        answer(stage, stage->answerer.message.data, stage->answerer.message.size, 0);
    }
    deliver(&stage->asker, &stage->answerer);
    return stage->comparer.state == COMPARE_EQUAL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct stage stage;
    struct cursor cursor = cursor_make(data, size);
    stage_init(&stage);
    for (unsigned i = 0; i < STEPS_MAX && cursor_remaining(&cursor) > 0; i++)
        step(&stage, &cursor);
    comparer_reset(&stage.comparer);
    unsigned rounds = 1;
    while (!round_is_equal(&stage))
        CHECK(++rounds <= ROUNDS_MAX);
    CHECK(content(&stage, &stage.asker) == content(&stage, &stage.answerer));
    comparer_release(&stage.comparer);
    copy_release(&stage.asker);
    copy_release(&stage.answerer);
    return 0;
}
