/* disk_test.c - tests of os/disk.h in a temporary folder. Each test runs in a process of its own.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/redis-kv-disk-XXXXXX";
static struct disk disk;

static void make_folder(void) {
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    disk_init(&disk);
}

static void remove_folder(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

/* Waiting for somebody at the other end of a pipe would be an error here. */
TestSuite(disk, .init = make_folder, .fini = remove_folder, .timeout = 60);

static void put(const char *name, const char *text) {
    struct disk_file *file;
    cr_assert_eq(disk.create(disk.context, name, &file), 0);
    cr_assert_eq(disk.write(file, text, strlen(text)), 0);
    cr_assert_eq(disk.sync(file), 0);
    cr_assert_eq(disk.close(file), 0);
}

static void expect_content(const char *name, const char *expected) {
    struct disk_file *file;
    uint64_t size;
    char found[1000];
    size_t got;
    cr_assert_eq(disk.open(disk.context, name, &file, &size), 0);
    cr_assert_eq(size, strlen(expected));
    cr_assert_eq(disk.read(file, found, sizeof found, &got), 0);
    cr_assert_eq(got, size);
    cr_assert_arr_eq(found, expected, got);
    cr_assert_eq(disk.close(file), 0);
}

static void expect_missing(const char *name) {
    struct stat found;
    cr_assert_eq(lstat(name, &found), -1);
    cr_assert_eq(errno, ENOENT);
}

static mode_t mode_of(const char *name) {
    struct stat found;
    cr_assert_eq(lstat(name, &found), 0);
    return found.st_mode;
}

static int create_error(const char *name) {
    struct disk_file *file = NULL;
    int error = disk.create(disk.context, name, &file);
    cr_assert_null(file);
    return error;
}

static int open_error(const char *name) {
    struct disk_file *file = NULL;
    uint64_t size;
    int error = disk.open(disk.context, name, &file, &size);
    cr_assert_null(file);
    return error;
}

/* ---- Bytes ----------------------------------------------------------------------------------------------------- */

Test(disk, what_was_written_piece_by_piece_is_read_piece_by_piece) {
    static char bytes[300001], found[sizeof bytes];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 >> 3);
    struct disk_file *file;
    cr_assert_eq(disk.create(disk.context, "a", &file), 0);
    for (size_t at = 0, piece; at < sizeof bytes; at += piece) {
        piece = sizeof bytes - at < 70000 ? sizeof bytes - at : 70000;
        cr_assert_eq(disk.write(file, bytes + at, piece), 0);
        disk.begin_sync(file);
        disk.begin_sync(file); /* nothing new since the last time */
    }
    cr_assert_eq(disk.write(file, bytes, 0), 0);
    cr_assert_eq(disk.sync(file), 0);
    cr_assert_eq(disk.close(file), 0);

    uint64_t size;
    size_t got;
    cr_assert_eq(disk.open(disk.context, "a", &file, &size), 0);
    cr_assert_eq(size, sizeof bytes);
    cr_assert_eq(disk.read(file, found, 1234, &got), 0);
    cr_assert_eq(got, 1234);
    cr_assert_eq(disk.read(file, found + got, sizeof found, &got), 0);
    cr_assert_eq(got, sizeof bytes - 1234);
    cr_assert_arr_eq(found, bytes, sizeof bytes);
    cr_assert_eq(disk.read(file, found, 1, &got), 0);
    cr_assert_eq(got, 0);
    cr_assert_eq(disk.close(file), 0);
}

Test(disk, creating_empties_what_was_there) {
    put("a", "a long text");
    put("a", "short");
    expect_content("a", "short");
}

Test(disk, files_of_the_same_folder_do_not_disturb_each_other) {
    struct disk_file *first, *second;
    cr_assert_eq(disk.create(disk.context, "first", &first), 0);
    cr_assert_eq(disk.create(disk.context, "second", &second), 0);
    cr_assert_eq(disk.write(first, "12", 2), 0);
    cr_assert_eq(disk.write(second, "ab", 2), 0);
    cr_assert_eq(disk.write(first, "34", 2), 0);
    cr_assert_eq(disk.close(first), 0);
    cr_assert_eq(disk.close(second), 0);
    expect_content("first", "1234");
    expect_content("second", "ab");
}

