/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_join.c – `albedo join`: from a token to a membership on disk.
 *
 *     what was typed → a writable state → key and request → enrol → files → trust → identity.json
 *
 * Nothing is asked of the hub before the state is known to be writable, because a token is spent by
 * it.
 */
#include <inttypes.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "client/link.h"
#include "client/place.h"
#include "net/x509.h"
#include "transfer/enrol.h"

#define JOINING_KEY "joining.key" /* there until the membership is */
enum { KEY_MOST = 16 << 10 };

struct join {
    struct cli *cli;
    struct token token;
    const char *name;
    struct state state;
    bool has_state;
    char *key_pem; /* owned; wiped */
    char *csr_pem; /* owned */
    struct enrol_answer answer;
};

static enum exit_code read_typed(struct join *j, struct state_identity *who);
static enum exit_code open_state(struct join *j);
static enum exit_code ask_hub(struct join *j);
static enum exit_code keep_files(struct join *j);
static enum exit_code learn_trust(struct join *j);
static enum exit_code finish(struct join *j);

static void join_release(struct join *j)
{
    if (j->key_pem != NULL)
        wipe(j->key_pem, strlen(j->key_pem));
    free(j->key_pem);
    free(j->csr_pem);
    wipe(&j->token, sizeof j->token);
    if (j->has_state)
        state_close(&j->state);
}

enum exit_code cmd_join(struct cli *cli)
{
    static enum exit_code (*const steps[])(struct join *) = {open_state, ask_hub, keep_files,
                                                             learn_trust, finish};
    struct join *j = xalloc(sizeof *j);
    struct state_identity who = {.role = ROLE_NONE};

    j->cli = cli;
    enum exit_code code = read_typed(j, &who);
    for (size_t i = 0; i < ALB_COUNT(steps) && code == EXIT_DONE; i++) {
        code = steps[i](j);
        if (i == 0)
            j->state.who = who;
    }
    join_release(j);
    free(j);
    return code;
}

/* ---- what was typed ---- */

static enum exit_code read_place(const struct cli *cli, const char *option,
                                 struct upstream_place *out)
{
    const char *url = cli_text(cli, option);

    if (url == NULL)
        return EXIT_DONE;
    struct alb_status st = place_parse(url, out);
    return alb_failed(st) ? cli_usage(cli, "--%s %s: %s", option, url, st.what) : EXIT_DONE;
}

static enum exit_code read_token(struct join *j)
{
    char line[TOKEN_TEXT_SIZE + 2] = "";
    const char *text = cli_text(j->cli, "token");

    if (strcmp(text, "-") == 0) {
        if (fgets(line, sizeof line, stdin) == NULL)
            return cli_usage(j->cli, "--token -: standard input is empty");
        line[strcspn(line, "\r\n")] = '\0';
        text = line;
    }
    struct alb_status st = token_parse(text, &j->token);
    wipe(line, sizeof line);
    if (alb_failed(st))
        return cli_usage(j->cli,
                         "--token: %s; copy the whole line that `albedo token create` or "
                         "`albedo-hub init` printed",
                         st.what);
    return EXIT_DONE;
}

static enum exit_code read_typed(struct join *j, struct state_identity *who)
{
    j->name = cli_text(j->cli, "name") == NULL ? "" : cli_text(j->cli, "name");
    if (*j->name != '\0') {
        struct alb_status st = id_check(j->name);
        if (alb_failed(st))
            return cli_usage(j->cli, "--name %s: %s", j->name, st.what);
    }
    enum exit_code code = read_place(j->cli, "hub", &who->hub);
    if (code == EXIT_DONE)
        code = read_place(j->cli, "upstream", &who->upstream);
    return code == EXIT_DONE ? read_token(j) : code;
}

/* ---- the state ---- */

static enum exit_code open_state(struct join *j)
{
    AUTO_FREE char *standard = state_default_dir();
    const char *dir = cli_text(j->cli, "state") != NULL ? cli_text(j->cli, "state") : standard;
    struct output *o = j->cli->output;

