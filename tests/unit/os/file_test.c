/* file_test.c - tests of os/file.h in a temporary folder.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "os/file.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/redis-kv-file-XXXXXX";
static struct mem mem;
static struct buffer content;

static void make_folder(void) {
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    buffer_init(&content, &mem);
}

static void remove_folder(void) {
    buffer_release(&content);
    cr_assert_eq(mem.used_bytes, 0);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(file, .init = make_folder, .fini = remove_folder);

static unsigned files_here(void) {
    DIR *here = opendir(".");
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(here)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(here);
    return count;
}

static void expect_content(const char *path, const char *expected) {
    buffer_clear(&content);
    cr_assert_eq(file_read(path, 1 << 20, &content), FILE_DONE);
    cr_assert_eq(content.size, strlen(expected));
    cr_assert_arr_eq(content.data, expected, content.size);
}

Test(file, what_was_written_is_read) {
    cr_assert(file_replace("a", "some bytes", 10));
    expect_content("a", "some bytes");
    cr_assert(file_replace("a", "", 0));
    expect_content("a", "");
}

Test(file, reading_appends) {
    cr_assert(file_replace("a", "tail", 4));
    buffer_append_text(&content, "head ");
    cr_assert_eq(file_read("a", 4, &content), FILE_DONE);
    cr_assert_eq(content.size, 9);
    cr_assert_arr_eq(content.data, "head tail", 9);
}

Test(file, large_files_come_whole) {
    static char bytes[300001];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 >> 3);
    cr_assert(file_replace("a", bytes, sizeof bytes));
    cr_assert_eq(file_read("a", sizeof bytes, &content), FILE_DONE);
    cr_assert_eq(content.size, sizeof bytes);
    cr_assert_arr_eq(content.data, bytes, sizeof bytes);
}

Test(file, files_that_tell_no_size_are_read) {
    cr_assert_eq(file_read("/proc/self/status", 1 << 20, &content), FILE_DONE);
    cr_assert_gt(content.size, 0);
}

Test(file, a_file_above_the_limit_leaves_the_buffer_as_it_was) {
    static char bytes[20000];
    cr_assert(file_replace("a", bytes, sizeof bytes));
    buffer_append_text(&content, "old");
    cr_assert_eq(file_read("a", sizeof bytes - 1, &content), FILE_TOO_LARGE);
    cr_assert_eq(content.size, 3);
    cr_assert_arr_eq(content.data, "old", 3);
    cr_assert_eq(file_read("a", sizeof bytes, &content), FILE_DONE);
}

Test(file, a_missing_file_and_a_folder_are_told_apart) {
    cr_assert_eq(file_read("missing", 10, &content), FILE_MISSING);
    cr_assert_eq(file_read(".", 10, &content), FILE_FAILED);
    cr_assert_eq(errno, EISDIR);
}

Test(file, no_memory_is_an_answer) {
    cr_assert(file_replace("a", "12345", 5));
    mem.fuse = 1;
    cr_assert_eq(file_read("a", 10, &content), FILE_NO_MEMORY);
    cr_assert_eq(content.size, 0);
}

Test(file, a_written_file_is_for_its_owner_only) {
    umask(0);
    cr_assert(file_replace("a", "secret", 6));
    struct stat found;
    cr_assert_eq(stat("a", &found), 0);
    cr_assert_eq(found.st_mode & 0777, 0600);
}

Test(file, replacing_leaves_one_file_and_readers_of_the_old_one_undisturbed) {
    cr_assert(file_replace("a", "old", 3));
    FILE *reader = fopen("a", "r");
    cr_assert(file_replace("a", "new", 3));
    char text[4] = {0};
    cr_assert_eq(fread(text, 1, 3, reader), 3);
    cr_assert_str_eq(text, "old");
    fclose(reader);
    expect_content("a", "new");
    cr_assert_eq(files_here(), 1);
}

Test(file, a_symbolic_link_stays_a_link) {
    cr_assert_eq(mkdir("real", 0700), 0);
    cr_assert(file_replace("real/a", "old", 3));
    cr_assert_eq(symlink("real/a", "link"), 0);
    cr_assert(file_replace("link", "new", 3));
    struct stat found;
    cr_assert_eq(lstat("link", &found), 0);
    cr_assert(S_ISLNK(found.st_mode));
    expect_content("real/a", "new");
}

Test(file, a_write_that_fails_keeps_the_old_file_and_leaves_nothing_beside_it) {
    static char bytes[100000];
    cr_assert(file_replace("a", "old", 3));
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 5000;
    setrlimit(RLIMIT_FSIZE, &small);
    bool replaced = file_replace("a", bytes, sizeof bytes);
    int error = errno;
    setrlimit(RLIMIT_FSIZE, &before);
    cr_assert_not(replaced);
    cr_assert_eq(error, EFBIG);
    expect_content("a", "old");
    cr_assert_eq(files_here(), 1);
}

Test(file, a_missing_folder_is_an_error) {
    cr_assert_not(file_replace("missing/a", "x", 1));
    cr_assert_eq(errno, ENOENT);
}
