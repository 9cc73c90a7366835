/* disk.h - a folder of the real file system as a struct disk (base/disk.h).
 *
 * Names are relative to the process's working folder at the time of each call, which is what the setting `dir` means.
 * May touch: files. Must never know: what they hold.
 * Tests: tests/unit/os/disk_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_DISK_H
#define OS_DISK_H

#include "base/disk.h"

/* Fills in the table. It holds nothing and needs no release. Files that it gives are malloc()ed, and freed by close(). */
void disk_init(struct disk *disk);

#endif
