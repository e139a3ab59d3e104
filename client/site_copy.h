/* SPDX-License-Identifier: Apache-2.0 */
/* client/site_copy.h – the hub's site directory, to be looked at or changed and given back.
 *
 *     struct site_copy copy;
 *     enum exit_code code = site_copy_begin(cli, &copy);
 *     if (code != EXIT_DONE)
 *         return code;
 *     …  change copy.sites, site_copy_put()
 *     site_copy_end(&copy);
 *
 * What is given back is in force only if nobody else changed the directory meanwhile.
 */
#pragma once

#include "client/findings.h"
#include "client/link.h"
#include "wire/sites.h"

struct site_copy {
    struct link link;
    struct sites *sites;         /* owned; may be replaced */
    struct buf text;             /* as the hub sent it */
    uint64_t number;             /* 0: there is no directory yet, and this is a draft */
    struct policy_findings seen; /* warnings about what the hub sent: nothing new */
    struct json_doc *said;       /* owned; the answer to the put */
};

/* Says why not.  The copy stays where it is: callbacks point at it. */
enum exit_code site_copy_begin(struct cli *cli, struct site_copy *out);
void site_copy_end(struct site_copy *c);

struct site_put {
    uint64_t number, policy; /* then in force */
    bool has_changed;
};
/* `is_dry`: judged by the hub, changes nothing.  Says why not. */
enum exit_code site_copy_put(struct site_copy *c, bool is_dry, struct site_put *out);
/* What is hardly meant, told: of `f` (may be NULL) what was not seen before, and what the hub said
 * of the policy that has these sites. */
void site_copy_warn(const struct site_copy *c, const struct policy_findings *f);
/* The same as "warnings", texts, of the object being written. */
void site_copy_put_warnings(const struct site_copy *c, const struct policy_findings *f,
                            struct json_writer *w);
/* "GET path" with an answer in JSON; says why not. */
enum exit_code site_copy_ask(struct site_copy *c, const char *path, struct json_doc **out);
