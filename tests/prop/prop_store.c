/* SPDX-License-Identifier: Apache-2.0 */
/* prop/prop_store.c – both chunk stores obey one law, and the one on disk outlives kill -9. */
/* LINKS: store_disk store wire chunk base */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/disk/segment_store.h"
#include "store/ram.h"
#include "support/gen.h"
#include "support/tmpdir.h"

enum { KEYS = 96, GROUP_MAX = 12, BODY_MAX = 6000, STEPS = 1500 };

enum expect { ABSENT, PRESENT, EITHER };

static struct gen gen;

static struct chunk_key key_of(unsigned n)
{
    return (struct chunk_key){.kind = KEY_PLAIN, .digest = {{(uint8_t)(n * 151), (uint8_t)n}}};
}

/* A chunk's bytes follow from its number alone, sizes from 0 to BODY_MAX. */
static struct chunk *chunk_of(unsigned n)
{
    struct gen g;
    struct chunk_key key = key_of(n);
    gen_init(&g, n);
    struct chunk *c = chunk_new(&key, gen_skewed(&g, BODY_MAX));
    gen_bytes(&g, c->bytes, c->size);
    return c;
}

static void expect_chunk(const struct chunk *found, unsigned n)
{
    struct chunk *right = chunk_of(n);
    alb_assert(chunk_key_equal(&found->key, &right->key));
    alb_assert(found->size == right->size);
    alb_assert(memcmp(found->bytes, right->bytes, right->size) == 0);
    chunk_unref(right);
}

/* ---- the law, in one process ---- */

struct kind {
    const char *name;
    bool on_disk;
    unsigned unknown_per_mille;
};

struct model {
    const struct kind *kind;
    struct tmpdir *tmp;
    struct chunk_store *store;
    bool there[KEYS];
};

static struct chunk_store *open_disk(const char *dir)
{
    struct chunk_store *store = NULL;
    struct segment_store_options options = {.dir = dir, .segment_bytes = 40 << 10};
    alb_assert(!alb_failed(segment_store_open(&options, &store)));
    return store;
}

static bool is_there(struct model *m, unsigned n)
{
    struct chunk_key key = key_of(n);
    bool has = false;
    alb_assert(!alb_failed(chunk_store_exists_many(m->store, &key, 1, &has)));
    return has;
}

static void step_put(struct model *m)
{
    struct chunk *group[GROUP_MAX] = {NULL};
    unsigned numbers[GROUP_MAX];
    enum put_outcome outcomes[GROUP_MAX];
    size_t count = gen_range(&gen, 1, GROUP_MAX);
    bool unknown = false;
    for (size_t i = 0; i < count; i++) {
        numbers[i] = (unsigned)gen_below(&gen, KEYS);
        group[i] = chunk_of(numbers[i]);
    }
    enum alb_code code = chunk_store_put_many(m->store, group, count, outcomes).code;
    for (size_t i = 0; i < count; i++) {
        unsigned n = numbers[i];
        unknown |= outcomes[i] == PUT_UNKNOWN;
        alb_assert(outcomes[i] != PUT_UNKNOWN || m->kind->unknown_per_mille > 0);
        if (outcomes[i] == PUT_UNKNOWN)
            m->there[n] = is_there(m, n);
        else if (
            !unknown) /* after an unknown one, the same chunk again in this group may be either */
            assert_int_equal(outcomes[i], m->there[n] ? PUT_EXISTS : PUT_CREATED);
        m->there[n] |= outcomes[i] != PUT_UNKNOWN;
        chunk_unref(group[i]);
    }
    assert_int_equal(code, unknown ? ALB_UNKNOWN : ALB_OK);
}

static void step_get(struct model *m)
{
    unsigned n = (unsigned)gen_below(&gen, KEYS);
    struct chunk_key key = key_of(n);
    struct chunk *found;
    enum alb_code code = chunk_store_get(m->store, &key, &found).code;
    assert_int_equal(code, m->there[n] ? ALB_OK : ALB_NOT_FOUND);
    if (code == ALB_OK) {
        expect_chunk(found, n);
        chunk_unref(found);
    }
    assert_int_equal(is_there(m, n), m->there[n]);
}

static void step_remove(struct model *m)
{
    unsigned n = (unsigned)gen_below(&gen, KEYS);
    struct chunk_key key = key_of(n);
    enum alb_code code = chunk_store_remove(m->store, &key).code;
    if (code == ALB_UNKNOWN && m->kind->unknown_per_mille > 0)
        m->there[n] = is_there(m, n);
    else {
        assert_int_equal(code, ALB_OK);
        m->there[n] = false;
    }
}

