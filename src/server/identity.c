/* identity.c - who this server is among nodes, said in words; and the folder that its files are kept in.
 *
 * Tests: tests/server/.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/persistence.h"
#include "os/entropy.h"
#include "os/process.h"
#include "server/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Another process is the node that this one would be. */
static bool go_on_beside(struct server *server) {
    const struct config *config = server->config;
    if (config->save_count != 0) {
        server_log(server, NODE_LOG_WARNING,
                   "Another server keeps its data in %s/%s. Give this one another folder (--dir) or name "
                   "(--dbfilename), or turn saving off (--save '')",
                   config->dir, config->dbfilename);
        return false;
    }
    server_log(
        server, NODE_LOG_WARNING,
        "Another server keeps its data in %s/%s. This one is a node of its own, until its end; it has no "
        "save rules, but SAVE and BGSAVE would replace the other one's file",
        config->dir, config->dbfilename);
    return true;
}

bool server_take_identity(struct server *server) {
    const struct config *config = server->config;
    struct identity *identity = &server->identity;
    uint8_t fresh_id[NODE_ID_SIZE];
    char id[IDENTITY_ID_SIZE];
    int error = 0;
    if (!entropy_fill(fresh_id, sizeof fresh_id)) {
        server_log(server, NODE_LOG_WARNING, "The system gives no random bytes: %s", strerror(errno));
        return false;
    }
    enum identity_status status =
        identity_take(identity, &server->disk, config->dbfilename, fresh_id, &error);
    snprintf(server->home, sizeof server->home, "%s", config->dir);
    server->keeps_identity = identity->is_kept;
    identity_print_id(identity->actor.node_id, id);
    switch (status) {
    case IDENTITY_TAKEN:
        server_log(server, NODE_LOG_NOTICE, "This is node %s, incarnation %llu (%s/%s)", id,
                   (unsigned long long)identity->actor.incarnation, config->dir, identity->name);
        return true;
    case IDENTITY_NEW:
        server_log(server, NODE_LOG_NOTICE, "This is a new node, %s (%s/%s)", id, config->dir,
                   identity->name);
        return true;
    case IDENTITY_REPLACED:
        server_log(server, NODE_LOG_WARNING,
                   "%s/%s was damaged: it is named %s.damaged now, and this is a new node, %s", config->dir,
                   identity->name, identity->name, id);
        return true;
    case IDENTITY_BUSY: return go_on_beside(server);
    case IDENTITY_NOT_KEPT: break;
    }
    /* ENOTSUP: a file of a later version, or something that is no file at all. */
    server_log(server, NODE_LOG_WARNING,
               "Who this node is cannot be kept in %s/%s.node (%s): it is a new node, %s, until its end",
               config->dir, config->dbfilename,
               error == ENOTSUP ? "what is there was not written by this version" : strerror(error), id);
    return true;
}

bool server_move(struct server *server, char error[256]) {
    struct config *config = server->config;
    struct persistence_report report;
    char before[4096], folder[4096];
    persistence_report(server->node, &report);
    /* Names would mean another folder half way. */
    if (report.saving || report.loading || worker_is_busy(server->worker)) {
        snprintf(error, 256, "a checkpoint is being written or loaded");
        return false;
    }
    process_folder(before, sizeof before);
    if (!process_enter_folder(config->dir)) {
        snprintf(error, 256, "%s", strerror(errno));
        return false;
    }
    process_folder(folder, sizeof folder);
    if (folder[0] != '\0' && !config_replace_text(config, &config->dir, folder)) {
        snprintf(error, 256, process_enter_folder(before) ? "out of memory" : "out of memory, half way");
        return false;
    }
    /* The identity stays at home: what lies in the new folder may be another node's. */
    server->identity.is_kept = server->keeps_identity && strcmp(config->dir, server->home) == 0;
    return true;
}
