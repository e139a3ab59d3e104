/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_trust.c – `albedo trust init|delegate|show`: root keys at work, far from the hub. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/units.h"
#include "client/link.h"
#include "client/root_keys.h"

static const struct link_options at_hub = {.at_hub = true};

/* ---- what all that sign share ---- */

static enum exit_code need_admin(const struct link *l, const char *doing)
{
    const struct state_identity *who = &l->state->who;

    if (who->role == ROLE_ADMIN)
        return EXIT_DONE;
    return output_fail(l->output, ALB_REFUSED,
                       "%s: this is an admin's work, and the state %s is of %s %s; name an admin's "
                       "with --state",
                       doing, l->state->dir, role_name(who->role), who->device);
}

/* Signs `t`, gives it to the hub, and keeps it: what the hub did not take is not kept. */
static enum exit_code sign_and_put(struct link *l, const struct trust *t,
                                   const struct root_keys *keys, const char *doing)
{
    struct link_answer answer;
    struct trust proof;
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    struct alb_status st = trust_encode(t, keys->secrets, keys->count, &bytes);
    if (!alb_failed(st)) /* what an endpoint would refuse must not reach the hub */
        st = trust_decode(buf_peek(&bytes), buf_size(&bytes), authority_trust(l->authority), NULL,
                          &proof);
    if (alb_failed(st)) {
        buf_release(&bytes);
        return output_fail_status(l->output, st, "%s", doing);
    }
    trust_release(&proof);
    link_ask(l,
             &(struct upstream_ask){.method = "POST",
                                    .path = "/v1/trust-put",
                                    .body = buf_peek(&bytes),
                                    .body_size = buf_size(&bytes)},
             &answer);
    enum exit_code code = EXIT_DONE;
    if (alb_failed(answer.st))
        code = link_fail(l, &answer, doing);
    else if (alb_failed(st = authority_add_trust(l->authority, buf_peek(&bytes), buf_size(&bytes))))
        code = output_fail_status(
            l->output, st, "the hub took trust file %" PRIu64 ", but it could not be kept in %s",
            t->version, l->state->dir);
    link_answer_release(&answer);
    buf_release(&bytes);
    return code;
}

static void tell_event(struct output *o, const char *event, const struct trust *t)
{
    if (!o->json)
        return;
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_text(w, "event", event);
    json_number(w, "version", t->version);
    json_end(w);
    output_json(o, w);
}

/* ---- trust init ---- */

/* The key by which the hub signs heads, grants and revocations, and the organisation's name. */
static enum exit_code ask_hub_key(struct link *l, struct trust *out)
{
    struct link_answer answer;
    struct json_doc *status = NULL;
    const char *doing = "asking the hub for its key";

    enum exit_code code = link_get_json(l, "/v1/status", doing, &answer, &status);
    if (code == EXIT_DONE && alb_failed(bytes_parse_hex(json_doc_text(status, "hub_key"),
                                                        out->hub_key.bytes, SIGN_PUBLIC_SIZE))) {
        answer.st = alb_fail(ALB_CORRUPT, "its status names no hub_key; is it of another version?");
        code = link_fail(l, &answer, doing);
    }
    memcpy(out->org, l->state->who.org, sizeof l->state->who.org);
    json_doc_free(status);
    link_answer_release(&answer);
    return code;
}

/* An init whose answer was lost has been done:
 * the roots in trust file 1 are those of this state. */
static enum exit_code judge_existing(struct link *l, const struct trust *held)
{
    struct root_keys keys = {.count = 0};

    struct alb_status st = root_keys_load(l->state, held, &keys);
    bool ours = !alb_failed(st) && keys.count >= held->threshold;
    root_keys_wipe(&keys);
    if (!ours)
        return output_fail(l->output, ALB_REFUSED,
                           "trust init: %s has trust file %" PRIu64
                           " already, signed by other root "
                           "keys than those in %s/roots",
                           held->org, held->version, l->state->dir);
    output_say(l->output,
               "trust file %" PRIu64 " is in force already, signed by the root keys in "
               "%s/roots",
               held->version, l->state->dir);
    tell_event(l->output, "trust_exists", held);
    return EXIT_DONE;
}

static enum exit_code delegate_self(struct link *l, struct trust *t, struct trust_delegation *self)
{
    struct sign_secret secret;

