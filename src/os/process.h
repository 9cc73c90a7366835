/* process.h - what this process is and uses, and how it lives with the system that started it.
 *
 * May touch: /proc/self, resource limits and usage, uname, fork (only to go into the background), the pid file, the
 * socket of the service manager. Must never know: what the process serves.
 * Tests: tests/unit/os/process_test.c.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef OS_PROCESS_H
#define OS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory of this process that is in RAM now, in bytes; 0 where /proc is not there. A few microseconds. */
size_t process_resident_bytes(void);

/* RAM of the machine in bytes. */
size_t process_machine_memory_bytes(void);

struct process_times {
    uint64_t user_us;
    uint64_t system_us;
};

/* Processor time taken so far by: all threads of this process, its children that have ended, the calling thread. */
struct process_times process_times_self(void);
struct process_times process_times_children(void);
struct process_times process_times_thread(void);

uint32_t process_id(void);

/* The file that is being run. "" where the system does not tell. Always ended by a zero byte. */
void process_executable(char *path, size_t size);

/* The folder that relative names start from, in the same way. */
void process_folder(char *path, size_t size);

/* Makes `path` that folder. False: errno. */
bool process_enter_folder(const char *path) __attribute__((warn_unused_result));

/* System, release and machine: `Linux 6.1.0-18-amd64 x86_64`. Always ended by a zero byte. */
void process_system(char *text, size_t size);

/* Allows `wanted` open files, as many as the hard limit lets (which root may raise). Returns how many are allowed now;
 * never lowers the limit. */
uint64_t process_raise_open_files(uint64_t wanted);

/* Goes into the background: the caller returns in a child without terminal, with /dev/null as its three standard
 * streams. Must come before threads, loops and descriptors that belong to one process. False: errno, still in front. */
bool process_daemonize(void) __attribute__((warn_unused_result));

/* Writes the process id and a line end to `path`. False: errno. */
bool process_write_pid_file(const char *path) __attribute__((warn_unused_result));

/* Removes the file if it still names this process. */
void process_remove_pid_file(const char *path);

/* Tells the service manager (systemd) about us: `READY=1`, `STOPPING=1`, `STATUS=...`, several lines at once.
 * True where it was told, or where nobody wants to hear ($NOTIFY_SOCKET is not set). */
bool process_notify(const char *state);

#endif
