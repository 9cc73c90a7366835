/* key.h - what the commands on keys share.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef CMD_KEY_H
#define CMD_KEY_H

/* The name that TYPE answers and SCAN's TYPE option compares, for an enum record_type of a live key. */
const char *key_type_name(unsigned type);

#endif
