/* handoff_file.c - hints on disk: `<dbfilename>.hints`, written behind each checkpoint in pieces, read at the start.
 *
 * Each piece is filled in steps on the loop and written by the helper; the new file takes the name when all of it is durable. A
 * writing that fails leaves the file as it was, and is tried again with the next checkpoint.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "cluster/hints_file.h"
#include "node/cluster_inside.h"
#include "node/handoff.h"
#include "node/state.h"

#include <errno.h>
#include <stdio.h>

#define FILE_SIZE_MAX (1024 * 1024 * 1024)
#define PIECE_BYTES   (256 * 1024)

/* While is_busy, all but node and is_wanted belong to the helper. */
struct handoff_file {
    struct work work; /* first: it is found by this */
    struct node *node;
    struct disk disk;
    struct disk_file *out; /* NULL: no file is open */
    char name[DISK_NAME_SIZE], new_name[DISK_NAME_SIZE];
    struct hints_writer writer;
    struct buffer piece;
    int error;
    bool is_wanted;  /* the hints are to be written from the begin */
    bool is_writing; /* that is under way */
    bool is_busy;    /* the helper has a piece */
    bool exists;     /* there is a file under the name, perhaps with hints in it */
};

static bool set_names(struct handoff_file *file, const char *dbfilename, const char *suffix) {
    int size = snprintf(file->name, sizeof file->name, "%s.hints", dbfilename);
    int new_size = snprintf(file->new_name, sizeof file->new_name, "%s.hints.%s", dbfilename, suffix);
    return size > 0 && (size_t)size < sizeof file->name && new_size > 0 &&
           (size_t)new_size < sizeof file->new_name;
}

static struct handoff_file *make_file(struct node *node) {
    struct handoff_file *file = mem_alloc_zeroed(node->mem, sizeof *file);
    if (file == NULL)
        return NULL;
    file->node = node;
    buffer_init(&file->piece, node->mem);
    return file;
}

void handoff_file_release(struct node *node) {
    struct handoff_file *file = node->cluster->hints_file;
    if (file == NULL)
        return;
    if (file->out != NULL)
        (void)file->disk.close(file->out);
    buffer_release(&file->piece);
    mem_free(node->mem, file, sizeof *file);
    node->cluster->hints_file = NULL;
}

bool handoff_file_is_busy(const struct node *node) {
    const struct handoff_file *file = node->cluster->hints_file;
    return file != NULL && file->is_busy;
}

bool handoff_file_is_pending(const struct node *node) {
    const struct handoff_file *file = node->cluster == NULL ? NULL : node->cluster->hints_file;
    return file != NULL && (file->is_wanted || file->is_writing);
}

/* ---- Reading ---- */

static int32_t target_of(const void *context, const uint8_t id[NODE_ID_SIZE]) {
    const struct membership *membership = context;
    uint16_t member = membership_find(membership, id);
    if (member == RING_NOBODY || member == ROUTE_SELF ||
        membership_member(membership, member)->state == MEMBER_REMOVED)
        return -1;
    return member;
}

bool handoff_file_load(struct node *node) {
    struct cluster *cluster = node->cluster;
    struct handoff_file *file = cluster->hints_file = make_file(node);
    const struct disk *disk = &node->host.disk;
    if (file == NULL)
        return false;
    if (disk->open == NULL || !set_names(file, node->config->dbfilename, "damaged"))
        return true;
    int error = cluster_file_read(disk, file->name, FILE_SIZE_MAX, &file->piece);
    bool is_good = error == 0 && hints_read(&cluster->hints, cluster->self_identity.node_id, file->piece.data,
                                            file->piece.size, target_of, cluster->membership,
                                            node->monotonic_ms, node->wall_ms) == HINTS_READ;
    buffer_release(&file->piece);
    file->exists = error != ENOENT;
    if (is_good && cluster->hints.count != 0)
        node_log(node, NODE_LOG_NOTICE, "There are %llu keys that other nodes have missed",
                 (unsigned long long)cluster->hints.count);
    if (is_good || error == ENOENT)
        return true;
    node_log(
        node, NODE_LOG_WARNING,
        "The file of what other nodes have missed '%s' cannot be used (%s): it is set aside as '%s', and "
        "they are compared with",
        file->name,
        error == 0        ? "it is damaged"
        : error == ENOMEM ? "there is no memory"
                          : disk->error_text(error),
        file->new_name);
    (void)disk->rename(disk->context, file->name, file->new_name);
    return true;
}

