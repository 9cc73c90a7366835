/* lcs.c - LCS: the longest common subsequence of two strings, its length, and where it lies in both.
 *
 * Row i of the usual table (the lengths for the first i bytes of a and each prefix of b) rises by 0 or 1 from one
 * place to the next, so a row is one bit a place, and a machine word makes 64 places of a row at once. The rows are
 * kept for the way back. There, where the bytes at (i, j) differ, the table has more at (i - 1, j) than at
 * (i, j - 1) exactly if row i rises at j: then that row holds what its upper neighbour has and its left one lacks.
 * So one bit a place also decides the way, and the result is the one that the full table gives.
 * Sources: Crochemore, Iliopoulos, Pinzon and Reid, "A fast and practical bit-vector algorithm for the longest
 * common subsequence problem", 2001; Hyyro, "Bit-parallel LCS-length computation revisited", 2004.
 * Tests: tests/unit/cmd/lcs_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cmd/call.h"
#include "cmd/handlers.h"

struct lcs_options {
    bool indexes, length, match_lengths;
    int64_t least_match; /* shorter matches are not listed */
};

struct lcs {
    const uint8_t *a, *b;
    uint32_t a_size, b_size; /* neither is 0 */
    size_t words;            /* of a row: a bit for each byte of b */
    uint64_t *masks;         /* a row for each byte value that a has: where b has it */
    uint16_t mask_of[256];   /* which of them is whose; 0: a has no such byte */
    uint32_t mask_count;
    uint64_t *rows; /* a row for each byte of a, bits 0 where it rises; a single one if all_rows is not set */
    bool all_rows;
    uint32_t length; /* of the result */
};

/* ---- The table ---- */

static size_t lcs_bytes(const struct lcs *lcs, size_t rows) {
    return rows * lcs->words * sizeof(uint64_t);
}

static void lcs_release(struct mem *mem, struct lcs *lcs) {
    mem_free(mem, lcs->masks, lcs_bytes(lcs, lcs->mask_count));
    mem_free(mem, lcs->rows, lcs_bytes(lcs, lcs->all_rows ? lcs->a_size : 1));
}

/* false: no memory; what there is lies with lcs for lcs_release(). */
static bool lcs_allocate(struct mem *mem, struct lcs *lcs) {
    lcs->words = ((size_t)lcs->b_size + 63) / 64;
    for (uint32_t i = 0; i < lcs->a_size; i++)
        if (lcs->mask_of[lcs->a[i]] == 0)
            lcs->mask_of[lcs->a[i]] = (uint16_t)++lcs->mask_count;
    lcs->masks = mem_alloc_zeroed(mem, lcs_bytes(lcs, lcs->mask_count));
    if (lcs->masks == NULL)
        return false;
    lcs->rows = mem_alloc(mem, lcs_bytes(lcs, lcs->all_rows ? lcs->a_size : 1));
    return lcs->rows != NULL;
}

static void lcs_fill_masks(struct lcs *lcs) {
    for (uint32_t j = 0; j < lcs->b_size; j++) {
        uint16_t mask = lcs->mask_of[lcs->b[j]];
        if (mask != 0)
            lcs->masks[(size_t)(mask - 1) * lcs->words + j / 64] |= UINT64_C(1) << (j % 64);
    }
}

/* Makes the row under `above` (which may be `row` itself) for a byte of a that b has where mask says. */
static void lcs_fill_row(uint64_t *row, const uint64_t *above, const uint64_t *mask, size_t words) {
    uint64_t carry = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t old = above[i], sum;
        uint64_t carried = __builtin_add_overflow(old, old & mask[i], &sum);
        carried |= __builtin_add_overflow(sum, carry, &sum);
        row[i] = sum | (old & ~mask[i]);
        carry = carried;
    }
}

static void lcs_fill_rows(struct lcs *lcs) {
    uint64_t *row = lcs->rows;
    const uint64_t *above = row;
    memset(row, 0xff, lcs_bytes(lcs, 1)); /* the row of the empty prefix never rises */
    for (uint32_t i = 0; i < lcs->a_size; i++) {
        const uint64_t *mask = lcs->masks + (size_t)(lcs->mask_of[lcs->a[i]] - 1) * lcs->words;
        lcs_fill_row(row, above, mask, lcs->words);
        above = row;
        if (lcs->all_rows && i + 1 < lcs->a_size)
            row += lcs->words;
    }
    /* The bits behind b's last byte stay 1. */
    lcs->length = 0;
    for (size_t i = 0; i < lcs->words; i++)
        lcs->length += 64 - (uint32_t)__builtin_popcountll(above[i]);
}

/* ---- The way back ---- */

/* A stretch that both strings have in common, found from its end. */
struct lcs_match {
    uint32_t a, b, size; /* size 0: none */
};

struct lcs_listing {
    const struct lcs_options *options;
    uint32_t count; /* matches listed */
};

static void lcs_list_match(struct call *call, struct lcs_listing *listing, struct lcs_match *match) {
    if (match->size != 0 && (int64_t)match->size >= listing->options->least_match) {
        listing->count++;
        reply_array(call->reply, listing->options->match_lengths ? 3 : 2);
        reply_array(call->reply, 2);
        reply_integer(call->reply, match->a);
        reply_integer(call->reply, (int64_t)match->a + match->size - 1);
        reply_array(call->reply, 2);
        reply_integer(call->reply, match->b);
        reply_integer(call->reply, (int64_t)match->b + match->size - 1);
        if (listing->options->match_lengths)
            reply_integer(call->reply, match->size);
    }
    match->size = 0;
}

