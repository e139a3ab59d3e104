/* SPDX-License-Identifier: Apache-2.0 */
/* hub/sites.c – taking the next site directory: judged as a whole, kept, put into the policy. */
#include "hub/sites.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "hub/hub_impl.h"
#include "hub/nearby.h"
#include "hub/policy.h"
#include "hub/vigil.h"
#include "shaper/policy_zone.h"

/* ---- with the policy ------------------------------------------------------------------------- */

static bool has_sites(const struct sites_record *r)
{
    return r->sites != NULL && r->sites->count > 0;
}

void hub_sites_join(struct hub_task *t, struct policy_doc *doc)
{
    struct sites_record r;
    char why[256];

    sites_record_init(&r);
    t->st = sites_record_read(&t->hub->ledger, &r);
    if (!alb_failed(t->st) && has_sites(&r)) {
        if (!sites_agree_with(r.sites, doc, why))
            hub_task_refuse(t, ALB_INVALID,
                            "this policy has sites of its own that differ from the site "
                            "directory: %s. Leave out its \"sites\": the directory's are put in; "
                            "'albedo site export' shows them, 'albedo site import' and 'albedo "
                            "site set' change them",
                            why);
        else
            sites_into_policy(r.sites, doc);
    }
    sites_record_release(&r);
}

/* What is unwise about a policy, before and after other sites were put in. */
struct notices {
    struct policy_findings before, after;
};

static void notices_init(struct notices *n)
{
    policy_findings_init(&n->before);
    policy_findings_init(&n->after);
}

static void notices_release(struct notices *n)
{
    policy_findings_release(&n->before);
    policy_findings_release(&n->after);
}

/* Zones were judged when they came. */
static bool any_zone(const char *zone, void *arg)
{
    (void)zone;
    (void)arg;
    return true;
}

/* The policy in force, or an empty one, with these sites: its canonical text. */
static struct alb_status policy_text(const struct policy_record *r, const struct sites *sites,
                                     struct notices *n, struct buf *text)
{
    struct policy_doc *doc = NULL;
    struct alb_status st = ALB_STATUS_OK;

    if (r->seal.number > 0)
        st = policy_doc_decode(r->seal.text, r->seal.text_size, any_zone, NULL, &n->before, &doc);
    else
        doc = policy_doc_new();
    if (!alb_failed(st)) {
        sites_into_policy(sites, doc);
        policy_doc_check(doc, any_zone, NULL, &n->after);
        st = policy_doc_encode(doc, text);
    }
    policy_doc_free(doc);
    return st;
}

/* ---- at start -------------------------------------------------------------------------------- */

/* The last words of a hub that died before it had signed them. */
static struct alb_status catch_up(struct hub *h, const struct sites *sites)
{
    struct policy_record r;
    struct notices notices;
    struct buf text, sealed;

    policy_record_init(&r);
    notices_init(&notices);
    buf_init(&text, POLICY_TEXT_MAX);
    buf_init(&sealed, SIGNED_MAX);
    struct alb_status st = policy_record_read(&h->ledger, POLICY_RULES, &r);
    if (!alb_failed(st))
        st = policy_text(&r, sites, &notices, &text);
    if (!alb_failed(st) && !policy_record_says(&r, &text)) {
        st = policy_record_write(&h->ledger, POLICY_RULES, &r, &text, loop_wall_s(h->options.loop),
                                 &sealed);
        if (!alb_failed(st))
            st = hub_policy_in_force(h, POLICY_RULES, &sealed);
    }
    policy_record_release(&r);
    notices_release(&notices);
    buf_release(&text);
    buf_release(&sealed);
    return st;
}

struct alb_status hub_load_sites(struct hub *h)
{
    struct sites_record r;

    sites_record_init(&r);
    struct alb_status st = sites_record_read(&h->ledger, &r);
    if (!alb_failed(st) && has_sites(&r) && authority_trust(h->authority) != NULL)
        st = catch_up(h, r.sites);
    if (!alb_failed(st)) {
        h->sites = r.sites;
        r.sites = NULL;
    }
    sites_record_release(&r);
    return st;
}

