/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_policy_show.c – `albedo policy show|explain`: what is in force, here and now, and what
 * comes next; from this member's own copy when nobody can be reached. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "client/policy_copy.h"
#include "client/table.h"
#include "net/own_address.h"
#include "wire/policy_csv.h"
#include "wire/policy_words.h"

/* ---- show ------------------------------------------------------------------------------------ */

static const struct column rule_columns[] = {
    {"RULE", "name", CELL_TEXT},       {"SCOPE", "scope", CELL_TEXT}, {"DAYS", "days", CELL_TEXT},
    {"HOURS", "hours", CELL_TEXT},     {"MODE", "mode", CELL_TEXT},   {"RATE", "rate", CELL_TEXT},
    {"CEILING", "ceiling", CELL_TEXT}, {"NOTE", "note", CELL_TEXT},
};
static const struct column override_columns[] = {
    {"OVERRIDE", "id", CELL_TEXT}, {"DOES", "what", CELL_TEXT}, {"SCOPE", "scope", CELL_TEXT},
    {"UNTIL", "until", CELL_TEXT}, {"BY", "by", CELL_TEXT},     {"WHY", "why", CELL_TEXT},
};

/* Both documents as JSON, to be shown; NULL when one could not be spelled. */
struct shown {
    struct buf rules_text, overrides_text;
    struct json_doc *rules, *overrides;
};

static void shown_release(struct shown *s)
{
    json_doc_free(s->rules);
    json_doc_free(s->overrides);
    buf_release(&s->rules_text);
    buf_release(&s->overrides_text);
}

/* The hub takes what has expired off the list with its next change only. */
static struct alb_status write_overrides(const struct policy_overrides *all, int64_t now_s,
                                         struct buf *out)
{
    AUTO_FREE struct policy_overrides *left = xalloc(sizeof *left);

    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].until_s > now_s)
            left->list[left->count++] = all->list[i];
    return policy_overrides_encode(left, out);
}

static struct alb_status shown_init(struct shown *s, const struct policy *policy, int64_t now_s)
{
    *s = (struct shown){.rules = NULL};
    buf_init(&s->rules_text, POLICY_BYTES_MAX);
    buf_init(&s->overrides_text, POLICY_BYTES_MAX);
    struct alb_status st = policy_doc_encode(policy_peek(policy), &s->rules_text);
    if (!alb_failed(st))
        st = write_overrides(policy_peek_overrides(policy), now_s, &s->overrides_text);
    if (!alb_failed(st))
        st = json_doc_parse(buf_peek(&s->rules_text), buf_size(&s->rules_text), &s->rules);
    if (!alb_failed(st))
        st = json_doc_parse(buf_peek(&s->overrides_text), buf_size(&s->overrides_text),
                            &s->overrides);
    if (alb_failed(st))
        shown_release(s);
    return st;
}

static void put_number(struct json_writer *w, const struct policy_book *b, enum policy_part part)
{
    json_number(w, "number", policy_book_number(b, part));
    json_signed(w, "issued", policy_book_issued_s(b, part));
}

static void show_json(struct output *o, const struct policy_copy_of *c, const struct shown *s)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_bool(w, "asked", c->is_current);
    json_object_begin(w, "policy");
    put_number(w, c->book, POLICY_RULES);
    json_relay(w, "document", s->rules, "");
    json_end(w);
    json_object_begin(w, "overrides");
    put_number(w, c->book, POLICY_OVERRIDES);
    json_relay(w, "list", s->overrides, "overrides");
    json_end(w);
    json_end(w);
    output_json(o, w);
}