Test(disk, what_is_missing_is_told_apart) {
    cr_assert_eq(open_error("missing"), ENOENT);
    cr_assert_eq(disk.remove(disk.context, "missing"), ENOENT);
    cr_assert_eq(disk.rename(disk.context, "missing", "other"), ENOENT);
}

/* ---- What kind of file -------------------------------------------------------------------------------------------- */

Test(disk, a_file_is_for_its_owner_only) {
    umask(0);
    put("a", "secret");
    cr_assert_eq(mode_of("a") & 07777, 0600);
}

Test(disk, a_file_is_for_its_owner_whatever_the_umask) {
    umask(0777);
    put("a", "secret");
    cr_assert_eq(mode_of("a") & 07777, 0600);
}

Test(disk, the_mode_of_an_old_file_is_not_kept) {
    put("a", "old");
    cr_assert_eq(chmod("a", 0664), 0);
    put("a", "new");
    cr_assert_eq(mode_of("a") & 07777, 0600);
}

Test(disk, links_are_not_followed) {
    put("real", "content");
    cr_assert_eq(symlink("real", "link"), 0);
    cr_assert_eq(symlink("nowhere", "dangling"), 0);
    cr_assert_eq(create_error("link"), ELOOP);
    cr_assert_eq(create_error("dangling"), ELOOP);
    cr_assert_eq(open_error("link"), ELOOP);
    expect_missing("nowhere");
    expect_content("real", "content");
}

Test(disk, a_link_is_removed_or_replaced_itself) {
    put("real", "content");
    cr_assert_eq(symlink("real", "link"), 0);
    put("new", "new");
    cr_assert_eq(disk.rename(disk.context, "new", "link"), 0);
    expect_content("link", "new");
    cr_assert_eq(disk.remove(disk.context, "link"), 0);
    expect_missing("link");
    expect_content("real", "content");
}

Test(disk, a_pipe_is_refused_without_waiting_for_its_other_end) {
    cr_assert_eq(mkfifo("pipe", 0600), 0);
    cr_assert_eq(open_error("pipe"), ENOTSUP);
    cr_assert_eq(create_error("pipe"), ENOTSUP);
    int reader = open("pipe", O_RDONLY | O_NONBLOCK);
    cr_assert_geq(reader, 0);
    cr_assert_eq(create_error("pipe"), ENOTSUP);
    close(reader);
}

Test(disk, folders_and_devices_are_refused) {
    cr_assert_eq(mkdir("folder", 0700), 0);
    cr_assert_eq(open_error("folder"), EISDIR);
    cr_assert_eq(create_error("folder"), EISDIR);
    cr_assert_eq(chdir("/dev"), 0);
    cr_assert_eq(open_error("null"), ENOTSUP);
    cr_assert_eq(create_error("null"), ENOTSUP);
}

Test(disk, refusals_keep_no_descriptor) {
    int lowest = dup(0);
    close(lowest);
    mkfifo("pipe", 0600);
    mkdir("folder", 0700);
    for (unsigned i = 0; i < 3; i++) {
        open_error("pipe");
        open_error("folder");
        open_error("missing");
        create_error("pipe");
        create_error("folder");
    }
    int next = dup(0);
    cr_assert_eq(next, lowest);
    close(next);
}

Test(disk, names_do_not_lead_out_of_the_folder) {
    put("a", "content");
    cr_assert_eq(create_error("../a"), EINVAL);
    cr_assert_eq(open_error("./a"), EINVAL);
    cr_assert_eq(disk.rename(disk.context, "a", "../a"), EINVAL);
    cr_assert_eq(disk.rename(disk.context, "./a", "b"), EINVAL);
    cr_assert_eq(disk.remove(disk.context, "./a"), EINVAL);
    expect_content("a", "content");
}

