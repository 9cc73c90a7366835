/* peer_frame_test.c - frames written and read, in pieces of any size; bytes that are no frames; memory that is not reserved.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/rng.h"
#include "proto/peer_frame.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct mem mem;
static struct buffer bytes;

static void set_up(void) {
    mem = (struct mem){0};
    buffer_init(&bytes, &mem);
}

static void tear_down(void) {
    buffer_release(&bytes);
    cr_expect_eq(mem.used_bytes, 0, "%zu bytes are still counted", mem.used_bytes);
    cr_expect_eq(mem.allocations, 0);
}

TestSuite(peer_frame, .init = set_up, .fini = tear_down);

static void append(unsigned kind, uint64_t number, uint64_t acknowledged, const void *payload, size_t size) {
    struct frame frame = {kind, number, acknowledged, payload, size};
    cr_assert(peer_frame_append(&bytes, &frame));
}

static void feed(struct peer_frame_reader *reader, const void *data, size_t size) {
    /* A copy that ends where its memory ends. */
    uint8_t *copy = malloc(size);
    memcpy(copy, data, size);
    cr_assert(peer_frame_reader_feed(reader, copy, size));
    free(copy);
}

static void is_next(struct peer_frame_reader *reader, unsigned kind, uint64_t number, uint64_t acknowledged,
                    const void *payload, size_t size) {
    struct frame frame;
    cr_assert_eq(peer_frame_reader_next(reader, &frame), FRAME_COMPLETE);
    cr_assert_eq(frame.kind, kind);
    cr_assert_eq(frame.number, number);
    cr_assert_eq(frame.acknowledged, acknowledged);
    cr_assert_eq(frame.size, size);
    cr_assert(size == 0 || memcmp(frame.payload, payload, size) == 0);
}

/* What a reader says of text that comes byte by byte (is_slow) or at once, when no frame is complete any more. */
static enum frame_status verdict(const char *text, size_t size, size_t payload_max, bool is_slow,
                                 unsigned *complete) {
    struct peer_frame_reader *reader = peer_frame_reader_new(&mem, payload_max);
    enum frame_status status = FRAME_INCOMPLETE;
    struct frame frame;
    *complete = 0;
    for (size_t at = 0; at < size && status != FRAME_BROKEN;) {
        size_t piece = is_slow ? 1 : size;
        feed(reader, text + at, piece);
        at += piece;
        while ((status = peer_frame_reader_next(reader, &frame)) == FRAME_COMPLETE)
            ++*complete;
    }
    if (status == FRAME_BROKEN) {
        cr_assert_eq(peer_frame_reader_held(reader), 0);
        cr_assert(peer_frame_reader_feed(reader, (const uint8_t *)"*4\r\n", 4));
        cr_assert_eq(peer_frame_reader_next(reader, &frame), FRAME_BROKEN, "broken is broken");
    }
    peer_frame_reader_free(reader);
    return status;
}

static void is_verdict(const char *text, size_t payload_max, enum frame_status expected,
                       unsigned expected_complete) {
    for (int is_slow = 0; is_slow < 2; is_slow++) {
        unsigned complete;
        enum frame_status status = verdict(text, strlen(text), payload_max, is_slow, &complete);
        cr_assert_eq(status, expected, "%s: %d", text, status);
        cr_assert_eq(complete, expected_complete, "%s", text);
    }
}

Test(peer_frame, a_frame_is_an_array_of_four_bulk_strings) {
    append(FRAME_RECORDS, 12, 3456, "payload", 7);
    static const char expected[] = "*4\r\n$1\r\n6\r\n$2\r\n12\r\n$4\r\n3456\r\n$7\r\npayload\r\n";
    cr_assert_eq(bytes.size, strlen(expected));
    cr_assert_arr_eq(bytes.data, expected, bytes.size);
}

Test(peer_frame, an_empty_payload_and_the_highest_numbers_have_room) {
    struct frame frame = {PEER_FRAME_KIND_MAX, UINT64_MAX, UINT64_MAX, NULL, 0};
    uint8_t head[PEER_FRAME_HEAD_MAX];
    append(frame.kind, frame.number, frame.acknowledged, NULL, 0);
    size_t head_size = peer_frame_head(head, &frame);
    cr_assert_eq(head_size + strlen(PEER_FRAME_TAIL), bytes.size);
    cr_assert_arr_eq(head, bytes.data, head_size);
    struct peer_frame_reader *reader = peer_frame_reader_new(&mem, 0);
    feed(reader, bytes.data, bytes.size);
    is_next(reader, PEER_FRAME_KIND_MAX, UINT64_MAX, UINT64_MAX, NULL, 0);
    cr_assert_eq(peer_frame_reader_next(reader, &frame), FRAME_INCOMPLETE);
    peer_frame_reader_free(reader);
}

