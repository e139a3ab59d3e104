/* SPDX-License-Identifier: Apache-2.0 */
/* bench/bench_load.c – asks one server for the same bodies again and again,
 * and counts bytes and the server's CPU. */
/* LINKS: net wire base */

/* usage: bench_load WHAT PORT CA CERT KEY IN_FLIGHT SECONDS SERVER_PID LAYER ROOT COUNT [DIR]
 *
 *   save    each chunk of the root's list C once, as stored, into DIR/0, DIR/1, …
 *   batch   batches of BATCH_POSITIONS neighbouring positions, as a child asks its parent
 *   chunk   GET /v1/chunk/ROOT/C/N
 *   get     GET /N, as from a server of files
 *
 * TLS 1.3 with a client certificate to 127.0.0.1, IN_FLIGHT requests on one connection, credit that
 * never runs out.  After a warm-up it measures for SECONDS and prints one line of JSON: body bytes
 * (frames alone, without the items' heads), requests, wall seconds, and the CPU seconds (user and
 * system) that all threads of SERVER_PID took meanwhile. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/units.h"
#include "net/http.h"
#include "net/tls.h"
#include "support/words.h"
#include "wire/batch.h"

enum {
    BATCH_POSITIONS = 16, /* about what 4 MiB of an OS tree's content holds */
    PEM_MAX = 64 << 10,
    FRAME_MAX = 2 << 20,
    WINDOW_BYTES = 512 << 20,
    WORDS = 12,
};
#define WARM_NS (500 * NS_PER_MS)

enum what { WHAT_SAVE, WHAT_BATCH, WHAT_CHUNK, WHAT_GET };

struct load {
    enum what what;
    struct loop *loop;
    struct tls_context *tls;
    struct http_session *session;
    unsigned in_flight, open;
    uint64_t measure_ns, began_ns;
    const char *pid, *layer, *root, *dir;
    uint32_t count, next;
    double cpu_before_s;
    uint64_t bytes, requests;
    struct timer clock;
    bool is_over;
};

struct ask {
    struct load *load;
    uint32_t first;
    struct batch_request batch;
    struct buf got;
    uint64_t bytes;
    void (*then)(struct ask *a); /* of the opening questions */
};

static void start_asking(struct load *l);

/* ---- the server's CPU ------------------------------------------------------------------------ */

