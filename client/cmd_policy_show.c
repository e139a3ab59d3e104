/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_policy_show.c – `albedo policy show`: what is in force; from this member's own copy
 * when nobody can be reached. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "client/policy_copy.h"
#include "client/table.h"
#include "wire/policy_csv.h"

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