Test(peer_frame, a_head_by_a_form_is_the_head) {
    struct rng rng;
    rng_init(&rng, 12);
    struct peer_frame_form form = {0};
    for (unsigned i = 0; i < 20000; i++) {
        unsigned bits = 1 + i / 320; /* longer and longer, and back now and then */
        uint64_t mask = rng_below(&rng, 20) == 0 ? 15 : UINT64_MAX >> (64 - bits);
        struct frame frame = {.kind = 1 + (unsigned)rng_below(&rng, PEER_FRAME_KIND_MAX),
                              .number = rng_next64(&rng) & mask,
                              .acknowledged = rng_next64(&rng) & mask,
                              .size = rng_below(&rng, PEER_FRAME_PAYLOAD_MAX)};
        uint8_t head[PEER_FRAME_HEAD_MAX], by_form[PEER_FRAME_HEAD_MAX];
        size_t size = peer_frame_head(head, &frame);
        cr_assert_eq(peer_frame_head_by_form(&form, by_form, &frame), size);
        cr_assert_arr_eq(by_form, head, size);
    }
}

/* Pieces of all sizes, payloads of all sizes, some of them large; many frames in one piece. */
Test(peer_frame, what_is_written_is_read_whatever_the_pieces) {
    enum { FRAMES = 400, PAYLOAD_MAX = 300000 };
    static uint8_t noise[PAYLOAD_MAX];
    static size_t sizes[FRAMES], starts[FRAMES];
    struct rng rng;
    rng_init(&rng, 4711);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)rng_next64(&rng);
    for (unsigned i = 0; i < FRAMES; i++) {
        sizes[i] = rng_below(&rng, i % 40 == 0 ? PAYLOAD_MAX : i % 3 == 0 ? 5000 : 40);
        starts[i] = rng_below(&rng, PAYLOAD_MAX - sizes[i]);
        append(1 + i % 9, i, i * 7, noise + starts[i], sizes[i]);
    }
    const size_t pieces[] = {1, 7, 1000, 4096, 131072, SIZE_MAX};
    for (size_t piece = 0; piece < sizeof pieces / sizeof *pieces; piece++) {
        struct peer_frame_reader *reader = peer_frame_reader_new(&mem, PAYLOAD_MAX);
        unsigned count = 0;
        for (size_t at = 0; at < bytes.size;) {
            size_t size = pieces[piece] < bytes.size - at ? pieces[piece] : bytes.size - at;
            feed(reader, bytes.data + at, size);
            at += size;
            struct frame frame;
            enum frame_status status;
            while ((status = peer_frame_reader_next(reader, &frame)) == FRAME_COMPLETE) {
                cr_assert_lt(count, FRAMES);
                cr_assert(frame.kind == 1 + count % 9 && frame.number == count &&
                          frame.acknowledged == count * 7);
                cr_assert_eq(frame.size, sizes[count]);
                cr_assert_eq(memcmp(frame.payload, noise + starts[count], frame.size), 0, "frame %u", count);
                count++;
            }
            cr_assert_eq(status, FRAME_INCOMPLETE);
            cr_assert_lt(peer_frame_reader_held(reader), PAYLOAD_MAX + PEER_FRAME_HEAD_MAX + 2);
        }
        cr_assert_eq(count, FRAMES);
        cr_assert_eq(peer_frame_reader_held(reader), 0);
        peer_frame_reader_free(reader);
    }
}

Test(peer_frame, a_payload_stays_in_place_while_others_wait_behind_it) {
    static uint8_t payload[3][4000];
    for (int i = 0; i < 3; i++) {
        memset(payload[i], 'a' + i, sizeof payload[i]);
        append(FRAME_RECORDS, (uint64_t)i + 1, 0, payload[i], sizeof payload[i]);
    }
    struct peer_frame_reader *reader = peer_frame_reader_new(&mem, sizeof payload[0]);
    feed(reader, bytes.data, bytes.size);
    for (int i = 0; i < 3; i++) {
        is_next(reader, FRAME_RECORDS, (uint64_t)i + 1, 0, payload[i], sizeof payload[i]);
        cr_assert_eq(peer_frame_reader_held(reader), bytes.size / 3 * (size_t)(2 - i));
    }
    peer_frame_reader_free(reader);
}

Test(peer_frame, every_prefix_is_incomplete) {
    static const char text[] = "*4\r\n$1\r\n6\r\n$2\r\n12\r\n$4\r\n3456\r\n$12\r\npayload\r\n...\r\n";
    for (size_t size = 0; size <= strlen(text); size++)
        for (int is_slow = 0; is_slow < 2; is_slow++) {
            unsigned complete;
            cr_assert_eq(verdict(text, size, 12, is_slow && size != 0, &complete), FRAME_INCOMPLETE, "%zu",
                         size);
            cr_assert_eq(complete, size == strlen(text));
        }
}

