/* host.h - what a node asks of the world that it runs in; rarely, never per command.
 *
 * The real world (server/) and the simulated one (tests/sim/) each fill in this table. All functions return at once.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef NODE_HOST_H
#define NODE_HOST_H

#include "base/buffer.h"
#include "base/disk.h"
#include "base/work.h"

#include <stdbool.h>
#include <stdint.h>

enum node_log_level { NODE_LOG_DEBUG, NODE_LOG_VERBOSE, NODE_LOG_NOTICE, NODE_LOG_WARNING };

/* Facts about the process and the machine, for INFO and MEMORY. 0 or "" where unknown. */
struct host_facts {
    uint64_t resident_bytes, total_system_bytes;
    uint64_t allocator_allocated_bytes, allocator_active_bytes, allocator_resident_bytes;
    double cpu_system_s, cpu_user_s, cpu_system_children_s, cpu_user_children_s, cpu_system_main_thread_s,
        cpu_user_main_thread_s;
    int64_t process_id;
    char os[128]; /* "Linux 6.1.0 x86_64" */
    char executable[512];
    char config_file[512]; /* absolute, or "" */
    char supervised[16];   /* "no", "systemd", ... */
    char compiler[64];
};

struct node_host {
    void *context;
    /* Monotonic time, the same clock as node_turn()'s; for durations only. Called per turn, per batch, and around commands
     * that may take long. */
    uint64_t (*clock_ns)(void *context);
    /* Processor time that the calling thread has taken, the measure of background work: the machine may be busy with
     * something else meanwhile. Twice per step of a job, and a long move of a table is one; never for a mere request: it may
     * cost a system call. */
    uint64_t (*thread_cpu_ns)(void *context);
    void (*log)(void *context, enum node_log_level level, const char *text);
    void (*facts)(void *context, struct host_facts *facts);
    /* A setting has been changed by CONFIG SET: the world carries out its part (loglevel, bind, port, keepalive...).
     * false: `error` (256 bytes) says why not; the change is then taken back. */
    bool (*setting_changed)(void *context, const char *name, char error[256]);
    /* CONFIG REWRITE: reads the present text of the config file into `text`; false with `error` if there is none. */
    bool (*config_read)(void *context, struct buffer *text, char error[256]);
    bool (*config_write)(void *context, const void *text, size_t size, char error[256]);
    /* MEMORY PURGE: gives unused memory back to the system. */
    void (*memory_purge)(void *context);
    /* DEBUG SLEEP: the whole thread waits. */
    void (*sleep_us)(void *context, uint64_t us);
    /* Random bytes that nobody can foretell. */
    void (*random)(void *context, void *bytes, size_t size);
    /* Reads a small file whole (cluster-seeds-file), appended to `text`; false with `error`. */
    bool (*file_read)(void *context, const char *path, struct buffer *text, char error[256]);
    /* Where long work is handed in, and the folder that the setting `dir` names. Each has a context of its own. */
    struct work_queue work;
    struct disk disk;
};

#endif