static void step_list(struct model *m)
{
    struct chunk_key keys[KEYS];
    const struct chunk_key *after = NULL;
    size_t page = gen_range(&gen, 1, KEYS);
    size_t listed = 0;
    size_t count;
    do {
        assert_int_equal(chunk_store_list(m->store, after, page, keys, &count).code, ALB_OK);
        for (size_t i = 0; i < count; i++)
            assert_true(m->there[keys[i].digest.bytes[1]]);
        listed += count;
        after = &keys[count > 0 ? count - 1 : 0];
    } while (count == page);
    size_t chunks = 0;
    uint64_t bytes = 0;
    for (unsigned n = 0; n < KEYS; n++) {
        struct chunk *c = chunk_of(n);
        chunks += m->there[n];
        bytes += m->there[n] ? c->size : 0;
        chunk_unref(c);
    }
    struct chunk_store_stats stats;
    assert_int_equal(chunk_store_stats(m->store, &stats).code, ALB_OK);
    assert_int_equal(listed, chunks);
    assert_int_equal(stats.chunks, chunks);
    assert_int_equal(stats.stored_bytes, bytes);
}

static void lose_index(const char *dir)
{
    AUTO_FREE char *command = xasprintf("rm -rf '%s/index'", dir);
    alb_assert(system(command) == 0);
}

static void step_reopen(struct model *m)
{
    if (!m->kind->on_disk)
        return;
    chunk_store_close(m->store);
    if (gen_chance(&gen, 1, 4))
        lose_index(m->tmp->path);
    m->store = open_disk(m->tmp->path);
}

static void obey(const struct kind *kind)
{
    struct model m = {.kind = kind, .tmp = tmpdir_open()};
    struct ram_options options = {.seed = 9, .unknown_per_mille = kind->unknown_per_mille};
    m.store = kind->on_disk ? open_disk(m.tmp->path) : ram_chunk_store_new(&options);
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t dice = gen_below(&gen, 1000);
        if (dice < 250)
            step_put(&m);
        else if (dice < 600)
            step_get(&m);
        else if (dice < 930)
            step_remove(&m);
        else if (dice < 990)
            step_list(&m);
        else
            step_reopen(&m);
    }
    step_list(&m);
    chunk_store_close(m.store);
    tmpdir_close(m.tmp);
}

static void both_stores_obey_the_same_law(void **state)
{
    static const struct kind kinds[] = {
        {"memory", false, 0}, {"memory, unknown answers", false, 200}, {"disk", true, 0}};
    (void)state;
    for (size_t i = 0; i < ALB_COUNT(kinds); i++) {
        print_message("%s\n", kinds[i].name);
        obey(&kinds[i]);
    }
}

/* ---- kill -9 ---- */

/* Shared with the processes that work on the store.  RocksDB's threads do not survive a fork, so
 * the test's own process never opens one before all of this is over. */
struct shared {
    enum expect expect[KEYS]; /* of chunks; EITHER while a call is under way */
    uint64_t record_acked;    /* a record that counts up                     */
    uint64_t record_tried;
    atomic_uint calls;
};

struct world {
    struct shared *shared;
    char *store_dir;
    char *catalogue_dir;
};

static void child_put(struct world *w, struct chunk_store *store, struct gen *g)
{
    struct chunk *group[GROUP_MAX] = {NULL};
    unsigned numbers[GROUP_MAX];
    size_t count = gen_range(g, 1, GROUP_MAX);
    for (size_t i = 0; i < count; i++) {
        numbers[i] = (unsigned)gen_below(g, KEYS);
        group[i] = chunk_of(numbers[i]);
        if (w->shared->expect[numbers[i]] == ABSENT)
            w->shared->expect[numbers[i]] = EITHER;
    }
    alb_assert(!alb_failed(chunk_store_put_many(store, group, count, NULL)));
    for (size_t i = 0; i < count; i++) {
        w->shared->expect[numbers[i]] = PRESENT;
        chunk_unref(group[i]);
    }
}

static void child_remove(struct world *w, struct chunk_store *store, struct gen *g)
{
    unsigned n = (unsigned)gen_below(g, KEYS);
    struct chunk_key key = key_of(n);
    w->shared->expect[n] = EITHER;
    alb_assert(!alb_failed(chunk_store_remove(store, &key)));
    w->shared->expect[n] = ABSENT;
}

static void child_count(struct world *w, struct catalogue *catalogue)
{
    struct shared *s = w->shared;
    s->record_tried = s->record_acked + 1;
    alb_assert(!alb_failed(catalogue_swap(catalogue, "n", CATALOGUE_ANY, &s->record_tried,
                                          sizeof(s->record_tried), NULL)));
    s->record_acked = s->record_tried;
}