Test(disk, no_file_lives_on_in_a_program_that_is_started) {
    struct disk_file *file;
    int lowest = dup(0);
    close(lowest);
    cr_assert_eq(disk.create(disk.context, "a", &file), 0);
    cr_assert(fcntl(lowest, F_GETFD) & FD_CLOEXEC);
    disk.close(file);
}

/* ---- Names ------------------------------------------------------------------------------------------------------ */

Test(disk, renaming_takes_the_place_of_the_old_file) {
    put("old", "old");
    put("new", "new");
    cr_assert_eq(disk.rename(disk.context, "new", "old"), 0);
    cr_assert_eq(disk.sync_names(disk.context), 0);
    expect_missing("new");
    expect_content("old", "new");
}

Test(disk, removing_removes) {
    put("a", "content");
    cr_assert_eq(disk.remove(disk.context, "a"), 0);
    cr_assert_eq(disk.sync_names(disk.context), 0);
    expect_missing("a");
}

Test(disk, names_are_those_of_the_folder_that_is_entered) {
    cr_assert_eq(mkdir("inner", 0700), 0);
    put("a", "outer");
    cr_assert_eq(chdir("inner"), 0);
    cr_assert_eq(open_error("a"), ENOENT);
    put("a", "inner");
    cr_assert_eq(chdir(".."), 0);
    expect_content("a", "outer");
}

Test(disk, a_folder_that_is_gone_is_an_error) {
    cr_assert_eq(mkdir("inner", 0700), 0);
    cr_assert_eq(chdir("inner"), 0);
    cr_assert_eq(rmdir("../inner"), 0);
    cr_assert_eq(create_error("a"), ENOENT);
    cr_assert_eq(chdir(folder), 0);
}

/* /proc is a file system that syncs no folders. */
Test(disk, a_file_system_that_cannot_sync_names_does_not_stand_in_the_way) {
    cr_assert_eq(chdir("/proc"), 0);
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    cr_assert_eq(fsync(fd), -1);
    cr_assert_eq(errno, EINVAL);
    close(fd);
    cr_assert_eq(disk.sync_names(disk.context), 0);
}

/* ---- Locks ------------------------------------------------------------------------------------------------------- */

