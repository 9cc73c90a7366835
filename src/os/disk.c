/* disk.c - the real file system; the contracts are in disk.h and base/disk.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h> /* rename() */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct disk_file {
    int fd;
    /* The first error of a write or sync, given to every later one: the kernel reports a lost page only once. */
    int error;
    uint64_t written_bytes;
    uint64_t begun_bytes; /* of these the system was asked to write out so many */
};

/* Never follows a link, and never waits for the other end of a pipe. */
#define OPEN_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)

static bool has_slash(const char *name) {
    return strchr(name, '/') != NULL;
}

static int check_regular(int fd, struct stat *found) {
    if (fstat(fd, found) != 0)
        return errno;
    if (S_ISDIR(found->st_mode))
        return EISDIR;
    return S_ISREG(found->st_mode) ? 0 : ENOTSUP;
}

/* Opens what must be a regular file. */
static int open_regular(const char *name, int flags, struct disk_file **file, struct stat *found) {
    if (has_slash(name))
        return EINVAL;
    struct disk_file *new_file = calloc(1, sizeof *new_file);
    if (new_file == NULL)
        return ENOMEM;
    do
        new_file->fd = open(name, flags | OPEN_FLAGS, S_IRUSR | S_IWUSR);
    while (new_file->fd < 0 && errno == EINTR);
    int error = 0;
    if (new_file->fd < 0)
        error = errno == ENXIO ? ENOTSUP : errno; /* a pipe that nobody reads, a socket */
    else if ((error = check_regular(new_file->fd, found)) != 0)
        close(new_file->fd);
    if (error != 0) {
        free(new_file);
        return error;
    }
    *file = new_file;
    return 0;
}

static int disk_create(void *context, const char *name, struct disk_file **file) {
    (void)context;
    struct disk_file *new_file;
    struct stat found;
    /* Emptied only when it is known to be a file that may be emptied. */
    int error = open_regular(name, O_WRONLY | O_CREAT, &new_file, &found);
    if (error != 0)
        return error;
    if (((found.st_mode & 07777) != (S_IRUSR | S_IWUSR) && fchmod(new_file->fd, S_IRUSR | S_IWUSR) != 0) ||
        (found.st_size != 0 && ftruncate(new_file->fd, 0) != 0)) {
        error = errno;
        close(new_file->fd);
        free(new_file);
        return error;
    }
    *file = new_file;
    return 0;
}

static int disk_open(void *context, const char *name, struct disk_file **file, uint64_t *size) {
    (void)context;
    struct stat found;
    int error = open_regular(name, O_RDONLY, file, &found);
    if (error != 0)
        return error;
    posix_fadvise((*file)->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint: what it answers changes nothing */
    *size = (uint64_t)found.st_size;
    return 0;
}

static int disk_write(struct disk_file *file, const void *data, size_t size) {
    const char *bytes = data;
    while (size > 0 && file->error == 0) {
        ssize_t written = write(file->fd, bytes, size);
        if (written < 0) {
            if (errno != EINTR)
                file->error = errno;
            continue;
        }
        bytes += written;
        size -= (size_t)written;
        file->written_bytes += (uint64_t)written;
    }
    return file->error;
}

static int disk_read(struct disk_file *file, void *data, size_t size, size_t *got) {
    char *bytes = data;
    *got = 0;
    while (*got < size) {
        ssize_t count = read(file->fd, bytes + *got, size - *got);
        if (count == 0)
            break;
        if (count > 0)
            *got += (size_t)count;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

static void disk_begin_sync(struct disk_file *file) {
    /* Errors are left to fsync(), which reports them, too. */
    if (file->written_bytes > file->begun_bytes)
        sync_file_range(file->fd, (off_t)file->begun_bytes, (off_t)(file->written_bytes - file->begun_bytes),
                        SYNC_FILE_RANGE_WRITE);
    file->begun_bytes = file->written_bytes;
}

static int sync_descriptor(int fd) {
    int result;
    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

static int disk_sync(struct disk_file *file) {
    if (file->error == 0)
        file->error = sync_descriptor(file->fd);
    return file->error;
}

static int disk_lock(struct disk_file *file) {
    int result;
    do
        result = flock(file->fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

static int disk_close(struct disk_file *file) {
    int error = close(file->fd) == 0 ? 0 : errno; /* closed in any case, also after EINTR */
    free(file);
    return error;
}

static int disk_rename(void *context, const char *from, const char *to) {
    (void)context;
    if (has_slash(from) || has_slash(to))
        return EINVAL;
    return rename(from, to) == 0 ? 0 : errno;
}

static int disk_remove(void *context, const char *name) {
    (void)context;
    if (has_slash(name))
        return EINVAL;
    return unlink(name) == 0 ? 0 : errno;
}

static int disk_sync_names(void *context) {
    (void)context;
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = sync_descriptor(fd);
    close(fd);
    /* EINVAL: a file system that knows no such thing; it cannot be asked for more. */
    return error == EINVAL ? 0 : error;
}

static const char *disk_error_text(int error) {
    const char *text = strerrordesc_np(error);
    return text != NULL ? text : "unknown error";
}

void disk_init(struct disk *disk) {
    *disk = (struct disk){
        .create = disk_create,
        .open = disk_open,
        .write = disk_write,
        .read = disk_read,
        .begin_sync = disk_begin_sync,
        .sync = disk_sync,
        .lock = disk_lock,
        .close = disk_close,
        .rename = disk_rename,
        .remove = disk_remove,
        .sync_names = disk_sync_names,
        .error_text = disk_error_text,
    };
}
