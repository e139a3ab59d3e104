/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_branches.c – how long a hub stands still when the policy changes for all. */
/* LINKS: transfer shaper net store wire chunk base */

/* usage: bench_branches [SITES [DEVICES [RULES]]]
 *
 * DEVICES connections in SITES, a policy of RULES rules of which one about everybody changes its
 * rate.  One line of JSON: milliseconds until every connection has heard of it, and the longest
 * that the loop meanwhile took to come round.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/units.h"
#include "store/ram.h"
#include "transfer/branches.h"

struct bench {
    struct loop *loop;
    struct authority *authority;
    struct policy_book *policy;
    struct branches *branches;
    struct branch_member **members;
    bool *has_heard;
    size_t sites, devices, rules, heard;
    struct timer start, beat;
    uint64_t began_ns, beat_ns, longest_ns; /* between two beats */
    struct sign_secret root_key, hub_key;
    uint64_t number;
};

/* ---- connections without a wire -------------------------------------------------------------- */

static enum stream_result read_nothing(struct stream *s, void *out, size_t size, size_t *moved)
{
    (void)s;
    (void)out;
    (void)size;
    (void)moved;
    return STREAM_BLOCKED;
}

static enum stream_result write_all(struct stream *s, const void *bytes, size_t size, size_t *moved)
{
    (void)s;
    (void)bytes;
    *moved = size;
    return STREAM_MOVED;
}

static void no_figures(struct stream *s, struct path_figures *out)
{
    (void)s;
    *out = (struct path_figures){0};
}

static void free_stream(struct stream *s)
{
    free(s);
}

static const struct stream_ops ops = {
    .read = read_nothing, .write = write_all, .figures = no_figures, .free = free_stream};

static uint64_t no_head(void *arg, struct http_exchange *x)
{
    (void)arg;
    (void)x;
    return 0;
}

static void no_exchange(void *arg, struct http_exchange *x)
{
    (void)arg;
    (void)x;
}

static void no_session(void *arg, struct http_session *s, struct alb_status st)
{
    (void)arg;
    (void)s;
    (void)st;
}

static const struct http_server_ops server_ops = {
    .head = no_head, .request = no_exchange, .closed = no_exchange, .session_closed = no_session};

static void enter(struct bench *b, size_t i)
{
    struct stream *stream = xalloc(sizeof *stream);
    char site[32], device[32];

    stream_init(stream, b->loop, &ops);
    stream->is_open = true;
    snprintf(site, sizeof site, "site-%zu", i % b->sites);
    snprintf(device, sizeof device, "device-%zu", i);
    struct http_session *session = http_serve(stream, NULL, &server_ops, NULL);
    b->members[i] = branch_enter(b->branches, session, &b->has_heard[i]);
    branch_place(b->members[i], site, device);
}

/* ---- the policy ------------------------------------------------------------------------------ */

static void set_policy(struct bench *b, unsigned mbit)
{
    struct buf text, bytes;

    buf_init(&text, POLICY_TEXT_MAX);
    buf_init(&bytes, SIGNED_MAX);
    alb_assert(!alb_failed(buf_printf(&text, "{\"format\":1,\"rules\":[")));
    for (size_t i = 0; i < b->rules; i++)
        alb_assert(!alb_failed(buf_printf(
            &text, "{\"scope\":\"client:other-%zu\",\"mode\":\"capped\",\"rate\":\"1Mbit\"},", i)));
    alb_assert(!alb_failed(buf_printf(
        &text, "{\"scope\":\"global\",\"mode\":\"capped\",\"rate\":\"%uMbit\"}]}", mbit)));
    const struct policy_seal seal = {.org = "acme",
                                     .number = ++b->number,
                                     .issued_wall_s = loop_wall_s(b->loop),
                                     .text = buf_peek(&text),
                                     .text_size = buf_size(&text)};
    alb_assert(!alb_failed(policy_seal_encode(POLICY_RULES, &seal, &b->hub_key, &bytes)));
    alb_assert(
        !alb_failed(policy_book_take(b->policy, POLICY_RULES, buf_peek(&bytes), buf_size(&bytes))));
    buf_release(&text);
    buf_release(&bytes);
}

