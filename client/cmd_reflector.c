/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_reflector.c – `albedo reflector list|accept|drain|suspend|disable`: whom reflectors
 * serve. */
#include <inttypes.h>

#include "base/alloc.h"
#include "client/link.h"
#include "client/table.h"
#include "wire/states.h"

enum { BODY_MAX = 64 << 10 };

static const struct column columns[] = {
    {"REFLECTOR", "device", CELL_TEXT},
    {"SITE", "site", CELL_TEXT},
    {"STATE", "state", CELL_TEXT},
    {"ONLINE", "online", CELL_VALUE},
    {"DEVICES", "sessions", CELL_NUMBER},
    {"SINCE", "since", CELL_TIME},
    {"BY", "by", CELL_TEXT},
    {"WHY", "why", CELL_TEXT},
};

static enum exit_code print_list(struct cli *cli, const struct json_doc *reflectors)
{
    table_print(cli->output, reflectors, "reflectors", columns, ALB_COUNT(columns));
    return EXIT_DONE;
}

enum exit_code cmd_reflector_list(struct cli *cli)
{
    return link_show(cli, &(struct link_options){.at_hub = true}, "/v1/reflectors",
                     "listing reflectors", print_list);
}

/* ---- what they are to do --------------------------------------------------------------------- */

/* What can be said without asking the hub. */
static enum exit_code check(const struct cli *cli, const char *why, bool wipe)
{
    struct alb_status st;

    for (size_t i = 0; i < cli->word_count; i++) {
        st = id_check(cli->words[i]);
        if (alb_failed(st))
            return cli_usage(cli, "NAME %s: %s", cli->words[i], st.what);
    }
    st = state_why_check(why);
    if (alb_failed(st))
        return cli_usage(cli, "--%s", st.what);
    if (wipe && !cli_flag(cli, "yes"))
        return cli_usage(cli,
                         "--wipe deletes everything that %s%s cached, and all of it has to "
                         "cross the line again: say --yes, too",
                         cli->words[0], cli->word_count > 1 ? " and the others have" : " has");
    return EXIT_DONE;
}

static struct alb_status put_request(const struct cli *cli, enum reflector_state state,
                                     const char *why, bool wipe, struct buf *out)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_array_begin(w, "device");
    for (size_t i = 0; i < cli->word_count; i++)
        json_text(w, NULL, cli->words[i]);
    json_end(w);
    json_text(w, "state", reflector_state_word(state));
    json_bool(w, "wipe", wipe);
    json_text(w, "why", why);
    json_end(w);
    return json_writer_finish(w, out);
}

static void say_changed(const struct cli *cli, const struct json_doc *said)
{
    static const char *const MEANS[REFLECTOR_STATES] = {
        [REFLECTOR_ACCEPT] = "accepts: it serves, and fetches what it lacks",
        [REFLECTOR_DRAIN] = "drains: it serves what it has to those who are connected",
        [REFLECTOR_SUSPEND] = "is suspended: it serves what it has and fetches nothing",
        [REFLECTOR_DISABLE] = "is disabled: it serves nobody",
    };
    enum reflector_state state = REFLECTOR_ACCEPT;
    const size_t count = json_doc_count(said, "changed");

    alb_ignore(reflector_state_parse(json_doc_text(said, "state"), &state), "it is what we said");
    for (size_t i = 0; i < count; i++) {
        char path[32];

        snprintf(path, sizeof path, "changed.%zu", i);
        output_say(cli->output, "%s %s", json_doc_text(said, path), MEANS[state]);
    }
    if (count < cli->word_count)
        output_say(cli->output, "%s: so it was already",
                   cli->word_count == 1 ? cli->words[0] : "the others");
}

static enum exit_code tell(struct cli *cli, const struct buf *body)
{
    const struct link_options options = {.at_hub = true};
    struct link_answer answer;
    struct json_doc *said = NULL;
    struct link link;
    enum exit_code code = link_begin(cli, &options, &link);

    if (code != EXIT_DONE)
        return code;
    link_ask(&link,
             &(struct upstream_ask){.method = "POST",
                                    .path = "/v1/states-put",
                                    .body = buf_peek(body),
                                    .body_size = buf_size(body),
                                    .expect_bytes = BODY_MAX},
             &answer);
    if (!alb_failed(answer.st))
        answer.st = json_doc_parse(buf_peek(&answer.body), buf_size(&answer.body), &said);
    if (alb_failed(answer.st))
        code = link_fail(&link, &answer, "telling reflectors");
    else if (cli->output->json)
        output_json_text(cli->output, buf_peek(&answer.body), buf_size(&answer.body));
    else
        say_changed(cli, said);
    json_doc_free(said);
    link_answer_release(&answer);
    link_end(&link);
    return code;
}

static enum exit_code set(struct cli *cli, enum reflector_state state, const char *why, bool wipe)
{
    enum exit_code code = check(cli, why, wipe);
    struct buf body;

    if (code != EXIT_DONE)
        return code;
    buf_init(&body, BODY_MAX);
    struct alb_status st = put_request(cli, state, why, wipe, &body);
    code = alb_failed(st) ? output_fail_status(cli->output, st, "telling reflectors")
                          : tell(cli, &body);
    buf_release(&body);
    return code;
}

static const char *why_of(const struct cli *cli)
{
    const char *why = cli_text(cli, "why");

    return why == NULL ? "" : why;
}

enum exit_code cmd_reflector_accept(struct cli *cli)
{
    return set(cli, REFLECTOR_ACCEPT, "", false);
}

enum exit_code cmd_reflector_drain(struct cli *cli)
{
    return set(cli, REFLECTOR_DRAIN, why_of(cli), false);
}

enum exit_code cmd_reflector_suspend(struct cli *cli)
{
    return set(cli, REFLECTOR_SUSPEND, why_of(cli), false);
}

enum exit_code cmd_reflector_disable(struct cli *cli)
{
    return set(cli, REFLECTOR_DISABLE, why_of(cli), cli_flag(cli, "wipe"));
}
