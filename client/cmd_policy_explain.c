/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_policy_explain.c – `albedo policy explain`: which rule holds at a place or on a link,
 * which comes next, and when; from this member's own copy when nobody can be reached. */
#include <inttypes.h>

#include "base/alloc.h"
#include "client/policy_copy.h"
#include "net/own_address.h"
#include "wire/json.h"
#include "wire/policy_words.h"

enum { ZONES_MAX = 16 };

struct question {
    struct policy_place place;
    struct own_addresses own; /* when it is about this member itself */
    const char *at;           /* as it was said; NULL: now */
    bool has_lan;
    const char *link;  /* NULL: it is not about one */
    size_t link_sites; /* how many are on it        */
    size_t site_count; /* asked for: one of each zone that they have */
    const char *sites[ZONES_MAX], *zones[ZONES_MAX];
    bool is_cut; /* there are more zones than that */
};

/* In one time zone. */
struct view {
    const struct policy_book *book;
    struct policy_place place;
    int64_t wall_s;
};

static const struct {
    const char *word;
    uint8_t side, direction;
} LINES[] = {{"wan down", POLICY_WAN, POLICY_DOWN},
             {"wan up", POLICY_WAN, POLICY_UP},
             {"lan down", POLICY_LAN, POLICY_DOWN},
             {"lan up", POLICY_LAN, POLICY_UP}};

static size_t line_count(const struct question *q)
{
    return q->has_lan ? ALB_COUNT(LINES) : 2;
}

static void explain_one(const struct view *v, size_t line, struct policy_explanation *out)
{
    struct policy_place place = v->place;

    place.side = LINES[line].side;
    place.direction = LINES[line].direction;
    policy_explain(policy_book_peek(v->book), &place, v->wall_s, out);
}

/* 2026-12-01T06:00Z, or without the Z: the site's own time. */
static enum exit_code check_time(const struct cli *cli, const char *text)
{
    int64_t wall_s;

    if (text == NULL)
        return EXIT_DONE;
    const size_t size = strlen(text);
    AUTO_FREE char *spelled = xasprintf("%s%s", text, size > 0 && text[size - 1] == 'Z' ? "" : "Z");
    if (!alb_failed(instant_parse(spelled, &wall_s)))
        return EXIT_DONE;
    return cli_usage(cli,
                     "--at %s: a time is written 2026-12-01T06:00 in the site's own zone, "
                     "or with a Z behind it in UTC",
                     text);
}

/* The site's zone is known only now. */
static void take_time(struct view *v, const char *text)
{
    const bool is_utc = text != NULL && text[strlen(text) - 1] == 'Z';
    struct policy_explanation there;
    int64_t wall_s = 0;

    v->wall_s = policy_book_now_s(v->book);
    if (text == NULL)
        return;
    AUTO_FREE char *spelled = xasprintf("%s%s", text, is_utc ? "" : "Z");
    alb_ignore(instant_parse(spelled, &wall_s), "check_time() took it");
    v->wall_s = wall_s;
    for (int turn = 0; turn < 2 && !is_utc; turn++) { /* twice: the offset may change nearby */
        explain_one(v, 0, &there);
        v->wall_s = wall_s - there.now_east_s;
    }
}

static struct view view_of(const struct policy_book *b, const struct question *q, size_t site)
{
    struct view v = {.book = b, .place = q->place};

    v.place.site = q->sites[site];
    take_time(&v, q->at);
    return v;
}

/* Of sites that have the same zone one will do. */
static void add_site(struct question *q, const struct policy_doc *d, const struct policy_site *site)
{
    const char *zone = site->zone[0] != '\0' ? site->zone : d->zone;

    q->link_sites++;
    for (size_t i = 0; i < q->site_count; i++)
        if (strcmp(q->zones[i], zone) == 0)
            return;
    q->is_cut = q->site_count == ZONES_MAX;
    if (q->is_cut)
        return;
    q->zones[q->site_count] = zone;
    q->sites[q->site_count++] = site->name;
}

static enum exit_code take_link(const struct cli *cli, const struct policy_doc *d,
                                struct question *q)
{
    if (cli_text(cli, "site") != NULL || cli_text(cli, "device") != NULL)
        return cli_usage(cli, "--link is asked for alone: what crosses it is of all its sites and "
                              "devices together");
    for (size_t i = 0; d != NULL && i < d->site_count; i++)
        if (strcmp(d->sites[i].link, q->link) == 0)
            add_site(q, d, &d->sites[i]);
    q->place.sum = POLICY_OF_LINK;
    q->place.device = "";
    if (q->is_cut)
        output_note(cli->output, "the sites of link %s have more than %d time zones: told are %d",
                    q->link, ZONES_MAX, ZONES_MAX);
    if (q->site_count > 0)
        return EXIT_DONE;
    return output_fail(cli->output, ALB_NOT_FOUND,
                       "no site of the policy is on a link named %s; sites name theirs (`albedo "
                       "site list`, or `sites` of `albedo policy show --document`)",
                       q->link);
}

