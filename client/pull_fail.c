/* SPDX-License-Identifier: Apache-2.0 */
/* client/pull_fail.c – what a pull says when it cannot go on: what, where, and what to do. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/units.h"
#include "client/pull.h"

static enum exit_code interrupted(struct pull *p)
{
    const struct pull_options *o = p->options;

    if (p->is_applied)
        return output_interrupted(p->output,
                                  "pulling %s: interrupted; %s holds %s@%s already, only the "
                                  "verification was cut short",
                                  o->layer, o->target, o->layer, p->version);
    return output_interrupted(
        p->output,
        "pulling %s: interrupted; nothing in %s was changed, the same command "
        "goes on where this one stopped",
        o->layer, o->target);
}

/* The directory where the file system that holds `dir` is mounted, heap; `dir` itself when that
 * cannot be found out. */
static char *mount_of(const char *dir)
{
    char *at = realpath(dir, NULL);
    struct stat here, above;

    if (at == NULL)
        return xstrdup(dir);
    while (strcmp(at, "/") != 0) {
        AUTO_FREE char *parent = path_join(at, "..");
        if (stat(at, &here) != 0 || stat(parent, &above) != 0 || here.st_dev != above.st_dev)
            break;
        char *slash = strrchr(at, '/');
        slash[slash == at ? 1 : 0] = '\0';
    }
    return at;
}

static enum exit_code no_space(struct pull *p, const char *doing, const char *about)
{
    const struct puller_progress *f = &p->fetched;
    AUTO_FREE char *mount = mount_of(p->options->target);
    char needed[UNITS_TEXT_SIZE], unused[UNITS_TEXT_SIZE];
    struct statvfs disk;
    const bool is_known = statvfs(mount, &disk) == 0;

    format_size(f->needed_raw_bytes - f->put_raw_bytes, needed);
    format_size(is_known ? (uint64_t)disk.f_bavail * disk.f_frsize : 0, unused);
    return output_fail(p->output, ALB_FULL,
                       "%s %s: no space left on the file system at %s: this version needs %s more "
                       "there, %s are free; what was fetched is kept, make room and run the same "
                       "command again",
                       doing, about, mount, needed, is_known ? unused : "nobody knows how many");
}

enum exit_code pull_fail(struct pull *p, struct alb_status st, const char *doing, const char *path)
{
    const bool has_path = path != NULL && path[0] != '\0';

    if (p->interrupted && st.code == ALB_CLOSED)
        return interrupted(p);
    AUTO_FREE char *about =
        has_path ? path_join(p->options->target, path) : xstrdup(p->options->target);
    if (st.code == ALB_FULL && (st.sys == ENOSPC || st.sys == EDQUOT))
        return no_space(p, doing, about);
    return output_fail_status(p->output, st, "%s %s", doing, about);
}

/* ---- refusals -------------------------------------------------------------------------------- */

struct newest {
    const struct trust *trust;
    struct version_record record;
};

static bool take_newer(void *arg, const char *name, const void *value, size_t size,
                       uint64_t version)
{
    struct newest *n = arg;
    struct version_record record;

    (void)name;
    (void)version;
    if (!alb_failed(record_decode(value, size, n->trust, &record)) &&
        record.sequence > n->record.sequence)
        n->record = record;
    return true;
}

/* Of the layer's records kept in this state; sequence 0: none. */
static void find_newest(struct pull *p, struct newest *out)
{
    AUTO_FREE char *prefix = xasprintf("record/%s@", p->options->layer);

    *out = (struct newest){.trust = authority_trust(endpoint_authority(p->endpoint))};
    alb_ignore(catalogue_list(p->state->catalogue, prefix, take_newer, out),
               "then there is less to advise");
}

static enum exit_code head_expired(struct pull *p)
{
    const struct pull_options *o = p->options;
    const int64_t now_s = authority_now_s(endpoint_authority(p->endpoint), loop_wall_s(p->loop));
    const int64_t age_s = now_s - p->fetched.head_expires_wall_s;
    char age[UNITS_TEXT_SIZE];
    struct newest newest;

    format_duration((uint64_t)(age_s > 0 ? age_s : 0) * NS_PER_S, age);
    find_newest(p, &newest);
    if (newest.record.sequence == 0)
        return output_fail(p->output, ALB_TIMEOUT,
                           "pulling %s: the hub's word on what is latest expired %s ago, and no "
                           "version was ever applied here; tell the hub's operator. A version that "
                           "is named can be had: `albedo layers`, then albedo pull %s@VERSION %s",
                           o->layer, age, o->layer, o->target);
    return output_fail(
        p->output, ALB_TIMEOUT,
        "pulling %s: the hub's word on what is latest expired %s ago; tell the hub's "
        "operator. The newest version known here is %s; to have it: "
        "albedo pull %s@%s %s",
        o->layer, age, newest.record.version, o->layer, newest.record.version, o->target);
}