#define HEAD "*4\r\n$1\r\n6\r\n$1\r\n1\r\n$1\r\n0\r\n"

Test(peer_frame, other_types_and_shapes_are_refused) {
    const char *const texts[] = {
        "*3\r\n",
        "*5\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*\r\n",
        "*04\r\n",
        "*4x",
        "*40",
        "*4\n",
        "*4\rx",
        "*99999999999",
        "$1\r\n6\r\n",
        "$1",
        ":1\r\n",
        ":1",
        "+OK\r\n",
        "+OK",
        "-ERR\r\n",
        "-E",
        "x",
        "\r\n",
        "\n",
        "%1\r\n",
        "*4\r\n*4\r\n",
        "*4\r\n*",
        "*4\r\n:6\r\n",
        "*4\r\n:6",
        "*4\r\n+6\r\n",
        "*4\r\n-6\r\n",
        "*4\r\nx",
        "*4\r\n$-1\r\n",
        "*4\r\n$-",
        HEAD "$-1\r\n",
        HEAD ":1",
        HEAD "+a\r\n",
        HEAD "*0\r\n",
        HEAD "*4\r\n$1\r\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        is_verdict(texts[i], 100, FRAME_BROKEN, 0);
}

Test(peer_frame, numbers_have_one_form) {
    const char *const kinds[] = {"0", "00", "06", "+6", "-6", " 6", "6 ", "256", "18446744073709551616",
                                 "x", ""};
    const char *const numbers[] = {"00",  "01",  "+1", "-1", " 1", "1 ", "18446744073709551616",
                                   "0x1", "1.0", ""};
    char text[200];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        snprintf(text, sizeof text, "*4\r\n$%zu\r\n%s\r\n", strlen(kinds[i]), kinds[i]);
        is_verdict(text, 100, FRAME_BROKEN, 0);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(text, sizeof text, "*4\r\n$1\r\n6\r\n$%zu\r\n%s\r\n", strlen(numbers[i]), numbers[i]);
        is_verdict(text, 100, FRAME_BROKEN, 0);
        snprintf(text, sizeof text, "*4\r\n$1\r\n6\r\n$1\r\n1\r\n$%zu\r\n%s\r\n", strlen(numbers[i]),
                 numbers[i]);
        is_verdict(text, 100, FRAME_BROKEN, 0);
    }
    is_verdict("*4\r\n$3\r\n255\r\n$20\r\n18446744073709551615\r\n$1\r\n0\r\n$0\r\n\r\n", 0, FRAME_INCOMPLETE,
               1);
}