    struct alb_status st = state_key_make(l->state, "publisher.key", &secret);
    if (alb_failed(st))
        return output_fail_status(l->output, st, "%s/publisher.key", l->state->dir);
    sign_public_of(&secret, &self->key);
    wipe(&secret, sizeof secret);
    t->delegations = self;
    t->delegation_count = 1;
    return EXIT_DONE;
}

static enum exit_code save_pin(struct link *l)
{
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    struct alb_status st = authority_trust_bytes(l->authority, 1, &bytes);
    if (!alb_failed(st)) {
        sha256(buf_peek(&bytes), buf_size(&bytes), &l->state->who.trust_pin);
        l->state->who.has_trust_pin = true;
        st = state_save(l->state);
    }
    buf_release(&bytes);
    return alb_failed(st) ? output_fail_status(l->output, st, "state %s", l->state->dir)
                          : EXIT_DONE;
}

static void tell_init(struct link *l, const struct trust *t, bool publishes)
{
    struct output *o = l->output;

    output_say(o, "trust file 1 of %s is in force: %zu root key%s, %u must sign", t->org,
               t->root_count, t->root_count == 1 ? "" : "s", (unsigned)t->threshold);
    output_say(o, "back up %s/roots and keep it secret: without it no publisher can be added",
               l->state->dir);
    if (publishes)
        output_say(o, "this admin may publish every layer (--no-self-publish would not allow it)");
    output_say(o, "next: albedo token create --role reflector|endpoint|publisher …");
    tell_event(o, "trust_initialised", t);
}

static enum exit_code init_at(struct link *l, uint64_t key_count, uint64_t threshold,
                              bool publishes)
{
    struct trust t = {.version = 1, .threshold = (uint32_t)threshold};
    struct trust_delegation self = {.prefix = ""};
    struct root_keys keys = {.count = 0};

    enum exit_code code = link_refresh_trust(l, "asking for the trust file");
    if (code == EXIT_DONE && authority_trust(l->authority) != NULL) {
        code = judge_existing(l, authority_trust(l->authority));
        return code == EXIT_DONE && !l->state->who.has_trust_pin ? save_pin(l) : code;
    }
    if (code == EXIT_DONE)
        code = ask_hub_key(l, &t);
    if (code == EXIT_DONE && publishes)
        code = delegate_self(l, &t, &self);
    if (code != EXIT_DONE)
        return code;
    struct alb_status st = root_keys_make(l->state, key_count, &keys);
    if (alb_failed(st))
        return output_fail_status(l->output, st, "%s/roots", l->state->dir);
    root_keys_name(&keys, &t);
    t.issued_wall_s = loop_wall_s(l->loop);
    code = sign_and_put(l, &t, &keys, "trust init");
    root_keys_wipe(&keys);
    if (code == EXIT_DONE)
        code = save_pin(l);
    if (code == EXIT_DONE)
        tell_init(l, &t, publishes);
    return code;
}

enum exit_code cmd_trust_init(struct cli *cli)
{
    uint64_t keys = 0, threshold = 0;
    struct link link;

    enum exit_code code = cli_number(cli, "keys", 1, TRUST_ROOTS_MAX, 1, &keys);
    if (code == EXIT_DONE)
        code = cli_number(cli, "threshold", 1, keys, 1, &threshold);
    if (code == EXIT_DONE)
        code = link_begin(cli, &at_hub, &link);
    if (code != EXIT_DONE)
        return code;
    code = need_admin(&link, "trust init");
    if (code == EXIT_DONE)
        code = init_at(&link, keys, threshold, !cli_flag(cli, "no-self-publish"));
    link_end(&link);
    return code;
}

/* ---- the next trust file ---- */

/* `next` is `held` with what is to change; its version and time are set here. */
static enum exit_code sign_next(struct link *l, const struct trust *held, struct trust *next,
                                const char *doing)
{
    struct root_keys keys = {.count = 0};
    struct alb_status st = root_keys_load(l->state, held, &keys);

    if (alb_failed(st))
        return output_fail_status(l->output, st, "%s/roots", l->state->dir);
    if (keys.count < held->threshold) {
        root_keys_wipe(&keys);
        return output_fail(
            l->output, ALB_REFUSED,
            "%s: %u root keys must sign and %s/roots holds %zu of them; run it where "
            "`albedo trust init` was run",
            doing, (unsigned)held->threshold, l->state->dir, keys.count);
    }
    next->version++;
    next->issued_wall_s = authority_now_s(l->authority, loop_wall_s(l->loop));
    enum exit_code code = sign_and_put(l, next, &keys, doing);
    root_keys_wipe(&keys);
    return code;
}

