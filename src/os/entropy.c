/* entropy.c - random bytes; the contract is in entropy.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/entropy.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

bool entropy_fill(void *data, size_t size) {
    uint8_t *bytes = data;
    size_t filled = 0;
    while (filled < size) {
        ssize_t got = getrandom(bytes + filled, size - filled, 0);
        if (got < 0 && errno != EINTR)
            return false;
        if (got > 0)
            filled += (size_t)got;
    }
    return true;
}