Test(peer_frame, lengths_have_one_form_and_a_bulk_string_ends_where_it_says) {
    const char *const texts[] = {
        "*4\r\n$01\r\n6\r\n", "*4\r\n$01",         "*4\r\n$+1\r\n",      "*4\r\n$ 1\r\n",
        "*4\r\n$1 \r\n",      "*4\r\n$\r\n",       "*4\r\n$x",           "*4\r\n$1\rx",
        "*4\r\n$1\n6\r\n",    "*4\r\n$21\r\n",     "*4\r\n$99",          "*4\r\n$1\r\n67\r",
        "*4\r\n$1\r\n6\rx",   "*4\r\n$1\r\n6\n\r", HEAD "$5\r\nabcdefg", HEAD "$5\r\nabcd\r\n$",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        is_verdict(texts[i], 100, FRAME_BROKEN, 0);
}

Test(peer_frame, a_payload_above_the_limit_is_refused_as_soon_as_its_length_says_so) {
    is_verdict(HEAD "$100\r\n", 100, FRAME_INCOMPLETE, 0);
    is_verdict(HEAD "$101", 100, FRAME_BROKEN, 0);
    is_verdict(HEAD "$1000", 100, FRAME_BROKEN, 0);
    is_verdict(HEAD "$9223372036854775807\r\n", PEER_FRAME_PAYLOAD_MAX, FRAME_BROKEN, 0);
    is_verdict(HEAD "$9223372036854775806\r\n", PEER_FRAME_PAYLOAD_MAX, FRAME_BROKEN, 0);
    is_verdict(HEAD "$18446744073709551615\r\n", PEER_FRAME_PAYLOAD_MAX, FRAME_BROKEN, 0);
    is_verdict(HEAD "$1073741825", PEER_FRAME_PAYLOAD_MAX, FRAME_BROKEN, 0);
    /* Complete at once, so that nothing was known before. */
    is_verdict(HEAD "$3\r\nabc\r\n", 2, FRAME_BROKEN, 0);
    is_verdict(HEAD "$3\r\nabc\r\n" HEAD "$4\r\nabcd\r\n", 3, FRAME_BROKEN, 1);
}

Test(peer_frame, a_length_reserves_no_memory) {
    struct peer_frame_reader *reader = peer_frame_reader_new(&mem, PEER_FRAME_PAYLOAD_MAX);
    static const char text[] = HEAD "$1073741824\r\n";
    struct frame frame;
    feed(reader, text, strlen(text));
    cr_assert_eq(peer_frame_reader_next(reader, &frame), FRAME_INCOMPLETE);
    cr_assert_lt(mem.used_bytes, 4096);
    peer_frame_reader_free(reader);
}

/* Some senders never end a line. */
Test(peer_frame, a_line_without_an_end_is_not_waited_for) {
    static char text[5000];
    memset(text, '1', sizeof text);
    memcpy(text, "*4\r\n$", 5);
    unsigned complete;
    cr_assert_eq(verdict(text, sizeof text, 100, false, &complete), FRAME_BROKEN);
    memset(text + 1, '4', sizeof text - 1);
    cr_assert_eq(verdict(text, sizeof text, 100, false, &complete), FRAME_BROKEN);
}

Test(peer_frame, the_limit_may_change_between_frames) {
    struct peer_frame_reader *reader = peer_frame_reader_new(&mem, 3);
    struct frame frame;
    append(FRAME_PROOF, 0, 0, "abc", 3);
    append(FRAME_RECORDS, 1, 0, "abcdef", 6);
    feed(reader, bytes.data, bytes.size);
    is_next(reader, FRAME_PROOF, 0, 0, "abc", 3);
    peer_frame_reader_set_max(reader, 6);
    is_next(reader, FRAME_RECORDS, 1, 0, "abcdef", 6);
    peer_frame_reader_set_max(reader, 5);
    feed(reader, bytes.data, bytes.size);
    is_next(reader, FRAME_PROOF, 0, 0, "abc", 3);
    cr_assert_eq(peer_frame_reader_next(reader, &frame), FRAME_BROKEN);
    peer_frame_reader_free(reader);
}

Test(peer_frame, the_memory_of_a_large_frame_is_counted_and_given_back) {
    enum { LARGE = 5 * 1024 * 1024 };
    uint8_t *payload = calloc(1, LARGE);
    append(FRAME_RECORDS, 1, 0, payload, LARGE);
    size_t before = mem.used_bytes;
    struct peer_frame_reader *reader = peer_frame_reader_new(&mem, LARGE);
    feed(reader, bytes.data, bytes.size);
    cr_assert_gt(mem.used_bytes, before + LARGE);
    is_next(reader, FRAME_RECORDS, 1, 0, payload, LARGE);
    struct frame frame;
    cr_assert_eq(peer_frame_reader_next(reader, &frame), FRAME_INCOMPLETE);
    cr_assert_lt(mem.used_bytes, before + 4096);
    feed(reader, bytes.data, bytes.size);
    is_next(reader, FRAME_RECORDS, 1, 0, payload, LARGE);
    peer_frame_reader_free(reader);
    free(payload);
}

Test(peer_frame, memory_of_ordinary_batches_is_kept) {
    static uint8_t payload[100000];
    append(FRAME_RECORDS, 1, 0, payload, sizeof payload);
    struct peer_frame_reader *reader = peer_frame_reader_new(&mem, sizeof payload);
    struct frame frame;
    size_t kept = 0;
    for (int i = 0; i < 10; i++) {
        feed(reader, bytes.data, bytes.size);
        is_next(reader, FRAME_RECORDS, 1, 0, payload, sizeof payload);
        cr_assert_eq(peer_frame_reader_next(reader, &frame), FRAME_INCOMPLETE);
        cr_assert(i == 0 || mem.used_bytes == kept);
        kept = mem.used_bytes;
    }
    cr_assert_gt(kept, 2 * sizeof payload);
    peer_frame_reader_free(reader);
}

Test(peer_frame, without_memory_nothing_is_half_done) {
    mem.fuse = 1;
    cr_assert_null(peer_frame_reader_new(&mem, 100));
    append(FRAME_GOSSIP, 0, 0, "abc", 3);
    size_t size = bytes.size;
    static uint8_t large[2000];
    mem.fuse = 1;
    struct frame frame = {FRAME_RECORDS, 1, 0, large, sizeof large};
    cr_assert_not(peer_frame_append(&bytes, &frame));
    cr_assert_eq(bytes.size, size);
    cr_assert(bytes.failed);
}
