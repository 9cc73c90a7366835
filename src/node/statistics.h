/* statistics.h - counters of a node, for INFO, SLOWLOG and LATENCY.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_STATISTICS_H
#define NODE_STATISTICS_H

#include "base/histogram.h"
#include "cmd/command.h"

#define STATISTICS_SAMPLES         16
#define STATISTICS_ERRORS_MAX      64
#define STATISTICS_ERROR_NAME_SIZE 32

struct command_statistics {
    uint64_t calls, duration_ns, rejected, failed;
    struct histogram *
        durations; /* in us... of single calls or batch shares, in ns; NULL until the first call with latency-tracking on */
};

/* A rate per second over the last samples. */
struct rate {
    uint64_t last_value;
    uint64_t last_ms;
    uint64_t samples[STATISTICS_SAMPLES];
    uint32_t next;
};

struct error_statistics {
    char name[STATISTICS_ERROR_NAME_SIZE];
    uint64_t count;
};

/* The background jobs, and what commands do for tables that outgrow or empty themselves. Of each step the thread's processor
 * time is noted, in ns; for INFO jobs. */
enum job {
    JOB_EXPIRE,
    JOB_RECLAIM,
    JOB_CLIENTS,
    JOB_CHECKPOINT,
    JOB_LOAD,
    JOB_RESIZE,  /* DICT_LONG_MOVE records or more move; within a command, or within a step of JOB_EXPIRE */
    JOB_COMPARE, /* digests for the comparison with other copies */
    JOB_HINTS,   /* what other nodes have missed: noted, handed over, dropped */
    JOB_COUNT
};

struct statistics {
    uint64_t commands, connections, rejected_connections, input_bytes, output_bytes;
    uint64_t input_buffer_closed, output_buffer_closed, protocol_errors, auth_failures;
    uint64_t error_replies, unexpected_errors;
    uint64_t reads, writes; /* calls of node_input() and of node_sent() with bytes */
    uint64_t turns;
    uint64_t turn_duration_ns; /* from node_turn() to the end of node_work() */
    uint64_t peak_sessions;
    size_t peak_memory;
    struct rate commands_rate, input_rate, output_rate;
    struct command_statistics of_command[COMMAND_COUNT];
    struct error_statistics errors[STATISTICS_ERRORS_MAX];
    uint32_t error_count;
    struct histogram jobs[JOB_COUNT];
};

#endif
