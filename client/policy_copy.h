/* SPDX-License-Identifier: Apache-2.0 */
/* client/policy_copy.h – this member's own copy of policy and overrides, made current if it can be.
 *
 *     struct policy_copy_of copy;
 *     enum exit_code code = policy_copy_begin(cli, &copy);
 *     if (code != EXIT_DONE)
 *         return code;
 *     …  policy_book_peek(copy.book), policy_book_now_s(copy.book)
 *     policy_copy_end(&copy);
 *
 * Whoever is asked, reflector or hub, is asked once, for five seconds; cut off, or with --local,
 * the copy that is kept here is the answer, and a note says so.
 */
#pragma once

#include "client/link.h"
#include "transfer/policy_book.h"

struct policy_copy_of {
    struct link link;
    struct policy_book *book;
    bool is_current; /* somebody answered that there is nothing newer */
};

/* Says why not.  The copy stays where it is: callbacks point at it. */
enum exit_code policy_copy_begin(struct cli *cli, struct policy_copy_of *out);
/* The same in two steps, for who has more to ask; `at_hub`: of the hub, not of the reflector. */
enum exit_code policy_copy_open(struct cli *cli, bool at_hub, struct policy_copy_of *out);
void policy_copy_make_current(struct policy_copy_of *c);
void policy_copy_end(struct policy_copy_of *c);

/* FILE ("-": standard input) as a policy, with everything that is wrong told: EXIT_DONE when it is
 * fit to be set; then `doc` is the caller's, and `text` has its canonical JSON. `--zone` counts. */
enum exit_code policy_file_read(struct cli *cli, const char *file, struct policy_doc **doc,
                                struct buf *text);
/* "12 rules, 3 sites, 1 calendar, 0 deadlines"; returns `out`. */
const char *policy_doc_words(const struct policy_doc *d, char out[160]);
