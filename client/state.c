/* SPDX-License-Identifier: Apache-2.0 */
/* client/state.c – the membership's directory: opened, made, forgotten, saved. */
#include "client/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/units.h"
#include "client/cli.h"
#include "client/file_catalogue.h"
#include "wire/json.h"

enum { IDENTITY_MOST = 64 << 10, IDENTITY_FORMAT = 1 };

static const char IDENTITY[] = "identity.json";

char *state_default_dir(void)
{
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");

    if (geteuid() == 0)
        return xstrdup("/var/lib/albedo");
    if (xdg != NULL && *xdg == '/')
        return path_join(xdg, "albedo");
    if (home != NULL && *home == '/')
        return path_join(home, ".local/state/albedo");
    return NULL;
}

/* ---- identity.json ---- */

static void write_place(struct json_writer *w, const char *key, const struct upstream_place *p)
{
    if (p->host[0] == '\0')
        return;
    json_object_begin(w, key);
    json_text(w, "host", p->host);
    json_number(w, "port", p->port);
    json_end(w);
}

struct alb_status state_save(const struct state *s)
{
    const struct state_identity *who = &s->who;
    struct json_writer *w = json_writer_new();
    char pin[DIGEST_HEX_SIZE];
    struct buf text;

    json_object_begin(w, NULL);
    json_number(w, "format", IDENTITY_FORMAT);
    json_text(w, "org", who->org);
    json_text(w, "role", role_name(who->role));
    json_text(w, "device", who->device);
    json_text(w, "site", who->site);
    write_place(w, "hub", &who->hub);
    write_place(w, "upstream", &who->upstream);
    json_text(w, "trust_pin", who->has_trust_pin ? digest_hex(&who->trust_pin, pin) : "");
    json_signed(w, "joined_wall_s", who->joined_wall_s);
    json_end(w);
    buf_init(&text, IDENTITY_MOST);
    struct alb_status st = json_writer_finish(w, &text);
    if (!alb_failed(st))
        st = buf_append(&text, "\n", 1);
    if (!alb_failed(st))
        st = state_write(s, IDENTITY, buf_peek(&text), buf_size(&text), 0600);
    buf_release(&text);
    return st;
}

