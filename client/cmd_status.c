/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_status.c – `albedo status`: who we are here, and how those we ask are doing.
 *
 * What is known here is shown whether or not anyone can be reached; not reaching them is an error.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/units.h"
#include "client/agent_seen.h"
#include "client/link.h"
#include "client/place.h"
#include "client/table.h"
#include "net/x509.h"

enum { PEM_MOST = 64 << 10 };

/* What this state says about itself. */
struct self {
    const struct state_identity *who;
    char hub[PLACE_TEXT_SIZE], upstream[PLACE_TEXT_SIZE];
    int64_t certificate_expires_wall_s; /* 0: unreadable */
    int64_t now_wall_s;
    int64_t grant_expires_wall_s; /* 0: none that holds */
    uint64_t trust_version;
    struct agent_seen agent;
};

/* Kept here; an admin's is not needed. */
static int64_t grant_until(const struct link *l)
{
    struct own_grant own = {.loop = l->loop,
                            .catalogue = l->state->catalogue,
                            .authority = l->authority,
                            .org = l->state->who.org,
                            .device = l->state->who.device};
    struct grant grant = {.expires_wall_s = 0};

    own_grant_init(&own);
    alb_ignore(grant_decode(buf_peek(&own.bytes), buf_size(&own.bytes),
                            authority_trust(l->authority), &grant),
               "then there is none");
    own_grant_release(&own);
    return grant.expires_wall_s;
}

static void look_at_self(const struct link *l, struct self *out)
{
    struct self s = {.who = &l->state->who, .now_wall_s = loop_wall_s(l->loop)};
    struct identity identity = {.role = ROLE_NONE};
    struct buf pem;

    place_format(&s.who->hub, s.hub);
    if (s.who->upstream.host[0] != '\0')
        place_format(&s.who->upstream, s.upstream);
    buf_init(&pem, PEM_MOST);
    if (!alb_failed(state_read(l->state, "certificate.pem", &pem)) &&
        !alb_failed(x509_identity(buf_text(&pem), &identity)))
        s.certificate_expires_wall_s = identity.expires_wall_s;
    buf_release(&pem);
    const struct trust *trust = authority_trust(l->authority);
    s.trust_version = trust == NULL ? 0 : trust->version;
    s.grant_expires_wall_s = grant_until(l);
    agent_seen_read(l->state, &s.agent);
    *out = s;
}

static void tell_self(struct output *o, const struct link *l, const struct self *s)
{
    const struct state_identity *who = s->who;
    char time[UNITS_TEXT_SIZE];

    output_say(o, "member       %s of %s%s%s, as %s", who->device, who->org,
               who->site[0] == '\0' ? "" : ", site ", who->site, role_name(who->role));
    output_say(o, "state        %s", l->state->dir);
    output_say(o, "hub          %s", s->hub);
    if (s->upstream[0] != '\0')
        output_say(o, "upstream     %s", s->upstream);
    output_say(o, "certificate  until %s%s", format_time(s->certificate_expires_wall_s, time),
               s->certificate_expires_wall_s < s->now_wall_s
                   ? " – EXPIRED: join anew with a token and --force"
                   : "");
    if (s->grant_expires_wall_s > 0)
        output_say(o, "read grant   until %s, cut off or not",
                   format_time(s->grant_expires_wall_s, time));
    if (s->trust_version > 0)
        output_say(o, "trust file   %" PRIu64, s->trust_version);
    else
        output_say(o, "trust file   none yet: an admin runs `albedo trust init`");
    if (who->role == ROLE_ENDPOINT)
        agent_seen_tell(&s->agent, o);
}

struct row {
    const char *label, *path;
    enum cell_kind kind;
};

static const struct row hub_rows[] = {
    {"version", "version", CELL_TEXT},    {"layers", "layers", CELL_NUMBER},
    {"devices", "devices", CELL_NUMBER},  {"sessions", "sessions", CELL_NUMBER},
    {"chunks", "chunks", CELL_NUMBER},    {"stored", "bytes", CELL_SIZE},
    {"on disk", "disk_bytes", CELL_SIZE}, {"sent", "bytes_sent", CELL_SIZE},
};
static const struct row reflector_rows[] = {
    {"version", "version", CELL_TEXT},
    {"device", "device", CELL_TEXT},
    {"site", "site", CELL_TEXT},
    {"albedo, %", "albedo_percent", CELL_VALUE},
    {"crossing ratio", "crossing_ratio", CELL_VALUE},
    {"parent up", "parent.up", CELL_VALUE},
    {"parent", "parent.place", CELL_TEXT},
    {"why down", "parent.why_down", CELL_TEXT},
    {"cut off since", "cut_off.since_wall_s", CELL_TIME},
    {"can go on until", "cut_off.can_go_on_until_wall_s", CELL_TIME},
    {"reports kept", "told.kept", CELL_NUMBER},
    {"from parent", "parent.body_received", CELL_SIZE},
    {"served", "served.bytes", CELL_SIZE},
    {"sessions", "sessions", CELL_NUMBER},
    {"stored", "store.live_bytes", CELL_SIZE},
    {"on disk", "store.disk_bytes", CELL_SIZE},
};