/* ---- Writing, on the helper ---- */

static int end_file(struct handoff_file *file) {
    const struct disk *disk = &file->disk;
    int error = disk->sync(file->out);
    int close_error = disk->close(file->out);
    file->out = NULL;
    error = error == 0 ? close_error : error;
    if (error == 0)
        error = disk->rename(disk->context, file->new_name, file->name);
    return error == 0 ? disk->sync_names(disk->context) : error;
}

static void write_piece(struct work *work) {
    struct handoff_file *file = (struct handoff_file *)(void *)work;
    const struct disk *disk = &file->disk;
    file->error = file->out == NULL ? disk->create(disk->context, file->new_name, &file->out) : 0;
    if (file->error == 0)
        file->error = disk->write(file->out, file->piece.data, file->piece.size);
    if (file->error == 0 && file->writer.is_over)
        file->error = end_file(file);
    if (file->error == 0)
        return;
    if (file->out != NULL)
        (void)disk->close(file->out);
    file->out = NULL;
    (void)disk->remove(disk->context, file->new_name);
}

/* ---- Writing, on the loop ---- */

static void stop_writing(struct handoff_file *file, const char *reason) {
    file->is_writing = false;
    buffer_release(&file->piece);
    if (reason != NULL)
        node_log(file->node, NODE_LOG_WARNING, "Can't write what other nodes have missed to '%s': %s",
                 file->name, reason);
}

static void piece_is_written(struct work *work) {
    struct handoff_file *file = (struct handoff_file *)(void *)work;
    file->is_busy = false;
    buffer_clear(&file->piece);
    if (file->error != 0) {
        stop_writing(file, file->disk.error_text(file->error));
    } else if (file->writer.is_over) {
        file->exists = true;
        stop_writing(file, NULL);
    }
}

void handoff_file_want(struct node *node) {
    struct handoff_file *file = node->cluster->hints_file;
    if (file != NULL && node->host.disk.create != NULL)
        file->is_wanted = true;
}

static void begin_writing(struct handoff_file *file) {
    struct node *node = file->node;
    file->is_wanted = false;
    if (node->cluster->hints.count == 0 && !file->exists)
        return; /* there is nothing that a file would say otherwise */
    if (!set_names(file, node->config->dbfilename, "new"))
        return;
    file->is_writing = true;
    file->disk = node->host.disk;
    hints_writer_init(&file->writer, node->cluster->self_identity.node_id);
    if (!hints_write_head(&file->writer, node->wall_ms, &file->piece))
        stop_writing(file, "out of memory");
}

static const uint8_t *id_of(const void *context, uint16_t target) {
    const struct membership *membership = context;
    if (target >= membership_count(membership) ||
        membership_member(membership, target)->state == MEMBER_REMOVED)
        return NULL;
    return membership_member(membership, target)->entry.id;
}

/* Fills the piece by a step; hands it over when it is full. */
static void go_on_writing(struct handoff_file *file) {
    struct node *node = file->node;
    uint64_t started_cpu_ns = node_thread_cpu_ns(node);
    bool is_written =
        hints_write_block(&file->writer, &node->cluster->hints, id_of, node->cluster->membership,
                          node->monotonic_ms, JOB_STEP_UNITS, &file->piece);
    node_note_step(node, JOB_HINTS, started_cpu_ns);
    if (!is_written) {
        if (file->out != NULL)
            (void)file->disk.close(file->out);
        file->out = NULL;
        stop_writing(file, "out of memory");
        return;
    }
    if (!file->writer.is_over && file->piece.size < PIECE_BYTES)
        return;
    file->is_busy = true;
    file->work = (struct work){.run = write_piece, .done = piece_is_written};
    node->host.work.submit(node->host.work.context, &file->work);
}

bool handoff_file_work(struct node *node) {
    struct handoff_file *file = node->cluster->hints_file;
    if (LIKELY(!handoff_file_is_pending(node)) || file->is_busy)
        return false;
    if (node->shutdown != NODE_RUNNING)
        return false;
    if (!file->is_writing)
        begin_writing(file);
    if (file->is_writing)
        go_on_writing(file);
    return handoff_file_is_pending(node) && !file->is_busy;
}
