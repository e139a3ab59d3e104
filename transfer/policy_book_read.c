/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/policy_book_read.c – rules out of their seal: here, or on a worker when there are many.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "transfer/policy_book_impl.h"

/* A job sees only itself. */
struct policy_reading {
    struct job job;
    struct policy_book *book; /* NULL once the book is gone */
    struct buf bytes;
    struct policy_candidate candidate; /* within `bytes` */
    struct policy *rules;              /* what became of it */
    struct alb_status st;
    LIST_ENTRY(policy_reading) link;
};

static void say_first(const struct policy_findings *f)
{
    char text[LOG_TEXT_SIZE];

    if (f->count > 0)
        log_event(LOG_WARN, "policy.finding", "errors=%zu first=%s", f->errors,
                  log_text(f->list[0].text, text));
}

struct alb_status policy_rules_read(const struct policy_seal *seal, struct policy **out)
{
    struct policy_findings findings;
    struct policy_doc *doc = NULL;

    policy_findings_init(&findings);
    struct alb_status st =
        policy_doc_decode(seal->text, seal->text_size, NULL, NULL, &findings, &doc);
    if (!alb_failed(st))
        *out = policy_new(doc, NULL);
    else
        say_first(&findings);
    policy_findings_release(&findings);
    return st;
}

static void read_run(struct job *job)
{
    struct policy_reading *r = ALB_CONTAINER(job, struct policy_reading, job);

    r->st = policy_rules_read(&r->candidate.seal, &r->rules);
}

/* A newer one may have been put in force meanwhile, or the key that signed it replaced. */
static void use(struct policy_book *b, struct policy_reading *r)
{
    const struct trust *trust = authority_trust(b->options.authority);

    if (!sign_public_equal(&trust->hub_key, &r->candidate.key) ||
        alb_failed(policy_book_judge_number(b, POLICY_RULES, r->candidate.seal.number)))
        return;
    policy_book_use_rules(b, r->rules);
    r->rules = NULL;
    policy_book_put_in_force(b, POLICY_RULES, &r->candidate);
}

static void read_done(struct job *job)
{
    struct policy_reading *r = ALB_CONTAINER(job, struct policy_reading, job);
    struct policy_book *b = r->book;

    if (b != NULL)
        LIST_REMOVE(r, link);
    if (b != NULL && alb_failed(r->st))
        log_status(LOG_ERROR, "policy.refused", r->st, "name=policy");
    else if (b != NULL)
        use(b, r);
    policy_free(r->rules);
    buf_release(&r->bytes);
    free(r);
}

/* An event and an answer may bring the same. */
static bool is_being_read(const struct policy_book *b, const struct policy_candidate *c)
{
    const struct policy_reading *r;

    LIST_FOREACH(r, &b->readings, link)
    if (buf_size(&r->bytes) == c->size && memcmp(buf_peek(&r->bytes), c->bytes, c->size) == 0)
        return true;
    return false;
}

void policy_book_read_later(struct policy_book *b, const struct policy_candidate *c)
{
    if (is_being_read(b, c))
        return;
    struct policy_reading *r = xalloc(sizeof *r);

    r->book = b;
    buf_init(&r->bytes, SIGNED_MAX);
    alb_ignore(buf_append(&r->bytes, c->bytes, c->size),
               "it was opened, so it is within the limit");
    const uint8_t *moved = buf_peek(&r->bytes), *was = c->bytes;
    r->candidate = *c;
    r->candidate.bytes = moved;
    r->candidate.seal.text = moved + ((const uint8_t *)c->seal.text - was);
    r->job = (struct job){
        .run = read_run, .done = read_done, .lane = JOB_SHARED, .work_bytes = 16 * c->size};
    LIST_INSERT_HEAD(&b->readings, r, link);
    loop_submit(b->options.loop, &r->job);
}

void policy_book_stop_reading(struct policy_book *b)
{
    struct policy_reading *r;

    while ((r = LIST_FIRST(&b->readings)) != NULL) {
        LIST_REMOVE(r, link);
        r->book = NULL;
    }
}