bool hub_site_is_known(const struct hub *h, const char *site)
{
    return h->sites == NULL || h->sites->count == 0 || site[0] == '\0' ||
           sites_find_name(h->sites, site) != NULL;
}

/* ---- GET /v1/sites --------------------------------------------------------------------------- */

/* What a first directory, or one after an empty one, begins with: the sites that the policy and
 * members name already. */
static struct alb_status make_draft(struct hub_task *t, struct sites *draft)
{
    const struct ledger *l = &t->hub->ledger;
    struct policy_findings findings;
    struct policy_doc *doc = NULL;
    struct site_members members = {.count = 0};
    struct policy_record r;

    policy_findings_init(&findings);
    policy_record_init(&r);
    struct alb_status st = policy_record_read(l, POLICY_RULES, &r);
    if (!alb_failed(st) && r.seal.number > 0)
        st = policy_doc_decode(r.seal.text, r.seal.text_size, NULL, NULL, &findings, &doc);
    if (doc != NULL)
        sites_add_from_policy(draft, doc);
    if (!alb_failed(st))
        st = site_members_read(l, t->now_wall_s, &members);
    site_members_add(&members, draft);
    policy_doc_free(doc);
    site_members_release(&members);
    policy_record_release(&r);
    policy_findings_release(&findings);
    return st;
}

static void sites_run(struct hub_task *t)
{
    struct sites_record r;

    sites_record_init(&r);
    t->st = sites_record_read(&t->hub->ledger, &r);
    if (!alb_failed(t->st) && !has_sites(&r)) {
        if (r.sites == NULL)
            r.sites = sites_new();
        t->st = make_draft(t, r.sites);
    }
    if (!alb_failed(t->st)) {
        r.sites->number = r.number;
        t->st = sites_encode(r.sites, &t->answer);
    }
    sites_record_release(&r);
}

void hub_handle_sites(void *hub, struct serve_request *rq)
{
    struct hub_task *t = hub_task_new(hub, rq, sizeof *t);

    t->content_type = "application/json";
    t->run = sites_run;
    hub_task_start(t, JOB_SHARED, SITES_BYTES_MAX);
}

/* ---- GET /v1/site-devices -------------------------------------------------------------------- */

static void put_devices(const struct site_members *m, struct json_writer *w)
{
    size_t devices, reflectors, tokens;

    for (size_t i = 0; i < m->count; i += devices + tokens) {
        devices = reflectors = tokens = 0;
        for (size_t k = i; k < m->count && strcmp(m->list[k].site, m->list[i].site) == 0; k++) {
            tokens += m->list[k].is_token;
            devices += !m->list[k].is_token;
            reflectors += m->list[k].is_reflector;
        }
        json_object_begin(w, NULL);
        json_text(w, "site", m->list[i].site);
        json_number(w, "devices", devices);
        json_number(w, "reflectors", reflectors);
        json_number(w, "tokens", tokens);
        json_end(w);
    }
}

static void devices_run(struct hub_task *t)
{
    struct json_writer *w = json_writer_new();
    struct site_members members;

    json_object_begin(w, NULL);
    json_array_begin(w, "sites");
    t->st = site_members_read(&t->hub->ledger, t->now_wall_s, &members);
    put_devices(&members, w);
    json_end(w);
    json_end(w);
    site_members_release(&members);
    const struct alb_status st = json_writer_finish(w, &t->answer);
    if (!alb_failed(t->st))
        t->st = st;
}

void hub_handle_site_devices(void *hub, struct serve_request *rq)
{
    struct hub_task *t = hub_task_new(hub, rq, sizeof *t);

    t->content_type = "application/json";
    t->run = devices_run;
    hub_task_start(t, JOB_SHARED, 64 << 10);
}

/* ---- POST /v1/sites-put?if=N&dry=1 ----------------------------------------------------------- */

enum { NUMBER_BYTES = 32 }; /* room for the number that is written into it when it is asked for */

