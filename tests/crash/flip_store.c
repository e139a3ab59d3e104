/* SPDX-License-Identifier: Apache-2.0 */
/* crash/flip_store.c – a flipped bit in segments, index or catalogue is found, never served,
 * and healed or named. LINKS: store_disk store wire chunk base support
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "crash/chunks.h"
#include "crash/flip.h"
#include "store/disk/segment_store.h"
#include "support/tmpdir.h"

enum { CHUNKS = 24, GROUP = 6, RECORDS = 12, PER_SEGMENT = 60, PER_DATABASE_FILE = 24 };

struct world {
    struct tmpdir *tmp;
    struct gen gen;
    struct codec *codec;
    struct chunk *chunks[CHUNKS];
    char *golden, *dir, *catalogue; /* owned */
    unsigned flips, named, missed, lost;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static void shell(const struct world *w, const char *script)
{
    AUTO_FREE char *command = xasprintf("cd '%s' && %s", w->tmp->path, script);

    assert_int_equal(system(command), 0);
}

static struct alb_status open_store(const struct world *w, struct chunk_store **out)
{
    const struct segment_store_options options = {.dir = w->dir, .segment_bytes = 64 << 10};

    return segment_store_open(&options, out);
}

static void fill_store(struct world *w)
{
    struct chunk_store *store;

    must(open_store(w, &store));
    for (unsigned i = 0; i < CHUNKS; i += GROUP)
        must(chunk_store_put_many(store, w->chunks + i, GROUP, NULL));
    chunk_store_close(store);
}

static const char *record_name(unsigned i, char out[32])
{
    snprintf(out, 32, "record/base/x@%u", i);
    return out;
}

static void record_value(unsigned i, char out[512])
{
    memset(out, 'a' + (int)i, 511);
    out[511] = '\0';
}

static void fill_catalogue(const char *dir, bool is_killed)
{
    struct catalogue *c;
    char name[32], value[512];

    must(disk_catalogue_open(dir, &c));
    for (unsigned i = 0; i < RECORDS; i++) {
        record_value(i, value);
        must(catalogue_swap(c, record_name(i, name), CATALOGUE_ABSENT, value, sizeof value, NULL));
    }
    if (is_killed)
        kill(getpid(), SIGKILL);
    catalogue_close(c);
}

