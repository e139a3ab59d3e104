/* SPDX-License-Identifier: Apache-2.0 */
/* shaper/wake_queue.c – who is woken when: spaced beginnings, three sends each, a memory.
 *
 *     waiting ──one every 1/rate s──> begun: send ──100 ms──> send ──900 ms──> send, remembered
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "shaper/wake.h"

struct waker {
    struct waker *next;
    struct wake_target target;
    unsigned attempt; /* the next one */
    uint64_t due_ns;  /* of a begun one */
};

struct list {
    struct waker *first, **last;
    size_t count;
};

struct woken {
    uint8_t mac[NET_MAC_SIZE];
    uint64_t at_ns;
};

struct wake_queue {
    uint64_t space_ns;
    uint64_t next_begin_ns;
    struct list waiting, begun;
    struct woken memory[WAKE_REMEMBERED]; /* a ring */
    size_t remembered, next_memory;
};

/* From each send to the next one. */
static const uint64_t GAPS_NS[WAKE_SENDS - 1] = {100 * NS_PER_MS, 900 * NS_PER_MS};

/* ---- lists ----------------------------------------------------------------------------------- */

static void push(struct list *l, struct waker *w)
{
    w->next = NULL;
    *l->last = w;
    l->last = &w->next;
    l->count++;
}

static struct waker *unlink_at(struct list *l, struct waker **at)
{
    struct waker *w = *at;

    *at = w->next;
    if (l->last == &w->next)
        l->last = at;
    l->count--;
    return w;
}

/* The place where it hangs, or NULL. */
static struct waker **find(struct list *l, const uint8_t mac[NET_MAC_SIZE])
{
    for (struct waker **at = &l->first; *at != NULL; at = &(*at)->next)
        if (memcmp((*at)->target.mac, mac, NET_MAC_SIZE) == 0)
            return at;
    return NULL;
}

/* SecureOn passwords are not left behind. */
static void waker_free(struct waker *w)
{
    wipe(w, sizeof(*w));
    free(w);
}

