/* SPDX-License-Identifier: Apache-2.0 */
/* fault/fault_build.c – every allocation of scanning and building fails once. */
/* LINKS: image wire chunk base */
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "image/build.h"
#include "support/tmpdir.h"

#ifdef ALB_FAULT

enum { LARGE = 600 << 10 };

static struct alb_status read_all(struct build *b, struct build_worker *w,
                                  const struct build_result *r)
{
    for (uint32_t i = 0; i < r->content_key_count; i++) {
        struct chunk *chunk;
        struct alb_status st = build_read(b, i, w, &chunk);
        if (alb_failed(st))
            return st;
        chunk_unref(chunk);
    }
    return ALB_STATUS_OK;
}

static struct alb_status build_all(const struct scan *scan, struct digest *root)
{
    struct build_result result = {0};
    struct build *b = build_new(scan);
    struct build_worker *w = build_worker_new();
    struct alb_status st = ALB_STATUS_OK;
    for (size_t i = 0; i < build_units(b) && !alb_failed(st); i++)
        st = build_run(b, i, w);
    if (!alb_failed(st))
        st = build_finish(b, &result);
    if (!alb_failed(st)) {
        *root = result.root_digest;
        st = read_all(b, w, &result);
        build_result_release(&result);
    }
    build_worker_free(w);
    build_free(b);
    return st;
}

static struct alb_status publish(const char *top, struct digest *root)
{
    struct scan scan;
    struct alb_status st = scan_tree(top, NULL, &scan);
    if (alb_failed(st))
        return st;
    if (scan.problem_count > 0)
        st = scan.problems[0].st;
    else
        st = build_all(&scan, root);
    scan_release(&scan);
    return st;
}

static void make_tree(const struct tmpdir *t)
{
    static const char bytes[LARGE];
    tmpdir_mkdir(t, "d");
    tmpdir_write(t, "d/a", "1", 1);
    tmpdir_write(t, "d/b", "2", 1);
    tmpdir_write(t, "large", bytes, LARGE);
    AUTO_FREE char *from = tmpdir_path(t, "d/a");
    AUTO_FREE char *to = tmpdir_path(t, "other-name");
    AUTO_FREE char *sparse = tmpdir_path(t, "sparse");
    assert_int_equal(link(from, to), 0);
    tmpdir_write(t, "sparse", "", 0);
    assert_int_equal(truncate(sparse, LARGE), 0);
    (void)setxattr(from, "user.colour", "blue", 4, 0); /* where the file system has them */
}

/* Nothing leaks (the sanitizer watches), nothing is half made,
 * and the same root comes in the end. */
static void a_build_that_lacks_memory_anywhere_says_so(void **state)
{
    (void)state;
    struct tmpdir *t = tmpdir_open();
    struct digest expected, found;
    unsigned nth = 0;
    bool fired = true;
    make_tree(t);
    struct alb_status st = publish(t->path, &expected);
    assert_int_equal(st.code, ALB_OK);
    for (; fired; nth++) {
        fault_arm(NULL, nth);
        st = publish(t->path, &found);
        fired = fault_fired();
        fault_disarm();
        assert_int_equal(st.code, fired ? ALB_FULL : ALB_OK);
    }
    assert_true(digest_equal(&expected, &found));
    assert_true(nth > 20);
    tmpdir_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_build_that_lacks_memory_anywhere_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    print_message("built without ALB_FAULT: nothing can be made to fail\n");
    return 77; /* skipped, to ctest */
}

#endif
