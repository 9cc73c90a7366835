/* cluster_seeds.c - the addresses where others of the cluster may be found: settings, a file, CLUSTER MEET.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "base/number.h"
#include "node/cluster_inside.h"
#include "node/state.h"

#include <string.h>

#define READ_EVERY_MS 5000
#define MEET_FOR_MS   30000
#define SEEDS_MAX     256
/* From the port of clients to that of peers, where nothing else is said. */
#define PEER_PORT_OFFSET 10000

static bool parse_port(const char *text, size_t size, uint32_t most, uint16_t *port) {
    int64_t number;
    if (!number_parse_int64(text, size, &number) || number < 1 || number > most)
        return false;
    *port = (uint16_t)number;
    return true;
}

bool cluster_parse_seed(const char *text, size_t size, char host[MEMBER_HOST_SIZE], uint16_t *peer_port) {
    const char *end = text + size, *at = memchr(text, '@', size);
    const char *address_end = at == NULL ? end : at;
    const char *colon = memrchr(text, ':', (size_t)(address_end - text));
    uint16_t port;
    if (colon == NULL || !parse_port(colon + 1, (size_t)(address_end - colon - 1), 65535, &port))
        return false;
    const char *begin = text, *host_end = colon;
    if (host_end - begin > 2 && *begin == '[' && host_end[-1] == ']') { /* an IPv6 address */
        begin++;
        host_end--;
    }
    size_t host_size = (size_t)(host_end - begin);
    if (host_size == 0 || host_size >= MEMBER_HOST_SIZE)
        return false;
    memcpy(host, begin, host_size);
    host[host_size] = '\0';
    if (at != NULL)
        return parse_port(at + 1, (size_t)(end - at - 1), 65535, peer_port);
    if (port > 65535 - PEER_PORT_OFFSET)
        return false;
    *peer_port = (uint16_t)(port + PEER_PORT_OFFSET);
    return true;
}

/* The seed of an address; made where there is none. NULL: no memory, or too many. */
static struct seed *seed_of(struct node *node, const char *host, uint16_t port) {
    struct cluster *cluster = node->cluster;
    for (uint32_t i = 0; i < cluster->seed_count; i++)
        if (cluster->seeds[i].port == port && strcmp(cluster->seeds[i].host, host) == 0)
            return &cluster->seeds[i];
    if (cluster->seed_count == SEEDS_MAX)
        return NULL;
    if (cluster->seed_count == cluster->seed_capacity) {
        uint32_t capacity = cluster->seed_capacity == 0 ? 8 : cluster->seed_capacity * 2;
        struct seed *seeds = mem_resize(node->mem, cluster->seeds, cluster->seed_capacity * sizeof *seeds,
                                        capacity * sizeof *seeds);
        if (seeds == NULL)
            return NULL;
        cluster->seeds = seeds;
        cluster->seed_capacity = capacity;
    }
    struct seed *seed = &cluster->seeds[cluster->seed_count++];
    *seed = (struct seed){.port = port, .next_call_ms = node->monotonic_ms};
    memcpy(seed->host, host, strlen(host) + 1);
    return seed;
}

/* Words with blanks or line ends between; what follows a # is a remark. */
static void read_words(struct node *node, const char *text, size_t size) {
    for (size_t i = 0; i < size;) {
        if (text[i] == '#') {
            while (i < size && text[i] != '\n')
                i++;
            continue;
        }
        size_t begin = i;
        while (i < size && strchr(" \t\r\n#", text[i]) == NULL)
            i++;
        char host[MEMBER_HOST_SIZE];
        uint16_t port;
        if (i == begin) {
            i++;
        } else if (!cluster_parse_seed(text + begin, i - begin, host, &port)) {
            node_log(node, NODE_LOG_WARNING,
                     "'%.*s' is no seed: it should be host:port or host:port@peer-port", (int)(i - begin),
                     text + begin);
        } else {
            struct seed *seed = seed_of(node, host, port);
            if (seed != NULL)
                seed->is_met = false;
        }
    }
}

void cluster_seeds_read(struct node *node) {
    const struct config *config = node->config;
    char error[256];
    node->cluster->seeds_read_ms = node->monotonic_ms;
    read_words(node, config->cluster_seeds, strlen(config->cluster_seeds));
    if (config->cluster_seeds_file[0] == '\0')
        return;
    struct buffer text;
    buffer_init(&text, node->mem);
    if (node->host.file_read(node->host.context, config->cluster_seeds_file, &text, error))
        read_words(node, (const char *)text.data, text.size);
    else
        node_log(node, NODE_LOG_WARNING, "Can't read cluster-seeds-file '%s': %s", config->cluster_seeds_file,
                 error);
    buffer_release(&text);
}

void cluster_seeds_work(struct node *node) {
    struct cluster *cluster = node->cluster;
    if (node->monotonic_ms - cluster->seeds_read_ms >= READ_EVERY_MS)
        cluster_seeds_read(node);
    for (uint32_t i = 0; i < cluster->seed_count;) {
        struct seed *seed = &cluster->seeds[i];
        bool is_done = seed->is_met && seed->call_id == 0 &&
                       (seed->is_answered || seed->is_self || node->monotonic_ms >= seed->until_ms);
        if (is_done)
            *seed = cluster->seeds[--cluster->seed_count];
        else
            i++;
    }
}

bool cluster_meet(struct node *node, const char *host, uint16_t peer_port) {
    struct cluster *cluster = node->cluster;
    uint32_t count = cluster->seed_count;
    struct seed *seed = seed_of(node, host, peer_port);
    if (seed == NULL)
        return false;
    if (cluster->seed_count > count)
        seed->is_met = true;
    seed->until_ms = node->monotonic_ms + MEET_FOR_MS;
    seed->next_call_ms = node->monotonic_ms;
    seed->is_self = false;
    cluster->must_work = true;
    return true;
}
