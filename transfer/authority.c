/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/authority.c – trust files in a chain, one revocation list, and the floor under the
 * clock. */
#include "transfer/authority.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"

enum { TRUST_CHAIN_MAX = 1024 };
#ifndef ALB_BUILD_WALL_S
#define ALB_BUILD_WALL_S 1763769600 /* 2025-11-22: no earlier clock is believed */
#endif

/* The floor of trusted time, as it outlasts a restart. */
static const char TIME_RECORD[] = "time";
enum { TIME_EVERY_S = 86400 };

struct authority {
    struct authority_options options;
    bool has_pin;
    struct digest pin;
    struct trust trust; /* version 0: none yet */
    struct buf *chain;  /* chain[i]: signed bytes of version i + 1 */
    struct revocations revocations;
    struct buf revoked_bytes;
    int64_t floor_wall_s;
    int64_t kept_time_s; /* as the catalogue has it; 0: nothing */
    bool warned_clock;
    bool is_loading; /* what comes is from the catalogue itself */
    struct upstream *upstream;
    struct upstream_listener listener;
    struct upstream_request *asking, *asking_list; /* for the next trust file, for revocations */
    bool ask_again; /* told of a change while asking: the answer may be from before */
    struct timer look_at_parent;
    loop_fn changed;
    void *changed_arg;
};

static struct alb_status load(struct authority *a);
static void recall_time(struct authority *a);
static struct alb_status keep(struct authority *a, const char *name, const void *bytes,
                              size_t size);
static void ask_trust(struct authority *a);
static void ask_revoked(struct authority *a);
static void judge_parent(void *authority);

struct alb_status authority_open(const struct authority_options *options, struct authority **out)
{
    struct authority *a = xalloc(sizeof *a);

    a->options = *options;
    a->floor_wall_s = ALB_BUILD_WALL_S;
    timer_init(&a->look_at_parent, options->loop, judge_parent, a);
    if (options->pin != NULL) {
        a->has_pin = true;
        a->pin = *options->pin;
    }
    recall_time(a);
    a->is_loading = true;
    struct alb_status st = load(a);
    a->is_loading = false;
    if (alb_failed(st)) {
        authority_close(a);
        return st;
    }
    *out = a;
    return ALB_STATUS_OK;
}

struct authority *authority_close(struct authority *a)
{
    if (a == NULL)
        return NULL;
    timer_stop(&a->look_at_parent);
    if (a->upstream != NULL) {
        upstream_unlisten(a->upstream, &a->listener);
        upstream_use_trust(a->upstream, NULL);
        upstream_cancel(a->asking);
        upstream_cancel(a->asking_list);
    }
    for (uint64_t i = 0; i < a->trust.version; i++)
        buf_release(&a->chain[i]);
    free(a->chain);
    trust_release(&a->trust);
    revocations_release(&a->revocations);
    buf_release(&a->revoked_bytes);
    free(a);
    return NULL;
}

static struct alb_status load_one(struct authority *a, const char *name,
                                  struct alb_status (*take)(struct authority *, const void *,
                                                            size_t))
{
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    struct alb_status st = catalogue_get(a->options.catalogue, name, &bytes, NULL);
    if (!alb_failed(st))
        st = take(a, buf_peek(&bytes), buf_size(&bytes));
    buf_release(&bytes);
    return st;
}

/* The list that is kept may have been signed by the hub key of an earlier trust file than the
 * last: it is judged by each in turn.  OK when one vouches for it or there is none. */
static struct alb_status load(struct authority *a)
{
    struct alb_status st = ALB_STATUS_OK, list = alb_fail(ALB_NOT_FOUND, "no trust file yet");
    char name[32];

    if (a->options.catalogue == NULL)
        return ALB_STATUS_OK;
    while (!alb_failed(st)) {
        if (a->trust.version > 0 && alb_failed(list))
            list = load_one(a, "revoked", authority_add_revocations);
        snprintf(name, sizeof name, "trust/%" PRIu64, a->trust.version + 1);
        st = load_one(a, name, authority_add_trust);
    }
    if (st.code != ALB_NOT_FOUND)
        return st;
    return list.code == ALB_NOT_FOUND ? ALB_STATUS_OK : list;
}

