/* SPDX-License-Identifier: Apache-2.0 */
/* client/link.h – what each command that talks to the hub stands on: state, loop, TLS, upstream,
 * trust.
 *
 * Requests go to the state's upstream when it has one, else to the hub.  Short commands use
 * link_ask(), which runs the loop until its one request is answered; publishing takes `loop` and
 * `upstream` and runs the loop itself.  (Pulling composes its own: client/endpoint.h, with
 * link_tls_open().)
 *
 *     struct link link;
 *     enum exit_code code = link_begin(cli, &(struct link_options){.at_hub = true}, &link);
 *     if (code != EXIT_DONE)
 *         return code;
 *     …  (the link stays where it is: callbacks point at it)
 *     link_end(&link);
 */
#pragma once

#include "client/cli.h"
#include "client/state.h"
#include "transfer/line.h"
#include "transfer/own_grant.h"

struct link_options {
    bool at_hub;      /* an admin's question: never through a reflector                          */
    bool wants_grant; /* present a read grant; a new one is judged and kept as "grant/self"      */
    bool
        follows_trust; /* keep trust and revocations current while the loop runs                  */
    uint64_t wait_ns;  /* how long a question tries to reach the other side; 0: once          */
    bool shows_warnings; /* a long command: a lost line is told when it happens                 */
    bool has_line;       /* much will travel: it is measured, and ruled by law and policy       */
    enum line_kind line; /* … what leads there */
};

struct link {
    struct output *output; /* borrowed */
    struct state *state;   /* borrowed */
    struct loop *loop;     /* owned, as is all below */
    struct tls_context *tls;
    struct upstream *upstream;
    struct authority *authority; /* from the state's catalogue, pinned as joined */
    struct own_grant grant;
    struct line *line; /* NULL unless has_line; as are the next two */
    struct policy_book *policy;
    struct own_addresses addresses;
    struct upstream_place place; /* where requests go */
    bool is_hub;
    uint64_t wait_ns;
    bool has_said_waiting;
    bool interrupted;        /* SIGINT or SIGTERM came: the loop was stopped */
    struct state *own_state; /* link_begin()'s, owned; else NULL */
};

/* Opens the state of --state and a link on it; says why not. */
enum exit_code link_begin(struct cli *c, const struct link_options *options, struct link *out);
void link_end(struct link *l);
/* The same on a state that is open already; says why not. */
enum exit_code link_open(struct output *o, struct state *s, const struct link_options *options,
                         struct link *out);
void link_close(struct link *l);
/* --line wan|lan; neither: LINE_IS_AUTO.  EXIT_USAGE: said. */
enum exit_code link_line_typed(const struct cli *cli, enum line_kind *out);

/* A TLS context with the state's CA, certificate and key:
 * INVALID when they do not belong together. */
ALB_MUST_USE struct alb_status link_tls_open(const struct state *s, struct tls_context **out);

struct link_answer {
    struct alb_status st; /* as in upstream_answer */
    unsigned status;      /* HTTP; 0 when none came */
    struct buf body;      /* owned */
    char message[512];    /* the other side's words for a refusal, or "" */
};

/* Ask and wait.  `body` may be NULL.  The answer is released by the caller with
 * link_answer_release(), whatever came. */
void link_ask(struct link *l, const struct upstream_ask *ask, struct link_answer *out);
void link_answer_release(struct link_answer *a);
/* "DOING: hub https://…: what it said", and what to do about it. */
enum exit_code link_fail(struct link *l, struct link_answer *a, const char *doing);
/* GET `path` and parse its JSON, or say why not.  The text stays in `answer`. */
enum exit_code link_get_json(struct link *l, const char *path, const char *doing,
                             struct link_answer *answer, struct json_doc **out);

/* A command that shows what is at `path`: as it came with --json, else as `print` puts it.
 * Says why not. */
enum exit_code link_show(struct cli *cli, const struct link_options *options, const char *path,
                         const char *doing,
                         enum exit_code (*print)(struct cli *cli, const struct json_doc *d));

/* Run the loop until *done, which a callback sets (and then calls loop_stop()).  False when it was
 * interrupted before. */
bool link_run(struct link *l, const bool *done);

/* Take whatever trust files follow the one held here.  Failing is said unless `doing` is NULL. */
enum exit_code link_refresh_trust(struct link *l, const char *doing);
