/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/nearby.c – who can serve those who ask here: the hub's lists, passed on.
 *
 *     asker ──> which site?  gateways as noted, subnets of the policy, the asker's own
 *                 │ known, and its list is fresh ──> answered from the shelf
 *                 └ else: one question to the parent at a time; its answer is noted, and all who
 *                   waited are looked at again
 *
 * A list is fresh until an event "nearby" concerns it, the line was down, or it is a day old: then
 * the hub signs the next.  Cut off, everything is answered from the shelf and marked stale.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "reflector/reflector_impl.h"
#include "transfer/nearby_book.h"

#define ASK_TIMEOUT_NS (10 * NS_PER_S)
#define FRESH_S (24 * 3600)
enum { LISTS_MOST = 256, PATH_MOST = 2 << 10, ANSWER_MOST = NEARBY_BYTES_MAX + 512 };

struct nearby_waiter {
    struct reflector_nearby *nearby;
    struct serve_request *rq;
    struct nearby_question q;
    TAILQ_ENTRY(nearby_waiter) link;
};
TAILQ_HEAD(nearby_waiters, nearby_waiter);

struct reflector_nearby {
    struct reflector *reflector;
    struct nearby_shelf *shelf;
    struct nearby_book *book; /* its own place, on the same shelf */
    struct nearby_listener on_list;
    struct nearby_waiters waiters;
    struct upstream_request *asking;
    struct nearby_question asked; /* what is being asked … */
    struct nearby_waiter *asker;  /* … for whom; NULL: gone meanwhile */
    uint64_t doubts, asked_doubts;
};

static void look_at_all(struct reflector_nearby *n);
static void ask_parent(struct reflector_nearby *n, struct nearby_waiter *w);

/* ---- which site ------------------------------------------------------------------------------ */

static bool by_gateway(const struct reflector_nearby *n, const struct nearby_question *q,
                       struct nearby_head *out, bool *is_known)
{
    *is_known = true;
    for (size_t i = 0; i < q->gateway_count; i++) {
        const struct nearby_place_note *note = nearby_shelf_gateway(n->shelf, &q->gateways[i]);

        if (note == NULL || !note->is_fresh)
            *is_known = false;
        if (note == NULL || note->site[0] == '\0')
            continue;
        *out = (struct nearby_head){.by = NEARBY_BY_GATEWAY};
        memcpy(out->site, note->site, sizeof out->site);
        (void)site_mac_text(&note->mac, out->what);
        return true;
    }
    return false;
}

static bool by_policy(const struct reflector_nearby *n, const struct nearby_question *q,
                      struct nearby_head *out)
{
    const struct policy *policy = policy_book_peek(n->reflector->policy);
    struct policy_subnet subnet;
    const char *site =
        policy_site_at(policy, (const uint8_t(*)[16])q->addresses, q->address_count, &subnet);

    if (site == NULL)
        return false;
    *out = (struct nearby_head){.by = NEARBY_BY_SUBNET};
    (void)snprintf(out->site, sizeof out->site, "%s", site);
    (void)site_subnet_text(&subnet, out->what);
    return true;
}

/* False: only the hub knows; then `out` is the best guess. */
static bool locate(const struct reflector_nearby *n, const struct nearby_question *q,
                   struct nearby_head *out)
{
    bool is_known;

    if (by_gateway(n, q, out, &is_known) || by_policy(n, q, out))
        return is_known;
    if (!upstream_is_up(n->reflector->upstream) && nearby_shelf_locate(n->shelf, q, out))
        return false;
    *out = (struct nearby_head){.by = q->site[0] == '\0' ? NEARBY_BY_NONE : NEARBY_BY_CONFIGURED};
    memcpy(out->site, q->site, sizeof out->site);
    return is_known;
}

/* ---- answering ------------------------------------------------------------------------------- */

static void answer(struct reflector_nearby *n, struct serve_request *rq,
                   const struct nearby_question *q, const struct nearby_head *head)
{
    const struct nearby_shelved *list = nearby_shelf_find(n->shelf, head->site);
    struct buf body;

    if (list == NULL) {
        serve_refuse(rq, ALB_CLOSED,
                     "the hub cannot be reached from this reflector, and it has no list of that "
                     "site; ask again later");
        return;
    }
    buf_init(&body, ANSWER_MOST);
    struct alb_status st = nearby_head_write(head, &body);
    if (!alb_failed(st) && list->list.number > q->after)
        st = buf_append(&body, buf_peek(&list->bytes), buf_size(&list->bytes));
    if (alb_failed(st))
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/octet-stream", buf_peek(&body), buf_size(&body));
    buf_release(&body);
}

static bool is_fresh(const struct reflector_nearby *n, const struct nearby_question *q,
                     const char *site)
{
    const struct nearby_shelved *list = nearby_shelf_find(n->shelf, site);
    const int64_t now_s = loop_wall_s(n->reflector->options.loop);

    return list != NULL && list->is_fresh && now_s - list->list.issued_wall_s < FRESH_S &&
           list->list.number >= q->after;
}

