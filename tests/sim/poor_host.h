/* poor_host.h - what every simulated world answers alike: it has no config file, nothing to give back, and little to tell.
 *
 * May touch: node/host.h. Must never know: whose world it is.
 * Tests: it is for them.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SIM_POOR_HOST_H
#define SIM_POOR_HOST_H

#include "node/host.h"

/* Sets facts, setting_changed, config_read, config_write and memory_purge; these look at no context. */
void poor_host_fill(struct node_host *host);

#endif