static bool take_id(const struct json_doc *d, const char *member, bool may_be_empty, char *out)
{
    const char *text = json_doc_text(d, member);

    if (strlen(text) >= ID_SIZE || (*text == '\0' ? !may_be_empty : alb_failed(id_check(text))))
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

static bool take_place(const struct json_doc *d, const char *member, struct upstream_place *out)
{
    char path[32];

    snprintf(path, sizeof path, "%s.host", member);
    const char *host = json_doc_text(d, path);
    snprintf(path, sizeof path, "%s.port", member);
    uint64_t port = json_doc_number(d, path);
    if (strlen(host) >= UPSTREAM_HOST_SIZE || port > UINT16_MAX || (*host != '\0' && port == 0))
        return false;
    memcpy(out->host, host, strlen(host) + 1);
    out->port = (uint16_t)port;
    return true;
}

static struct alb_status identity_take(const struct json_doc *d, struct state_identity *out)
{
    struct state_identity who = {.role = ROLE_NONE};
    const char *pin = json_doc_text(d, "trust_pin");

    if (json_doc_number(d, "format") != IDENTITY_FORMAT)
        return alb_fail(ALB_CORRUPT,
                        "identity.json is of a format that this program does not know");
    if (!take_id(d, "org", false, who.org) || !take_id(d, "device", false, who.device) ||
        !take_id(d, "site", true, who.site) ||
        alb_failed(role_parse(json_doc_text(d, "role"), &who.role)))
        return alb_fail(ALB_CORRUPT,
                        "identity.json: org, role, device or site is missing or wrong");
    if (!take_place(d, "hub", &who.hub) || who.hub.host[0] == '\0' ||
        !take_place(d, "upstream", &who.upstream))
        return alb_fail(ALB_CORRUPT, "identity.json: the address of hub or upstream is wrong");
    who.has_trust_pin = *pin != '\0';
    if (who.has_trust_pin && alb_failed(digest_parse(pin, &who.trust_pin)))
        return alb_fail(ALB_CORRUPT, "identity.json: trust_pin is no SHA-256");
    who.joined_wall_s = (int64_t)json_doc_number(d, "joined_wall_s");
    *out = who;
    return ALB_STATUS_OK;
}

static struct alb_status identity_read(struct state *s)
{
    struct json_doc *d = NULL;
    struct buf text;

    buf_init(&text, IDENTITY_MOST);
    struct alb_status st = state_read(s, IDENTITY, &text);
    if (!alb_failed(st) && alb_failed(json_doc_parse(buf_peek(&text), buf_size(&text), &d)))
        st = alb_fail(ALB_CORRUPT, "identity.json is no JSON");
    if (!alb_failed(st))
        st = identity_take(d, &s->who);
    json_doc_free(d);
    buf_release(&text);
    return st;
}

/* ---- opening ---- */

static struct alb_status open_catalogue(struct state *s)
{
    AUTO_FREE char *path = path_join(s->dir, "catalogue");

    return file_catalogue_open(path, &s->catalogue);
}

struct alb_status state_open(const char *dir, struct state *out)
{
    struct state s = {.dir = xstrdup(dir)};

    struct alb_status st = identity_read(&s);
    if (!alb_failed(st))
        st = open_catalogue(&s);
    if (alb_failed(st))
        state_close(&s);
    else
        *out = s;
    return st;
}

void state_close(struct state *s)
{
    catalogue_close(s->catalogue);
    free(s->dir);
    *s = (struct state){.dir = NULL};
}

bool state_is_joined(const char *dir)
{
    AUTO_FREE char *path = path_join(dir, IDENTITY);

    return file_exists(path);
}

struct alb_status state_create(const char *dir, struct state *out)
{
    struct state s = {.dir = xstrdup(dir)};
    AUTO_FREE char *proof = path_join(dir, ".writable");

    struct alb_status st = file_make_dir(dir, 0700);
    if (!alb_failed(st))
        st = file_replace(proof, "", 0, 0600);
    (void)unlink(proof); /* not there when it could not be made */
    if (!alb_failed(st))
        st = open_catalogue(&s);
    if (alb_failed(st))
        state_close(&s);
    else
        *out = s;
    return st;
}

static enum exit_code say_not_open(struct cli *c, const char *dir, struct alb_status st)
{
    if (st.code == ALB_NOT_FOUND)
        return output_fail(c->output, ALB_NOT_FOUND,
                           "%s: nobody joined with this state; run `albedo join`, or name another "
                           "with --state",
                           dir);
    if (st.sys == EACCES || st.sys == EPERM)
        return output_fail(c->output, ALB_REFUSED,
                           "%s: it may not be read by this user; run as its owner (root?), or name "
                           "another with --state",
                           dir);
    if (st.code == ALB_CORRUPT)
        return output_fail_status(c->output, st, "%s: damaged; join anew with --force", dir);
    return output_fail_status(c->output, st, "state %s", dir);
}

enum exit_code state_begin(struct cli *c, struct state *out)
{
    AUTO_FREE char *standard = state_default_dir();
    const char *dir = cli_text(c, "state") != NULL ? cli_text(c, "state") : standard;

    if (dir == NULL)
        return cli_usage(c, "there is no home directory; say where the state is: --state DIR");
    struct alb_status st = state_open(dir, out);
    return alb_failed(st) ? say_not_open(c, dir, st) : EXIT_DONE;
}

/* ---- forgetting ---- */

static bool erase_record(void *arg, const char *name, const void *value, size_t size,
                         uint64_t version)
{
    struct catalogue *c = arg;

    (void)value;
    (void)size;
    alb_ignore(catalogue_swap(c, name, version, NULL, 0, NULL),
               "a record that stays is refused by the new trust, with its name");
    return true;
}

struct alb_status state_forget(struct state *s)
{
    AUTO_FREE char *path = path_join(s->dir, IDENTITY);

    if (unlink(path) != 0 && errno != ENOENT)
        return alb_fail_sys("removing the old identity.json");
    struct alb_status st = file_sync_dir(s->dir);
    if (!alb_failed(st))
        st = catalogue_list(s->catalogue, "", erase_record, s->catalogue);
    return st;
}

/* ---- files ---- */

struct alb_status state_read(const struct state *s, const char *name, struct buf *out)
{
    AUTO_FREE char *path = path_join(s->dir, name);

    return file_read(path, out);
}

struct alb_status state_write(const struct state *s, const char *name, const void *bytes,
                              size_t size, unsigned mode)
{
    AUTO_FREE char *path = path_join(s->dir, name);

    return file_replace(path, bytes, size, mode);
}

/* ---- signing keys ---- */

enum { SEED_HEX = 2 * SIGN_SECRET_SIZE };

struct alb_status state_key_read(const struct state *s, const char *name, struct sign_secret *out)
{
    struct buf text;

    buf_init(&text, SEED_HEX + 1);
    struct alb_status st = state_read(s, name, &text);
    if (st.code == ALB_FULL ||
        (!alb_failed(st) && (buf_size(&text) != SEED_HEX + 1 || buf_peek(&text)[SEED_HEX] != '\n')))
        st = alb_fail(ALB_CORRUPT, "a key file is not one line of 64 hexadecimal digits");
    if (!alb_failed(st)) {
        char hex[SEED_HEX + 1];

        memcpy(hex, buf_peek(&text), SEED_HEX);
        hex[SEED_HEX] = '\0';
        if (alb_failed(bytes_parse_hex(hex, out->seed, SIGN_SECRET_SIZE)))
            st = alb_fail(ALB_CORRUPT, "a key file is not one line of 64 hexadecimal digits");
        wipe(hex, sizeof hex);
    }
    if (text.bytes != NULL)
        wipe(text.bytes, text.capacity);
    buf_release(&text);
    return st;
}

struct alb_status state_key_make(const struct state *s, const char *name, struct sign_secret *out)
{
    struct sign_secret secret;
    struct sign_public pub;
    char line[SEED_HEX + 2];

    struct alb_status st = state_key_read(s, name, out);
    if (st.code != ALB_NOT_FOUND)
        return st;
    const char *slash = strchr(name, '/');
    if (slash != NULL) {
        AUTO_FREE char *folder = xstrndup(name, (size_t)(slash - name));
        AUTO_FREE char *path = path_join(s->dir, folder);
        st = file_make_dir(path, 0700);
        if (alb_failed(st))
            return st;
    }
    sign_generate(&secret, &pub);
    bytes_hex(secret.seed, SIGN_SECRET_SIZE, line);
    line[SEED_HEX] = '\n';
    st = state_write(s, name, line, SEED_HEX + 1, 0600);
    if (!alb_failed(st))
        *out = secret;
    wipe(line, sizeof line);
    wipe(&secret, sizeof secret);
    return st;
}
