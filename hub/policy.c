/* SPDX-License-Identifier: Apache-2.0 */
/* hub/policy.c – taking the next policy: judged as a whole, numbered, signed, told. */
#include "hub/policy.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"
#include "hub/hub_impl.h"
#include "hub/nearby.h"
#include "hub/sites.h"
#include "shaper/policy_zone.h"

/* ---- the records ----------------------------------------------------------------------------- */

void policy_record_init(struct policy_record *r)
{
    *r = (struct policy_record){.swap_version = CATALOGUE_ABSENT};
    buf_init(&r->bytes, SIGNED_MAX);
}

void policy_record_release(struct policy_record *r)
{
    buf_release(&r->bytes);
}

struct alb_status policy_record_read(const struct ledger *l, enum policy_part part,
                                     struct policy_record *out)
{
    struct buf *bytes = &out->bytes;
    struct alb_status st =
        catalogue_get(l->catalogue, policy_part_name(part), bytes, &out->swap_version);

    if (st.code == ALB_NOT_FOUND)
        return ALB_STATUS_OK;
    if (alb_failed(st))
        return st;
    return policy_seal_decode(part, buf_peek(bytes), buf_size(bytes), &l->self, &out->seal);
}

struct alb_status policy_record_write(const struct ledger *l, enum policy_part part,
                                      const struct policy_record *before, const struct buf *text,
                                      int64_t now_wall_s, struct buf *out)
{
    struct policy_seal next = {.number = before->seal.number + 1,
                               .issued_wall_s = now_wall_s,
                               .text = buf_peek(text),
                               .text_size = buf_size(text)};

    snprintf(next.org, sizeof next.org, "%s", l->self.org);
    struct alb_status st = policy_seal_encode(part, &next, &l->key, out);
    if (!alb_failed(st))
        st = ledger_write(l->catalogue, policy_part_name(part), before->swap_version, buf_peek(out),
                          buf_size(out));
    if (alb_failed(st))
        buf_clear(out);
    else
        KILL_POINT("hub.policy_signed");
    return st;
}

static struct alb_status load_one(struct hub *h, enum policy_part part)
{
    struct policy_record r;

    policy_record_init(&r);
    struct alb_status st = policy_record_read(&h->ledger, part, &r);
    if (!alb_failed(st) && r.seal.number > 0)
        st = policy_book_take(h->policy, part, buf_peek(&r.bytes), buf_size(&r.bytes));
    if (alb_failed(st))
        st.what =
            "the policy, the list of overrides or that of states kept here is damaged; restore "
            "the catalogue from a backup";
    policy_record_release(&r);
    return st;
}

static void on_taken(void *hub, enum policy_part part)
{
    struct hub *h = hub;

    if (h->feed != NULL) /* else it is what was kept, at start */
        policy_book_say(h->policy, part, h->feed);
    if (part == POLICY_STATES)
        hub_nearby_states(h);
}

struct alb_status hub_load_policy(struct hub *h)
{
    h->policy = policy_book_open(&(struct policy_book_options){
        .loop = h->options.loop, .authority = h->authority, .arg = h, .taken = on_taken});
    if (authority_trust(h->authority) == NULL)
        return ALB_STATUS_OK; /* then nothing could be set either */
    struct alb_status st = ALB_STATUS_OK;

    for (int part = 0; part < POLICY_PARTS && !alb_failed(st); part++)
        st = load_one(h, (enum policy_part)part);
    return st;
}

struct alb_status hub_policy_in_force(struct hub *h, enum policy_part part,
                                      const struct buf *sealed)
{
    return policy_book_take(h->policy, part, buf_peek(sealed), buf_size(sealed));
}

/* ---- POST /v1/policy-put?if=N ---------------------------------------------------------------- */

struct policy_task {
    struct hub_task task; /* first */
    bool has_condition;
    uint64_t expected; /* the number that must be in force */
    uint64_t highest;  /* in force anywhere */
    struct buf sealed; /* the new one; empty: nothing changed */
    /* Of the document as it came, and with the directory's sites: what is only among the second is
     * what its author could not see. */
    struct policy_findings seen, found;
};

/* All that is wrong was told to whoever ran `albedo policy check`; here the first must do. */
static void refuse_findings(struct hub_task *t, const struct policy_findings *f)
{
    hub_task_refuse(t, ALB_INVALID, "%.240s%s; 'albedo policy check FILE' lists everything",
                    policy_findings_first(f, "the policy is not valid"),
                    f->errors > 1 ? ", and more is wrong" : "");
}

/* The request's document with the directory's sites, in its one spelling. */
static void read_document(struct policy_task *p, struct buf *text, struct policy_doc **doc)
{
    struct hub_task *t = &p->task;

    t->st = policy_doc_decode(buf_peek(&t->body), buf_size(&t->body), zone_is_known, NULL, &p->seen,
                              doc);
    if (alb_failed(t->st))
        refuse_findings(t, &p->seen);
    else
        hub_sites_join(t, *doc);
    if (!alb_failed(t->st)) {
        policy_doc_check(*doc, zone_is_known, NULL, &p->found);
        t->st = policy_doc_encode(*doc, text);
    }
    if (t->st.code == ALB_FULL)
        hub_task_refuse(t, ALB_INVALID,
                        "the policy, with the site directory's sites in it, is over 1 MiB when "
                        "signed: shorten its notes, or join subnets in the directory and give "
                        "zones to sites above others");
}