/* The newest one, to be followed by the next. */
static enum exit_code find_held(struct link *l, const char *doing, const struct trust **out)
{
    enum exit_code code = link_refresh_trust(l, "asking for the trust file");

    if (code != EXIT_DONE)
        return code;
    *out = authority_trust(l->authority);
    if (*out == NULL)
        return output_fail(l->output, ALB_NOT_FOUND,
                           "%s: there is no trust file yet; run `albedo trust init`", doing);
    return EXIT_DONE;
}

/* ---- trust delegate ---- */

static enum exit_code read_delegation(const struct cli *cli, struct trust_delegation *out)
{
    const char *prefix = cli->words[0], *key = cli->words[1];
    struct alb_status st = *prefix == '\0' ? ALB_STATUS_OK : layer_name_check(prefix);

    if (alb_failed(st))
        return cli_usage(cli, "PREFIX %s: %s", prefix, st.what);
    if (strlen(key) != 2 * SIGN_PUBLIC_SIZE ||
        alb_failed(bytes_parse_hex(key, out->key.bytes, SIGN_PUBLIC_SIZE)))
        return cli_usage(cli, "KEY: 64 hexadecimal digits are expected, as the publisher's `albedo "
                              "join` printed them");
    memcpy(out->prefix, prefix, strlen(prefix) + 1);
    return EXIT_DONE;
}

static bool has_delegation(const struct trust *t, const struct trust_delegation *d)
{
    for (size_t i = 0; i < t->delegation_count; i++)
        if (strcmp(t->delegations[i].prefix, d->prefix) == 0 &&
            sign_public_equal(&t->delegations[i].key, &d->key))
            return true;
    return false;
}

static enum exit_code sign_delegation(struct link *l, const struct trust *held,
                                      const struct trust_delegation *d)
{
    struct trust next = *held;

    next.delegations = xcalloc(held->delegation_count + 1, sizeof *next.delegations);
    if (held->delegation_count > 0)
        memcpy(next.delegations, held->delegations, held->delegation_count * sizeof *d);
    next.delegations[next.delegation_count++] = *d;
    enum exit_code code = sign_next(l, held, &next, "trust delegate");
    free(next.delegations);
    return code;
}

static enum exit_code delegate_at(struct link *l, const struct trust_delegation *d)
{
    const struct trust *held = NULL;
    enum exit_code code = find_held(l, "trust delegate", &held);

    if (code != EXIT_DONE)
        return code;
    if (!has_delegation(held, d)) {
        code = sign_delegation(l, held, d);
        held = authority_trust(l->authority);
    }
    if (code != EXIT_DONE)
        return code;
    output_say(l->output, "trust file %" PRIu64 ": that key may publish %s%s", held->version,
               d->prefix[0] == '\0' ? "every layer" : "layers beneath ", d->prefix);
    tell_event(l->output, "trust_delegated", held);
    return EXIT_DONE;
}

enum exit_code cmd_trust_delegate(struct cli *cli)
{
    struct trust_delegation delegation = {.prefix = ""};
    struct link link;

    enum exit_code code = read_delegation(cli, &delegation);
    if (code == EXIT_DONE)
        code = link_begin(cli, &at_hub, &link);
    if (code != EXIT_DONE)
        return code;
    code = need_admin(&link, "trust delegate");
    if (code == EXIT_DONE)
        code = delegate_at(&link, &delegation);
    link_end(&link);
    return code;
}

/* ---- trust rotate-hub ---- */

static enum exit_code sign_rotation(struct link *l, const struct trust *held,
                                    const struct sign_public *key)
{
    struct trust next = *held;

    next.hub_key = *key;
    return sign_next(l, held, &next, "trust rotate-hub");
}

static enum exit_code rotate_at(struct link *l, const struct sign_public *key)
{
    const struct trust *held = NULL;
    enum exit_code code = find_held(l, "trust rotate-hub", &held);

    if (code != EXIT_DONE)
        return code;
    alb_assert(held != NULL); /* else find_held() had failed */
    if (!sign_public_equal(&held->hub_key, key)) {
        code = sign_rotation(l, held, key);
        held = authority_trust(l->authority);
    }
    if (code != EXIT_DONE)
        return code;
    output_say(l->output, "trust file %" PRIu64 ": the hub signs with that key from now on",
               held->version);
    tell_event(l->output, "trust_hub_rotated", held);
    return EXIT_DONE;
}

