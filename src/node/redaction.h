/* redaction.h - which arguments of a request are secrets: SLOWLOG and MONITOR show other words in their place.
 *
 * Secrets are the arguments of AUTH, the two behind HELLO's AUTH, and the values that CONFIG SET gives to
 * passwords.
 * May touch: base. Must never know: who looks at the request.
 * Invariants: a request that is not well formed hides too much rather than too little.
 * Tests: tests/unit/node/redaction_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_REDACTION_H
#define NODE_REDACTION_H

#include "base/argument.h"

#define REDACTION_TEXT "(redacted)"

enum redaction_rule { REDACTION_NONE, REDACTION_AUTH, REDACTION_HELLO, REDACTION_CONFIG_SET };

struct redaction {
    enum redaction_rule rule;
    uint32_t hidden_until; /* HELLO: arguments below this belong to an option that was seen already */
    bool is_hiding;        /* HELLO: and they are secrets */
};

/* Begins with a request's name. */
struct redaction redaction_begin(const struct argument *argv, uint32_t argc);

/* Whether argv[index] is a secret. To be asked for every index, in order. */
bool redaction_covers(struct redaction *redaction, const struct argument *argv, uint32_t argc,
                      uint32_t index);

#endif