struct sites_task {
    struct hub_task task; /* first */
    bool is_dry;          /* judge it, and change nothing */
    bool has_condition;
    uint64_t expected;       /* the number that must be in force */
    uint64_t highest_policy; /* in force anywhere */
    struct sites *sites;     /* the new ones; owned, taken by the hub when they are kept */
    struct sites_record before;
    struct policy_record policy; /* before */
    struct buf text, policy_text;
    struct notices notices;
    bool has_changed;
    bool is_kept;      /* these sites are the directory now, whatever became of the policy */
    struct buf sealed; /* the new policy; empty: it says so already */
};

/* All that is wrong was told to whoever ran `albedo site import`; here the first must do. */
static void refuse_findings(struct hub_task *t, const struct policy_findings *f)
{
    hub_task_refuse(t, ALB_INVALID, "%.240s%s",
                    policy_findings_first(f, "the site directory is not valid"),
                    f->errors > 1 ? ", and more is wrong; 'albedo site import FILE --dry-run' "
                                    "lists everything"
                                  : "");
}

static void read_directory(struct sites_task *p)
{
    struct hub_task *t = &p->task;
    struct policy_findings findings;

    policy_findings_init(&findings);
    t->st = sites_decode(buf_peek(&t->body), buf_size(&t->body), zone_is_known, NULL, &findings,
                         &p->sites);
    if (alb_failed(t->st)) {
        refuse_findings(t, &findings);
    } else {
        p->sites->number = 0;
        t->st = sites_encode(p->sites, &p->text);
    }
    policy_findings_release(&findings);
}

static void judge_number(struct sites_task *p)
{
    struct hub_task *t = &p->task;

    t->st = sites_record_read_head(&t->hub->ledger, &p->before);
    if (!alb_failed(t->st) && p->has_condition && p->before.number != p->expected)
        hub_task_refuse(t, ALB_CONFLICT,
                        "site directory number %" PRIu64 " is in force, not %" PRIu64
                        ": somebody else changed it; run the command again to change what is "
                        "there now",
                        p->before.number, p->expected);
}

static void judge_members(struct sites_task *p)
{
    struct hub_task *t = &p->task;
    struct site_members members;

    t->st = site_members_read(&t->hub->ledger, t->now_wall_s, &members);
    if (!alb_failed(t->st))
        site_members_judge(&members, p->sites, t);
    site_members_release(&members);
}

/* Before anything is written it must be known that the policy can say it. */
static void make_policy(struct sites_task *p)
{
    struct hub_task *t = &p->task;

    t->st = policy_record_read(&t->hub->ledger, POLICY_RULES, &p->policy);
    if (!alb_failed(t->st))
        t->st = policy_text(&p->policy, p->sites, &p->notices, &p->policy_text);
    if (t->st.code == ALB_FULL)
        hub_task_refuse(t, ALB_FULL,
                        "the policy, which names every site with its zone, link and subnets, "
                        "would be over 1 MiB: give zones to sites above others, shorten names, or "
                        "join subnets");
}

static bool says_the_same(const struct sites_task *p)
{
    struct digest sha;

    sha256(buf_peek(&p->text), buf_size(&p->text), &sha);
    return p->before.number > 0 && memcmp(&sha, &p->before.sha256, sizeof sha) == 0;
}

static void audit_sites(const struct sites_task *p)
{
    char hex[DIGEST_HEX_SIZE];
    struct digest sha;

    sha256(buf_peek(&p->text), buf_size(&p->text), &sha);
    hub_audit(&p->task.who, "sites", "number=%" PRIu64 " sites=%zu sha256=%s", p->before.number + 1,
              p->sites->count, digest_hex(&sha, hex));
}