/* Goes the way back from the ends of both strings. Fills `text` (of lcs->length bytes) from its end, or, if that is
 * NULL, lists the matches. */
static void lcs_walk(struct call *call, const struct lcs *lcs, uint8_t *text, struct lcs_listing *listing) {
    struct lcs_match match = {0};
    uint32_t i = lcs->a_size, j = lcs->b_size, left = lcs->length;
    while (i > 0 && j > 0) {
        if (lcs->a[i - 1] == lcs->b[j - 1]) {
            i--;
            j--;
            match = (struct lcs_match){i, j, match.size + 1};
            if (text != NULL)
                text[--left] = lcs->a[i];
            continue;
        }
        if (text == NULL)
            lcs_list_match(call, listing, &match);
        const uint64_t *row = lcs->rows + (size_t)(i - 1) * lcs->words;
        bool rises = !(row[(j - 1) / 64] >> ((j - 1) % 64) & 1);
        if (rises)
            i--;
        else
            j--;
    }
    if (text == NULL)
        lcs_list_match(call, listing, &match);
}

/* ---- Replies ---- */

/* Reads that find no memory for their reply leave it to who runs them to take it back. */
static void lcs_reply_text(struct call *call, const struct lcs *lcs) {
    uint8_t *text = reply_bulk_space(call->reply, lcs->length);
    if (text != NULL && lcs->length != 0)
        lcs_walk(call, lcs, text, NULL);
}

static void lcs_reply_indexes(struct call *call, const struct lcs *lcs, const struct lcs_options *options) {
    struct lcs_listing listing = {.options = options};
    reply_map(call->reply, 2);
    reply_bulk_text(call->reply, "matches");
    size_t place = reply_deferred(call->reply);
    if (lcs->length != 0)
        lcs_walk(call, lcs, NULL, &listing);
    if (!reply_is_complete(call->reply))
        return;
    reply_deferred_set(call->reply, place, '*', listing.count);
    reply_bulk_text(call->reply, "len");
    reply_integer(call->reply, lcs->length);
}

static void lcs_reply(struct call *call, const struct lcs *lcs, const struct lcs_options *options) {
    if (options->indexes)
        lcs_reply_indexes(call, lcs, options);
    else if (options->length)
        reply_integer(call->reply, lcs->length);
    else
        lcs_reply_text(call, lcs);
}

/* ---- The command ---- */

/* Finds both strings; an absent one is empty. Their bytes stay until these keys change. false: the error is replied. */
static bool lcs_find_strings(struct call *call, struct lcs *lcs) {
    struct entry entries[2];
    bool are_strings = true;
    for (unsigned i = 0; i < 2; i++) {
        keyspace_lookup(call->keyspace, call->database, &call->argv[1 + i], LOOKUP_READ, &entries[i]);
        if (entries[i].record != NULL && record_type(entries[i].record) != RECORD_STRING)
            are_strings = false;
    }
    if (!are_strings) {
        reply_error(call->reply, "ERR The specified keys must contain string values");
        return false;
    }
    if (entries[0].record != NULL) {
        lcs->a = record_value_const(entries[0].record);
        lcs->a_size = record_value_size(entries[0].record);
    }
    if (entries[1].record != NULL) {
        lcs->b = record_value_const(entries[1].record);
        lcs->b_size = record_value_size(entries[1].record);
    }
    return true;
}

static bool lcs_read_options(struct call *call, struct lcs_options *options) {
    for (uint32_t i = 3; i < call->argc; i++) {
        const struct argument *word = &call->argv[i];
        if (argument_is(word, "idx"))
            options->indexes = true;
        else if (argument_is(word, "len"))
            options->length = true;
        else if (argument_is(word, "withmatchlen"))
            options->match_lengths = true;
        else if (argument_is(word, "minmatchlen") && i + 1 < call->argc) {
            if (!call_integer(call, ++i, &options->least_match, NULL))
                return false;
        } else {
            reply_error(call->reply, ERROR_SYNTAX);
            return false;
        }
    }
    if (options->indexes && options->length) {
        reply_error(call->reply, "ERR If you want both the length and indexes, please just use IDX.");
        return false;
    }
    return true;
}

void lcs_command(struct call *call) {
    struct lcs_options options = {0};
    struct lcs lcs = {0};
    if (!lcs_find_strings(call, &lcs) || !lcs_read_options(call, &options))
        return;
    /* What a table of 32-bit numbers would take bounds the time, too. */
    uint64_t places = ((uint64_t)lcs.a_size + 1) * ((uint64_t)lcs.b_size + 1);
    if (places > call->keyspace->value_size_max / sizeof(uint32_t)) {
        reply_error(call->reply,
                    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return;
    }
    if (lcs.a_size == 0 || lcs.b_size == 0) {
        lcs_reply(call, &lcs, &options);
        return;
    }
    lcs.all_rows = options.indexes || !options.length;
    if (lcs_allocate(call->keyspace->mem, &lcs)) {
        lcs_fill_masks(&lcs);
        lcs_fill_rows(&lcs);
        lcs_reply(call, &lcs, &options);
    } else {
        call_no_memory(call);
    }
    lcs_release(call->keyspace->mem, &lcs);
}