    if (dir == NULL)
        return cli_usage(j->cli, "there is no home directory; say where to keep it: --state DIR");
    if (state_is_joined(dir) && !cli_flag(j->cli, "force"))
        return output_fail(o, ALB_REFUSED,
                           "%s: this state is a member already (`albedo status` shows of what); "
                           "--force replaces it, --state DIR makes another",
                           dir);
    struct alb_status st = state_create(dir, &j->state);
    if (alb_failed(st))
        return output_fail_status(o, st,
                                  "%s: the state cannot be kept there; name another place "
                                  "with --state DIR",
                                  dir);
    j->has_state = true;
    return EXIT_DONE;
}

/* ---- enrolling ---- */

/* The key of an earlier attempt, if there was one: should its answer have got lost, the hub gives
 * it again to the same key. */
static struct alb_status take_key(struct join *j)
{
    struct buf old;

    buf_init(&old, KEY_MOST);
    struct alb_status st = state_read(&j->state, JOINING_KEY, &old);
    if (!alb_failed(st)) {
        j->key_pem = xstrndup((const char *)buf_peek(&old), buf_size(&old));
        wipe(old.bytes, old.capacity);
        st = x509_make_request(j->key_pem, &j->csr_pem);
    }
    buf_release(&old);
    if (!alb_failed(st) || j->key_pem != NULL)
        return st;
    st = x509_make_key(&j->key_pem);
    if (!alb_failed(st))
        st = state_write(&j->state, JOINING_KEY, j->key_pem, strlen(j->key_pem), 0600);
    return alb_failed(st) ? st : x509_make_request(j->key_pem, &j->csr_pem);
}

static enum exit_code ask_hub(struct join *j)
{
    struct output *o = j->cli->output;
    char url[PLACE_TEXT_SIZE], message[ENROL_MESSAGE_SIZE];

    struct alb_status st = take_key(j);
    if (alb_failed(st))
        return output_fail_status(o, st,
                                  "%s/%s: the key to join with; remove the file if it is damaged",
                                  j->state.dir, JOINING_KEY);
    const struct enrolment enrolment = {
        .hub = j->state.who.hub, .token = &j->token, .name = j->name, .csr_pem = j->csr_pem};
    place_format(&j->state.who.hub, url);
    o->holds_warnings = true;
    st = enrol(&enrolment, &j->answer, message);
    if (!alb_failed(st))
        return EXIT_DONE;
    if (message[0] != '\0')
        return output_fail(o, st.code, "hub %s: %s", url, message);
    if (st.code == ALB_REFUSED || st.code == ALB_CORRUPT)
        return output_fail_status(o, st, "hub %s", url);
    if (st.code == ALB_IO || st.code == ALB_NOT_FOUND)
        st.code = ALB_CLOSED; /* nobody was reached: a name without address, a closed port */
    return output_fail_status(o, st,
                              "hub %s: is albedo-hub running there, and are host and port "
                              "right?",
                              url);
}

/* ---- keeping it ---- */

static enum exit_code take_identity(struct join *j)
{
    struct state_identity *who = &j->state.who;
    const struct enrol_answer *a = &j->answer;

    if (strlen(a->org) >= ID_SIZE || strlen(a->device) >= ID_SIZE || strlen(a->site) >= ID_SIZE ||
        alb_failed(role_parse(a->role, &who->role)))
        return output_fail(j->cli->output, ALB_CORRUPT,
                           "the hub's answer: a name that is too long, or a role that is unknown; "
                           "is the hub of another version?");
    if (who->role == ROLE_REFLECTOR)
        return output_fail(j->cli->output, ALB_REFUSED,
                           "that token was made for a reflector, and is used up now; use a new one "
                           "with `albedo-reflector init`, or ask for one with --role endpoint");
    memcpy(who->org, a->org, strlen(a->org) + 1);
    memcpy(who->device, a->device, strlen(a->device) + 1);
    memcpy(who->site, a->site, strlen(a->site) + 1);
    who->has_trust_pin = j->token.has_trust_pin;
    who->trust_pin = j->token.trust_pin;
    return EXIT_DONE;
}

static enum exit_code keep_files(struct join *j)
{
    const struct enrol_answer *a = &j->answer;
    struct state *s = &j->state;
    enum exit_code code = take_identity(j);

