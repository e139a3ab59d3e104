/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_token.c – `albedo token create`: the token alone on standard output; and which tokens
 * there are, and withdrawing one. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/units.h"
#include "client/link.h"
#include "client/named.h"
#include "client/table.h"

static enum exit_code take_text(const struct cli *cli, const char *option, bool is_id, char *out)
{
    const char *text = cli_text(cli, option);
    struct alb_status st = ALB_STATUS_OK;

    if (text == NULL)
        return EXIT_DONE;
    if (is_id)
        st = id_check(text);
    if (alb_failed(st))
        return cli_usage(cli, "--%s %s: %s", option, text, st.what);
    if (strlen(text) >= JSON_NAME)
        return cli_usage(cli, "--%s: it is too long", option);
    memcpy(out, text, strlen(text) + 1);
    return EXIT_DONE;
}

static enum exit_code take_role(const struct cli *cli, struct token_request *r)
{
    const char *text = cli_text(cli, "role");
    enum role role = ROLE_NONE;
    const unsigned joins = ROLE_REFLECTOR | ROLE_ENDPOINT | ROLE_PUBLISHER | ROLE_ADMIN;

    if (alb_failed(role_parse(text, &role)) || ((unsigned)role & joins) == 0)
        return cli_usage(cli, "--role %s: it is one of reflector, endpoint, publisher, admin",
                         text);
    if (role == ROLE_REFLECTOR && cli_text(cli, "site") == NULL)
        return cli_usage(cli, "--role reflector: say which branch it serves, with --site NAME");
    snprintf(r->role, sizeof r->role, "%s", role_name(role));
    return EXIT_DONE;
}

static enum exit_code take_layers(const struct cli *cli, struct token_request *r)
{
    const char *text = cli_text(cli, "layers");

    if (text == NULL)
        return EXIT_DONE;
    if (strcmp(r->role, "admin") == 0)
        return cli_usage(cli, "--layers: an admin cannot be limited to some");
    if (strlen(text) >= sizeof r->layers)
        return cli_usage(cli, "--layers: the list is too long");
    AUTO_FREE char *copy = xstrdup(text);
    char *rest = copy;
    for (char *one = strsep(&rest, ","); one != NULL; one = strsep(&rest, ",")) {
        struct alb_status st = layer_name_check(one);
        if (alb_failed(st))
            return cli_usage(cli, "--layers %s: %s", one, st.what);
    }
    memcpy(r->layers, text, strlen(text) + 1);
    return EXIT_DONE;
}

static enum exit_code take_limits(const struct cli *cli, struct token_request *r)
{
    const char *expires = cli_text(cli, "expires");
    uint64_t lifetime_ns = 0;
    enum exit_code code = cli_number(cli, "uses", 1, 100000, 1, &r->uses);

    if (code != EXIT_DONE || expires == NULL)
        return code;
    struct alb_status st = parse_duration(expires, &lifetime_ns);
    if (alb_failed(st))
        return cli_usage(cli, "--expires %s: %s", expires, st.what);
    if (lifetime_ns < NS_PER_S)
        return cli_usage(cli, "--expires %s: at least a second", expires);
    r->lifetime_s = lifetime_ns / NS_PER_S;
    return EXIT_DONE;
}

static enum exit_code read_typed(const struct cli *cli, struct token_request *r)
{
    enum exit_code code = take_role(cli, r);

    if (code == EXIT_DONE)
        code = take_text(cli, "site", true, r->site);
    if (code == EXIT_DONE)
        code = take_text(cli, "name", true, r->name);
    if (code == EXIT_DONE)
        code = take_limits(cli, r);
    return code == EXIT_DONE ? take_layers(cli, r) : code;
}

static void print_token(struct output *o, const char *token, const struct token_request *r)
{
    char expires[UNITS_TEXT_SIZE];

    if (o->json) {
        struct json_writer *w = json_writer_new();
        json_object_begin(w, NULL);
        json_text(w, "token", token);
        json_text(w, "role", r->role);
        json_text(w, "site", r->site);
        json_end(w);
        output_json(o, w);
        return;
    }
    output_note(o, "%s token, %" PRIu64 " use%s, expires in %s; %s:", r->role, r->uses,
                r->uses == 1 ? "" : "s",
                r->lifetime_s == 0 ? "7 days" : format_duration(r->lifetime_s * NS_PER_S, expires),
                strcmp(r->role, "reflector") == 0
                    ? "on the branch's box: albedo-reflector init … --token TOKEN"
                    : "there: albedo join … --token TOKEN");
    output_say(o, "%s", token);
}

static enum exit_code ask(struct link *l, const struct token_request *r)
{
    struct token_answer token;
    struct link_answer answer;
    struct buf body;

    buf_init(&body, 4096);
    struct alb_status st = token_request_encode(r, &body);
    if (alb_failed(st)) {
        buf_release(&body);
        return output_fail_status(l->output, st, "creating a token");
    }
    link_ask(l,
             &(struct upstream_ask){.method = "POST",
                                    .path = "/v1/token",
                                    .body = buf_peek(&body),
                                    .body_size = buf_size(&body)},
             &answer);
    if (!alb_failed(answer.st))
        answer.st = token_answer_decode(buf_peek(&answer.body), buf_size(&answer.body), &token);
    enum exit_code code = EXIT_DONE;
    if (alb_failed(answer.st))
        code = link_fail(l, &answer, "creating a token");
    else
        print_token(l->output, token.token, r);
    link_answer_release(&answer);
    buf_release(&body);
    return code;
}

enum exit_code cmd_token_create(struct cli *cli)
{
    const struct link_options options = {.at_hub = true};
    struct token_request request = {.role = ""};
    struct link link;

    enum exit_code code = read_typed(cli, &request);
    if (code == EXIT_DONE)
        code = link_begin(cli, &options, &link);
    if (code != EXIT_DONE)
        return code;
    code = ask(&link, &request);
    link_end(&link);
    return code;
}

/* ---- token list, token revoke ---------------------------------------------------------------- */

static const struct column columns[] = {
    {"TOKEN", "token", CELL_TEXT},   {"ROLE", "role", CELL_TEXT},   {"SITE", "site", CELL_TEXT},
    {"NAME", "name", CELL_TEXT},     {"USES", "uses", CELL_NUMBER}, {"UNTIL", "expires", CELL_TIME},
    {"LAYERS", "layers", CELL_TEXT},
};

static enum exit_code print_tokens(struct cli *cli, const struct json_doc *tokens)
{
    table_print(cli->output, tokens, "tokens", columns, ALB_COUNT(columns));
    return EXIT_DONE;
}

enum exit_code cmd_token_list(struct cli *cli)
{
    return link_show(cli, &(struct link_options){.at_hub = true}, "/v1/tokens", "listing tokens",
                     print_tokens);
}

/* People have the whole token as often as its ID; the rest is not needed, and not sent. */
enum exit_code cmd_token_revoke(struct cli *cli)
{
    const char *typed = cli->words[0];
    const char *id = strncmp(typed, "alb1.", 5) == 0 ? typed + 5 : typed;
    const size_t size = strcspn(id, ".");

    if (size == 0 || size > 15 ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") < size)
        return cli_usage(cli, "ID: it is what 'albedo token list' shows, or the token itself");
    AUTO_FREE char *name = xasprintf("%.*s", (int)size, id);
    AUTO_FREE char *path = xasprintf("/v1/token-revoke/%s", name);
    return named_ask(cli, path, NULL, "token_revoked", name);
}