/* Works until it is killed. */
static void child_work(struct world *w, uint64_t seed)
{
    struct gen g;
    struct catalogue *catalogue = NULL;
    gen_init(&g, seed);
    struct chunk_store *store = open_disk(w->store_dir);
    alb_assert(!alb_failed(disk_catalogue_open(w->catalogue_dir, &catalogue)));
    for (;;) {
        uint64_t dice = gen_below(&g, 10);
        if (dice < 5)
            child_put(w, store, &g);
        else if (dice < 8)
            child_remove(w, store, &g);
        else
            child_count(w, catalogue);
        atomic_fetch_add(&w->shared->calls, 1);
    }
}

static void check_one(struct world *w, struct chunk_store *store, unsigned n)
{
    struct chunk_key key = key_of(n);
    struct chunk *found = NULL;
    enum alb_code code = chunk_store_get(store, &key, &found).code;
    alb_assert(code == ALB_OK || code == ALB_NOT_FOUND);
    bool there = code == ALB_OK;
    if (there)
        expect_chunk(found, n);
    chunk_unref(found);
    alb_assert(w->shared->expect[n] == EITHER || there == (w->shared->expect[n] == PRESENT));
    w->shared->expect[n] = there ? PRESENT : ABSENT;
}

static void check_record(struct world *w)
{
    struct shared *s = w->shared;
    struct catalogue *catalogue = NULL;
    struct buf out;
    uint64_t found = 0;
    buf_init(&out, 100);
    alb_assert(!alb_failed(disk_catalogue_open(w->catalogue_dir, &catalogue)));
    if (catalogue_get(catalogue, "n", &out, NULL).code == ALB_OK)
        memcpy(&found, buf_peek(&out), sizeof(found));
    alb_assert(found == s->record_acked || found == s->record_tried);
    s->record_acked = found;
    s->record_tried = found;
    buf_release(&out);
    catalogue_close(catalogue);
}

/* What was acknowledged is there, what was not is whole or absent, and the sums are right. */
static void child_check(struct world *w, uint64_t seed)
{
    if (seed % 3 == 0)
        lose_index(w->store_dir);
    struct chunk_store *store = open_disk(w->store_dir);
    uint64_t there = 0;
    for (unsigned n = 0; n < KEYS; n++) {
        check_one(w, store, n);
        there += w->shared->expect[n] == PRESENT;
    }
    struct chunk_store_stats stats;
    alb_assert(!alb_failed(chunk_store_stats(store, &stats)));
    alb_assert(stats.chunks == there);
    chunk_store_close(store);
    check_record(w);
}

/* A write that was under way tore: some bytes of a record stand at the end. */
static void tear_tail(struct world *w)
{
    AUTO_FREE char *command = xasprintf("f=$(ls '%s'/segments/*.seg 2>/dev/null | tail -n 1);"
                                        "[ -z \"$f\" ] || head -c %u \"$f\" | tail -c %u >> \"$f\"",
                                        w->store_dir, (unsigned)gen_range(&gen, 33, 9000),
                                        (unsigned)gen_range(&gen, 1, 3000));
    assert_int_equal(system(command), 0);
}

static int run_child(struct world *w, void (*work)(struct world *, uint64_t), bool kill_it)
{
    uint64_t seed = gen_u64(&gen);
    unsigned target = atomic_load(&w->shared->calls) + (unsigned)gen_skewed(&gen, 60);
    uint64_t spins = gen_skewed(&gen, 1 << 16);
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        work(w, seed);
        _exit(0);
    }
    if (kill_it) {
        while (atomic_load(&w->shared->calls) < target && waitpid(pid, &status, WNOHANG) == 0)
            sched_yield();
        for (volatile uint64_t i = 0; i < spins; i++)
            ;
        (void)kill(pid, SIGKILL);
    }
    if (status == -1)
        assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void what_was_acknowledged_outlives_kill_9(void **state)
{
    (void)state;
    struct tmpdir *tmp = tmpdir_open();
    struct world w = {.store_dir = tmpdir_path(tmp, "store"),
                      .catalogue_dir = tmpdir_path(tmp, "catalogue")};
    w.shared =
        mmap(NULL, sizeof(*w.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(w.shared != MAP_FAILED);
    for (unsigned round = 0; round < 40; round++) {
        int status = run_child(&w, child_work, true);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        if (gen_chance(&gen, 1, 3))
            tear_tail(&w);
        status = run_child(&w, child_check, false);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    print_message("%u calls, %u kills\n", atomic_load(&w.shared->calls), 40);
    assert_int_equal(munmap(w.shared, sizeof(*w.shared)), 0);
    free(w.store_dir);
    free(w.catalogue_dir);
    tmpdir_close(tmp);
}

static int seed(void **state)
{
    (void)state;
    (void)gen_init_from_env(&gen);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_outlives_kill_9), /* first: see struct shared */
        cmocka_unit_test(both_stores_obey_the_same_law),
    };
    return cmocka_run_group_tests(tests, seed, NULL);
}