static struct alb_status keep(struct authority *a, const char *name, const void *bytes, size_t size)
{
    if (a->options.catalogue == NULL || a->is_loading)
        return ALB_STATUS_OK;
    return catalogue_swap(a->options.catalogue, name, CATALOGUE_ANY, bytes, size, NULL);
}

/* A disk that is full must not keep a revocation from being in force: what cannot be kept is asked
 * for again after a restart. */
static void say_whether_kept(const char *name, struct alb_status st)
{
    if (alb_failed(st))
        log_status(LOG_WARN, "trust.not_kept", st,
                   "name=%s next=\"it is in force; asked for again after a restart\"", name);
}

/* Who stole the old key may have signed the highest number and the latest time there are: what it
 * said bars nobody any more.  Those it named stay revoked until the new key's list is here. */
static void forget_old_key(struct authority *a)
{
    a->revocations.number = 0;
    a->floor_wall_s = ALB_BUILD_WALL_S;
    log_event(LOG_INFO, "trust.new_hub_key", "next=\"counters of the old key begin anew\"");
}

struct alb_status authority_add_trust(struct authority *a, const void *bytes, size_t size)
{
    const bool is_first = a->trust.version == 0;
    struct trust next;
    char name[32];

    if (a->trust.version >= TRUST_CHAIN_MAX)
        return alb_fail(ALB_FULL, "more trust files than this program follows");
    struct alb_status st = trust_decode(bytes, size, is_first ? NULL : &a->trust,
                                        is_first && a->has_pin ? &a->pin : NULL, &next);
    if (alb_failed(st))
        return st;
    snprintf(name, sizeof name, "trust/%" PRIu64, next.version);
    st = keep(a, name, bytes, size);
    if (alb_failed(st) && is_first) { /* whoever begins must have something to begin with again */
        trust_release(&next);
        return st;
    }
    say_whether_kept(name, st);
    a->chain = xrealloc(a->chain, (size_t)next.version * sizeof *a->chain);
    buf_init(&a->chain[next.version - 1], SIGNED_MAX);
    st = buf_append(&a->chain[next.version - 1], bytes, size);
    alb_assert(!alb_failed(st)); /* it was decoded, so it is within the limit */
    if (!is_first && !sign_public_equal(&a->trust.hub_key, &next.hub_key))
        forget_old_key(a);
    trust_release(&a->trust);
    a->trust = next;
    return ALB_STATUS_OK;
}

struct alb_status authority_add_revocations(struct authority *a, const void *bytes, size_t size)
{
    struct revocations next;

    if (a->trust.version == 0)
        return alb_fail(ALB_INVALID, "a revocation list without a trust file to judge it by");
    if (size == buf_size(&a->revoked_bytes) &&
        memcmp(bytes, buf_peek(&a->revoked_bytes), size) == 0)
        return ALB_STATUS_OK; /* the one held here */
    struct alb_status st = revocations_decode(bytes, size, &a->trust, &next);
    if (alb_failed(st))
        return st;
    if (next.number < a->revocations.number) {
        revocations_release(&next);
        return alb_fail(ALB_REFUSED, "the revocation list is older than the one held here");
    }
    say_whether_kept("revoked", keep(a, "revoked", bytes, size));
    revocations_release(&a->revocations);
    a->revocations = next;
    authority_saw_time(a, next.issued_wall_s);
    if (a->upstream != NULL)
        timer_set_in(&a->look_at_parent, 0);
    buf_release(&a->revoked_bytes);
    buf_init(&a->revoked_bytes, SIGNED_MAX);
    return buf_append(&a->revoked_bytes, bytes, size);
}

const struct trust *authority_trust(const struct authority *a)
{
    return a->trust.version == 0 ? NULL : &a->trust;
}

struct alb_status authority_trust_bytes(const struct authority *a, uint64_t version,
                                        struct buf *out)
{
    if (version == 0 || version > a->trust.version)
        return alb_fail(ALB_NOT_FOUND, "no trust file of that version");
    return buf_append(out, buf_peek(&a->chain[version - 1]), buf_size(&a->chain[version - 1]));
}

