/* cluster_settings.h - what settings say of this node as a member, and how a change of them reaches the others.
 *
 * May touch: cluster, the settings. Must never know: who changes a setting.
 * Invariants: a setting that says what the node's entry says already changes nothing.
 * Tests: tests/unit/node/cluster_commands_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_CLUSTER_SETTINGS_H
#define NODE_CLUSTER_SETTINGS_H

#include "node/cluster.h"
#include "node/state.h"

/* Fills in where others reach this node: host and the three ports of the entry. Where neither the settings nor
 * node->cluster->host_name name a host, the entry keeps its own. */
void cluster_own_address(const struct node *node, struct member_entry *entry);

/* Settings may have been changed: place, weight and address go into the node's own entry, and kept replies are made anew. Does
 * nothing where the node is no member. */
void cluster_settings_changed(struct node *node);

/* Whether a setting must stay as it is while the node is a member, because of others that follow from it: then *reason
 * says why. */
bool cluster_keeps_setting(const struct node *node, const char *name, const char **reason);

#endif