/* True: answered. */
static bool try_now(struct reflector_nearby *n, struct serve_request *rq,
                    const struct nearby_question *q)
{
    struct nearby_head head;
    const bool is_known = locate(n, q, &head);

    if (!upstream_is_up(n->reflector->upstream)) {
        head.is_stale = true;
        answer(n, rq, q, &head);
        return true;
    }
    if (!is_known || !is_fresh(n, q, head.site))
        return false;
    answer(n, rq, q, &head);
    return true;
}

static struct serve_request *let_go(struct nearby_waiter *w)
{
    struct reflector_nearby *n = w->nearby;
    struct serve_request *rq = w->rq;

    if (n->asker == w)
        n->asker = NULL;
    TAILQ_REMOVE(&n->waiters, w, link);
    free(w);
    return rq;
}

static void gone(struct serve_request *rq)
{
    (void)let_go(rq->work);
}

static struct alb_status read_question(struct serve_request *rq, struct nearby_question *out)
{
    static const char *const NAMES[] = {"address", "gateway", "site", "after"};
    char values[4][512] = {"", "", "", ""};

    for (size_t i = 0; i < ALB_COUNT(NAMES); i++)
        if (!serve_query(rq, NAMES[i], values[i], sizeof values[i]))
            values[i][0] = '\0';
    return nearby_question_read(values[0], values[1], values[2], values[3], out);
}

void reflector_handle_nearby(void *reflector, struct serve_request *rq)
{
    struct reflector *r = reflector;
    struct reflector_nearby *n = r->nearby;
    struct nearby_question q;
    const struct alb_status st = read_question(rq, &q);

    if (alb_failed(st)) {
        serve_refuse_status(rq, st);
        return;
    }
    if (try_now(n, rq, &q))
        return;
    struct nearby_waiter *w = xalloc(sizeof *w);
    *w = (struct nearby_waiter){.nearby = n, .rq = rq, .q = q};
    rq->work = w;
    rq->gone = gone;
    TAILQ_INSERT_TAIL(&n->waiters, w, link);
    if (n->asking == NULL)
        ask_parent(n, w);
}

/* ---- the parent ------------------------------------------------------------------------------ */

static struct alb_status take(struct reflector_nearby *n, const struct upstream_answer *in,
                              struct nearby_head *head)
{
    struct nearby_shelved *list = NULL;
    bool is_another;
    size_t used;
    struct alb_status st = nearby_head_read(in->body, in->size, head, &used);

    if (!alb_failed(st) && used < in->size)
        st = nearby_shelf_take(n->shelf, (const uint8_t *)in->body + used, in->size - used, &list,
                               &is_another);
    else if (!alb_failed(st))
        list = nearby_shelf_find(n->shelf, head->site);
    if (alb_failed(st))
        return st;
    if (list == NULL || strcmp(list->list.site, head->site) != 0)
        return alb_fail(ALB_CORRUPT, "the parent answered with the list of another site");
    /* What was said while the answer was on its way may concern it. */
    list->is_fresh =
        !head->is_stale && n->doubts == n->asked_doubts && list->list.number >= n->asked.after;
    if (!head->is_stale)
        nearby_shelf_note(n->shelf, &n->asked, head);
    return st;
}

/* The parent is silent: nobody waits for that once more. */
static void answer_all_stale(struct reflector_nearby *n)
{
    struct nearby_waiter *w;

    while ((w = TAILQ_FIRST(&n->waiters)) != NULL) {
        const struct nearby_question q = w->q;
        struct nearby_head head;

        (void)locate(n, &q, &head);
        head.is_stale = true;
        answer(n, let_go(w), &q, &head);
    }
}

/* Who asked is answered by what came; nobody waits for a second question of his own. */
static void came(void *arg, const struct upstream_answer *in)
{
    struct reflector_nearby *n = arg;
    struct nearby_waiter *asker = n->asker;
    struct alb_status st = in->st;
    struct nearby_head head;

    n->asking = NULL;
    if (!alb_failed(st))
        st = take(n, in, &head);
    if (alb_failed(in->st) && (in->status == 0 || in->status >= 500)) {
        answer_all_stale(n);
        return;
    }
    const struct nearby_question q = n->asked;
    if (asker != NULL) {
        struct serve_request *rq = let_go(asker);
        if (alb_failed(st))
            serve_refuse(rq, st.code, in->message[0] != '\0' ? in->message : st.what);
        else
            answer(n, rq, &q, &head);
    }
    look_at_all(n);
}

