/* process_test.c - tests of os/process.h.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/process.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEGABYTE (1024u * 1024)

Test(process, touched_memory_shows_as_resident) {
    size_t before = process_resident_bytes();
    cr_assert_gt(before, MEGABYTE / 2);
    char *memory = mmap(NULL, 64 * MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
    cr_assert_lt(process_resident_bytes(), before + 32 * MEGABYTE);
    memset(memory, 1, 64 * MEGABYTE);
    size_t after = process_resident_bytes();
    cr_assert_geq(after, before + 60 * MEGABYTE);
    cr_assert_leq(after, process_machine_memory_bytes());
    munmap(memory, 64 * MEGABYTE);
}

Test(process, work_shows_in_the_times_of_the_process_and_of_its_thread) {
    struct process_times begin = process_times_self();
    struct process_times now = begin;
    volatile uint64_t work = 0;
    while (now.user_us + now.system_us < begin.user_us + begin.system_us + 20000) {
        for (int i = 0; i < 100000; i++)
            work = work + 1;
        now = process_times_self();
    }
    struct process_times thread = process_times_thread();
    cr_assert_geq(thread.user_us + thread.system_us, 10000);
}

Test(process, children_that_have_ended_show_in_their_times) {
    struct process_times begin = process_times_children();
    pid_t child = fork();
    if (child == 0) {
        struct process_times mine;
        do
            mine = process_times_self();
        while (mine.user_us + mine.system_us < 20000);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    struct process_times end = process_times_children();
    cr_assert_geq(end.user_us + end.system_us, begin.user_us + begin.system_us + 10000);
}

Test(process, it_knows_its_number_its_program_its_folder_and_its_system) {
    char text[512];
    cr_assert_eq(process_id(), (uint32_t)getpid());
    process_executable(text, sizeof text);
    cr_assert_eq(text[0], '/');
    cr_assert_not_null(strstr(text, "unit-os"), "%s", text);
    process_folder(text, sizeof text);
    cr_assert_eq(text[0], '/');
    process_system(text, sizeof text);
    cr_assert_eq(strncmp(text, "Linux ", 6), 0);
}

Test(process, short_room_cuts_the_texts) {
    char text[6] = "zzzzz";
    process_executable(text, 4);
    cr_assert_eq(strlen(text), 3);
    process_system(text, 4);
    cr_assert_str_eq(text, "Lin");
    process_folder(text, 1);
    cr_assert_str_eq(text, "");
}

Test(process, the_limit_of_open_files_is_raised_and_never_lowered) {
    struct rlimit small = {.rlim_cur = 100, .rlim_max = 400};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
    cr_assert_eq(process_raise_open_files(300), 300);
    cr_assert_eq(process_raise_open_files(50), 300);
    struct rlimit now;
    getrlimit(RLIMIT_NOFILE, &now);
    cr_assert_eq(now.rlim_cur, 300);
    cr_assert_eq(now.rlim_max, 400);
}

Test(process, a_limit_that_cannot_be_reached_gives_what_there_is) {
    struct rlimit small = {.rlim_cur = 100, .rlim_max = 400};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
    uint64_t wanted = (uint64_t)1 << 40; /* above what the kernel lets even root have */
    cr_assert_eq(process_raise_open_files(wanted), 400);
}

Test(process, in_the_background_it_has_no_terminal_and_says_nothing) {
    int report[2];
    cr_assert_eq(pipe(report), 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t front = getpid();
        bool done = process_daemonize();
        char target[64] = "";
        ssize_t length = readlink("/proc/self/fd/1", target, sizeof target - 1);
        char verdict = 'x';
        if (done && getpid() != front && getsid(0) == getpid() && length > 0 &&
            strcmp(target, "/dev/null") == 0)
            verdict = 'k';
        _exit(write(report[1], &verdict, 1) == 1 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(report[1]);
    char verdict = 0;
    cr_assert_eq(read(report[0], &verdict, 1), 1);
    cr_assert_eq(verdict, 'k');
}

static char folder[] = "/tmp/redis-kv-process-XXXXXX";

static void make_folder(void) {
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
}

static void remove_folder(void) {
    unlink("pid");
    unlink("notify");
    unlink("other");
    cr_assert_eq(rmdir(folder), 0);
}

TestSuite(process_files, .init = make_folder, .fini = remove_folder);

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

Test(process_files, the_pid_file_holds_the_number_and_goes_away) {
    write_text("pid", "something much longer that was there before\n");
    cr_assert(process_write_pid_file("pid"));
    char text[64] = {0}, expected[64];
    FILE *file = fopen("pid", "r");
    cr_assert_gt(fread(text, 1, sizeof text - 1, file), 0);
    fclose(file);
    snprintf(expected, sizeof expected, "%d\n", (int)getpid());
    cr_assert_str_eq(text, expected);
    process_remove_pid_file("pid");
    cr_assert_neq(access("pid", F_OK), 0);
}

Test(process_files, the_pid_file_of_another_process_stays) {
    write_text("pid", "1\n");
    process_remove_pid_file("pid");
    cr_assert_eq(access("pid", F_OK), 0);
}

Test(process_files, a_pid_file_is_not_written_through_a_link) {
    write_text("other", "precious");
    cr_assert_eq(symlink("other", "pid"), 0);
    cr_assert_not(process_write_pid_file("pid"));
}

static int notify_socket(const char *name, size_t length) {
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    memcpy(place.sun_path, name, length);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&place, size), 0);
    return fd;
}

static void expect_notice(int fd, const char *expected) {
    char text[64] = {0};
    cr_assert_eq(recv(fd, text, sizeof text - 1, MSG_DONTWAIT), (ssize_t)strlen(expected));
    cr_assert_str_eq(text, expected);
}

Test(process_files, the_service_manager_is_told) {
    int fd = notify_socket("notify", 6);
    setenv("NOTIFY_SOCKET", "notify", 1);
    cr_assert(process_notify("READY=1\nSTATUS=serving"));
    expect_notice(fd, "READY=1\nSTATUS=serving");
}

Test(process_files, the_service_manager_may_have_a_name_without_a_file) {
    char name[64];
    int length = snprintf(name, sizeof name, "@redis-kv-%d", (int)getpid());
    setenv("NOTIFY_SOCKET", name, 1);
    name[0] = 0;
    int fd = notify_socket(name, (size_t)length);
    cr_assert(process_notify("STOPPING=1"));
    expect_notice(fd, "STOPPING=1");
}

Test(process_files, without_a_service_manager_there_is_nothing_to_do) {
    unsetenv("NOTIFY_SOCKET");
    cr_assert(process_notify("READY=1"));
    setenv("NOTIFY_SOCKET", "nobody-is-here", 1);
    cr_assert_not(process_notify("READY=1"));
}
