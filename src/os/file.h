/* file.h - small files, read and written whole.
 *
 * May touch: the file system. Must never know: what the files say.
 * Invariant: a file written here is at every moment either the old one or the new one, whole, also after a power cut.
 * Tests: tests/unit/os/file_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_FILE_H
#define OS_FILE_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>

enum file_result {
    FILE_DONE,
    FILE_MISSING,   /* there is no such file */
    FILE_TOO_LARGE, /* it has more than size_max bytes */
    FILE_NO_MEMORY,
    FILE_FAILED, /* errno says why */
};

/* Appends the whole file at `path` to `content`. After anything but FILE_DONE the content is as it was. */
enum file_result file_read(const char *path, size_t size_max, struct buffer *content)
    __attribute__((warn_unused_result));

/* Puts `size` bytes in the place of the file at `path`, or makes it, readable by its owner only: a temporary file
 * beside it is written and synced, takes its name, and the folder is synced. A symbolic link stays, what it points to
 * is replaced. False: errno; the old file is unchanged, unless only the sync of the folder failed (then which of the two
 * a power cut leaves is unknown). */
bool file_replace(const char *path, const void *data, size_t size) __attribute__((warn_unused_result));

#endif