static void show_table(struct output *o, const struct policy_copy_of *c, const struct shown *s)
{
    const struct policy_doc *d = policy_peek(policy_book_peek(c->book));
    char words[160], issued[UNITS_TEXT_SIZE];

    if (policy_book_number(c->book, POLICY_RULES) == 0)
        output_say(o, "there is no policy yet: everything takes only what nobody else wants");
    else
        output_say(o, "policy %" PRIu64 " of %s: %s, zone %s",
                   policy_book_number(c->book, POLICY_RULES),
                   format_time(policy_book_issued_s(c->book, POLICY_RULES), issued),
                   policy_doc_words(d, words), d->zone);
    if (d->rule_count > 0)
        table_print(o, s->rules, "rules", rule_columns, ALB_COUNT(rule_columns));
    if (json_doc_count(s->overrides, "overrides") == 0)
        return;
    output_say(o, "\noverrides, the first that fits holds:");
    table_print(o, s->overrides, "overrides", override_columns, ALB_COUNT(override_columns));
}

/* What cannot be written is told at the end (output_finish()). */
static void print_text(struct output *o, const struct buf *text)
{
    (void)!fwrite(buf_peek(text), 1, buf_size(text), o->out);
}

static enum exit_code show_csv(struct output *o, const struct policy *policy)
{
    struct buf text;

    buf_init(&text, 4 * POLICY_BYTES_MAX);
    struct alb_status st = policy_csv_write(policy_peek(policy), &text);
    if (!alb_failed(st))
        print_text(o, &text);
    buf_release(&text);
    return alb_failed(st) ? output_fail_status(o, st, "the policy as a table") : EXIT_DONE;
}

static enum exit_code show(struct cli *cli, struct policy_copy_of *c)
{
    const struct policy *policy = policy_book_peek(c->book);
    struct shown s;

    if (cli_flag(cli, "csv"))
        return show_csv(cli->output, policy);
    struct alb_status st = shown_init(&s, policy, policy_book_now_s(c->book));
    if (alb_failed(st))
        return output_fail_status(cli->output, st, "showing the policy");
    if (cli_flag(cli, "document")) {
        print_text(cli->output, &s.rules_text);
        fputc('\n', cli->output->out);
    } else if (cli->output->json) {
        show_json(cli->output, c, &s);
    } else {
        show_table(cli->output, c, &s);
    }
    shown_release(&s);
    return EXIT_DONE;
}

enum exit_code cmd_policy_show(struct cli *cli)
{
    struct policy_copy_of copy;

    if (cli_flag(cli, "csv") && (cli_flag(cli, "document") || cli->output->json))
        return cli_usage(cli, "--csv, --document and --json: one of them");
    enum exit_code code = policy_copy_begin(cli, &copy);
    if (code != EXIT_DONE)
        return code;
    code = show(cli, &copy);
    policy_copy_end(&copy);
    return code;
}

/* ---- explain --------------------------------------------------------------------------------- */

struct question {
    struct policy_place place;
    struct own_addresses own; /* when it is about this member itself */
    int64_t wall_s;
    bool has_lan;
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

static void explain_one(const struct policy_book *b, const struct question *q, size_t line,
                        struct policy_explanation *out)
{
    struct policy_place place = q->place;

    place.side = LINES[line].side;
    place.direction = LINES[line].direction;
    policy_explain(policy_book_peek(b), &place, q->wall_s, out);
}

/* 2026-12-01T06:00Z, or without the Z: the site's own time. */
static enum exit_code take_time(const struct cli *cli, const struct policy_book *b,
                                struct question *q)
{
    struct policy_explanation there;
    const char *text = cli_text(cli, "at");
    int64_t wall_s = 0;

    if (text == NULL) {
        q->wall_s = policy_book_now_s(b);
        return EXIT_DONE;
    }
    const size_t size = strlen(text);
    const bool is_utc = size > 0 && text[size - 1] == 'Z';
    AUTO_FREE char *spelled = xasprintf("%s%s", text, is_utc ? "" : "Z");
    struct alb_status st = instant_parse(spelled, &wall_s);
    if (alb_failed(st))
        return cli_usage(cli,
                         "--at %s: a time is written 2026-12-01T06:00 in the site's own zone, "
                         "or with a Z behind it in UTC",
                         text);
    q->wall_s = wall_s;
    for (int turn = 0; turn < 2 && !is_utc; turn++) { /* twice: the offset may change nearby */
        explain_one(b, q, 0, &there);
        q->wall_s = wall_s - there.now_east_s;
    }
    return EXIT_DONE;
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