/* What another process is told that wants the lock of `name`. */
static int lock_elsewhere(const char *name) {
    pid_t child = fork();
    if (child == 0) {
        struct disk_file *file;
        uint64_t size;
        int error = disk.open(disk.context, name, &file, &size);
        _exit(error != 0 ? 255 : disk.lock(file));
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

Test(disk, one_process_at_a_time_has_the_lock) {
    put("a", "content");
    struct disk_file *file;
    uint64_t size;
    cr_assert_eq(disk.open(disk.context, "a", &file, &size), 0);
    cr_assert_eq(lock_elsewhere("a"), 0);
    cr_assert_eq(disk.lock(file), 0, "the other one has ended");
    cr_assert_eq(disk.lock(file), 0, "it is ours already");
    cr_assert_eq(lock_elsewhere("a"), EWOULDBLOCK);
    disk.close(file);
    cr_assert_eq(lock_elsewhere("a"), 0);
}

Test(disk, a_lock_goes_with_its_file_to_another_name) {
    struct disk_file *file;
    cr_assert_eq(disk.create(disk.context, "a.temporary", &file), 0);
    cr_assert_eq(disk.lock(file), 0);
    cr_assert_eq(disk.rename(disk.context, "a.temporary", "a"), 0);
    cr_assert_eq(lock_elsewhere("a"), EWOULDBLOCK);
    put("a.temporary", "another file");
    cr_assert_eq(lock_elsewhere("a.temporary"), 0);
    disk.close(file);
}

Test(disk, the_lock_of_a_process_that_was_killed_is_free) {
    put("a", "content");
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* where the test fails */
        struct disk_file *file;
        uint64_t size;
        disk.open(disk.context, "a", &file, &size);
        char result = (char)disk.lock(file);
        if (write(ready[1], &result, 1) == 1)
            pause();
        _exit(1);
    }
    char result = 1;
    cr_assert_eq(read(ready[0], &result, 1), 1);
    cr_assert_eq(result, 0);
    cr_assert_eq(lock_elsewhere("a"), EWOULDBLOCK);
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_eq(lock_elsewhere("a"), 0);
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

/* A limit on the size of files makes a write short first, then fails it. */
Test(disk, a_file_whose_write_failed_stays_dead) {
    static char bytes[10000];
    struct disk_file *file;
    cr_assert_eq(disk.create(disk.context, "a", &file), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 5000;
    setrlimit(RLIMIT_FSIZE, &small);
    int error = disk.write(file, bytes, sizeof bytes);
    setrlimit(RLIMIT_FSIZE, &before);
    cr_assert_eq(error, EFBIG);
    cr_assert_eq(disk.write(file, bytes, 1), EFBIG);
    cr_assert_eq(disk.sync(file), EFBIG);
    cr_assert_eq(disk.close(file), 0);
    struct stat found;
    cr_assert_eq(stat("a", &found), 0);
    cr_assert_eq(found.st_size, 5000);
}

Test(disk, reading_what_is_open_for_writing_is_an_error) {
    struct disk_file *file;
    char byte;
    size_t got = 7;
    cr_assert_eq(disk.create(disk.context, "a", &file), 0);
    cr_assert_eq(disk.read(file, &byte, 1, &got), EBADF);
    cr_assert_eq(got, 0);
    disk.close(file);
}

Test(disk, no_descriptor_is_an_answer) {
    struct rlimit before, none;
    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    int error = create_error("a"), names_error = disk.sync_names(disk.context);
    setrlimit(RLIMIT_NOFILE, &before);
    cr_assert_eq(error, EMFILE);
    cr_assert_eq(names_error, EMFILE);
}

/* Mounts something of 64 KiB here, for this process only. */
static void enter_small_disk(void) {
    if (mkdir("small", 0700) != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", "small", "tmpfs", 0, "size=64k,mode=700") != 0 || chdir("small") != 0)
        cr_skip("mounting a small disk takes rights that are not there: %s", strerror(errno));
}

static void leave_small_disk(void) {
    cr_assert_eq(chdir(folder), 0);
    cr_assert_eq(umount("small"), 0);
}

Test(disk, a_full_disk_is_an_answer_and_can_be_emptied) {
    enter_small_disk();
    static char bytes[100000];
    struct disk_file *file;
    put("old", "old");
    cr_assert_eq(disk.create(disk.context, "a", &file), 0);
    cr_assert_eq(disk.write(file, bytes, sizeof bytes), ENOSPC);
    cr_assert_eq(disk.sync(file), ENOSPC, "what failed once does not become whole");
    cr_assert_eq(disk.close(file), 0);
    expect_content("old", "old");
    cr_assert_eq(disk.remove(disk.context, "a"), 0);
    put("a", "fits");
    expect_content("a", "fits");
    leave_small_disk();
}

Test(disk, a_disk_that_became_read_only_is_an_answer) {
    enter_small_disk();
    put("a", "content");
    put("b", "content");
    if (mount(NULL, ".", NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0)
        cr_skip("remounting takes rights that are not there: %s", strerror(errno));
    cr_assert_eq(create_error("a"), EROFS);
    cr_assert_eq(create_error("c"), EROFS);
    cr_assert_eq(disk.rename(disk.context, "a", "b"), EROFS);
    cr_assert_eq(disk.remove(disk.context, "a"), EROFS);
    expect_content("a", "content");
    leave_small_disk();
}

Test(disk, errors_have_words) {
    cr_assert_str_eq(disk.error_text(ENOSPC), "No space left on device");
    cr_assert_str_eq(disk.error_text(EIO), "Input/output error");
    cr_assert_str_eq(disk.error_text(123456), "unknown error");
}
