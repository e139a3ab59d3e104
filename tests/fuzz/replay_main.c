/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/replay_main.c – runs a fuzz target without a fuzzer: its corpus, and damage done to it.
 *
 * usage: fuzz_x [FILE|DIRECTORY]…
 * Each input is given as it is, cut short, and with bytes changed (seed: ALB_SEED); the target
 * must survive all of them.  With no inputs at all it gets the empty one and noise.
 */
#include "fuzz/target.h"
#include "support/gen.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Enough to meet every field of a small object, few enough for a test run of seconds. */
enum { CUTS = 64, CHANGES = 200, NOISES = 200, NOISE_SIZE = 512 };

struct replay {
    struct gen gen;
    unsigned files;
    unsigned long runs;
};

/* The target gets a copy of the exact size, so that reading past its end is seen. */
static void give(struct replay *r, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);

    if (copy == NULL)
        abort();
    if (size > 0)
        memcpy(copy, bytes, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    r->runs++;
}

static void give_cut(struct replay *r, const uint8_t *bytes, size_t size)
{
    for (unsigned i = 0; i < CUTS; i++)
        give(r, bytes, size <= CUTS ? i % (size + 1) : gen_below(&r->gen, size));
}

static void give_changed(struct replay *r, uint8_t *bytes, size_t size)
{
    for (unsigned i = 0; size > 0 && i < CHANGES; i++) {
        size_t at = gen_skewed(&r->gen, size - 1);
        uint8_t before = bytes[at];

        bytes[at] ^= (uint8_t)(1U << gen_below(&r->gen, 8));
        if (gen_chance(&r->gen, 1, 4))
            bytes[at] = gen_chance(&r->gen, 1, 2) ? 0xff : 0;
        give(r, bytes, size);
        bytes[at] = before;
    }
}

static void give_noise(struct replay *r)
{
    uint8_t noise[NOISE_SIZE];

    for (unsigned i = 0; i < NOISES; i++) {
        size_t size = gen_skewed(&r->gen, sizeof(noise));

        gen_bytes(&r->gen, noise, size);
        give(r, noise, size);
    }
}

static void replay_file(struct replay *r, const char *path, size_t size)
{
    FILE *file = fopen(path, "rbe");
    uint8_t *bytes = malloc(size > 0 ? size : 1);

    if (file == NULL || bytes == NULL || fread(bytes, 1, size, file) != size) {
        fprintf(stderr, "%s: cannot be read: %m\n", path);
        exit(2);
    }
    fclose(file);
    give(r, bytes, size);
    give_cut(r, bytes, size);
    give_changed(r, bytes, size);
    free(bytes);
    r->files++;
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void replay_path(struct replay *r, const char *path);

/* In the order of names, so that one seed always means the same run. */
static void replay_directory(struct replay *r, const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, not_hidden, alphasort);

    for (int i = 0; i < count; i++) {
        char *inner = NULL;

        if (asprintf(&inner, "%s/%s", path, entries[i]->d_name) < 0)
            abort();
        replay_path(r, inner);
        free(inner);
        free(entries[i]);
    }
    free(entries);
}

/* A corpus that does not exist yet is an empty one. */
static void replay_path(struct replay *r, const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        printf("%s: nothing there yet\n", path);
    else if (S_ISDIR(st.st_mode))
        replay_directory(r, path);
    else
        replay_file(r, path, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
    struct replay r = {.files = 0, .runs = 0};

    gen_init_from_env(&r.gen);
    give(&r, (const uint8_t *)"", 0);
    give_noise(&r);
    for (int i = 1; i < argc; i++)
        replay_path(&r, argv[i]);
    printf(
        "%u files, %lu inputs, no crash; %zu bytes held at most, the bound is %zu + %zu a byte\n",
        r.files, r.runs, fuzz_held_most(), fuzz_bound.fixed, fuzz_bound.per_byte);
    return 0;
}
