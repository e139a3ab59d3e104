/* SPDX-License-Identifier: Apache-2.0 */
/* unit/image/test_content.c – a copy is what was digested, also where blocks are shared. */

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "image/content.h"
#include "support/tmpdir.h"

enum { SIZE = 100 << 10, GROWTH = 777 };

static unsigned clones;

/* In place of the C library's: FICLONE, as btrfs and XFS do it – all of the file, however long it
 * is by then. */
int ioctl(int to, unsigned long request, ...)
{
    static uint8_t bytes[SIZE + GROWTH];
    va_list arguments;
    ssize_t got;

    va_start(arguments, request);
    int from = va_arg(arguments, int);
    va_end(arguments);
    assert_true(request == FICLONE);
    got = pread(from, bytes, sizeof(bytes), 0);
    assert_true(got >= 0 && pwrite(to, bytes, (size_t)got, 0) == got);
    clones++;
    return 0;
}

struct pair {
    struct tmpdir *dir;
    int from, to;
    struct content content;
    struct manifest_entry entry; /* `from`, as it was when it was scanned */
};

static void pair_make(struct pair *p)
{
    static uint8_t bytes[SIZE];

    *p = (struct pair){.dir = tmpdir_open(), .entry = {.type = ENTRY_FILE, .size = SIZE}};
    memset(bytes, 'x', SIZE);
    tmpdir_write(p->dir, "from", bytes, SIZE);
    AUTO_FREE char *from = tmpdir_path(p->dir, "from");
    AUTO_FREE char *to = tmpdir_path(p->dir, "to");
    p->from = open(from, O_RDWR | O_CLOEXEC);
    p->to = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(p->from >= 0 && p->to >= 0);
    sha256(bytes, SIZE, &p->entry.content);
    assert_false(alb_failed(content_init(&p->content)));
    clones = 0;
}

static void pair_drop(struct pair *p)
{
    content_release(&p->content);
    close(p->from);
    close(p->to);
    tmpdir_close(p->dir);
}

static void a_file_that_grew_before_its_blocks_were_shared_leaves_no_tail_in_the_copy(void **state)
{
    struct digest found;
    struct stat now;
    struct pair p;

    (void)state;
    pair_make(&p);
    for (unsigned i = 0; i < GROWTH; i++)
        assert_int_equal(pwrite(p.from, "!", 1, SIZE + i), 1);
    assert_false(alb_failed(content_copy(&p.content, p.from, p.to, &p.entry, &found)));
    assert_int_equal(clones, 1);
    assert_true(digest_equal(&found, &p.entry.content));
    assert_int_equal(fstat(p.to, &now), 0);
    assert_int_equal(now.st_size, SIZE);
    pair_drop(&p);
}

static void a_file_that_shrank_before_its_blocks_were_shared_is_no_copy(void **state)
{
    struct digest found = {{0}};
    struct pair p;

    (void)state;
    pair_make(&p);
    assert_int_equal(ftruncate(p.from, SIZE / 2), 0);
    struct alb_status st = content_copy(&p.content, p.from, p.to, &p.entry, &found);
    assert_true(alb_failed(st) || !digest_equal(&found, &p.entry.content));
    pair_drop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_grew_before_its_blocks_were_shared_leaves_no_tail_in_the_copy),
        cmocka_unit_test(a_file_that_shrank_before_its_blocks_were_shared_is_no_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
