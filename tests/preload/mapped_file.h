/* mapped_file.h - a file that a preloaded library is told by: mapped, so what is written there counts at once.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef PRELOAD_MAPPED_FILE_H
#define PRELOAD_MAPPED_FILE_H

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The first size bytes of the file that an environment variable names; NULL where there is none. Stays mapped until the process ends. */
static inline const volatile void *map_named_file(const char *variable, size_t size) {
    const char *name = getenv(variable);
    int fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *page = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

#endif
