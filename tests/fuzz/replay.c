/* replay.c - runs a fuzzer's kept inputs, and small changes of each, without a fuzzing engine.
 *
 * Usage: NAME_fuzz PATH...      (files, or folders of files; a folder that does not exist is an empty one)
 *
 * Linked with each tests/fuzz/NAME_fuzz.c in builds that have no libFuzzer, so that `make test` sees every input that
 * once was interesting, cut short at many places and with single bytes changed. The changes are the same in every run.
 * May touch: the named files. Must never know: what the inputs mean.
 * Invariants: an input that breaks something ends the process, after its name was printed; the last line is
 * `N passed, 0 failed`, counted in inputs, the empty one included.
 * Tests: it is one; a fuzzer that traps at a kept input must fail.
 *
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    INPUT_SIZE_MAX = 1 << 20,
    CHANGES = 64, /* of each kind, for each input */
};

/* The fuzzer: what libFuzzer calls, too. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Runs a copy that ends where its memory ends, so that the sanitizer sees a read beyond it. */
static void run_copy(const uint8_t *data, size_t size) {
    uint8_t *copy = calloc(size, 1);
    if (copy == NULL && size > 0)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void run_changes(uint8_t *data, size_t size) {
    uint64_t state = size;
    for (size_t i = 0; i < CHANGES && i < size; i++)
        run_copy(data, size <= CHANGES ? i : next_random(&state) % size);
    for (size_t i = 0; i < CHANGES && size > 0; i++) {
        size_t place = next_random(&state) % size;
        uint8_t before = data[place];
        data[place] = (uint8_t)next_random(&state);
        run_copy(data, size);
        data[place] = before;
    }
}

static void run_file(const char *path) {
    fprintf(stderr, "%s\n", path);
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_SIZE_MAX);
    if (file == NULL || data == NULL) {
        fprintf(stderr, "cannot be read: %s\n", strerror(errno));
        exit(1);
    }
    size_t size = fread(data, 1, INPUT_SIZE_MAX, file);
    fclose(file);
    run_copy(data, size);
    run_changes(data, size);
    free(data);
}

/* Returns how many files were run. */
static unsigned run_folder(const char *path) {
    unsigned count = 0;
    struct dirent **entries;
    int found = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        char name[4096];
        if (entries[i]->d_name[0] != '.' &&
            snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name) < (int)sizeof name) {
            run_file(name);
            count++;
        }
        free(entries[i]);
    }
    if (found >= 0)
        free(entries);
    return count;
}

int main(int count, char **words) {
    unsigned inputs = 1;
    run_copy(NULL, 0);
    for (int i = 1; i < count; i++) {
        struct stat found;
        if (stat(words[i], &found) != 0 && errno == ENOENT)
            continue;
        if (S_ISDIR(found.st_mode)) {
            inputs += run_folder(words[i]);
        } else {
            run_file(words[i]);
            inputs++;
        }
    }
    printf("%u passed, 0 failed\n", inputs);
    return 0;
}