/* In a program of its own: RocksDB's threads here would not be in a fork. */
static void fill_catalogue_and_die(const char *dir)
{
    int how;
    pid_t child = fork();

    if (child == 0) {
        execl("/proc/self/exe", "flip_store", dir, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
}

/* `is_killed`: whoever wrote it was, so that all of the catalogue is in its log. */
static struct world world_make(bool is_killed)
{
    struct world w = {.tmp = tmpdir_open(), .codec = codec_new()};

    gen_init_from_env(&w.gen);
    w.golden = tmpdir_path(w.tmp, "golden");
    w.dir = tmpdir_path(w.tmp, "store");
    w.catalogue = tmpdir_path(w.tmp, "store/catalogue");
    tmpdir_mkdir(w.tmp, "store");
    for (unsigned i = 0; i < CHUNKS; i++)
        w.chunks[i] = numbered_chunk(w.codec, i + 1);
    fill_store(&w);
    if (is_killed)
        fill_catalogue_and_die(w.catalogue);
    else
        fill_catalogue(w.catalogue, false);
    shell(&w, "cp -a store golden");
    return w;
}

static void world_drop(struct world *w)
{
    print_message("%u flips: %u named, %u chunks missed and put again, %u records lost\n", w->flips,
                  w->named, w->missed, w->lost);
    for (unsigned i = 0; i < CHUNKS; i++)
        chunk_unref(w->chunks[i]);
    codec_free(w->codec);
    free(w->golden);
    free(w->dir);
    free(w->catalogue);
    tmpdir_close(w->tmp);
}

/* ---- after a flip ---------------------------------------------------------------------------- */

/* The right bytes, or none. */
static bool is_served(struct world *w, struct chunk_store *store, const struct chunk *want)
{
    struct chunk *got = NULL;
    struct alb_status st = chunk_store_get(store, &want->key, &got);

    if (alb_failed(st)) {
        assert_true(st.code == ALB_NOT_FOUND || st.code == ALB_CORRUPT);
        w->missed++;
        return false;
    }
    assert_int_equal(got->size, want->size);
    assert_memory_equal(got->bytes, want->bytes, want->size);
    chunk_unref(got);
    return true;
}

/* It opens or says what is wrong; it serves no wrong byte; what is missed can be put again. */
static void use_store(struct world *w)
{
    struct chunk_store *store;
    struct alb_status st = open_store(w, &store);

    if (alb_failed(st)) {
        assert_true(st.code == ALB_INVALID && strstr(st.what, "format") != NULL);
        w->named++;
        return;
    }
    for (unsigned i = 0; i < CHUNKS; i++)
        (void)is_served(w, store, w->chunks[i]);
    must(chunk_store_put_many(store, w->chunks, CHUNKS, NULL));
    unsigned missed = w->missed;
    for (unsigned i = 0; i < CHUNKS; i++)
        assert_true(is_served(w, store, w->chunks[i]));
    assert_int_equal(missed, w->missed);
    chunk_store_close(store);
}

static unsigned said;

static void hear(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    said += level == LOG_ERROR && strstr(line, "rocksdb.log_damaged") != NULL;
}

/* Opening or reading names it, or every record is there with its bytes. */
static void use_catalogue(struct world *w)
{
    struct catalogue *c;
    char name[32], value[512];
    unsigned missing = 0;

    said = 0;
    if (alb_failed(disk_catalogue_open(w->catalogue, &c))) {
        w->named++;
        return;
    }
    for (unsigned i = 0; i < RECORDS; i++) {
        struct buf got;
        uint64_t version;

        buf_init(&got, CATALOGUE_VALUE_MAX);
        record_value(i, value);
        struct alb_status st = catalogue_get(c, record_name(i, name), &got, &version);
        if (!alb_failed(st)) {
            assert_int_equal(buf_size(&got), sizeof value);
            assert_memory_equal(buf_peek(&got), value, sizeof value);
        }
        missing += st.code == ALB_NOT_FOUND;
        w->named += st.code == ALB_CORRUPT;
        buf_release(&got);
    }
    catalogue_close(c);
    w->named += said;
    if (said == 0)
        w->lost += missing;
}

static void flip_file(struct world *w, const char *path, size_t count, void (*use)(struct world *w))
{
    size_t size = flip_size(path);
    size_t step = flip_step(size, count);

    for (size_t at = (size_t)gen_below(&w->gen, step); at < size; at += step) {
        flip(path, at, (unsigned)gen_below(&w->gen, 8));
        w->flips++;
        use(w);
        shell(w, "rm -rf store && cp -a golden store");
    }
}

/* RocksDB's own log is nobody's data. */
static bool is_data(const char *name)
{
    return name[0] != '.' && strncmp(name, "LOG", 3) != 0 && strcmp(name, "LOCK") != 0;
}

static void flip_folder(struct world *w, const char *folder, size_t count,
                        void (*use)(struct world *w))
{
    AUTO_FREE char *golden = path_join(w->golden, folder);
    AUTO_FREE char *here = path_join(w->dir, folder);
    DIR *dir = opendir(golden);

    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        AUTO_FREE char *path = path_join(here, e->d_name);

        if (is_data(e->d_name))
            flip_file(w, path, count, use);
    }
    closedir(dir);
}

static void a_flipped_bit_of_a_segment_is_never_served(void **state)
{
    struct world w = world_make(false);

    (void)state;
    flip_folder(&w, "segments", PER_SEGMENT, use_store);
    assert_true(w.missed > 0);
    world_drop(&w);
}

static void a_flipped_bit_of_the_index_costs_at_most_a_rebuild(void **state)
{
    struct world w = world_make(false);

    (void)state;
    flip_folder(&w, "index", PER_DATABASE_FILE, use_store);
    world_drop(&w);
}

static void flip_catalogue(bool is_killed)
{
    struct world w = world_make(is_killed);

    log_install(hear, NULL, LOG_ERROR);
    flip_folder(&w, "catalogue", PER_DATABASE_FILE, use_catalogue);
    log_install(NULL, NULL, LOG_ERROR);
    unsigned named = w.named, lost = w.lost;
    world_drop(&w);
    assert_true(named > 0);
    assert_int_equal(lost, 0);
}

static void a_flipped_bit_of_the_catalogue_is_named(void **state)
{
    (void)state;
    flip_catalogue(false);
}

static void a_flipped_bit_of_a_killed_hubs_catalogue_is_named(void **state)
{
    (void)state;
    flip_catalogue(true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_of_a_segment_is_never_served),
        cmocka_unit_test(a_flipped_bit_of_the_index_costs_at_most_a_rebuild),
        cmocka_unit_test(a_flipped_bit_of_the_catalogue_is_named),
        cmocka_unit_test(a_flipped_bit_of_a_killed_hubs_catalogue_is_named),
    };

    if (argc == 2)
        fill_catalogue(argv[1], true); /* and dies */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
