/* options.h - the command line: a config file, directives after it, and the few words that end at once.
 *
 * May touch: the config module, files. Must never know: sockets, the node.
 * Tests: tests/server/ (startup).
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "node/config.h"

struct options {
    struct config config;
    char config_path[4096]; /* absolute; "" without a config file */
    bool start_empty;       /* --start-empty: also where no checkpoint can be loaded */
    struct mem mem;         /* what the config's texts come from; the node's, too */
};

enum options_result { OPTIONS_RUN, OPTIONS_EXIT_OK, OPTIONS_EXIT_ERROR };

/* Reads the command line and the config file it names. Anything to be said (help, version, errors) has been
 * printed when the result is not OPTIONS_RUN. Release with options_release(). */
enum options_result options_read(struct options *options, int argc, char **argv);
void options_release(struct options *options);

#endif