static void open_policy(struct bench *b, struct catalogue *catalogue)
{
    const struct authority_options options = {.loop = b->loop, .catalogue = catalogue};
    struct trust trust = {.org = "acme", .version = 1, .threshold = 1, .root_count = 1};
    struct buf bytes;

    memset(b->root_key.seed, 1, sizeof b->root_key.seed);
    memset(b->hub_key.seed, 2, sizeof b->hub_key.seed);
    sign_public_of(&b->root_key, &trust.roots[0]);
    sign_public_of(&b->hub_key, &trust.hub_key);
    buf_init(&bytes, SIGNED_MAX);
    alb_assert(!alb_failed(authority_open(&options, &b->authority)));
    alb_assert(!alb_failed(trust_encode(&trust, &b->root_key, 1, &bytes)));
    alb_assert(!alb_failed(authority_add_trust(b->authority, buf_peek(&bytes), buf_size(&bytes))));
    buf_release(&bytes);
    b->policy =
        policy_book_open(&(struct policy_book_options){.loop = b->loop, .authority = b->authority});
}

/* ---- measured -------------------------------------------------------------------------------- */

static uint64_t clock_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void on_beat(void *arg)
{
    struct bench *b = arg;
    const uint64_t now_ns = clock_now_ns();

    if (b->beat_ns != 0 && now_ns - b->beat_ns > b->longest_ns)
        b->longest_ns = now_ns - b->beat_ns;
    b->beat_ns = now_ns;
    timer_set_in(&b->beat, 0);
}

static void heard(void *arg, void *owner)
{
    struct bench *b = arg;
    bool *has_heard = owner;

    if (b->began_ns == 0)
        return;
    b->heard += !*has_heard;
    *has_heard = true;
    if (b->heard == b->devices)
        loop_stop(b->loop);
}

static void change(void *arg)
{
    struct bench *b = arg;

    for (size_t i = 0; i < b->devices; i++)
        b->has_heard[i] = false;
    b->heard = 0;
    b->began_ns = clock_now_ns();
    set_policy(b, 2);
    on_beat(b);
}

/* After what new connections say at first. */
static void run(struct bench *b)
{
    timer_init(&b->start, b->loop, change, b);
    timer_init(&b->beat, b->loop, on_beat, b);
    timer_set_in(&b->start, 3 * NS_PER_S);
    loop_run(b->loop);
    on_beat(b);
    printf("{\"sites\":%zu,\"devices\":%zu,\"rules\":%zu,\"ms\":%.1f,\"longest_ms\":%.1f}\n",
           b->sites, b->devices, b->rules,
           (double)(clock_now_ns() - b->began_ns) / (double)NS_PER_MS,
           (double)b->longest_ns / (double)NS_PER_MS);
}

static size_t number(int argc, char **argv, int i, size_t otherwise)
{
    uint64_t n = otherwise;

    if (i < argc && (alb_failed(parse_u64(argv[i], 1000000, &n)) || n == 0)) {
        (void)fprintf(stderr, "usage: bench_branches [SITES [DEVICES [RULES]]]\n");
        exit(2);
    }
    return (size_t)n;
}

/* The process ends with everything in place: what is measured is over. */
int main(int argc, char **argv)
{
    enum { SITES = 10000, DEVICES = 20000, RULES = 500 };
    struct bench b = {.sites = number(argc, argv, 1, SITES),
                      .devices = number(argc, argv, 2, DEVICES),
                      .rules = number(argc, argv, 3, RULES)};

    b.loop = loop_new(&(struct loop_options){0});
    b.members = xcalloc(b.devices, sizeof *b.members);
    b.has_heard = xcalloc(b.devices, sizeof *b.has_heard);
    open_policy(&b, ram_catalogue_new(&(struct ram_options){0}));
    set_policy(&b, 1);
    b.branches = branches_new(&(struct branches_options){
        .loop = b.loop, .policy = b.policy, .changed = heard, .arg = &b});
    for (size_t i = 0; i < b.devices; i++)
        enter(&b, i);
    run(&b);
    fflush(stdout);
    _Exit(0);
}
