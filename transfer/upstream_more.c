/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/upstream_more.c – connections beside the two: more data while the law asks, and uploads.
 *
 *     (none) → DIALLED → GREETED → used ─── the law wants fewer ──> LEAVING → (none)
 *        ^________ lost, or not welcome: after a rest ____/             when its calls are over
 *
 * Bodies go up on a connection of their own, dialled for the first and closed when none went up for
 * half a minute: what it says waits its turn as bulk, and a download's credit must not wait behind.
 *
 * One that is lost takes only its own calls along, and whoever made them asks again on another.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "shaper/wan.h"
#include "transfer/upstream_impl.h"

#define TEND_EVERY_NS (1 * NS_PER_S)
#define REST_NS (5 * NS_PER_S)        /* after one was lost                    */
#define UPLOAD_REST_NS (1 * NS_PER_S) /* … on which somebody waits             */
#define IDLE_NS (30 * NS_PER_S)       /* without calls: one connection will do */

static void tend(struct upstream *u);

static void on_tend(void *arg)
{
    tend(arg);
}

void upstream_init_more(struct upstream *u)
{
    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        u->more[i].upstream = u;
    u->upload.upstream = u;
    timer_init(&u->tend, u->options.loop, on_tend, u);
}

void upstream_drop_more(struct upstream *u)
{
    timer_stop(&u->tend);
    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        upstream_drop_link(&u->more[i]);
    upstream_drop_link(&u->upload);
}

bool upstream_is_more(const struct upstream_link *link)
{
    const struct upstream *u = link->upstream;

    return link != &u->control && link != &u->data;
}

/* The first connection's certificate was judged (authority.c), and will be again; this one's is the
 * same, or another one of the same parent, which renews it every few weeks; or it is not used. */
bool upstream_more_is_ours(const struct upstream_link *link)
{
    const struct upstream *u = link->upstream;

    if (u->data.session == NULL)
        return false;
    const struct identity *known = stream_peer(http_session_stream(u->data.session));
    const struct identity *now = stream_peer(http_session_stream(link->session));
    if (strcmp(known->serial, now->serial) != 0 && upstream_has_revoked(u, now->serial))
        return false;
    return known->role == now->role && strcmp(known->org, now->org) == 0 &&
           strcmp(known->device, now->device) == 0;
}

void upstream_more_lost(struct upstream_link *link)
{
    struct upstream *u = link->upstream;

    const uint64_t now_ns = loop_now_ns(u->options.loop);

    if (link == &u->upload)
        u->upload_not_before_ns = now_ns + UPLOAD_REST_NS;
    else if (!link->is_leaving)
        u->more_not_before_ns = now_ns + REST_NS;
    upstream_drop_link(link);
    if (!timer_is_set(&u->tend))
        timer_set_in(&u->tend, TEND_EVERY_NS);
}

/* ---- as many as the law asks for ------------------------------------------------------------- */

static bool is_staying(const struct upstream_link *link)
{
    return link->session != NULL && !link->is_leaving;
}

static size_t staying(const struct upstream *u)
{
    size_t count = 0;

    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        count += is_staying(&u->more[i]);
    return count;
}

static void open_one(struct upstream *u)
{
    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++) {
        if (u->more[i].session == NULL) {
            upstream_dial_link(&u->more[i]);
            return;
        }
    }
}

static void let_one_go(struct upstream *u)
{
    for (size_t i = UPSTREAM_MORE_MOST; i-- > 0;) {
        if (is_staying(&u->more[i])) {
            u->more[i].is_leaving = true;
            http_session_drain(u->more[i].session);
            return;
        }
    }
}

static bool is_expecting(const struct upstream_link *link)
{
    return link->session != NULL && http_session_expected_bytes(link->session) > 0;
}

/* At rest the law is not asked, and says what it said last. */
static size_t wanted_now(struct upstream *u, uint64_t now_ns)
{
    bool is_busy = is_expecting(&u->data);

    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        is_busy |= is_expecting(&u->more[i]);
    if (is_busy)
        u->busy_ns = now_ns;
    if (u->options.wan == NULL || now_ns - u->busy_ns > IDLE_NS)
        return 0;
    return wan_connections(u->options.wan) - 1;
}

static void tend_upload(struct upstream *u, uint64_t now_ns)
{
    const bool is_wanted = upstream_has_bulk(u);

    if (is_wanted)
        u->upload_busy_ns = now_ns;
    if (u->upload.session == NULL && is_wanted && now_ns >= u->upload_not_before_ns)
        upstream_dial_link(&u->upload);
    else if (u->upload.session != NULL && now_ns - u->upload_busy_ns > IDLE_NS)
        upstream_drop_link(&u->upload);
}