    if (code != EXIT_DONE)
        return code;
    struct alb_status st = state_forget(s);
    if (!alb_failed(st))
        st = state_write(s, "key.pem", j->key_pem, strlen(j->key_pem), 0600);
    if (!alb_failed(st))
        st = state_write(s, "ca.pem", a->ca_pem, strlen(a->ca_pem), 0644);
    if (!alb_failed(st))
        st =
            state_write(s, "certificate.pem", a->certificate_pem, strlen(a->certificate_pem), 0644);
    if (alb_failed(st))
        return output_fail_status(j->cli->output, st, "%s: writing the state", s->dir);
    return EXIT_DONE;
}

/* ---- trust ---- */

/* The token that was made before trust file 1 is the first admin's; every other one pins it. */
static enum exit_code judge_trust(struct join *j, const struct link *l)
{
    struct output *o = j->cli->output;
    bool has_trust = authority_trust(l->authority) != NULL;

    if (!has_trust && j->token.has_trust_pin)
        return output_fail(
            o, ALB_REFUSED,
            "the token pins a trust file that the hub does not have; was the hub set "
            "up anew? Ask for a new token");
    if (!j->token.has_trust_pin && j->state.who.role != ROLE_ADMIN)
        return output_fail(o, ALB_REFUSED,
                           "the token pins no trust file, which only an admin's may; "
                           "ask for a new token");
    return EXIT_DONE;
}

static enum exit_code learn_trust(struct join *j)
{
    const struct link_options options = {.at_hub = true};
    struct link link;

    enum exit_code code = link_open(j->cli->output, &j->state, &options, &link);
    if (code != EXIT_DONE)
        return code;
    j->state.who.joined_wall_s = loop_wall_s(link.loop);
    code = link_refresh_trust(&link, "fetching the trust file");
    if (code == EXIT_DONE)
        code = judge_trust(j, &link);
    link_close(&link);
    return code;
}

/* ---- telling ---- */

static void tell_json(const struct join *j, const char *publisher_hex)
{
    const struct state_identity *who = &j->state.who;
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "event", "joined");
    json_text(w, "org", who->org);
    json_text(w, "role", role_name(who->role));
    json_text(w, "device", who->device);
    json_text(w, "site", who->site);
    json_text(w, "state", j->state.dir);
    if (publisher_hex != NULL)
        json_text(w, "publisher_key", publisher_hex);
    json_end(w);
    output_json(j->cli->output, w);
}

static void tell(const struct join *j, const char *publisher_hex)
{
    const struct state_identity *who = &j->state.who;
    struct output *o = j->cli->output;

    if (o->json) {
        tell_json(j, publisher_hex);
        return;
    }
    output_say(o, "joined %s as %s %s%s%s (state: %s)", who->org, role_name(who->role), who->device,
               who->site[0] == '\0' ? "" : " of site ", who->site, j->state.dir);
    if (publisher_hex != NULL)
        output_say(o,
                   "publisher key: %s\nbefore this publisher can publish, the admin must run:\n"
                   "  albedo trust delegate PREFIX %s",
                   publisher_hex, publisher_hex);
    if (who->role == ROLE_ADMIN && !j->token.has_trust_pin)
        output_say(o, "next: albedo trust init");
}

static enum exit_code finish(struct join *j)
{
    char hex[2 * SIGN_PUBLIC_SIZE + 1];
    bool publishes = j->state.who.role == ROLE_PUBLISHER;
    struct alb_status st = ALB_STATUS_OK;

    if (publishes) {
        struct sign_secret secret;
        struct sign_public pub;

        st = state_key_make(&j->state, "publisher.key", &secret);
        if (!alb_failed(st)) {
            sign_public_of(&secret, &pub);
            bytes_hex(pub.bytes, SIGN_PUBLIC_SIZE, hex);
            wipe(&secret, sizeof secret);
        }
    }
    if (!alb_failed(st))
        st = state_save(&j->state);
    if (alb_failed(st))
        return output_fail_status(j->cli->output, st, "%s: writing the state", j->state.dir);
    AUTO_FREE char *joining = path_join(j->state.dir, JOINING_KEY);
    (void)unlink(joining); /* should it stay, the next join takes it */
    tell(j, publishes ? hex : NULL);
    return EXIT_DONE;
}
