/* SPDX-License-Identifier: Apache-2.0 */
/* unit/image/test_build_file.c – what happens when the tree changes under our hands. */

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "image/build.h"
#include "support/gen.h"
#include "support/tmpdir.h"

enum { AVERAGE = 256 << 10 };

/* A tree and all that becomes of it. */
struct made {
    struct scan scan;
    struct build *build;
    struct build_worker *worker;
    struct build_result result;
    struct manifest manifest;
};

static void must(struct alb_status st)
{
    assert_string_equal(st.what, "");
    assert_int_equal(st.code, ALB_OK);
}

static void made_begin(struct made *m, const char *top)
{
    *m = (struct made){0};
    must(scan_tree(top, &(struct scan_options){.allow_devices = true}, &m->scan));
    assert_int_equal(m->scan.problem_count, 0);
    m->build = build_new(&m->scan);
    m->worker = build_worker_new();
}

static void made_finish(struct made *m)
{
    for (size_t i = 0; i < build_units(m->build); i++)
        must(build_run(m->build, i, m->worker));
    must(build_finish(m->build, &m->result));
    must(manifest_decode(buf_peek(&m->result.manifest), buf_size(&m->result.manifest),
                         &manifest_limits_default, &m->manifest));
}

static void make(struct made *m, const struct tmpdir *t)
{
    made_begin(m, t->path);
    made_finish(m);
}

static void made_release(struct made *m)
{
    manifest_release(&m->manifest);
    build_result_release(&m->result);
    build_worker_free(m->worker);
    build_free(m->build);
    scan_release(&m->scan);
}

static const struct manifest_entry *entry(const struct made *m, const char *path)
{
    const struct manifest_entry *found = manifest_find(&m->manifest, path);
    if (found == NULL)
        fail_msg("%s is not in the manifest", path);
    return found;
}

static void write_random(const struct tmpdir *t, const char *name, size_t size, uint64_t seed)
{
    struct gen g;
    gen_init(&g, seed);
    AUTO_FREE uint8_t *bytes = xalloc(size + 1);
    gen_bytes(&g, bytes, size);
    tmpdir_write(t, name, bytes, size);
}

/* Packs are decided by digests: these files have contents whose digest ends no pack. */
static void write_quiet(const struct tmpdir *t, const char *name, size_t size, uint64_t seed)
{
    struct digest d;
    uint64_t lot;
    struct gen g;
    gen_init(&g, seed);
    AUTO_FREE uint8_t *bytes = xalloc(size);
    do {
        gen_bytes(&g, bytes, size);
        sha256(bytes, size, &d);
        memcpy(&lot, d.bytes + 8, 8); /* these tests run on little-endian machines */
    } while (lot % AVERAGE < size);
    tmpdir_write(t, name, bytes, size);
}

static void remove_file(const struct tmpdir *t, const char *name)
{
    AUTO_FREE char *path = tmpdir_path(t, name);
    assert_int_equal(unlink(path), 0);
}

static size_t find_unit(const struct made *m, uint64_t bytes)
{
    for (size_t i = 0; i < build_units(m->build); i++)
        if (build_unit_bytes(m->build, i) == bytes)
            return i;
    fail_msg("no unit has %llu bytes", (unsigned long long)bytes);
    return 0;
}

static void what_vanished_is_left_out_and_listed(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made m;
    const struct scan_problem *problems;
    tmpdir_mkdir(t, "d");
    tmpdir_write(t, "d/gone", "1", 1);
    tmpdir_write(t, "d/stays", "2", 1);
    write_random(t, "large", AVERAGE, 1);
    AUTO_FREE char *gone = tmpdir_path(t, "d/gone");
    AUTO_FREE char *name = tmpdir_path(t, "d/other-name");
    assert_int_equal(link(gone, name), 0);
    made_begin(&m, t->path);
    remove_file(t, "d/gone");
    remove_file(t, "large");
    made_finish(&m);
    assert_int_equal(build_problems(m.build, &problems), 3);
    assert_string_equal(problems[0].path, "large");
    assert_int_equal(problems[0].st.code, ALB_NOT_FOUND);
    assert_string_equal(problems[1].path, "d/gone");
    assert_string_equal(problems[2].path, "d/other-name");
    assert_int_equal(m.manifest.count, 3);
    assert_int_equal(m.result.root.entries, 3);
    assert_non_null(manifest_find(&m.manifest, "d/stays"));
    made_release(&m);
    tmpdir_close(t);
}