static double cpu_s(const char *pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;

    (void)snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        give_up(path, alb_fail_sys("reading the server's CPU time"));
    size_t size = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    const char *after_name = strrchr(text, ')');
    if (after_name == NULL ||
        sscanf(after_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2)
        give_up(path, alb_fail(ALB_INVALID, "no CPU times in it"));
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void on_measured(void *arg)
{
    struct load *l = arg;
    double wall_s = (double)(loop_now_ns(l->loop) - l->began_ns) / 1e9;

    printf("{\"bytes\": %" PRIu64 ", \"requests\": %" PRIu64
           ", \"seconds\": %.3f, \"cpu\": %.3f}\n",
           l->bytes, l->requests, wall_s, cpu_s(l->pid) - l->cpu_before_s);
    l->is_over = true;
    loop_stop(l->loop);
}

static void on_warm(void *arg)
{
    struct load *l = arg;

    l->bytes = l->requests = 0;
    l->began_ns = loop_now_ns(l->loop);
    l->cpu_before_s = cpu_s(l->pid);
    timer_init(&l->clock, l->loop, on_measured, l);
    timer_set_in(&l->clock, l->measure_ns);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void on_head(void *arg, struct http_call *c, unsigned status)
{
    (void)arg;
    (void)c;
    if (status != 200) {
        fprintf(stderr, "bench_load: the server answered %u\n", status);
        exit(1);
    }
}

static void take_item(struct ask *a, const struct batch_item *item)
{
    if (item->status == ITEM_QUEUED)
        return;
    if (item->status != ITEM_HIT) {
        fprintf(stderr, "bench_load: position %u is not to be had\n", item->position);
        exit(1);
    }
    a->load->bytes += item->size;
}

static void on_batch_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct ask *a = arg;
    size_t used = 1;

    (void)c;
    must(buf_append(&a->got, bytes, size), "an item");
    while (used > 0) {
        struct batch_item item;

        must(batch_item_next(&a->got, FRAME_MAX, &item, &used), "an item");
        if (used > 0)
            take_item(a, &item);
        buf_consume(&a->got, used);
    }
}

static void on_plain_data(void *arg, struct http_call *c, const uint8_t *bytes, size_t size)
{
    struct ask *a = arg;

    (void)c;
    a->load->bytes += size;
    if (a->load->what == WHAT_SAVE || a->then != NULL)
        must(buf_append(&a->got, bytes, size), "an answer");
}

static void ask_free(struct ask *a)
{
    buf_release(&a->got);
    free(a);
}

static void save(const struct ask *a)
{
    char name[16];

    (void)snprintf(name, sizeof name, "%u", a->first);
    char *path = path_join(a->load->dir, name);
    must(file_replace(path, buf_peek(&a->got), buf_size(&a->got), 0644), path);
    free(path);
}

static void on_end(void *arg, struct http_call *c, struct alb_status st)
{
    struct ask *a = arg;
    struct load *l = a->load;

    (void)c;
    if (l->is_over) {
        ask_free(a);
        return;
    }
    must(st, "an answer");
    l->open--;
    l->requests++;
    if (a->then != NULL)
        a->then(a);
    else if (l->what == WHAT_SAVE)
        save(a);
    if (a->then == NULL)
        start_asking(l);
    ask_free(a);
}

static void call(struct ask *a, const char *method, const char *path, const struct buf *body)
{
    static const struct http_call_ops plain = {on_head, on_plain_data, on_end};
    static const struct http_call_ops items = {on_head, on_batch_data, on_end};
    const struct http_header headers[] = {{"albedo-proto", "1"}};
    const struct http_call_options options = {
        .method = method,
        .path = path,
        .headers = headers,
        .header_count = 1,
        .body = body == NULL ? NULL : buf_peek(body),
        .body_size = body == NULL ? 0 : buf_size(body),
        .expect_bytes = (uint64_t)BATCH_POSITIONS * FRAME_MAX,
    };

    a->load->open++;
    (void)http_call_start(a->load->session, &options,
                          a->load->what == WHAT_BATCH && a->then == NULL ? &items : &plain, a);
}

static struct ask *ask_new(struct load *l)
{
    struct ask *a = xalloc(sizeof *a);

    a->load = l;
    a->first = l->next;
    buf_init(&a->got, FRAME_MAX + (64 << 10));
    return a;
}

static void ask_batch(struct load *l)
{
    struct ask *a = ask_new(l);
    uint32_t left = l->count - l->next;
    struct buf body;

    buf_init(&body, BATCH_REQUEST_MAX);
    (void)snprintf(a->batch.layer, sizeof a->batch.layer, "%s", l->layer);
    must(digest_parse(l->root, &a->batch.root), "ROOT");
    a->batch.list = LIST_CONTENT;
    a->batch.run_count = 1;
    a->batch.runs[0].first = l->next;
    a->batch.runs[0].count = left < BATCH_POSITIONS ? left : BATCH_POSITIONS;
    l->next = (l->next + a->batch.runs[0].count) % l->count;
    must(batch_request_encode(&a->batch, &body), "a request");
    call(a, "POST", "/v1/chunks", &body);
    buf_release(&body);
}

static void ask_one(struct load *l)
{
    struct ask *a = ask_new(l);
    char path[512];

    if (l->what == WHAT_GET)
        (void)snprintf(path, sizeof path, "/%u", l->next);
    else
        (void)snprintf(path, sizeof path, "/v1/chunk/%s/C/%u?layer=%s", l->root, l->next, l->layer);
    l->next++;
    if (l->what != WHAT_SAVE)
        l->next %= l->count;
    call(a, "GET", path, NULL);
}

static void start_asking(struct load *l)
{
    while (!l->is_over && l->open < l->in_flight && l->next < l->count) {
        if (l->what == WHAT_BATCH)
            ask_batch(l);
        else
            ask_one(l);
    }
    if (l->what == WHAT_SAVE && l->open == 0)
        loop_stop(l->loop);
}

/* ---- the opening: a grant, shown; then the load ---------------------------------------------- */

static void begin_load(struct load *l)
{
    timer_init(&l->clock, l->loop, on_warm, l);
    if (l->what != WHAT_SAVE)
        timer_set_in(&l->clock, WARM_NS);
    start_asking(l);
}

static void on_shown(struct ask *a)
{
    begin_load(a->load);
}

static void on_grant(struct ask *a)
{
    struct ask *show = ask_new(a->load);

    show->then = on_shown;
    call(show, "POST", "/v1/session", &a->got);
}

static void on_opened(void *arg, struct http_session *s)
{
    struct load *l = arg;

    (void)s;
    if (l->what == WHAT_GET) {
        begin_load(l);
        return;
    }
    struct ask *grant = ask_new(l);
    grant->then = on_grant;
    call(grant, "POST", "/v1/grant", NULL);
}

static void on_closed(void *arg, struct http_session *s, struct alb_status st)
{
    const struct load *l = arg;

    (void)s;
    if (!l->is_over)
        give_up("the connection", st);
}

/* ---- the words ------------------------------------------------------------------------------- */

static char *pem_of(const char *path)
{
    struct buf text;

    buf_init(&text, PEM_MAX);
    must(file_read(path, &text), path);
    char *pem = xstrdup(buf_text(&text));
    buf_release(&text);
    return pem;
}

static void make_tls(struct load *l, char **words)
{
    char *ca = pem_of(words[3]), *certificate = pem_of(words[4]), *key = pem_of(words[5]);
    const struct tls_options options = {
        .ca_pem = ca, .certificate_pem = certificate, .key_pem = key};

    must(tls_context_new(&options, &l->tls), words[4]);
    free(ca);
    free(certificate);
    free(key);
}

static bool what_of(const char *word, enum what *out)
{
    static const char *const names[] = {"save", "batch", "chunk", "get"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(word, names[i]) == 0) {
            *out = (enum what)i;
            return true;
        }
    }
    return false;
}

static void dial(struct load *l, uint64_t port)
{
    static const struct http_client_ops ops = {.opened = on_opened, .closed = on_closed};
    const struct dial_options options = {
        .host = "127.0.0.1", .port = (uint16_t)port, .tls = l->tls, .timeout_ns = 10 * NS_PER_S};
    const struct http_session_options session = {.window_bytes = WINDOW_BYTES};

    l->session = http_connect(loop_dial(l->loop, &options), &session, &ops, l);
}

int main(int argc, char **argv)
{
    struct load l = {0};

    if (argc < WORDS || !what_of(argv[1], &l.what) || (l.what == WHAT_SAVE && argc == WORDS)) {
        fprintf(stderr, "usage: bench_load save|batch|chunk|get PORT CA CERT KEY IN_FLIGHT SECONDS "
                        "SERVER_PID LAYER ROOT COUNT [DIR]\n");
        return 2;
    }
    l.in_flight = (unsigned)number_of(argv[6]);
    l.measure_ns = number_of(argv[7]) * NS_PER_S;
    l.pid = argv[8];
    l.layer = argv[9];
    l.root = argv[10];
    l.count = (uint32_t)number_of(argv[11]);
    l.dir = argc > WORDS ? argv[WORDS] : NULL;
    make_tls(&l, argv);
    l.loop = loop_new(&(struct loop_options){.workers = 1});
    dial(&l, number_of(argv[2]));
    loop_run(l.loop);
    return 0; /* the kernel takes back the rest: what is measured is over */
}