struct alb_status authority_revocation_bytes(const struct authority *a, struct buf *out)
{
    if (buf_size(&a->revoked_bytes) == 0)
        return alb_fail(ALB_NOT_FOUND, "no revocation list yet");
    return buf_append(out, buf_peek(&a->revoked_bytes), buf_size(&a->revoked_bytes));
}

bool authority_has_revoked(const struct authority *a, const char *serial)
{
    return revocations_has(&a->revocations, serial);
}

uint64_t authority_revocation_number(const struct authority *a)
{
    return a->revocations.number;
}

int64_t authority_now_s(struct authority *a, int64_t wall_s)
{
    if (wall_s >= a->floor_wall_s)
        return wall_s;
    if (!a->warned_clock)
        log_event(LOG_WARN, "clock.behind",
                  "seconds=%" PRId64 " what=\"this clock is behind the last verified time; "
                  "that time is used; set the clock\"",
                  a->floor_wall_s - wall_s);
    a->warned_clock = true;
    return a->floor_wall_s;
}

int64_t authority_floor_s(const struct authority *a)
{
    return a->floor_wall_s;
}

static void recall_time(struct authority *a)
{
    int64_t kept_s;
    uint64_t value;
    struct buf text;

    if (a->options.catalogue == NULL)
        return;
    buf_init(&text, 32);
    if (!alb_failed(catalogue_get(a->options.catalogue, TIME_RECORD, &text, NULL)) &&
        !alb_failed(parse_u64(buf_text(&text), INT64_MAX, &value))) {
        kept_s = (int64_t)value;
        a->kept_time_s = kept_s;
        a->floor_wall_s = kept_s > a->floor_wall_s ? kept_s : a->floor_wall_s;
    }
    buf_release(&text);
}

/* Once a day and not more often: it need not be exact. */
static void keep_time(struct authority *a, int64_t verified_wall_s)
{
    const int64_t now_s = loop_wall_s(a->options.loop);
    const int64_t agreed_s = verified_wall_s < now_s ? verified_wall_s : now_s;
    char text[32];

    if (agreed_s <= ALB_BUILD_WALL_S || agreed_s < a->kept_time_s + TIME_EVERY_S)
        return;
    a->kept_time_s = agreed_s;
    snprintf(text, sizeof text, "%" PRId64, agreed_s);
    alb_ignore(keep(a, TIME_RECORD, text, strlen(text)), "then the floor is lower next time");
}

void authority_saw_time(struct authority *a, int64_t verified_wall_s)
{
    if (a->is_loading || a->options.is_time_source)
        return; /* loading: that was when it came, and what is left of it is in TIME_RECORD */
    if (verified_wall_s > a->floor_wall_s)
        a->floor_wall_s = verified_wall_s;
    keep_time(a, verified_wall_s);
}

/* ---- following the parent ------------------------------------------------------------------- */

static void took(struct authority *a)
{
    if (a->changed != NULL)
        a->changed(a->changed_arg);
}

/* Trust files and the list are asked for at once: a revocation is to be in force within a second,
 * however far away the parent is.  Being told again meanwhile, and new trust, mean one more
 * round. */
static void round_over(struct authority *a)
{
    if (a->asking != NULL || a->asking_list != NULL)
        return;
    const bool again = a->ask_again;

    a->ask_again = false;
    if (again)
        authority_refresh(a);
}

static struct alb_status take_trust(void *arg, const uint8_t *bytes, size_t size)
{
    struct authority *a = arg;
    struct alb_status st =
        a->trust.version == 0 && !a->has_pin
            ? alb_fail(ALB_REFUSED, "nothing says which first trust file is right")
            : authority_add_trust(a, bytes, size);

    if (alb_failed(st)) {
        log_status(LOG_ERROR, "trust.refused", st, "version=%" PRIu64, a->trust.version + 1);
        return st;
    }
    log_event(LOG_INFO, "trust.new", "version=%" PRIu64, a->trust.version);
    took(a);
    return st;
}

