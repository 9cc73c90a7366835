/* config_copy.h - whole copies of the settings, so that a change is all or nothing.
 *
 * For the config module only. May touch: base, struct config. Must never know: where a change comes from.
 * Invariants: a copy owns all of its texts.
 * Tests: tests/unit/node/config_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CONFIG_COPY_H
#define NODE_CONFIG_COPY_H

#include "node/config.h"

/* Makes *copy a copy without warnings, to be released with config_release(). false: no memory, nothing to release. */
bool config_copy(struct config *copy, const struct config *config);

/* Exchanges all values of two configs of one mem; their warnings stay where they are. */
void config_swap(struct config *one, struct config *other);

#endif