static void write_both(struct sites_task *p)
{
    struct hub_task *t = &p->task;
    const struct ledger *l = &t->hub->ledger;

    if (p->is_dry)
        return;
    p->has_changed = !says_the_same(p);
    if (p->has_changed)
        t->st = sites_record_write(l, &p->before, &p->text, t->who.device, t->now_wall_s);
    p->is_kept = !alb_failed(t->st);
    if (p->is_kept && p->has_changed)
        audit_sites(p);
    if (!p->is_kept || policy_record_says(&p->policy, &p->policy_text))
        return;
    if (p->policy.seal.number < p->highest_policy)
        p->policy.seal.number = p->highest_policy;
    t->st = policy_record_write(l, POLICY_RULES, &p->policy, &p->policy_text, t->now_wall_s,
                                &p->sealed);
}

static void answer_numbers(struct sites_task *p)
{
    const uint64_t number = p->before.number + (p->has_changed ? 1 : 0);
    const uint64_t policy = p->policy.seal.number + (buf_size(&p->sealed) > 0 ? 1 : 0);
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_number(w, "number", number);
    json_bool(w, "changed", p->has_changed);
    json_number(w, "policy", policy);
    policy_put_warnings(&p->notices.before, &p->notices.after, w);
    json_end(w);
    p->task.content_type = "application/json";
    p->task.st = json_writer_finish(w, &p->task.answer);
}

static void put_run(struct hub_task *t)
{
    static void (*const STEPS[])(struct sites_task *) = {
        read_directory, judge_number, judge_members, make_policy, write_both, answer_numbers};

    for (size_t i = 0; i < ALB_COUNT(STEPS) && !alb_failed(t->st); i++)
        STEPS[i]((struct sites_task *)t);
}

static void put_after(struct hub_task *t)
{
    struct sites_task *p = (struct sites_task *)t;
    struct hub *h = t->hub;

    if (p->is_kept) {
        hub_nearby_forget_directory(h);
        h->sites = sites_free(h->sites);
        h->sites = p->sites;
        p->sites = NULL;
        hub_nearby_directory(h);
        hub_vigils_directory(h->vigils);
    }
    if (buf_size(&p->sealed) > 0) {
        const struct alb_status st = hub_policy_in_force(h, POLICY_RULES, &p->sealed);
        if (alb_failed(st))
            t->st = st;
    }
    hub_task_end(t);
}

static void put_release(struct hub_task *t)
{
    struct sites_task *p = (struct sites_task *)t;

    p->sites = sites_free(p->sites);
    sites_record_release(&p->before);
    policy_record_release(&p->policy);
    notices_release(&p->notices);
    buf_release(&p->text);
    buf_release(&p->policy_text);
    buf_release(&p->sealed);
}

void hub_handle_sites_put(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    char text[32], dry[8];
    const bool has_condition = serve_query(rq, "if", text, sizeof text);
    const bool is_dry = serve_query(rq, "dry", dry, sizeof dry) && strcmp(dry, "0") != 0;
    struct sites_task *p = hub_task_new(h, rq, sizeof *p);
    struct hub_task *t = &p->task;

    sites_record_init(&p->before);
    policy_record_init(&p->policy);
    notices_init(&p->notices);
    buf_init(&p->text, SITES_BYTES_MAX - NUMBER_BYTES);
    buf_init(&p->policy_text, POLICY_TEXT_MAX);
    buf_init(&p->sealed, SIGNED_MAX);
    t->release = put_release;
    p->has_condition = has_condition;
    p->is_dry = is_dry;
    p->highest_policy = policy_book_highest(h->policy, POLICY_RULES);
    if (has_condition && alb_failed(parse_u64(text, INT64_MAX, &p->expected)))
        hub_task_refuse(t, ALB_INVALID, "if: it is the number of the directory you have seen");
    if (authority_trust(h->authority) == NULL)
        hub_task_refuse(t, ALB_REFUSED,
                        "sites go into the policy, which is judged by the trust file, and there is "
                        "none yet: run 'albedo trust init' first");
    if (alb_failed(t->st)) {
        hub_task_end(t);
        return;
    }
    t->run = put_run;
    t->after = put_after;
    hub_task_start(t, JOB_ORDERED, SITES_BYTES_MAX);
}