    *q = (struct question){.has_lan = cli_flag(cli, "lan")};
    q->place.site = site != NULL ? site : is_self ? who->site : "";
    q->place.device = device != NULL ? device : is_self ? who->device : "";
    q->place.job = cli_text(cli, "layer");
    if (is_self)
        own_addresses_read(&q->own);
    q->place.addresses = q->own.list;
    q->place.address_count = q->own.count;
    enum exit_code code = take_class(cli, &q->place.class);
    return code == EXIT_DONE ? take_time(cli, c->book, q) : code;
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

static void explain_json(struct output *o, const struct policy_copy_of *c, const struct question *q)
{
    const struct policy *p = policy_book_peek(c->book);
    struct json_writer *w = json_writer_new();
    struct policy_explanation e;

    json_object_begin(w, NULL);
    json_bool(w, "asked", c->is_current);
    json_number(w, "policy", policy_book_number(c->book, POLICY_RULES));
    json_number(w, "overrides", policy_book_number(c->book, POLICY_OVERRIDES));
    json_text(w, "site", q->place.site);
    json_text(w, "device", q->place.device);
    json_text(w, "layer", q->place.job != NULL ? q->place.job : "");
    json_array_begin(w, "lines");
    for (size_t i = 0; i < line_count(q); i++) {
        explain_one(c->book, q, i, &e);
        json_object_begin(w, NULL);
        json_text(w, "of", LINES[i].word);
        json_text(w, "zone", e.zone);
        json_bool(w, "zone_known", e.zone_is_known);
        json_bool(w, "clock_known", e.clock_is_known);
        json_signed(w, "at", q->wall_s == POLICY_NO_CLOCK ? 0 : q->wall_s);
        put_terms(w, "now", p, &e.now, e.now_text);
        if (e.next_s != POLICY_NEVER) {
            json_signed(w, "next_at", e.next_s);
            put_terms(w, "next", p, &e.next, e.next_text);
        }
        json_end(w);
    }
    json_end(w);
    json_end(w);
    output_json(o, w);
}

static void explain_head(struct output *o, const struct policy_copy_of *c, const struct question *q,
                         const struct policy_explanation *e)
{
    const struct policy_place *p = &q->place;
    char time[UNITS_TEXT_SIZE];

    output_say(
        o, "policy %" PRIu64 ", overrides %" PRIu64 "%s", policy_book_number(c->book, POLICY_RULES),
        policy_book_number(c->book, POLICY_OVERRIDES), c->is_current ? "" : ", as kept here");
    output_say(o, "for%s%s%s%s%s%s%s, class %s", p->site[0] != '\0' ? " site " : "", p->site,
               p->device[0] != '\0' ? " device " : "", p->device, p->job != NULL ? " layer " : "",
               p->job != NULL ? p->job : "",
               p->site[0] == '\0' && p->device[0] == '\0' && p->job == NULL ? " everyone" : "",
               policy_class_word(p->class));
    if (p->site[0] == '\0' && p->device[0] != '\0')
        output_say(o, "no --site is said, so rules of sites and links are left out");
    if (e->clock_is_known)
        output_say(o, "at %s, zone %s%s", format_time(q->wall_s, time), e->zone,
                   e->zone_is_known ? "" : " (not known here: the strictest holds)");
    else
        output_say(o, "at a time nobody knows: this clock is behind the last verified time, so the "
                      "strictest of all windows holds; set the clock");
}

static void explain_text(struct output *o, const struct policy_copy_of *c, const struct question *q)
{
    struct policy_explanation e;

    for (size_t i = 0; i < line_count(q); i++) {
        explain_one(c->book, q, i, &e);
        if (i == 0)
            explain_head(o, c, q, &e);
        output_say(o, "%-9s now   %s", LINES[i].word, e.now_text);
        if (e.next_s != POLICY_NEVER)
            output_say(o, "%-9s then  %s", "", e.next_text);
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
