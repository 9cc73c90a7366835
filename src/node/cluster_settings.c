/* cluster_settings.c - from the settings to the node's own entry in the membership.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster_settings.h"

#include <stdio.h>

static uint16_t announced(uint32_t announced_port, uint32_t port) {
    return (uint16_t)(announced_port != 0 ? announced_port : port);
}

void cluster_own_address(const struct node *node, struct member_entry *entry) {
    const struct config *config = node->config;
    const char *host =
        config->cluster_announce_ip[0] != '\0' ? config->cluster_announce_ip : node->cluster->host_name;
    if (host[0] != '\0')
        snprintf(entry->host, sizeof entry->host, "%s", host);
    entry->port = announced(config->cluster_announce_port, config->port);
    entry->cluster_port = announced(config->cluster_announce_cluster_port, config_cluster_port(config));
    entry->peer_port = announced(config->cluster_announce_peer_port, config_peer_port(config));
}

void node_set_host_name(struct node *node, const char *host_name) {
    struct cluster *cluster = node->cluster;
    if (cluster != NULL)
        snprintf(cluster->host_name, sizeof cluster->host_name, "%s", host_name);
}

void cluster_settings_changed(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (cluster == NULL)
        return;
    const struct config *config = node->config;
    const struct member_entry *own = &membership_member(cluster->membership, ROUTE_SELF)->entry;
    struct member_entry wanted = *own;
    cluster_own_address(node, &wanted);
    if (strcmp(wanted.host, own->host) != 0 || wanted.port != own->port ||
        wanted.cluster_port != own->cluster_port || wanted.peer_port != own->peer_port)
        membership_set_address(cluster->membership, wanted.host, wanted.port, wanted.cluster_port,
                               wanted.peer_port);
    if (strcmp(config->cluster_zone, own->zone) != 0 || config->cluster_weight != own->weight)
        membership_set_place(cluster->membership, config->cluster_zone, config->cluster_weight);
    for (unsigned i = 0; i < 2; i++)
        buffer_clear(&cluster->slots_reply[i]); /* cluster-replica-lists */
    cluster_update(node);
}

bool cluster_keeps_setting(const struct node *node, const char *name, const char **reason) {
    const struct config *config = node->config;
    bool derives = config->cluster_port == 0 || config->peer_port == 0;
    *reason =
        "cluster-port and peer-port follow from it: they must be set to change the port of a cluster's node";
    return node->cluster != NULL && derives && strcmp(name, "port") == 0;
}