/* ---- the policy there ------------------------------------------------------------------------ */

static void tell_damaged(struct output *o, const struct json_doc *d)
{
    const size_t count = json_doc_count(d, "policy.damaged");
    char path[64];

    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "policy.damaged.%zu", i);
        const bool is_rules = strcmp(json_doc_text(d, path), "policy") == 0;
        output_say(o, "  %-15s DAMAGED: the copy kept there is left out, and its parent asked anew",
                   is_rules ? "policy" : "overrides");
    }
}

static void tell_override(struct output *o, const struct json_doc *d, size_t i)
{
    const char *words[5] = {"id", "what", "scope", "by", "why"};
    char path[64], until[UNITS_TEXT_SIZE];

    for (size_t n = 0; n < ALB_COUNT(words); n++) {
        snprintf(path, sizeof path, "policy.in_force.%zu.%s", i, words[n]);
        words[n] = json_doc_text(d, path);
    }
    snprintf(path, sizeof path, "policy.in_force.%zu.until_wall_s", i);
    output_say(o, "  %-15s   %s: %s %s until %s, by %s: %s", "", words[0], words[1], words[2],
               format_time((int64_t)json_doc_number(d, path), until), words[3], words[4]);
}

/* An older one does not say which hold. */
static void tell_policy(struct output *o, const struct json_doc *d)
{
    const uint64_t number = json_doc_number(d, "policy.number");
    const uint64_t rules = json_doc_number(d, "policy.rules");
    const uint64_t hold = json_doc_number(d, "policy.in_force_count");
    const size_t listed = json_doc_count(d, "policy.in_force");
    char cell[CELL_SIZE_MAX];

    if (strcmp(table_cell(d, "policy.in_force_count", CELL_NUMBER, cell), "-") == 0)
        return;
    if (number == 0)
        output_say(o, "  %-15s none", "policy");
    else
        output_say(o, "  %-15s number %" PRIu64 ", %" PRIu64 " rule%s", "policy", number, rules,
                   rules == 1 ? "" : "s");
    if (hold == 0)
        output_say(o, "  %-15s none in force", "overrides");
    else
        output_say(o, "  %-15s %" PRIu64 " in force, the first that fits holds:", "overrides",
                   hold);
    for (size_t i = 0; i < listed; i++)
        tell_override(o, d, i);
    if (hold > listed)
        output_say(o, "  %-15s   … `albedo policy show` lists them all", "");
    tell_damaged(o, d);
}

/* ---- the parent ------------------------------------------------------------------------------ */

static void tell_parent(struct output *o, const struct json_doc *d)
{
    const char *program = json_doc_text(d, "program");
    const bool is_hub = strcmp(program, "albedo-reflector") != 0;
    const struct row *rows = is_hub ? hub_rows : reflector_rows;
    const size_t count = is_hub ? ALB_COUNT(hub_rows) : ALB_COUNT(reflector_rows);
    char cell[CELL_SIZE_MAX];

    output_say(o, "\n%s", is_hub ? "the hub" : "the reflector");
    for (size_t i = 0; i < count; i++)
        output_say(o, "  %-15s %s", rows[i].label, table_cell(d, rows[i].path, rows[i].kind, cell));
    tell_policy(o, d);
}

/* {"self":{…},"parent":{…}}: the parent's own document as it came;
 * without "parent" when none did. */
static void tell_json(const struct link *l, const struct self *s, const struct json_doc *parent)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_object_begin(w, "self");
    json_text(w, "org", s->who->org);
    json_text(w, "role", role_name(s->who->role));
    json_text(w, "device", s->who->device);
    json_text(w, "site", s->who->site);
    json_text(w, "state", l->state->dir);
    json_text(w, "hub", s->hub);
    json_text(w, "upstream", s->upstream);
    json_signed(w, "certificate_expires_wall_s", s->certificate_expires_wall_s);
    json_signed(w, "grant_expires_wall_s", s->grant_expires_wall_s);
    json_number(w, "trust_version", s->trust_version);
    json_end(w);
    agent_seen_json(&s->agent, w);
    if (parent != NULL)
        json_relay(w, "parent", parent, "");
    json_end(w);
    output_json(l->output, w);
}

enum exit_code cmd_status(struct cli *cli)
{
    struct output *o = cli->output;
    struct link_answer answer;
    struct json_doc *parent = NULL;
    struct link link;
    struct self self;

    enum exit_code code = link_begin(cli, &(struct link_options){.at_hub = false}, &link);
    if (code != EXIT_DONE)
        return code;
    look_at_self(&link, &self);
    tell_self(o, &link, &self);
    code = link_get_json(&link, "/v1/status", "status", &answer, &parent);
    if (o->json)
        tell_json(&link, &self, parent);
    else if (code == EXIT_DONE)
        tell_parent(o, parent);
    json_doc_free(parent);
    link_answer_release(&answer);
    agent_seen_release(&self.agent);
    link_end(&link);
    return code;
}
