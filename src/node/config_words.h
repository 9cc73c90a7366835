/* config_words.h - the words of a line of a config file: how they are cut out of it and how they are written.
 *
 * Words are separated by white space. "..." may hold \n \r \t \a \b \xHH and any other character behind a \ for
 * itself; '...' holds everything but ', which is written \'. A closing quote ends the word.
 * May touch: base. Must never know: what the words mean.
 * Invariants: what config_words_append_quoted() writes is read back as the same word; a word is followed by a zero
 * byte (and may hold others).
 * Tests: tests/unit/node/config_text_test.c, tests/fuzz/config_fuzz.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CONFIG_WORDS_H
#define NODE_CONFIG_WORDS_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* More words than any directive takes. */
#define CONFIG_WORDS_MAX 80

struct config_word {
    const char *text;
    size_t size;
};

struct config_words {
    struct buffer bytes;
    struct config_word at[CONFIG_WORDS_MAX];
    uint32_t count;
};

enum config_words_result {
    CONFIG_WORDS_DONE,
    CONFIG_WORDS_UNBALANCED,
    CONFIG_WORDS_TOO_MANY,
    CONFIG_WORDS_NO_MEMORY
};

void config_words_init(struct config_words *words, struct mem *mem);
void config_words_release(struct config_words *words);

/* Takes a line apart; the words stay valid until the next call. */
enum config_words_result config_words_split(struct config_words *words, const char *line, size_t size);

/* Takes a value apart at each single space, without quotes: "a  b" is "a", "" and "b", and "" has no words. */
enum config_words_result config_words_split_value(struct config_words *words, const char *value, size_t size);

/* Whether a word equals a text, without regard to the case of letters. */
bool config_word_is(const struct config_word *word, const char *text);

/* Appends a word as config_words_split() reads it, with quotes if it needs them. false: no memory. */
bool config_words_append_quoted(struct buffer *text, const char *word, size_t size);

#endif
