/* SPDX-License-Identifier: Apache-2.0 */
/* support/tmpdir.h – a directory of a test's own, removed with all that is in it.
 *
 * A test that cannot have one ends at once: nothing it could say would be about what it tests.
 */
#pragma once

#include <stddef.h>

struct tmpdir {
    char *path; /* absolute; owned */
};

/* Make it under $TMPDIR or /tmp, mode 0700. */
struct tmpdir *tmpdir_open(void);
/* Remove it, however deep, and without following symlinks; tmpdir_close(NULL) is fine. */
void tmpdir_close(struct tmpdir *t);

/* "path/name", heap: free() it. */
char *tmpdir_path(const struct tmpdir *t, const char *name);
/* Write or replace the file `name`, whose directory must exist. */
void tmpdir_write(const struct tmpdir *t, const char *name, const void *bytes, size_t size);
/* Make the directory `name`, whose parent must exist. */
void tmpdir_mkdir(const struct tmpdir *t, const char *name);
/* The file's bytes, heap and with a zero byte after them; `*size` may be NULL. */
void *tmpdir_read(const struct tmpdir *t, const char *name, size_t *size);