enum exit_code cmd_trust_rotate_hub(struct cli *cli)
{
    const char *hex = cli->words[0];
    struct sign_public key;
    struct link link;

    if (strlen(hex) != 2 * SIGN_PUBLIC_SIZE ||
        alb_failed(bytes_parse_hex(hex, key.bytes, SIGN_PUBLIC_SIZE)))
        return cli_usage(cli, "KEY: 64 hexadecimal digits are expected, as `albedo-hub rotate-key` "
                              "printed them");
    enum exit_code code = link_begin(cli, &at_hub, &link);
    if (code != EXIT_DONE)
        return code;
    code = need_admin(&link, "trust rotate-hub");
    if (code == EXIT_DONE)
        code = rotate_at(&link, &key);
    link_end(&link);
    return code;
}

/* ---- trust show ---- */

static const char *key_hex(const struct sign_public *key, char out[2 * SIGN_PUBLIC_SIZE + 1])
{
    bytes_hex(key->bytes, SIGN_PUBLIC_SIZE, out);
    return out;
}

static void show_json(struct output *o, const struct trust *t, bool is_fresh)
{
    struct json_writer *w = json_writer_new();
    char hex[2 * SIGN_PUBLIC_SIZE + 1];

    json_object_begin(w, NULL);
    json_text(w, "org", t->org);
    json_number(w, "version", t->version);
    json_signed(w, "issued_wall_s", t->issued_wall_s);
    json_number(w, "threshold", t->threshold);
    json_text(w, "hub_key", key_hex(&t->hub_key, hex));
    json_bool(w, "asked_hub", is_fresh);
    json_array_begin(w, "roots");
    for (size_t i = 0; i < t->root_count; i++)
        json_text(w, NULL, key_hex(&t->roots[i], hex));
    json_end(w);
    json_array_begin(w, "delegations");
    for (size_t i = 0; i < t->delegation_count; i++) {
        json_object_begin(w, NULL);
        json_text(w, "prefix", t->delegations[i].prefix);
        json_text(w, "key", key_hex(&t->delegations[i].key, hex));
        json_end(w);
    }
    json_end(w);
    json_end(w);
    output_json(o, w);
}

static void show_people(struct output *o, const struct trust *t, bool is_fresh)
{
    char hex[2 * SIGN_PUBLIC_SIZE + 1], issued[UNITS_TEXT_SIZE];

    output_say(o, "trust file %" PRIu64 " of %s, issued %s%s", t->version, t->org,
               format_time(t->issued_wall_s, issued),
               is_fresh ? "" : " (as kept here: the hub was not reached)");
    output_say(o, "hub key    %s", key_hex(&t->hub_key, hex));
    output_say(o, "root keys  (%u of %zu must sign)", (unsigned)t->threshold, t->root_count);
    for (size_t i = 0; i < t->root_count; i++)
        output_say(o, "           %s", key_hex(&t->roots[i], hex));
    output_say(o, "publishers%s", t->delegation_count == 0 ? " none: albedo trust delegate" : "");
    for (size_t i = 0; i < t->delegation_count; i++)
        output_say(o, "           %s  %s", key_hex(&t->delegations[i].key, hex),
                   t->delegations[i].prefix[0] == '\0' ? "(every layer)"
                                                       : t->delegations[i].prefix);
}

enum exit_code cmd_trust_show(struct cli *cli)
{
    struct link link;

    enum exit_code code = link_begin(cli, &(struct link_options){.at_hub = false}, &link);
    if (code != EXIT_DONE)
        return code;
    bool is_fresh = link_refresh_trust(&link, NULL) == EXIT_DONE;
    const struct trust *held = authority_trust(link.authority);
    if (held == NULL && is_fresh)
        code = output_fail(cli->output, ALB_NOT_FOUND,
                           "trust show: there is no trust file yet; an admin makes it with `albedo "
                           "trust init`");
    else if (held == NULL)
        code = link_refresh_trust(&link, "asking for the trust file");
    else if (cli->output->json)
        show_json(cli->output, held, is_fresh);
    else
        show_people(cli->output, held, is_fresh);
    link_end(&link);
    return code;
}
