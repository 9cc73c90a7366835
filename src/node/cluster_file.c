/* cluster_file.c - the members of the cluster on disk, so that a node that starts again knows whom to look for.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "node/cluster_inside.h"
#include "node/state.h"

#include <errno.h>
#include <stdio.h>

#define FILE_SIZE_MAX  (4 * 1024 * 1024)
#define WRITE_AGAIN_MS 1000

/* One writing. While it is under way it belongs to the helper. */
struct cluster_file {
    struct work work; /* first: it is found by this */
    struct node *node;
    struct disk disk;
    char name[DISK_NAME_SIZE], new_name[DISK_NAME_SIZE];
    struct buffer bytes;
    int error;
    bool is_busy;
    uint64_t next_ms; /* not before */
};

static bool set_names(struct cluster_file *file, const char *dbfilename, const char *suffix) {
    int size = snprintf(file->name, sizeof file->name, "%s.members", dbfilename);
    int new_size = snprintf(file->new_name, sizeof file->new_name, "%s.members.%s", dbfilename, suffix);
    return size > 0 && (size_t)size < sizeof file->name && new_size > 0 &&
           (size_t)new_size < sizeof file->new_name;
}

void cluster_file_init(struct node *node) {
    node->cluster->file = mem_alloc_zeroed(node->mem, sizeof *node->cluster->file);
    if (node->cluster->file == NULL)
        return;
    node->cluster->file->node = node;
    buffer_init(&node->cluster->file->bytes, node->mem);
}

void cluster_file_release(struct node *node) {
    struct cluster_file *file = node->cluster->file;
    if (file == NULL)
        return;
    buffer_release(&file->bytes);
    mem_free(node->mem, file, sizeof *file);
    node->cluster->file = NULL;
}

bool cluster_file_is_busy(const struct node *node) {
    return node->cluster->file != NULL && node->cluster->file->is_busy;
}

int cluster_file_read(const struct disk *disk, const char *name, uint64_t size_max, struct buffer *bytes) {
    struct disk_file *file;
    uint64_t size;
    size_t got = 0;
    int error = disk->open(disk->context, name, &file, &size);
    if (error != 0)
        return error;
    if (size > size_max)
        error = EFBIG;
    else if (!buffer_reserve(bytes, (size_t)size + 1))
        error = ENOMEM;
    else
        error = disk->read(file, bytes->data, (size_t)size, &got);
    bytes->size = got;
    disk->close(file);
    return error;
}

bool cluster_file_load(struct node *node) {
    struct cluster_file *file = node->cluster->file;
    const struct disk *disk = &node->host.disk;
    if (file == NULL)
        return false;
    if (disk->open == NULL || !set_names(file, node->config->dbfilename, "damaged"))
        return true;
    int error = cluster_file_read(disk, file->name, FILE_SIZE_MAX, &file->bytes);
    bool is_good = error == 0 && membership_load(node->cluster->membership, file->bytes.data,
                                                 file->bytes.size, node->monotonic_ms);
    buffer_release(&file->bytes);
    if (is_good || error == ENOENT)
        return true;
    if (error == ENOMEM)
        return false;
    node_log(node, NODE_LOG_WARNING,
             "The file of the members '%s' cannot be used (%s): it is set aside as '%s'", file->name,
             error == 0 ? "it is damaged" : disk->error_text(error), file->new_name);
    (void)disk->rename(disk->context, file->name, file->new_name);
    return true;
}

/* On the helper. */
static void write_file(struct work *work) {
    struct cluster_file *file = (struct cluster_file *)(void *)work;
    const struct disk *disk = &file->disk;
    struct disk_file *out;
    file->error = disk->create(disk->context, file->new_name, &out);
    if (file->error != 0)
        return;
    file->error = disk->write(out, file->bytes.data, file->bytes.size);
    if (file->error == 0)
        file->error = disk->sync(out);
    int error = disk->close(out);
    if (file->error == 0)
        file->error = error;
    if (file->error == 0)
        file->error = disk->rename(disk->context, file->new_name, file->name);
    if (file->error == 0)
        file->error = disk->sync_names(disk->context);
    else
        (void)disk->remove(disk->context, file->new_name);
}

static void file_is_written(struct work *work) {
    struct cluster_file *file = (struct cluster_file *)(void *)work;
    struct node *node = file->node;
    file->is_busy = false;
    buffer_release(&file->bytes);
    if (file->error == 0)
        return;
    node_log(node, NODE_LOG_WARNING, "Can't write the members of the cluster to '%s': %s", file->name,
             file->disk.error_text(file->error));
    node->cluster->wants_file = true;
}

void cluster_file_work(struct node *node) {
    struct cluster_file *file = node->cluster->file;
    if (!node->cluster->wants_file || file->is_busy || node->monotonic_ms < file->next_ms ||
        node->host.disk.create == NULL || node->shutdown != NODE_RUNNING)
        return;
    buffer_clear(&file->bytes);
    if (!set_names(file, node->config->dbfilename, "new") ||
        !membership_save(node->cluster->membership, &file->bytes)) {
        buffer_release(&file->bytes);
        return;
    }
    node->cluster->wants_file = false;
    file->next_ms = node->monotonic_ms + WRITE_AGAIN_MS;
    file->is_busy = true;
    file->disk = node->host.disk;
    file->work = (struct work){.run = write_file, .done = file_is_written};
    node->host.work.submit(node->host.work.context, &file->work);
}