static void what_became_something_else_is_left_out_and_listed(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    struct tmpdir *t = tmpdir_open();
    struct made m;
    const struct scan_problem *problems;
    for (size_t i = 0; i < ALB_COUNT(names); i++)
        tmpdir_write(t, names[i], "1", 1);
    made_begin(&m, t->path);
    for (size_t i = 0; i < ALB_COUNT(names); i++)
        remove_file(t, names[i]);
    AUTO_FREE char *a = tmpdir_path(t, "a");
    AUTO_FREE char *b = tmpdir_path(t, "b");
    AUTO_FREE char *d = tmpdir_path(t, "d");
    assert_int_equal(symlink("/etc/passwd", a), 0);
    assert_int_equal(mkfifo(b, 0600), 0);
    tmpdir_mkdir(t, "c");
    assert_int_equal(mknod(d, S_IFSOCK | 0600, 0), 0);
    made_finish(&m);
    assert_int_equal(build_problems(m.build, &problems), 4);
    for (size_t i = 0; i < ALB_COUNT(names); i++)
        assert_int_equal(problems[i].st.code, ALB_CONFLICT);
    assert_int_equal(m.manifest.count, 1);
    made_release(&m);
    tmpdir_close(t);
}

static void a_file_changed_since_the_scan_is_taken_as_it_is_now(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made m;
    tmpdir_mkdir(t, "d");
    write_quiet(t, "a-grows", 100, 1);
    write_quiet(t, "b", 100, 2);
    write_random(t, "d/shrinks", 2 * AVERAGE, 3);
    write_quiet(t, "d/to-nothing", 50, 4);
    made_begin(&m, t->path);
    write_random(t, "a-grows", 9 * AVERAGE, 5);
    write_random(t, "d/shrinks", AVERAGE - 1, 6);
    tmpdir_write(t, "d/to-nothing", "", 0);
    made_finish(&m);
    assert_int_equal(entry(&m, "a-grows")->size, 9 * AVERAGE);
    assert_true(entry(&m, "a-grows")->slice_count > 1);
    assert_int_equal(entry(&m, "d/shrinks")->size, AVERAGE - 1);
    assert_int_equal(entry(&m, "d/shrinks")->slice_count, 1);
    assert_int_equal(entry(&m, "d/to-nothing")->size, 0);
    for (uint32_t i = 0; i < m.result.content_key_count; i++) {
        struct chunk *chunk;
        must(build_read(m.build, i, m.worker, &chunk));
        chunk_unref(chunk);
    }
    made_release(&m);
    tmpdir_close(t);
}

struct writer {
    int fd;
    atomic_bool stop;
    atomic_bool began;
};

/* Without end: grows the file and changes what is in it. */
static void *keep_writing(void *arg)
{
    struct writer *w = arg;
    for (uint64_t i = 0; !atomic_load(&w->stop); i++) {
        off_t at = i % 2 == 0 ? 0 : (off_t)(i % 4096) * 64;
        if (pwrite(w->fd, &i, sizeof(i), at) < 0)
            abort();
        atomic_store(&w->began, true);
    }
    return NULL;
}

/* Returns how the unit ended; when well, what was read is one state of the file. */
static enum alb_code build_while_written(size_t size)
{
    struct tmpdir *t = tmpdir_open();
    struct made m;
    pthread_t thread;
    struct writer writer = {.fd = -1};
    write_random(t, "busy", size, 1);
    made_begin(&m, t->path);
    AUTO_FREE char *path = tmpdir_path(t, "busy");
    writer.fd = open(path, O_WRONLY);
    assert_int_equal(pthread_create(&thread, NULL, keep_writing, &writer), 0);
    while (!atomic_load(&writer.began))
        sched_yield();
    struct alb_status st = build_run(m.build, 0, m.worker);
    if (st.code == ALB_CONFLICT)
        assert_string_equal(build_worker_path(m.worker), "busy");
    atomic_store(&writer.stop, true);
    pthread_join(thread, NULL);
    close(writer.fd);
    made_finish(&m); /* it is quiet now, and the unit may be run again */
    AUTO_FREE uint8_t *bytes = tmpdir_read(t, "busy", &size);
    struct digest d;
    sha256(bytes, size, &d);
    assert_true(digest_equal(&entry(&m, "busy")->content, &d));
    assert_string_equal(build_worker_path(m.worker), "");
    made_release(&m);
    tmpdir_close(t);
    return st.code;
}

static void a_file_that_keeps_changing_is_a_conflict_that_names_it(void **state)
{
    (void)state;
    assert_int_equal(build_while_written(40 * AVERAGE), ALB_CONFLICT);
    /* A small one is read so fast that the writer may be elsewhere; torn it never is. */
    enum alb_code code = build_while_written(AVERAGE - 1);
    assert_true(code == ALB_CONFLICT || code == ALB_OK);
}