static void free_all(struct list *l)
{
    while (l->first != NULL)
        waker_free(unlink_at(l, &l->first));
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void remember(struct wake_queue *q, const uint8_t mac[NET_MAC_SIZE], uint64_t now_ns)
{
    struct woken *m = &q->memory[q->next_memory];

    memcpy(m->mac, mac, NET_MAC_SIZE);
    m->at_ns = now_ns;
    q->next_memory = (q->next_memory + 1) % WAKE_REMEMBERED;
    if (q->remembered < WAKE_REMEMBERED)
        q->remembered++;
}

static bool was_woken(const struct wake_queue *q, const uint8_t mac[NET_MAC_SIZE], uint64_t now_ns)
{
    for (size_t i = 0; i < q->remembered; i++)
        if (now_ns < q->memory[i].at_ns + WAKE_AGAIN_NS &&
            memcmp(q->memory[i].mac, mac, NET_MAC_SIZE) == 0)
            return true;
    return false;
}

void wake_queue_forget(struct wake_queue *q, const uint8_t mac[NET_MAC_SIZE])
{
    for (size_t i = 0; i < q->remembered; i++)
        if (memcmp(q->memory[i].mac, mac, NET_MAC_SIZE) == 0)
            q->memory[i] = (struct woken){.at_ns = 0}; /* nobody's MAC */
}

/* ---- the queue ------------------------------------------------------------------------------- */

struct wake_queue *wake_queue_new(unsigned rate)
{
    struct wake_queue *q = xalloc(sizeof(*q));

    alb_assert(rate >= 1 && rate <= WAKE_RATE_MOST);
    q->space_ns = NS_PER_S / rate;
    q->waiting.last = &q->waiting.first;
    q->begun.last = &q->begun.first;
    return q;
}

struct wake_queue *wake_queue_free(struct wake_queue *q)
{
    if (q == NULL)
        return NULL;
    free_all(&q->waiting);
    free_all(&q->begun);
    free(q);
    return NULL;
}

static bool is_a_machines(const uint8_t mac[NET_MAC_SIZE])
{
    static const uint8_t NONE[NET_MAC_SIZE] = {0};

    return (mac[0] & 1) == 0 && memcmp(mac, NONE, NET_MAC_SIZE) != 0; /* 1: a group's */
}

struct alb_status wake_queue_add(struct wake_queue *q, const struct wake_target *t, uint64_t now_ns)
{
    if (!is_a_machines(t->mac))
        return alb_fail(ALB_INVALID, "waking a machine: no machine has that MAC");
    if (t->password_size != 0 && t->password_size != 4 && t->password_size != 6)
        return alb_fail(ALB_INVALID, "waking a machine: a SecureOn password has 4 or 6 bytes");
    if (find(&q->waiting, t->mac) != NULL || find(&q->begun, t->mac) != NULL)
        return ALB_STATUS_OK;
    if (was_woken(q, t->mac, now_ns))
        return alb_fail(ALB_REFUSED, "waking a machine: it was woken a few minutes ago");
    if (q->waiting.count == WAKE_WAITING_MOST)
        return alb_fail(ALB_FULL, "waking a machine: thousands are waiting to be woken");
    struct waker *w = xalloc(sizeof(*w));
    w->target = *t;
    push(&q->waiting, w);
    return ALB_STATUS_OK;
}

bool wake_queue_drop(struct wake_queue *q, const uint8_t mac[NET_MAC_SIZE])
{
    struct waker **at = find(&q->waiting, mac);

    if (at != NULL) {
        waker_free(unlink_at(&q->waiting, at));
        return true;
    }
    at = find(&q->begun, mac);
    if (at == NULL)
        return false;
    waker_free(unlink_at(&q->begun, at));
    return true;
}

void wake_queue_hold(struct wake_queue *q, uint64_t until_ns)
{
    if (q->next_begin_ns < until_ns)
        q->next_begin_ns = until_ns;
}

/* Sends of begun ones come in the order they fell due; a late caller meets no two of one machine at
 * once, since the gaps count from when it was sent. */
static struct waker **first_due(struct wake_queue *q)
{
    struct waker **found = NULL;

    for (struct waker **at = &q->begun.first; *at != NULL; at = &(*at)->next)
        if (found == NULL || (*at)->due_ns < (*found)->due_ns)
            found = at;
    return found;
}

static void send_from(struct wake_queue *q, struct waker *w, uint64_t now_ns, struct wake_due *out)
{
    out->target = w->target;
    out->attempt = w->attempt++;
    out->is_last = w->attempt == WAKE_SENDS;
    if (out->is_last) {
        waker_free(w);
        return;
    }
    w->due_ns = now_ns + GAPS_NS[out->attempt];
    push(&q->begun, w);
}

bool wake_queue_take(struct wake_queue *q, uint64_t now_ns, struct wake_due *out)
{
    struct waker **due = first_due(q);

    if (due != NULL && (*due)->due_ns <= now_ns) {
        send_from(q, unlink_at(&q->begun, due), now_ns, out);
        return true;
    }
    if (q->waiting.first == NULL || now_ns < q->next_begin_ns)
        return false;
    struct waker *w = unlink_at(&q->waiting, &q->waiting.first);
    q->next_begin_ns = now_ns + q->space_ns; /* what a late caller missed is not caught up */
    remember(q, w->target.mac, now_ns);
    send_from(q, w, now_ns, out);
    return true;
}

uint64_t wake_queue_next_ns(const struct wake_queue *q)
{
    uint64_t next_ns = q->waiting.first == NULL ? UINT64_MAX : q->next_begin_ns;

    for (const struct waker *w = q->begun.first; w != NULL; w = w->next)
        if (w->due_ns < next_ns)
            next_ns = w->due_ns;
    return next_ns;
}

size_t wake_queue_waiting(const struct wake_queue *q)
{
    return q->waiting.count;
}