static enum exit_code take_class(const struct cli *cli, enum policy_class *out)
{
    static const enum policy_class ALL[] = {POLICY_ANY_CLASS, POLICY_URGENT, POLICY_NORMAL,
                                            POLICY_SCAVENGER};
    const char *text = cli_text(cli, "class");

    *out = POLICY_SCAVENGER; /* what a pull is, unless somebody said otherwise */
    if (text == NULL)
        return EXIT_DONE;
    for (size_t i = 0; i < ALB_COUNT(ALL); i++)
        if (strcmp(policy_class_word(ALL[i]), text) == 0) {
            *out = ALL[i];
            return EXIT_DONE;
        }
    return cli_usage(cli, "--class %s: it is urgent, normal, scavenger or any", text);
}

/* What is not said is asked for this member itself. */
static enum exit_code take_question(const struct cli *cli, const struct policy_copy_of *c,
                                    struct question *q)
{
    const struct state_identity *who = &c->link.state->who;
    const char *site = cli_text(cli, "site"), *device = cli_text(cli, "device");
    const bool is_self = site == NULL && device == NULL && who->role != ROLE_ADMIN;

    *q = (struct question){
        .has_lan = cli_flag(cli, "lan"), .at = cli_text(cli, "at"), .link = cli_text(cli, "link")};
    q->place.job = cli_text(cli, "layer");
    enum exit_code code = take_class(cli, &q->place.class);
    if (code == EXIT_DONE)
        code = check_time(cli, q->at);
    if (code != EXIT_DONE || q->link != NULL)
        return code != EXIT_DONE ? code : take_link(cli, policy_peek(policy_book_peek(c->book)), q);
    q->sites[q->site_count++] = site != NULL ? site : is_self ? who->site : "";
    q->place.device = device != NULL ? device : is_self ? who->device : "";
    if (is_self)
        own_addresses_read(&q->own);
    q->place.addresses = q->own.list;
    q->place.address_count = q->own.count;
    return EXIT_DONE;
}

/* When the layer that is asked about must be there; POLICY_NEVER: no deadline is known. */
static int64_t deadline_of(const struct view *v)
{
    const struct policy_place *place = &v->place;

    if (place->job == NULL)
        return POLICY_NEVER;
    return policy_deadline(policy_book_peek(v->book), place->job, place->site, v->wall_s);
}

static void put_terms(struct json_writer *w, const char *key, const struct policy *p,
                      const struct policy_terms *t, const char *text)
{
    json_object_begin(w, key);
    json_text(w, "mode", policy_mode_word(t->action.mode));
    json_number(w, "rate_bps", t->action.rate_bps);
    json_number(w, "ceiling_bps", t->action.ceiling_bps);
    json_number(w, "floor_bps", t->action.floor_bps);
    json_number(w, "percent", t->action.percent);
    json_text(w, "profile", policy_profile_word(t->action.profile));
    json_number(w, "max_queue_ms", t->action.max_queue_ms);
    json_text(w, "source", policy_source_word(t->source));
    json_number(w, "index", t->index);
    policy_terms_show(p, t, w);
    json_text(w, "text", text);
    json_end(w);
}

static void put_line(struct json_writer *w, const struct view *v, size_t line)
{
    const struct policy *p = policy_book_peek(v->book);
    struct policy_explanation e;

    explain_one(v, line, &e);
    json_object_begin(w, NULL);
    json_text(w, "of", LINES[line].word);
    json_text(w, "zone", e.zone);
    json_bool(w, "zone_known", e.zone_is_known);
    json_bool(w, "clock_known", e.clock_is_known);
    json_signed(w, "at", v->wall_s == POLICY_NO_CLOCK ? 0 : v->wall_s);
    put_terms(w, "now", p, &e.now, e.now_text);
    if (e.next_s != POLICY_NEVER) {
        json_signed(w, "next_at", e.next_s);
        put_terms(w, "next", p, &e.next, e.next_text);
    }
    json_end(w);
}

