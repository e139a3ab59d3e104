/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent_seen.c – the lock says whether an agent runs, its file what it knows. */
#include "client/agent_seen.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/units.h"
#include "client/agent.h"
#include "client/agent_lock.h"

enum { FILE_MOST = 1 << 20, PATH_MOST = 64 };

void agent_seen_read(const struct state *s, struct agent_seen *out)
{
    struct buf text;

    *out = (struct agent_seen){.pid = 0};
    out->is_running = agent_lock_is_held(s->dir, &out->pid);
    buf_init(&text, FILE_MOST);
    struct alb_status st = state_read(s, AGENT_FILE, &text);
    if (!alb_failed(st))
        st = json_doc_parse(buf_peek(&text), buf_size(&text), &out->doc);
    alb_ignore(st, "an agent that just began or ended has none");
    buf_release(&text);
}

void agent_seen_release(struct agent_seen *seen)
{
    seen->doc = json_doc_free(seen->doc);
}

static const char *follow_text(const struct json_doc *d, size_t i, const char *member)
{
    char path[PATH_MOST];

    snprintf(path, sizeof path, "follows.%zu.%s", i, member);
    return json_doc_text(d, path);
}

static void tell_follows(const struct json_doc *d, struct output *o)
{
    const size_t count = json_doc_count(d, "follows");

    for (size_t i = 0; i < count; i++) {
        const char *version = follow_text(d, i, "version"), *why = follow_text(d, i, "why");
        output_say(o, "  follows    %s%s%s in %s: %s%s%s", follow_text(d, i, "layer"),
                   version[0] != '\0' ? "@" : "", version, follow_text(d, i, "target"),
                   follow_text(d, i, "state"), why[0] != '\0' ? ": " : "", why);
    }
}

static void tell_upstream(const struct json_doc *d, struct output *o)
{
    const int64_t since_s = (int64_t)json_doc_number(d, "parent.since_wall_s");
    const int64_t cut_off_s = (int64_t)json_doc_number(d, "cut_off_since_wall_s");
    const char *kind = json_doc_text(d, "parent.kind");
    char since[UNITS_TEXT_SIZE];

    if (cut_off_s == 0)
        output_say(o, "  upstream   %s %s at %s, since %s", kind, json_doc_text(d, "parent.device"),
                   json_doc_text(d, "parent.place"), format_time(since_s, since));
    else
        output_say(o, "  cut off    since %s; %s: %s", format_time(cut_off_s, since),
                   json_doc_text(d, "parent.place"), json_doc_text(d, "parent.why_down"));
}

/* How long it can go on without the hub: what is published meanwhile aside. */
static void tell_until(const struct json_doc *d, struct output *o)
{
    static const struct {
        const char *path, *what;
    } ENDS[] = {{"good_until.certificate_wall_s", "certificate"},
                {"good_until.grant_wall_s", "read grant"},
                {"good_until.head_wall_s", "word on which version is current"}};
    const char *what = "";
    char time[UNITS_TEXT_SIZE];
    int64_t first_s = INT64_MAX;

    if (json_doc_number(d, "good_until.grant_wall_s") == 0) {
        output_say(o, "  goes on    without the hub: not yet, it has no read grant");
        return;
    }
    for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) {
        const int64_t ends_s = (int64_t)json_doc_number(d, ENDS[i].path);
        if (ends_s == 0 || ends_s >= first_s)
            continue;
        first_s = ends_s;
        what = ENDS[i].what;
    }
    output_say(o, "  goes on    without the hub until %s (its %s ends)", format_time(first_s, time),
               what);
}

static void tell_place(const struct json_doc *d, struct output *o)
{
    const char *site = json_doc_text(d, "nearby.at"), *what = json_doc_text(d, "nearby.what");

    if (site[0] != '\0')
        output_say(o, "  site       %s, by %s%s%s", site, json_doc_text(d, "nearby.by"),
                   what[0] != '\0' ? " " : "", what);
}

void agent_seen_tell(const struct agent_seen *seen, struct output *o)
{
    const struct json_doc *d = seen->doc;
    char time[UNITS_TEXT_SIZE];

    if (!seen->is_running && d != NULL)
        output_say(o, "agent        not running; one ended at %s or later, without a word",
                   format_time((int64_t)json_doc_number(d, "written_wall_s"), time));
    else if (!seen->is_running)
        output_say(o, "agent        not running");
    else if (d == NULL)
        output_say(o, "agent        process %ld, just starting", seen->pid);
    else
        output_say(o, "agent        process %ld, since %s", seen->pid,
                   format_time((int64_t)json_doc_number(d, "begun_wall_s"), time));
    if (!seen->is_running || d == NULL)
        return;
    tell_upstream(d, o);
    tell_until(d, o);
    tell_place(d, o);
    tell_follows(d, o);
}

void agent_seen_json(const struct agent_seen *seen, struct json_writer *w)
{
    json_object_begin(w, "agent");
    json_bool(w, "is_running", seen->is_running);
    if (seen->pid > 0)
        json_number(w, "pid", (uint64_t)seen->pid);
    if (seen->doc != NULL)
        json_relay(w, "tells", seen->doc, "");
    json_end(w);
}
