/* main.c - the composition root: options in, server out.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "server/server.h"

int main(int argc, char **argv) {
    struct options options;
    switch (options_read(&options, argc, argv)) {
    case OPTIONS_EXIT_OK: return 0;
    case OPTIONS_EXIT_ERROR: return 1;
    case OPTIONS_RUN: break;
    }
    int status = server_run(&options);
    options_release(&options);
    return status;
}
