/* file.c - whole files; the contract is in file.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One read; also the room beyond the limit that shows that a file goes on. */
#define FILE_CHUNK_SIZE 4096

/* Appends what is left of fd. Reads to the end instead of asking for the size: files of /proc have none. */
static enum file_result file_read_rest(int fd, size_t size_max, struct buffer *content) {
    size_t total = 0;
    for (;;) {
        if (!buffer_reserve(content, FILE_CHUNK_SIZE))
            return FILE_NO_MEMORY;
        ssize_t got = read(fd, content->data + content->size, FILE_CHUNK_SIZE);
        if (got == 0)
            return FILE_DONE;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return FILE_FAILED;
        total += (size_t)got;
        if (total > size_max)
            return FILE_TOO_LARGE;
        content->size += (size_t)got;
    }
}

enum file_result file_read(const char *path, size_t size_max, struct buffer *content) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT ? FILE_MISSING : FILE_FAILED;
    size_t size_before = content->size;
    enum file_result result = file_read_rest(fd, size_max, content);
    if (result != FILE_DONE)
        content->size = size_before;
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static bool file_write_all(int fd, const uint8_t *data, size_t size) {
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno != EINTR)
            return false;
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
    return true;
}

/* Makes the names in the folder of `path` durable. */
static bool file_sync_folder(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash == NULL ? snprintf(folder, sizeof folder, ".")
                               : snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    if (length < 0 || (size_t)length >= sizeof folder) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool done = fsync(fd) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return done;
}

/* Writes the temporary file and gives it its name. A failed fsync() means that this file is dead, whatever a second
 * one would say: it is removed. */
static bool file_write_and_rename(const char *temporary, int fd, const char *path, const void *data,
                                  size_t size) {
    bool done = file_write_all(fd, data, size) && fsync(fd) == 0;
    int error = errno;
    if (close(fd) != 0 && done) {
        error = errno;
        done = false;
    }
    if (done && rename(temporary, path) != 0) {
        error = errno;
        done = false;
    }
    if (!done)
        unlink(temporary);
    errno = error;
    return done;
}

bool file_replace(const char *path, const void *data, size_t size) {
    /* The real place, so that a symbolic link is followed. A file that does not exist yet has only its given name. */
    char place[PATH_MAX];
    if (realpath(path, place) == NULL) {
        if (errno != ENOENT)
            return false;
        if (strlen(path) >= sizeof place) {
            errno = ENAMETOOLONG;
            return false;
        }
        memcpy(place, path, strlen(path) + 1);
    }
    char temporary[PATH_MAX];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.XXXXXX", place) >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return false;
    return file_write_and_rename(temporary, fd, place, data, size) && file_sync_folder(place);
}