void policy_put_warnings(const struct policy_findings *seen, const struct policy_findings *found,
                         struct json_writer *w)
{
    bool is_begun = false;

    for (size_t i = 0; i < found->count; i++) {
        if (policy_findings_have(seen, found->list[i].text))
            continue;
        if (!is_begun)
            json_array_begin(w, "warnings");
        is_begun = true;
        json_text(w, NULL, found->list[i].text);
    }
    if (is_begun)
        json_end(w);
}

bool policy_record_says(const struct policy_record *r, const struct buf *text)
{
    return r->seal.number > 0 && r->seal.text_size == buf_size(text) &&
           memcmp(r->seal.text, buf_peek(text), buf_size(text)) == 0;
}

static void answer_number(struct policy_task *p, uint64_t number, bool has_changed)
{
    struct hub_task *t = &p->task;
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_number(w, "number", number);
    json_bool(w, "changed", has_changed);
    policy_put_warnings(&p->seen, &p->found, w);
    json_end(w);
    t->content_type = "application/json";
    t->st = json_writer_finish(w, &t->answer);
}

static void audit_policy(const struct hub_task *t, const struct policy_doc *doc, uint64_t number,
                         const struct buf *text)
{
    char hex[DIGEST_HEX_SIZE];
    struct digest digest;

    sha256(buf_peek(text), buf_size(text), &digest);
    hub_audit(&t->who, "policy", "number=%" PRIu64 " rules=%zu sites=%zu sha256=%s", number,
              doc->rule_count, doc->site_count, digest_hex(&digest, hex));
}

/* Set the document `text` unless it is in force already. */
static void set(struct policy_task *p, const struct policy_doc *doc, const struct buf *text)
{
    const struct ledger *ledger = &p->task.hub->ledger;
    struct hub_task *t = &p->task;
    struct policy_record r;

    policy_record_init(&r);
    t->st = policy_record_read(ledger, POLICY_RULES, &r);
    if (!alb_failed(t->st) && p->has_condition && r.seal.number != p->expected)
        hub_task_refuse(t, ALB_CONFLICT,
                        "policy number %" PRIu64 " is in force, not %" PRIu64
                        ": somebody else changed it; look at it, then set yours on top",
                        r.seal.number, p->expected);
    const bool has_changed = !policy_record_says(&r, text) || r.seal.number < p->highest;
    if (r.seal.number < p->highest)
        r.seal.number = p->highest;
    if (!alb_failed(t->st) && has_changed)
        t->st = policy_record_write(ledger, POLICY_RULES, &r, text, t->now_wall_s, &p->sealed);
    if (!alb_failed(t->st) && has_changed)
        audit_policy(t, doc, r.seal.number + 1, text);
    if (!alb_failed(t->st))
        answer_number(p, r.seal.number + (has_changed ? 1 : 0), has_changed);
    policy_record_release(&r);
}

static void policy_run(struct hub_task *t)
{
    struct policy_doc *doc = NULL;
    struct buf text;

    buf_init(&text, POLICY_TEXT_MAX);
    read_document((struct policy_task *)t, &text, &doc);
    if (!alb_failed(t->st))
        set((struct policy_task *)t, doc, &text);
    policy_doc_free(doc);
    buf_release(&text);
}

static void policy_after(struct hub_task *t)
{
    const struct buf *sealed = &((struct policy_task *)t)->sealed;

    if (buf_size(sealed) > 0) {
        struct alb_status st = hub_policy_in_force(t->hub, POLICY_RULES, sealed);
        if (alb_failed(st))
            t->st = st;
    }
    hub_task_end(t);
}

static void policy_release(struct hub_task *t)
{
    struct policy_task *p = (struct policy_task *)t;

    buf_release(&p->sealed);
    policy_findings_release(&p->seen);
    policy_findings_release(&p->found);
}

void hub_handle_policy_put(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    char text[32];
    const bool has_condition = serve_query(rq, "if", text, sizeof text);
    struct policy_task *p = hub_task_new(h, rq, sizeof *p);
    struct hub_task *t = &p->task;

    buf_init(&p->sealed, SIGNED_MAX);
    policy_findings_init(&p->seen);
    policy_findings_init(&p->found);
    t->release = policy_release;
    p->has_condition = has_condition;
    p->highest = policy_book_highest(h->policy, POLICY_RULES);
    if (has_condition && alb_failed(parse_u64(text, INT64_MAX, &p->expected)))
        hub_task_refuse(t, ALB_INVALID, "if: it is the number of the policy you have seen");
    if (authority_trust(h->authority) == NULL)
        hub_task_refuse(t, ALB_REFUSED,
                        "a policy is judged by the trust file, and there is none yet: run "
                        "'albedo trust init' first");
    if (alb_failed(t->st)) {
        hub_task_end(t);
        return;
    }
    t->run = policy_run;
    t->after = policy_after;
    hub_task_start(t, JOB_ORDERED, buf_size(&t->body));
}
