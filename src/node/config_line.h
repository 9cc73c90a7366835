/* config_line.h - the lines of a config file, for those who apply them and those who write them anew.
 *
 * For the config module only. May touch: base, the table of settings. Must never know: files.
 * Invariants: the lines of a text, put together, are the text.
 * Tests: tests/unit/node/config_text_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CONFIG_LINE_H
#define NODE_CONFIG_LINE_H

#include "node/config_table.h"

struct config_line {
    const char *whole, *text; /* with white space and newline; without */
    size_t whole_size, size;
    bool is_directive; /* neither empty nor a comment */
};

/* The next line from text + *at, which is moved on. false: the text has ended. */
bool config_line_next(const char *text, size_t size, size_t *at, struct config_line *line);

enum config_line_result { CONFIG_LINE_DONE, CONFIG_LINE_UNKNOWN, CONFIG_LINE_REFUSED, CONFIG_LINE_NO_MEMORY };

/* Applies a directive that was taken apart (at least one word) and names its row; include is unknown here.
 * reason is set if it is refused. */
enum config_line_result config_line_apply(struct config *config, struct config_words *words,
                                          const struct setting **setting, char reason[CONFIG_ERROR_SIZE]);

#endif
