/* failing_disk.c - a disk that fails: preloaded into a process, it lets writing, fsync and renaming of files fail, at any moment.
 *
 * FAILING_DISK_FILE names a file of five 32-bit integers, which is mapped, so what is written there counts at once: the errors of
 * write(), of fsync() of a file, of fsync() of a folder, and of rename(), 0 for none; and how many bytes a write() takes at most,
 * 0 for all. Only files count that were opened after the standard ones, and of those no pipes and sockets.
 * May touch: that file. Must never know: whose files they are.
 * Tests: tests/checkpoint/disks.py, which looks whether an error is seen.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h> /* rename() */
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mapped_file.h"

struct faults {
    int32_t write_error, sync_error, folder_sync_error, rename_error, write_max;
};

static const volatile struct faults
    *faults; /* NULL until the constructor has run, and where there is no file */

__attribute__((constructor)) static void map_faults(void) {
    faults = map_named_file("FAILING_DISK_FILE", sizeof *faults);
}

static int fail(int32_t error) {
    errno = error;
    return -1;
}

static mode_t kind_of(int fd) {
    struct stat found;
    return fd > STDERR_FILENO && fstat(fd, &found) == 0 ? found.st_mode & S_IFMT : 0;
}

ssize_t write(int fd, const void *data, size_t size) {
    if (faults != NULL && (faults->write_error != 0 || faults->write_max != 0) && kind_of(fd) == S_IFREG) {
        if (faults->write_error != 0)
            return fail(faults->write_error);
        if (size > (size_t)faults->write_max)
            size = (size_t)faults->write_max;
    }
    return syscall(SYS_write, fd, data, size);
}

int fsync(int fd) {
    if (faults != NULL && faults->sync_error != 0 && kind_of(fd) == S_IFREG)
        return fail(faults->sync_error);
    if (faults != NULL && faults->folder_sync_error != 0 && kind_of(fd) == S_IFDIR)
        return fail(faults->folder_sync_error);
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to) {
    if (faults != NULL && faults->rename_error != 0)
        return fail(faults->rename_error);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0u);
}
