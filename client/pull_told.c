/* SPDX-License-Identifier: Apache-2.0 */
/* client/pull_told.c – what became of a pull is told up the tree, now or with a later one.
 *
 * Told is what somebody would want to know: that something was brought, or failed, or is otherwise
 * than at the last telling.  A pull once a minute that finds nothing new says nothing.
 *
 * In the state's catalogue: "told-counter" is {epoch, number of the last report}, "told-last/LAYER"
 * what was last told of a layer, "told-pull/N" what is not delivered yet: an agent on the same
 * state has its own.  Two pulls at once get two numbers.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/log.h"
#include "client/pull.h"
#include "transfer/told_book.h"

enum { KEPT_MOST = 64 };
#define LINGER_NS (2 * NS_PER_S) /* beside the parent's answer: what is kept is told later */
#define LOOK_NS (5 * NS_PER_MS)

struct telling {
    struct pull *pull;
    struct told_book *book;
    struct timer timer;
    uint64_t until_ns;
    bool is_kept, is_over;
};

static uint64_t read_text(struct pull *p, const char *name, char *out, size_t size)
{
    struct buf text;
    uint64_t version = CATALOGUE_ABSENT;

    out[0] = '\0';
    buf_init(&text, size - 1);
    const struct alb_status st = catalogue_get(p->state->catalogue, name, &text, &version);
    if (!alb_failed(st))
        (void)snprintf(out, size, "%s", buf_text(&text));
    else if (st.code != ALB_NOT_FOUND)
        version = CATALOGUE_ANY; /* it cannot be read, and is begun anew */
    buf_release(&text);
    return version;
}

/* Before the report is written: a number that is lost is better than one that two reports have. */
static struct alb_status next_number(struct pull *p, struct told *t)
{
    struct alb_status st = ALB_STATUS_OK;
    char text[64];
    uint64_t last, random;

    do { /* another pull may do the same */
        last = 0;
        const uint64_t version = read_text(p, "told-counter", text, sizeof text);
        if (sscanf(text, "%16[0-9a-f] %" SCNu64, t->epoch, &last) != 2 || strlen(t->epoch) != 16) {
            random_bytes(&random, sizeof random);
            snprintf(t->epoch, sizeof t->epoch, "%016" PRIx64, random);
            last = 0;
        }
        t->number = last + 1;
        snprintf(text, sizeof text, "%s %" PRIu64, t->epoch, t->number);
        st = catalogue_swap(p->state->catalogue, "told-counter", version, text, strlen(text), NULL);
    } while (st.code == ALB_CONFLICT);
    return st;
}

static bool brought_something(const struct pull *p)
{
    const struct apply_result *r = &p->applied;

    return p->fetched.put_bytes > 0 || r->made + r->replaced + r->removed + r->metadata_only > 0;
}

/* Also remembers it. */
static bool is_worth_telling(struct pull *p, const struct told *t)
{
    AUTO_FREE char *name = xasprintf("told-last/%s", p->options->layer);
    AUTO_FREE char *now = xasprintf("%s %s", told_outcome_word(t->outcome), t->version);
    char last[NAME_MAX_SIZE + 16];

    (void)read_text(p, name, last, sizeof last);
    if (strcmp(last, now) == 0 && !(t->outcome == TOLD_APPLIED && brought_something(p)))
        return false;
    struct alb_status st =
        catalogue_swap(p->state->catalogue, name, CATALOGUE_ANY, now, strlen(now), NULL);
    if (alb_failed(st))
        log_status(LOG_WARN, "told.not_kept", st, "state=%s", p->state->dir);
    return true;
}

static void on_kept(void *arg, struct alb_status st)
{
    struct telling *t = arg;

    if (alb_failed(st))
        log_status(LOG_WARN, "told.not_kept", st, "state=%s", t->pull->state->dir);
    t->is_kept = true;
}

static void look(void *arg)
{
    struct telling *t = arg;
    struct told_book_figures f;

    told_book_figures(t->book, &f);
    t->is_over =
        t->is_kept && (f.kept == 0 || !upstream_is_up(endpoint_upstream(t->pull->endpoint)) ||
                       loop_now_ns(t->pull->loop) > t->until_ns);
    if (t->is_over)
        loop_stop(t->pull->loop);
    else
        timer_set_in(&t->timer, LOOK_NS);
}

/* With a book of our own, for as long as an answer takes. */
static void tell_now(struct pull *p, const struct told *told)
{
    struct telling t = {.pull = p, .until_ns = loop_now_ns(p->loop) + LINGER_NS};

    t.book = told_book_open(&(struct told_book_options){.loop = p->loop,
                                                        .catalogue = p->state->catalogue,
                                                        .prefix = "told-pull/",
                                                        .by_number = true,
                                                        .upstream = endpoint_upstream(p->endpoint),
                                                        .most = KEPT_MOST,
                                                        .forgets_oldest = true});
    told_book_take(t.book, told, 1, on_kept, &t);
    timer_init(&t.timer, p->loop, look, &t);
    timer_set_in(&t.timer, 0);
    while (!t.is_over && !p->interrupted)
        loop_run(p->loop);
    timer_stop(&t.timer);
    told_book_close(t.book);
}

void pull_tell(struct pull *p, enum exit_code code)
{
    struct told t = {.outcome = code == EXIT_DONE ? TOLD_APPLIED : TOLD_FAILED,
                     .bytes = p->fetched.put_bytes,
                     .duration_ms = (loop_now_ns(p->loop) - p->begun_ns) / NS_PER_MS,
                     .ended_wall_s = loop_wall_s(p->loop)};

    /* Who lends its endpoint, an agent, tells for itself. */
    const bool is_lent = p->endpoint == NULL || p->endpoint_is_borrowed;

    if (is_lent || code == EXIT_INTERRUPTED || p->interrupted)
        return;
    snprintf(t.device, sizeof t.device, "%.60s", p->state->who.device);
    snprintf(t.layer, sizeof t.layer, "%s", p->options->layer);
    snprintf(t.version, sizeof t.version, "%s", p->version);
    if (t.outcome == TOLD_FAILED)
        told_set_why(&t, p->output->last_error[0] != '\0' ? p->output->last_error
                                                          : exit_code_text(code));
    if (!is_worth_telling(p, &t))
        return;
    struct alb_status st = next_number(p, &t);
    if (alb_failed(st)) {
        log_status(LOG_WARN, "told.not_kept", st, "state=%s", p->state->dir);
        return;
    }
    tell_now(p, &t);
}
