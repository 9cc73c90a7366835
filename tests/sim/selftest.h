/* selftest.h - the simulator on trial: it must see what is wrong, or its silence means nothing.
 *
 * What is broken is broken from outside, between two events of a run: the node's own code has no switches for it.
 * May touch: everything of the simulator, the inside of the node. Must never know: seeds of other runs.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_SELFTEST_H
#define SIM_SELFTEST_H

#include <stdint.h>

/* Spoils nodes behind everybody's back and looks whether the runs fail; feeds the reader of replies with good and bad
 * bytes. Prints what was not seen, adds to the counts. */
void selftest(uint64_t *passed, uint64_t *failed);

#endif