static enum exit_code rollback(struct pull *p)
{
    const struct version_record *record = puller_record(p->puller);

    return output_fail(p->output, ALB_REFUSED,
                       "pulling %s@%s: it is version number %" PRIu64 " of the layer, and number "
                       "%" PRIu64 " was applied with this state before; --allow-rollback takes it "
                       "all the same",
                       p->options->layer, record->version, record->sequence, p->least_sequence);
}

static enum exit_code refused(struct pull *p)
{
    switch (p->fetched.refusal) {
    case PULL_HEAD_EXPIRED: return head_expired(p);
    case PULL_ROLLBACK: return rollback(p);
    case PULL_NO_TRUST:
        return output_fail(p->output, ALB_REFUSED,
                           "pulling %s: state %s holds no trust file, so nothing can be verified; "
                           "join anew with --force",
                           p->options->layer, p->state->dir);
    case PULL_NOT_REFUSED: break;
    }
    alb_unreachable();
}

/* ---- the upstream ---------------------------------------------------------------------------- */

static enum exit_code out_of_reach(struct pull *p, const struct upstream_figures *up)
{
    const char *layer = p->options->layer;

    if (up->is_up)
        return output_fail_status(p->output, p->why, "pulling %s from %s", layer, up->place);
    if (up->down_code == ALB_REFUSED)
        return output_fail(p->output, ALB_REFUSED,
                           "pulling %s from %s: %s (asked as %s of %s); if it was revoked or its "
                           "certificate expired, join anew with --force",
                           layer, up->place, up->why_down, p->state->who.device, p->state->who.org);
    const bool is_hub = pull_is_from_hub(p);
    return output_fail(
        p->output, ALB_CLOSED,
        "pulling %s from %s: %s; check that the address is right, the service runs "
        "there and the line is up; the same command then goes on (--wait waits "
        "longer%s)",
        layer, up->place, up->why_down[0] != '\0' ? up->why_down : "no answer in time",
        is_hub ? "" : ", --at-hub asks the hub instead of this reflector, over the WAN");
}

static enum exit_code not_there(struct pull *p, const struct upstream_figures *up)
{
    const struct pull_options *o = p->options;

    if (!endpoint_has_grant(p->endpoint))
        return output_fail(p->output, ALB_CLOSED,
                           "pulling %s from %s: this device holds no read grant yet and cannot get "
                           "one now, the branch being cut off from the hub; run it again when the "
                           "line to the hub is back",
                           o->layer, up->place);
    if (p->fetched.ended_in <= PULL_RECORD)
        return output_fail(p->output, ALB_NOT_FOUND,
                           "pulling %s%s%s: there is no such layer or version for this device; "
                           "`albedo layers` lists what there is",
                           o->layer, o->version != NULL ? "@" : "",
                           o->version != NULL ? o->version : "");
    return output_fail(p->output, ALB_NOT_FOUND,
                       "pulling %s@%s from %s: a part of the version is not to be had there; tell "
                       "the hub's operator",
                       o->layer, puller_record(p->puller)->version, up->place);
}

enum exit_code pull_fetch_failed(struct pull *p)
{
    struct upstream_figures up;

    if (p->interrupted && p->st.code == ALB_CLOSED)
        return interrupted(p);
    if (atomic_load(&p->sink.has_failed))
        return pull_fail(p, p->st, "staging in",
                         p->sink.stage != NULL ? stage_error_path(p->sink.stage) : NULL);
    upstream_figures(endpoint_upstream(p->endpoint), &up);
    if (p->fetched.refusal == PULL_HEAD_EXPIRED && !up.is_up && up.down_code == ALB_REFUSED)
        return out_of_reach(p, &up); /* often a clock: that explains the head, too */
    if (p->fetched.refusal != PULL_NOT_REFUSED)
        return refused(p);
    if (p->why.code != ALB_OK)
        return out_of_reach(p, &up);
    if (p->st.code == ALB_NOT_FOUND)
        return not_there(p, &up);
    return output_fail_status(p->output, p->st, "pulling %s from %s", p->options->layer, up.place);
}