static void an_unreadable_file_fails_its_unit_and_is_named(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    tmpdir_write(t, "closed", "1", 1);
    AUTO_FREE char *closed = tmpdir_path(t, "closed");
    assert_int_equal(chmod(t->path, 0755), 0);
    assert_int_equal(chmod(closed, 0), 0);
    pid_t child = fork();
    if (child == 0) { /* without privileges, where root can be refused something too */
        struct made m;
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(1);
        made_begin(&m, t->path);
        struct alb_status st = build_run(m.build, 0, m.worker);
        bool right = st.code == ALB_IO && st.sys == EACCES &&
                     strcmp(build_worker_path(m.worker), "closed") == 0;
        made_release(&m);
        _exit(right ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    tmpdir_close(t);
}

static void a_chunk_whose_file_changed_later_is_refused(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made m;
    struct chunk *chunk = NULL;
    tmpdir_mkdir(t, "a");
    tmpdir_mkdir(t, "b");
    tmpdir_mkdir(t, "c");
    write_quiet(t, "a/1", 100, 1);
    write_quiet(t, "a/2", 100, 2);
    write_quiet(t, "b/f", 100, 3);
    write_quiet(t, "c/f", 100, 4);
    make(&m, t);
    assert_int_equal(m.result.content_key_count, 3);
    write_quiet(t, "a/1", 100, 5);
    remove_file(t, "b/f");
    tmpdir_write(t, "c/f", "short", 5);
    static const char *const paths[] = {"a/1", "b/f", "c/f"};
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(build_read(m.build, i, m.worker, &chunk).code, ALB_CONFLICT);
        assert_string_equal(build_worker_path(m.worker), paths[i]);
        assert_null(chunk);
    }
    made_release(&m);
    tmpdir_close(t);
}

/* Other writes until the times of `name` tell it from whatever comes later. */
static void let_age(const struct tmpdir *t, const char *name)
{
    AUTO_FREE char *path = tmpdir_path(t, name);
    AUTO_FREE char *other = tmpdir_path(t, "younger");
    struct stat old, now;
    assert_int_equal(stat(path, &old), 0);
    do {
        tmpdir_write(t, "younger", "y", 1);
        assert_int_equal(stat(other, &now), 0);
    } while ((now.st_ctim.tv_sec - old.st_ctim.tv_sec) * 1000000000 + now.st_ctim.tv_nsec -
                 old.st_ctim.tv_nsec <
             50000000);
}

static void a_chunk_of_an_old_file_is_refused_once_the_file_was_rewritten(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made m;
    struct chunk *chunk = NULL;
    write_random(t, "old", 3 * AVERAGE, 7);
    let_age(t, "old");
    make(&m, t);
    for (uint32_t i = 0; i < m.result.content_key_count; i++) { /* as it stands all is read */
        must(build_read(m.build, i, m.worker, &chunk));
        chunk_unref(chunk);
    }
    write_random(t, "old", 3 * AVERAGE, 8);
    uint32_t refused = 0;
    for (uint32_t i = 0; i < m.result.content_key_count; i++) {
        struct alb_status st = build_read(m.build, i, m.worker, &chunk);
        if (!alb_failed(st))
            chunk_unref(chunk);
        else
            refused += st.code == ALB_CONFLICT;
    }
    assert_int_equal(refused, m.result.content_key_count - 1); /* all but the younger one's */
    made_release(&m);
    tmpdir_close(t);
}

static void an_unfinished_build_is_not_put_together(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct made m;
    write_random(t, "large", 2 * AVERAGE, 1);
    tmpdir_write(t, "small", "1", 1);
    made_begin(&m, t->path);
    assert_int_equal(build_units(m.build), 2);
    assert_int_equal(find_unit(&m, 2 * AVERAGE), 0);
    must(build_run(m.build, 0, m.worker));
    assert_int_equal(build_finish(m.build, &m.result).code, ALB_BUG);
    made_release(&m);
    tmpdir_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_vanished_is_left_out_and_listed),
        cmocka_unit_test(what_became_something_else_is_left_out_and_listed),
        cmocka_unit_test(a_file_changed_since_the_scan_is_taken_as_it_is_now),
        cmocka_unit_test(a_file_that_keeps_changing_is_a_conflict_that_names_it),
        cmocka_unit_test(an_unreadable_file_fails_its_unit_and_is_named),
        cmocka_unit_test(a_chunk_whose_file_changed_later_is_refused),
        cmocka_unit_test(a_chunk_of_an_old_file_is_refused_once_the_file_was_rewritten),
        cmocka_unit_test(an_unfinished_build_is_not_put_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
