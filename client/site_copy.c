/* SPDX-License-Identifier: Apache-2.0 */
/* client/site_copy.c – asking for the directory, giving it back. */
#include "client/site_copy.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "client/table.h"

/* What is wrong with it, or was unwise before anybody changed anything here. */
static void look_at(struct site_copy *c)
{
    for (size_t i = 0; i < c->sites->count; i++) /* lines of what the hub sent mean nothing here */
        c->sites->list[i].line = 0;
    sites_check(c->sites, NULL, NULL, &c->seen);
}

static void tell_findings(struct output *o, const struct policy_findings *f)
{
    findings_say(o, "what the hub sent", f);
    if (f->count > 0)
        findings_tell(o, "sites_checked", NULL, f);
}

static enum exit_code fetch(struct site_copy *c)
{
    struct policy_findings findings;
    struct link_answer answer;
    enum exit_code code = EXIT_DONE;

    link_ask(&c->link, &(struct upstream_ask){.method = "GET", .path = "/v1/sites"}, &answer);
    policy_findings_init(&findings);
    if (!alb_failed(answer.st))
        answer.st = buf_append(&c->text, buf_peek(&answer.body), buf_size(&answer.body));
    if (!alb_failed(answer.st))
        answer.st =
            sites_decode(buf_peek(&c->text), buf_size(&c->text), NULL, NULL, &findings, &c->sites);
    if (alb_failed(answer.st)) {
        tell_findings(c->link.output, &findings);
        code = link_fail(&c->link, &answer, "asking for the sites");
    } else {
        c->number = c->sites->number;
        look_at(c);
    }
    policy_findings_release(&findings);
    link_answer_release(&answer);
    return code;
}

enum exit_code site_copy_begin(struct cli *cli, struct site_copy *out)
{
    const struct link_options options = {.at_hub = true};
    enum exit_code code = link_begin(cli, &options, &out->link);

    if (code != EXIT_DONE)
        return code;
    out->sites = NULL;
    out->number = 0;
    out->said = NULL;
    policy_findings_init(&out->seen);
    buf_init(&out->text, SITES_BYTES_MAX);
    code = fetch(out);
    if (code != EXIT_DONE)
        site_copy_end(out);
    return code;
}

void site_copy_end(struct site_copy *c)
{
    c->sites = sites_free(c->sites);
    c->said = json_doc_free(c->said);
    policy_findings_release(&c->seen);
    buf_release(&c->text);
    link_end(&c->link);
}

enum exit_code site_copy_ask(struct site_copy *c, const char *path, struct json_doc **out)
{
    struct link_answer answer;
    const enum exit_code code =
        link_get_json(&c->link, path, "asking who is at the sites", &answer, out);

    link_answer_release(&answer);
    return code;
}

void site_copy_warn(const struct site_copy *c, const struct policy_findings *f)
{
    for (size_t i = 0; f != NULL && i < f->count; i++)
        if (!f->list[i].is_error && !policy_findings_have(&c->seen, f->list[i].text))
            output_note(c->link.output, "warning: %s", f->list[i].text);
    for (size_t i = 0; c->said != NULL && i < json_doc_count(c->said, "warnings"); i++) {
        AUTO_FREE char *at = xasprintf("warnings.%zu", i);

        output_note(c->link.output, "warning: in the policy with these sites: %s",
                    json_doc_text(c->said, at));
    }
}

void site_copy_put_warnings(const struct site_copy *c, const struct policy_findings *f,
                            struct json_writer *w)
{
    json_array_begin(w, "warnings");
    for (size_t i = 0; f != NULL && i < f->count; i++)
        if (!f->list[i].is_error && !policy_findings_have(&c->seen, f->list[i].text))
            json_text(w, NULL, f->list[i].text);
    for (size_t i = 0; c->said != NULL && i < json_doc_count(c->said, "warnings"); i++) {
        AUTO_FREE char *at = xasprintf("warnings.%zu", i);

        json_text(w, NULL, json_doc_text(c->said, at));
    }
    json_end(w);
}

static struct alb_status read_answer(struct site_copy *c, const struct link_answer *answer,
                                     struct site_put *out)
{
    struct json_doc *said = NULL;
    struct alb_status st = json_doc_parse(buf_peek(&answer->body), buf_size(&answer->body), &said);
    char cell[CELL_SIZE_MAX];

    if (alb_failed(st))
        return st;
    out->number = json_doc_number(said, "number");
    out->policy = json_doc_number(said, "policy");
    out->has_changed = strcmp(table_cell(said, "changed", CELL_VALUE, cell), "yes") == 0;
    json_doc_free(c->said);
    c->said = said;
    return st;
}

enum exit_code site_copy_put(struct site_copy *c, bool is_dry, struct site_put *out)
{
    AUTO_FREE char *path =
        xasprintf("/v1/sites-put?if=%" PRIu64 "%s", c->number, is_dry ? "&dry=1" : "");
    struct link_answer answer;
    enum exit_code code = EXIT_DONE;
    struct buf body;

    c->sites->number = 0;
    buf_init(&body, SITES_BYTES_MAX);
    const struct alb_status st = sites_encode(c->sites, &body);
    if (alb_failed(st)) {
        buf_release(&body);
        return output_fail_status(c->link.output, st, "changing the sites");
    }
    link_ask(
        &c->link,
        &(struct upstream_ask){
            .method = "POST", .path = path, .body = buf_peek(&body), .body_size = buf_size(&body)},
        &answer);
    if (!alb_failed(answer.st))
        answer.st = read_answer(c, &answer, out);
    if (alb_failed(answer.st))
        code = link_fail(&c->link, &answer, "changing the sites");
    link_answer_release(&answer);
    buf_release(&body);
    return code;
}
