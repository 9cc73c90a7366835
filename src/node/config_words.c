/* config_words.c - see config_words.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/config_words.h"

#include <string.h>
#include <strings.h>

void config_words_init(struct config_words *words, struct mem *mem) {
    buffer_init(&words->bytes, mem);
    words->count = 0;
}

void config_words_release(struct config_words *words) {
    buffer_release(&words->bytes);
    words->count = 0;
}

static bool is_space(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static int hex_digit(char byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The character that stands behind a backslash within double quotes. */
static char unescape(char byte) {
    switch (byte) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'a': return '\a';
    case 'b': return '\b';
    default: return byte;
    }
}

/* Copies what stands within quotes, from line[at] behind the opening one, to out; answers the place behind the
 * closing one, or 0 if there is none. */
static size_t copy_quoted(const char *line, size_t size, size_t at, char quote, char **out) {
    while (at < size && line[at] != quote) {
        bool escapes = line[at] == '\\' && at + 1 < size && (quote == '"' || line[at + 1] == '\'');
        if (!escapes) {
            *(*out)++ = line[at++];
        } else if (quote == '"' && line[at + 1] == 'x' && at + 3 < size && hex_digit(line[at + 2]) >= 0 &&
                   hex_digit(line[at + 3]) >= 0) {
            *(*out)++ = (char)(hex_digit(line[at + 2]) * 16 + hex_digit(line[at + 3]));
            at += 4;
        } else {
            *(*out)++ = quote == '"' ? unescape(line[at + 1]) : '\'';
            at += 2;
        }
    }
    return at < size ? at + 1 : 0;
}

/* No word is longer than its source, and each is followed by a separator or the end: size + 1 bytes hold all words
 * and their zeros. */
static bool words_begin(struct config_words *words, size_t size) {
    buffer_clear(&words->bytes);
    words->count = 0;
    return buffer_reserve(&words->bytes, size + 1);
}

static bool words_add(struct config_words *words, char *begin, char *end) {
    if (words->count == CONFIG_WORDS_MAX)
        return false;
    *end = '\0';
    words->at[words->count++] = (struct config_word){begin, (size_t)(end - begin)};
    return true;
}

enum config_words_result config_words_split(struct config_words *words, const char *line, size_t size) {
    if (!words_begin(words, size))
        return CONFIG_WORDS_NO_MEMORY;
    char *out = (char *)words->bytes.data;
    size_t at = 0;
    for (;;) {
        while (at < size && is_space(line[at]))
            at++;
        if (at == size)
            return CONFIG_WORDS_DONE;
        char *begin = out;
        while (at < size && !is_space(line[at])) {
            if (line[at] != '"' && line[at] != '\'') {
                *out++ = line[at++];
                continue;
            }
            at = copy_quoted(line, size, at + 1, line[at], &out);
            if (at == 0 || (at < size && !is_space(line[at]))) {
                words->count = 0;
                return CONFIG_WORDS_UNBALANCED;
            }
        }
        if (!words_add(words, begin, out++))
            return CONFIG_WORDS_TOO_MANY;
    }
}

enum config_words_result config_words_split_value(struct config_words *words, const char *value,
                                                  size_t size) {
    if (!words_begin(words, size))
        return CONFIG_WORDS_NO_MEMORY;
    if (size == 0)
        return CONFIG_WORDS_DONE;
    char *bytes = (char *)words->bytes.data;
    memcpy(bytes, value, size);
    size_t begin = 0;
    for (size_t at = 0; at <= size; at++) {
        if (at < size && bytes[at] != ' ')
            continue;
        if (!words_add(words, bytes + begin, bytes + at))
            return CONFIG_WORDS_TOO_MANY;
        begin = at + 1;
    }
    return CONFIG_WORDS_DONE;
}

bool config_word_is(const struct config_word *word, const char *text) {
    return strlen(text) == word->size && strncasecmp(word->text, text, word->size) == 0;
}

static bool needs_quotes(const char *word, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)word[i] <= ' ' || word[i] == 0x7f || strchr("\"'\\#", word[i]) != NULL)
            return true;
    }
    return size == 0;
}

static bool append_escaped(struct buffer *text, char byte) {
    switch (byte) {
    case '\\':
    case '"': return buffer_append_byte(text, '\\') && buffer_append_byte(text, (uint8_t)byte);
    case '\n': return buffer_append_text(text, "\\n");
    case '\r': return buffer_append_text(text, "\\r");
    case '\t': return buffer_append_text(text, "\\t");
    default:
        if ((unsigned char)byte < ' ' || byte == 0x7f)
            return buffer_append_format(text, "\\x%02x", (unsigned char)byte);
        return buffer_append_byte(text, (uint8_t)byte);
    }
}

bool config_words_append_quoted(struct buffer *text, const char *word, size_t size) {
    if (!needs_quotes(word, size))
        return buffer_append(text, word, size);
    if (!buffer_append_byte(text, '"'))
        return false;
    for (size_t i = 0; i < size; i++) {
        if (!append_escaped(text, word[i]))
            return false;
    }
    return buffer_append_byte(text, '"');
}
