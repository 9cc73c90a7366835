/* checkpoint_names.h - the files of a checkpoint's two generations, by the setting dbfilename, and how one takes the other's place.
 *
 *     NAME             the newest complete checkpoint
 *     NAME.previous    the one before it
 *     NAME.temporary   one that is being written, or that nobody finished
 *     NAME.damaged     one that was found damaged and set aside; more get a number behind it
 *     NAME.redis       an RDB file of Redis that was imported from NAME, kept when the first checkpoint took its place;
 *                      more get a number behind it
 *     NAME.node        who this node is (node/identity.h)
 *
 * At every moment, also after a power cut, NAME or NAME.previous is complete, once there was one.
 * May touch: a struct disk. Must never know: what is in the files, but for the first bytes that tell an RDB file.
 * Tests: tests/unit/store/checkpoint_names_test.c, the simulator's crash points.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef STORE_CHECKPOINT_NAMES_H
#define STORE_CHECKPOINT_NAMES_H

#include "base/disk.h"

#include <stdbool.h>

/* Names with an ending added stay within DISK_NAME_SIZE. */
#define CHECKPOINT_NAME_MAX (DISK_NAME_SIZE - 32)

struct checkpoint_names {
    char newest[DISK_NAME_SIZE], previous[DISK_NAME_SIZE], temporary[DISK_NAME_SIZE];
};

/* false: too long. */
bool checkpoint_names_init(struct checkpoint_names *names, const char *newest);

/* Makes the finished and synced temporary file the newest one; the newest so far becomes the previous one. An RDB file does so,
 * too, for as long as the change lasts, and then moves on to NAME.redis (NAME.redis.2, ... if that is taken): after a crash in
 * between it is under the name of the previous one, with or without a newest.
 * 0 or an errno; then at least one complete generation is there, and the temporary file may be. */
int checkpoint_names_commit(const struct checkpoint_names *names, const struct disk *disk);

/* Renames a damaged file to NAME.damaged, NAME.damaged.2, ... (none of which is there yet), written to set_aside. */
int checkpoint_names_set_aside(const struct checkpoint_names *names, const struct disk *disk,
                               const char *damaged, char set_aside[DISK_NAME_SIZE]);

#endif