static void tend_data(struct upstream *u, uint64_t now_ns)
{
    const size_t wanted = wanted_now(u, now_ns), have = staying(u);

    if (have < wanted && have < UPSTREAM_MORE_MOST && now_ns >= u->more_not_before_ns)
        open_one(u);
    if (have > wanted)
        let_one_go(u);
    if (staying(u) != have)
        log_event(LOG_INFO, "upstream.connections", "place=%s data=%zu",
                  u->options.places[u->place].host, 1 + staying(u));
}

/* Looked at when somebody is about to ask for something, and each second while there are some: a
 * line at rest has no timer. */
static void tend(struct upstream *u)
{
    const uint64_t now_ns = loop_now_ns(u->options.loop);

    tend_upload(u, now_ns);
    tend_data(u, now_ns);
    if ((staying(u) > 0 || u->upload.session != NULL || upstream_has_bulk(u)) &&
        !timer_is_set(&u->tend))
        timer_set_in(&u->tend, TEND_EVERY_NS);
}

void upstream_want_upload(struct upstream *u)
{
    if (u->is_up)
        tend(u);
}

/* ---- the one to use -------------------------------------------------------------------------- */

static bool is_usable(const struct upstream_link *link)
{
    return link->is_greeted && is_staying(link) && http_session_is_open(link->session);
}

const struct identity *upstream_parent(const struct upstream *u, size_t i)
{
    const struct upstream_link *links[3 + UPSTREAM_MORE_MOST] = {&u->data, &u->control, &u->upload};
    size_t seen = 0;

    for (size_t k = 0; k < UPSTREAM_MORE_MOST; k++)
        links[3 + k] = &u->more[k];
    for (size_t k = 0; k < ALB_COUNT(links) && u->is_up; k++)
        if (links[k]->is_greeted && links[k]->session != NULL && seen++ == i)
            return stream_peer(http_session_stream(links[k]->session));
    return NULL;
}

uint64_t upstream_held_until_ns(const struct upstream *u)
{
    uint64_t last_ns = u->is_up ? http_session_held_until_ns(u->data.session) : 0;

    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++) {
        const uint64_t ns =
            is_usable(&u->more[i]) ? http_session_held_until_ns(u->more[i].session) : 0;
        last_ns = ns > last_ns ? ns : last_ns;
    }
    return last_ns;
}

bool upstream_is_wan(const struct upstream *u)
{
    return u->options.wan != NULL && wan_is_shaped(u->options.wan);
}

size_t upstream_data_count(const struct upstream *u)
{
    size_t count = u->is_up;

    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        count += is_usable(&u->more[i]);
    return count;
}

void upstream_quiet(struct upstream *u, bool is_quiet)
{
    u->is_quiet = is_quiet;
}

bool upstream_is_busy(const struct upstream *u)
{
    bool is_busy = u->is_up && (is_expecting(&u->data) || upstream_has_bulk(u));

    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        is_busy |= is_expecting(&u->more[i]);
    return is_busy;
}

static uint64_t brought_by(const struct upstream_link *link)
{
    uint64_t received = 0, sent = 0;

    if (link->session != NULL)
        http_session_counts(link->session, &received, &sent);
    return received;
}

uint64_t upstream_brought_bytes(const struct upstream *u)
{
    uint64_t bytes = brought_by(&u->data);

    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        bytes += brought_by(&u->more[i]);
    return bytes;
}

static uint64_t wire_bytes_of(const struct upstream_link *link)
{
    struct path_figures path = {0};

    if (link->session != NULL)
        stream_figures(http_session_stream(link->session), &path);
    return path.wire_received_bytes;
}

uint64_t upstream_wire_bytes(const struct upstream *u)
{
    uint64_t bytes = wire_bytes_of(&u->data);

    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++)
        bytes += wire_bytes_of(&u->more[i]);
    return bytes;
}

void upstream_use_others(struct upstream *u, bool (*lacks)(void *arg), void *arg)
{
    u->lacks = lacks;
    u->lacks_arg = arg;
}

bool upstream_lacks(struct upstream *u)
{
    return u->lacks != NULL && u->lacks(u->lacks_arg);
}

struct http_session *upstream_data(struct upstream *u)
{
    struct upstream_listener *l;

    if (u->is_resting)
        timer_set_in(&u->redial, 0); /* chunks are waited for */
    if (!u->is_up || u->is_quiet)
        return NULL;
    TAILQ_FOREACH(l, &u->listeners, link)
    if (l->asked != NULL)
        l->asked(l);
    u->busy_ns = loop_now_ns(u->options.loop);
    tend(u);
    struct http_session *best = u->data.session;
    for (size_t i = 0; i < UPSTREAM_MORE_MOST; i++) {
        const struct upstream_link *link = &u->more[i];
        if (is_usable(link) &&
            (!http_session_is_open(best) ||
             http_session_expected_bytes(link->session) < http_session_expected_bytes(best)))
            best = link->session;
    }
    return best;
}