static void explain_json(struct output *o, const struct policy_copy_of *c, const struct question *q)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_bool(w, "asked", c->is_current);
    json_number(w, "policy", policy_book_number(c->book, POLICY_RULES));
    json_number(w, "overrides", policy_book_number(c->book, POLICY_OVERRIDES));
    json_text(w, "site", q->link == NULL ? q->sites[0] : "");
    json_text(w, "device", q->place.device);
    json_text(w, "layer", q->place.job != NULL ? q->place.job : "");
    if (q->link != NULL) {
        json_text(w, "link", q->link);
        json_number(w, "link_sites", q->link_sites);
    } else {
        const struct view v = view_of(c->book, q, 0);
        if (deadline_of(&v) != POLICY_NEVER)
            json_signed(w, "deadline_at", deadline_of(&v));
    }
    json_array_begin(w, "lines");
    for (size_t i = 0; i < q->site_count; i++) {
        const struct view v = view_of(c->book, q, i);
        for (size_t line = 0; line < line_count(q); line++)
            put_line(w, &v, line);
    }
    json_end(w);
    json_end(w);
    output_json(o, w);
}

/* Whom it is asked for. */
static void head_whom(struct output *o, const struct question *q)
{
    const char *site = q->sites[0], *device = q->place.device, *job = q->place.job;

    if (q->link != NULL) {
        output_say(o, "for all that crosses link %s, of %zu site%s%s%s, class %s", q->link,
                   q->link_sites, q->link_sites == 1 ? "" : "s", job != NULL ? ", layer " : "",
                   job != NULL ? job : "", policy_class_word(q->place.class));
        return;
    }
    output_say(o, "for%s%s%s%s%s%s%s, class %s", site[0] != '\0' ? " site " : "", site,
               device[0] != '\0' ? " device " : "", device, job != NULL ? " layer " : "",
               job != NULL ? job : "",
               site[0] == '\0' && device[0] == '\0' && job == NULL ? " everyone" : "",
               policy_class_word(q->place.class));
    if (site[0] == '\0' && device[0] != '\0')
        output_say(o, "no --site is said, so rules of sites and links are left out");
}

static void head_when(struct output *o, const struct view *v, const struct policy_explanation *e)
{
    char time[UNITS_TEXT_SIZE];

    if (e->clock_is_known)
        output_say(o, "at %s, zone %s%s", format_time(v->wall_s, time), e->zone,
                   e->zone_is_known ? "" : " (not known here: the strictest holds)");
    else
        output_say(o, "at a time nobody knows: this clock is behind the last verified time, so the "
                      "strictest of all windows holds; set the clock");
}

static void tell_deadline(struct output *o, const struct view *v)
{
    const int64_t by_s = deadline_of(v);
    char time[UNITS_TEXT_SIZE];

    if (by_s == POLICY_NEVER)
        return;
    output_say(o, "%-9s      %s%s", "deadline", format_time(by_s, time),
               by_s <= v->wall_s ? " is past: what may scavenge does not give way until it is there"
                                 : ": what may scavenge stops giving way when it would be late");
    output_say(o,
               "%-9s      `albedo explain rate` tells how it stands; what is off, capped or "
               "below a ceiling stays so",
               "");
}

static void explain_text(struct output *o, const struct policy_copy_of *c, const struct question *q)
{
    struct policy_explanation e;

    output_say(
        o, "policy %" PRIu64 ", overrides %" PRIu64 "%s", policy_book_number(c->book, POLICY_RULES),
        policy_book_number(c->book, POLICY_OVERRIDES), c->is_current ? "" : ", as kept here");
    head_whom(o, q);
    for (size_t i = 0; i < q->site_count * line_count(q); i++) {
        const size_t line = i % line_count(q);
        const struct view v = view_of(c->book, q, i / line_count(q));
        explain_one(&v, line, &e);
        if (line == 0)
            head_when(o, &v, &e);
        output_say(o, "%-9s now   %s", LINES[line].word, e.now_text);
        if (e.next_s != POLICY_NEVER)
            output_say(o, "%-9s then  %s", "", e.next_text);
    }
    if (q->link == NULL) {
        const struct view v = view_of(c->book, q, 0);
        tell_deadline(o, &v);
    }
}

enum exit_code cmd_policy_explain(struct cli *cli)
{
    struct policy_copy_of copy;
    struct question q;
    enum exit_code code = policy_copy_begin(cli, &copy);

    if (code != EXIT_DONE)
        return code;
    code = take_question(cli, &copy, &q);
    if (code == EXIT_DONE && cli->output->json)
        explain_json(cli->output, &copy, &q);
    else if (code == EXIT_DONE)
        explain_text(cli->output, &copy, &q);
    policy_copy_end(&copy);
    return code;
}
