/* SPDX-License-Identifier: Apache-2.0 */
/* client/policy_copy.c – the policy as it is kept here, asked for, or read from a file. */
#include "client/policy_copy.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "client/findings.h"
#include "shaper/policy_zone.h"

/* People wait: cut off, the answer is here already. */
#define ASK_NS (5 * NS_PER_S)

/* ---- the copy -------------------------------------------------------------------------------- */

static struct alb_status ask_part(struct policy_copy_of *c, enum policy_part part)
{
    struct link_answer answer;
    char path[64];

    snprintf(path, sizeof path, "/v1/%s?after=%" PRIu64, policy_part_name(part),
             policy_book_number(c->book, part));
    link_ask(&c->link,
             &(struct upstream_ask){
                 .method = "GET", .path = path, .expect_bytes = SIGNED_MAX, .timeout_ns = ASK_NS},
             &answer);
    struct alb_status st = answer.st;
    if (!alb_failed(st))
        st = policy_book_take(c->book, part, buf_peek(&answer.body), buf_size(&answer.body));
    else if (st.code == ALB_NOT_FOUND)
        st = ALB_STATUS_OK; /* nothing newer */
    link_answer_release(&answer);
    return st;
}

static struct alb_status ask_both(struct policy_copy_of *c)
{
    struct alb_status st = ask_part(c, POLICY_RULES);

    return alb_failed(st) ? st : ask_part(c, POLICY_OVERRIDES);
}

void policy_copy_make_current(struct policy_copy_of *c)
{
    struct alb_status st = ask_both(c);
    char why[256];

    /* Signed by a key that we do not know yet, perhaps. */
    if (st.code == ALB_CORRUPT && link_refresh_trust(&c->link, NULL) == EXIT_DONE)
        st = ask_both(c);
    c->is_current = !alb_failed(st);
    if (c->is_current || c->link.interrupted)
        return;
    if (st.code == ALB_CLOSED || st.code == ALB_TIMEOUT)
        output_note(c->link.output, "the %s cannot be reached; this is what is kept here",
                    c->link.is_hub ? "hub" : "reflector");
    else
        output_note(c->link.output,
                    "what the %s sent is not believed (%s); this is what is kept "
                    "here",
                    c->link.is_hub ? "hub" : "reflector", alb_status_text(st, why, sizeof why));
}

enum exit_code policy_copy_open(struct cli *cli, bool at_hub, struct policy_copy_of *out)
{
    const struct link_options options = {.at_hub = at_hub};
    enum exit_code code = link_begin(cli, &options, &out->link);

    if (code != EXIT_DONE)
        return code;
    out->is_current = false;
    out->book =
        policy_book_open(&(struct policy_book_options){.loop = out->link.loop,
                                                       .authority = out->link.authority,
                                                       .catalogue = out->link.state->catalogue,
                                                       .reads_at_once = true});
    return EXIT_DONE;
}

enum exit_code policy_copy_begin(struct cli *cli, struct policy_copy_of *out)
{
    enum exit_code code = policy_copy_open(cli, false, out);

    if (code == EXIT_DONE && !cli_flag(cli, "local"))
        policy_copy_make_current(out);
    return code;
}

void policy_copy_end(struct policy_copy_of *c)
{
    c->book = policy_book_close(c->book);
    link_end(&c->link);
}

/* ---- a file ---------------------------------------------------------------------------------- */

const char *policy_doc_words(const struct policy_doc *d, char out[160])
{
    snprintf(out, 160, "%zu rule%s, %zu site%s, %zu calendar%s, %zu deadline%s", d->rule_count,
             d->rule_count == 1 ? "" : "s", d->site_count, d->site_count == 1 ? "" : "s",
             d->calendar_count, d->calendar_count == 1 ? "" : "s", d->deadline_count,
             d->deadline_count == 1 ? "" : "s");
    return out;
}

/* A table has no place for the zone of its sites. */
static enum exit_code take_zone(const struct cli *cli, const struct buf *bytes,
                                struct policy_doc *d)
{
    const char *zone = cli_text(cli, "zone");
    const char *text = (const char *)buf_peek(bytes);
    size_t i = 0;

    if (zone == NULL)
        return EXIT_DONE;
    while (i < buf_size(bytes) && isspace((unsigned char)text[i]))
        i++;
    if (i < buf_size(bytes) && text[i] == '{')
        return cli_usage(cli, "--zone is for tables: this document names its zone itself");
    if (strlen(zone) >= POLICY_ZONE_MAX || !zone_is_known(zone, NULL))
        return cli_usage(cli, "--zone %s: no such time zone here; one is named as in Europe/Oslo",
                         zone);
    snprintf(d->zone, sizeof d->zone, "%s", zone);
    return EXIT_DONE;
}

static void tell_findings(struct output *o, const char *file, const struct policy_findings *f,
                          const struct policy_doc *d)
{
    findings_say(o, file, f);
    if (!o->json)
        return;
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_text(w, "event", "policy_checked");
    json_text(w, "file", file);
    json_number(w, "rules", d == NULL ? 0 : d->rule_count);
    json_number(w, "sites", d == NULL ? 0 : d->site_count);
    findings_put(w, f);
    json_end(w);
    output_json(o, w);
}

static enum exit_code judge(struct cli *cli, const char *file, const struct buf *bytes,
                            struct policy_doc **doc, struct buf *text)
{
    struct policy_findings findings;
    enum exit_code code = EXIT_DONE;

    policy_findings_init(&findings);
    struct alb_status st =
        policy_doc_decode(buf_peek(bytes), buf_size(bytes), zone_is_known, NULL, &findings, doc);
    tell_findings(cli->output, file, &findings, *doc);
    if (alb_failed(st) && findings.errors == 0)
        code = output_fail_status(cli->output, st, "%s", file);
    else if (alb_failed(st))
        code = output_fail(cli->output, ALB_INVALID, "%s: %zu error%s in this policy", file,
                           findings.errors, findings.errors == 1 ? "" : "s");
    policy_findings_release(&findings);
    if (code == EXIT_DONE)
        code = take_zone(cli, bytes, *doc);
    if (code == EXIT_DONE && alb_failed(policy_doc_encode(*doc, text)))
        code = output_fail(cli->output, ALB_INVALID,
                           "%s: over 1 MiB as the hub keeps it; shorten "
                           "its notes, or merge sites",
                           file);
    return code;
}

enum exit_code policy_file_read(struct cli *cli, const char *file, struct policy_doc **doc,
                                struct buf *text)
{
    struct policy_doc *d = NULL;
    struct buf bytes;

    buf_init(&bytes, POLICY_BYTES_MAX);
    enum exit_code code = findings_file_read(cli, file, "a policy is at most 1 MiB", &bytes);
    if (code == EXIT_DONE)
        code = judge(cli, file, &bytes, &d, text);
    buf_release(&bytes);
    if (code != EXIT_DONE) {
        policy_doc_free(d);
        return code;
    }
    *doc = d;
    return EXIT_DONE;
}