static uint64_t next_trust(void *arg)
{
    const struct authority *a = arg;

    return a->trust.version + 1;
}

static void trust_came(void *arg, const struct upstream_answer *answer)
{
    struct authority *a = arg;

    a->asking = NULL;
    if (answer->status == 0) /* nobody to ask; the line coming up asks anew */
        a->ask_again = false;
    if (!alb_failed(answer->st) && !alb_failed(take_trust(a, answer->body, answer->size))) {
        a->ask_again = true; /* the list may be judged otherwise now */
        ask_trust(a);
        return;
    }
    round_over(a);
}

static void revoked_came(void *arg, const struct upstream_answer *answer)
{
    struct authority *a = arg;
    uint64_t before = a->revocations.number;

    a->asking_list = NULL;
    if (answer->status == 0)
        a->ask_again = false;
    if (!alb_failed(answer->st)) {
        struct alb_status st = authority_add_revocations(a, answer->body, answer->size);
        if (alb_failed(st) && a->asking != NULL)
            a->ask_again = true; /* signed by a key that the next trust file may name */
        else if (alb_failed(st))
            log_status(LOG_ERROR, "revoked.refused", st, "held=%" PRIu64, before);
        else if (a->revocations.number != before)
            took(a);
        timer_set_in(&a->look_at_parent, 0);
    }
    round_over(a);
}

void authority_offer_revocations(struct authority *a, const void *bytes, size_t size)
{
    uint64_t before = a->revocations.number;

    if (alb_failed(authority_add_revocations(a, bytes, size)))
        authority_refresh(a); /* a trust file that is not here yet may name its key */
    else if (a->revocations.number != before)
        took(a);
}

static struct upstream_request *ask_parent(struct authority *a, const char *path,
                                           upstream_done done)
{
    const struct upstream_ask ask = {
        .method = "GET", .path = path, .expect_bytes = SIGNED_MAX, .fail_when_down = true};

    return upstream_request(a->upstream, &ask, done, a);
}

static void ask_trust(struct authority *a)
{
    char path[48];

    snprintf(path, sizeof path, "/v1/trust/%" PRIu64, next_trust(a));
    a->asking = ask_parent(a, path, trust_came);
}

static void ask_revoked(struct authority *a)
{
    a->asking_list = ask_parent(a, "/v1/revoked", revoked_came);
}

/* A stolen box has a good certificate: what its list says is all that tells it from a parent. */
static void judge_parent(void *authority)
{
    struct authority *a = authority;
    const struct identity *who = upstream_parent(a->upstream, 0);

    for (size_t i = 1; who != NULL && !authority_has_revoked(a, who->serial); i++)
        who = upstream_parent(a->upstream, i);
    if (who == NULL)
        return;
    log_event(LOG_ERROR, "upstream.revoked", "device=%s serial=%s", who->device, who->serial);
    upstream_suspect(a->upstream, alb_fail(ALB_REFUSED, "the parent's certificate was revoked"));
}

static void on_up(struct upstream_listener *l)
{
    struct authority *a = ALB_CONTAINER(l, struct authority, listener);

    timer_set_in(&a->look_at_parent, 0);
    authority_refresh(a);
}

static void on_down(struct upstream_listener *l)
{
    (void)l;
}

static bool has_revoked(void *authority, const char *serial)
{
    return authority_has_revoked(authority, serial);
}

void authority_follow(struct authority *a, struct upstream *u, loop_fn changed, void *arg)
{
    a->upstream = u;
    a->changed = changed;
    a->changed_arg = arg;
    a->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(u, &a->listener);
    upstream_use_trust(
        u, &(struct upstream_trust){
               .next = next_trust, .take = take_trust, .has_revoked = has_revoked, .arg = a});
    if (upstream_is_up(u))
        authority_refresh(a);
}

void authority_refresh(struct authority *a)
{
    if (a->upstream == NULL)
        return;
    if (a->asking != NULL || a->asking_list != NULL) {
        a->ask_again = true;
        return;
    }
    ask_trust(a);
    ask_revoked(a);
}