static void look_at_all(struct reflector_nearby *n)
{
    struct nearby_waiter *w, *next;

    for (w = TAILQ_FIRST(&n->waiters); w != NULL; w = next) {
        const struct nearby_question q = w->q;
        struct nearby_head head;

        next = TAILQ_NEXT(w, link);
        if (upstream_is_up(n->reflector->upstream) &&
            !(locate(n, &q, &head) && is_fresh(n, &q, head.site)))
            continue;
        (void)try_now(n, let_go(w), &q);
    }
    w = TAILQ_FIRST(&n->waiters);
    if (w != NULL && n->asking == NULL)
        ask_parent(n, w);
}

static void ask_parent(struct reflector_nearby *n, struct nearby_waiter *w)
{
    struct reflector *r = n->reflector;
    struct nearby_question q = w->q;
    struct nearby_head guess;
    struct buf path;

    (void)locate(n, &q, &guess);
    const uint64_t ours = nearby_shelf_number(n->shelf, nearby_shelf_find(n->shelf, guess.site));
    q.after = ours > q.after ? ours : q.after;
    n->asker = w;
    n->asked = w->q;
    n->asked_doubts = n->doubts;
    buf_init(&path, PATH_MOST);
    alb_ignore(nearby_question_write(&q, &path), "twelve addresses and eight gateways fit");
    n->asking = upstream_request(r->upstream,
                                 &(struct upstream_ask){.method = "GET",
                                                        .path = buf_text(&path),
                                                        .expect_bytes = ANSWER_MOST,
                                                        .timeout_ns = ASK_TIMEOUT_NS,
                                                        .fail_when_down = true},
                                 came, n);
    buf_release(&path);
}

/* ---- what changes ---------------------------------------------------------------------------- */

/* Of each site that is named, or of all. */
static void doubt(struct reflector_nearby *n, const char *names)
{
    char site[64];

    n->doubts++;
    if (names[strspn(names, " ")] == '\0') {
        nearby_shelf_doubt(n->shelf);
        return;
    }
    for (const char *at = names + strspn(names, " "); *at != '\0'; at += strspn(at, " ")) {
        const size_t size = strcspn(at, " ");
        (void)snprintf(site, sizeof site, "%.*s", size < 64 ? (int)size : 63, at);
        nearby_shelf_doubt_site(n->shelf, site);
        at += size;
    }
}

void reflector_hear_nearby(struct reflector *r, const char *line)
{
    if (nearby_book_hear(r->nearby->book, line))
        doubt(r->nearby, line + strlen("nearby"));
}

/* What changed meanwhile nobody told; those below may have been cut off with us. */
void reflector_doubt_nearby(struct reflector *r)
{
    doubt(r->nearby, "");
    feed_say(r->feed, "nearby");
}

void reflector_nearby_moved(struct reflector *r, const struct net_place *place)
{
    nearby_book_where(r->nearby->book, place);
    chooser_moved(r->chooser, place);
}

void reflector_refresh_nearby(struct reflector *r)
{
    nearby_book_refresh(r->nearby->book);
}

/* What its site says of how many it may serve, and who stands above it. */
static void on_list(struct nearby_listener *l)
{
    struct reflector_nearby *n = ALB_CONTAINER(l, struct reflector_nearby, on_list);
    const struct nearby *list = nearby_book_peek(n->book);

    chooser_set_list(n->reflector->chooser, list);
    if (list != NULL)
        reflector_set_terms(n->reflector, list->terms.max_sessions, list->terms.load_percent);
    reflector_look_siblings(n->reflector);
}

struct nearby_book *reflector_nearby_book(const struct reflector *r)
{
    return r->nearby->book;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

void reflector_open_nearby(struct reflector *r)
{
    const struct reflector_options *o = &r->options;
    struct reflector_nearby *n = xalloc(sizeof *n);

    n->reflector = r;
    TAILQ_INIT(&n->waiters);
    n->shelf = nearby_shelf_open(&(struct nearby_shelf_options){.loop = o->loop,
                                                                .authority = r->authority,
                                                                .catalogue = o->catalogue,
                                                                .max_lists = LISTS_MOST});
    n->book = nearby_book_open(&(struct nearby_book_options){
        .loop = o->loop, .authority = r->authority, .site = o->site, .shelf = n->shelf});
    n->on_list.changed = on_list;
    nearby_book_listen(n->book, &n->on_list);
    r->nearby = n;
    on_list(&n->on_list);
    nearby_book_follow(n->book, r->upstream);
}

void reflector_close_nearby(struct reflector *r)
{
    struct reflector_nearby *n = r->nearby;

    if (n == NULL)
        return;
    while (!TAILQ_EMPTY(&n->waiters))
        serve_refuse(let_go(TAILQ_FIRST(&n->waiters)), ALB_CLOSED, "this reflector is stopping");
    upstream_cancel(n->asking);
    nearby_book_unlisten(n->book, &n->on_list);
    nearby_book_close(n->book);
    nearby_shelf_close(n->shelf);
    free(n);
    r->nearby = NULL;
}
