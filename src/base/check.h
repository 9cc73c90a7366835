/* check.h - assertions that stay on in production, and branch hints.
 *
 * CHECK(condition) states what the code around it relies on and a reader would not see. It stops the
 * process. It is for our own mistakes only: no CHECK may depend on bytes that come from a client, a
 * peer or a disk (those are error values).
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define CHECK(condition)            \
    do {                            \
        if (UNLIKELY(!(condition))) \
            __builtin_trap();       \
    } while (0)

#endif
