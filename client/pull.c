/* SPDX-License-Identifier: Apache-2.0 */
/* client/pull.c – the steps of a pull, in their order; fetching has a file of its own. */
#include "client/pull.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "client/crew.h"

static enum exit_code finish_old(struct pull *p);
static enum exit_code same_layer(struct pull *p);
static enum exit_code scan_all(struct pull *p);
static enum exit_code apply(struct pull *p);

enum exit_code pull_run(struct pull *p)
{
    enum exit_code code = finish_old(p);

    if (code == EXIT_DONE)
        code = same_layer(p);
    if (code == EXIT_DONE)
        code = scan_all(p);
    if (code == EXIT_DONE)
        code = pull_fetch(p);
    if (code == EXIT_DONE)
        code = apply(p);
    if (code == EXIT_DONE && p->options->verify)
        code = pull_verify(p);
    if (code == EXIT_DONE)
        pull_report(p);
    pull_tell(p, code);
    return code;
}

/* ---- the target and the source -------------------------------------------------------------- */

static enum exit_code cannot_make(struct output *o, const char *target)
{
    const struct alb_status st = alb_fail_sys("making it");

    if (st.sys == ENOENT)
        return output_fail(o, ALB_NOT_FOUND,
                           "TARGET %s: the directory it would be in is not there; make that first",
                           target);
    return output_fail_status(o, st, "TARGET %s", target);
}

enum exit_code pull_ready_target(struct output *o, const char *target, bool *made)
{
    struct stat s, root;

    *made = mkdir(target, 0755) == 0;
    if (!*made && errno != EEXIST)
        return cannot_make(o, target);
    if (stat(target, &s) != 0)
        return output_fail_status(o, alb_fail_sys("looking at it"), "TARGET %s", target);
    if (!S_ISDIR(s.st_mode))
        return output_fail(o, ALB_INVALID, "TARGET %s: it is not a directory", target);
    if (stat("/", &root) == 0 && root.st_dev == s.st_dev && root.st_ino == s.st_ino)
        return output_fail(o, ALB_INVALID,
                           "TARGET /: the running system cannot be replaced "
                           "beneath itself; pull into a directory");
    return EXIT_DONE;
}

bool pull_is_from_hub(const struct pull *p)
{
    const struct identity *who =
        p->endpoint == NULL ? NULL : upstream_parent(endpoint_upstream(p->endpoint), 0);

    if (who == NULL)
        return p->options->at_hub || p->state->who.upstream.host[0] == '\0';
    return who->role == ROLE_HUB;
}

/* ---- a step ---------------------------------------------------------------------------------- */

struct alb_status pull_step(struct pull *p, const char *phase, struct alb_status (*run)(void *pull))
{
    const struct crew_options options = {
        .loop = p->loop, .output = p->output, .interrupted = &p->interrupted, .phase = phase};

    return crew_do(&options, run, p);
}

/* ---- FINISH ---------------------------------------------------------------------------------- */

static struct alb_status replay(void *arg)
{
    struct pull *p = arg;
    struct alb_status st = apply_check(p->options->target, &p->damage);

    if (alb_failed(st) || p->damage.count > 0)
        return st;
    return apply_replay(p->options->target, &p->applied);
}

/* Nothing more of it is done: the pull that follows fetches what is damaged, and takes over. */
static void tell_damage(const struct pull *p)
{
    output_note(p->output,
                "an interrupted update of %s cannot be finished as it is: of what it had staged, "
                "%" PRIu64 " file%s changed on the disk since (%s%s); fetching again",
                p->options->target, p->damage.count, p->damage.count == 1 ? " was" : "s were",
                p->damage.path, p->damage.count == 1 ? "" : " and more");
}

/* Nobody but its owner may decide that what it says is given up. */
static enum exit_code journal_damaged(struct pull *p, struct alb_status st)
{
    const char *target = p->options->target;

    return output_fail_status(p->output, st,
                              "finishing the interrupted update of %s: its journal is damaged and "
                              "not followed; remove %s/.albedo/journal and run the same command "
                              "again: what is whole in the target stays, the rest is fetched anew",
                              target, target);
}

static void tell_finished(const struct pull *p, const struct apply_result *done)
{
    const char *target = p->options->target;

    output_note(p->output, "finished an update of %s that had been interrupted", target);
    if (done->kept > 0)
        output_note(p->output,
                    "%" PRIu64 " file%s of your own kept below %s/.albedo/kept:", done->kept,
                    done->kept == 1 ? "" : "s", target);
    for (size_t i = 0; i < done->kept_path_count; i++)
        output_note(p->output, "  %s", done->kept_paths[i]);
    for (size_t i = 0; i < done->conflict_count; i++)
        output_note(p->output, "  left alone: %s", done->conflicts[i]);
}

static enum exit_code finish_old(struct pull *p)
{
    struct alb_status st = pull_step(p, "finishing", replay);
    struct apply_result done = p->applied;

    p->applied = (struct apply_result){.made = 0};
    if (!alb_failed(st) && p->damage.count == 0)
        tell_finished(p, &done);
    apply_result_release(&done);
    if (st.code == ALB_NOT_FOUND)
        return EXIT_DONE;
    if (st.code == ALB_CORRUPT)
        return journal_damaged(p, st);
    if (alb_failed(st))
        return pull_fail(p, st, "finishing the interrupted update of", NULL);
    if (p->damage.count > 0)
        tell_damage(p);
    return EXIT_DONE;
}

static enum exit_code same_layer(struct pull *p)
{
    struct applied applied;
    size_t length = strlen(p->options->layer);

    if (p->options->replace_layer)
        return EXIT_DONE;
    struct alb_status st = applied_read(p->options->target, &applied);
    if (st.code == ALB_NOT_FOUND)
        return EXIT_DONE;
    if (alb_failed(st))
        return pull_fail(p, st, "reading the record of what is applied in", NULL);
    bool is_same =
        strncmp(applied.version, p->options->layer, length) == 0 && applied.version[length] == '@';
    enum exit_code code = EXIT_DONE;
    if (!is_same)
        code = output_fail(p->output, ALB_REFUSED,
                           "%s holds %s: pulling %s there would replace it; "
                           "choose another TARGET, or say --replace-layer",
                           p->options->target, applied.version, p->options->layer);
    applied_release(&applied);
    return code;
}

/* ---- SCAN ------------------------------------------------------------------------------------ */

/* By where the target really is, so that every way of typing it finds the same. */
static char *cache_path(struct pull *p)
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    AUTO_FREE char *real = realpath(p->options->target, NULL);
    const char *top = real != NULL ? real : p->options->target;

    sha256(top, strlen(top), &digest);
    return xasprintf("%s/scan-%.16s.cache", p->state->dir, digest_hex(&digest, hex));
}

static const char *top_of(const struct pull *p, size_t tree)
{
    return tree == 0 ? p->options->target : p->options->seeds[tree - 1];
}

static struct alb_status scan_next(void *arg)
{
    struct pull *p = arg;
    const struct scan_options options = {.cross_mounts = true, .allow_devices = true};
    struct alb_status st = scan_tree(top_of(p, p->scan_count), &options, &p->scans[p->scan_count]);

    p->scan_count += !alb_failed(st);
    return st;
}

/* What cannot be read is merely not held. */
static void note_problems(struct pull *p, const struct scan *scan)
{
    char text[256];

    if (scan->problem_count > 0)
        output_note(p->output, "%s: %zu path%s cannot be read and count%s as not there (%s: %s)",
                    scan->top, scan->problem_count, scan->problem_count == 1 ? "" : "s",
                    scan->problem_count == 1 ? "s" : "", scan->problems[0].path,
                    alb_status_text(scan->problems[0].st, text, sizeof text));
}

static enum exit_code scan_all(struct pull *p)
{
    struct alb_status st = ALB_STATUS_OK;

    p->cache_path = cache_path(p);
    p->scans = xcalloc(p->options->seed_count + 1, sizeof *p->scans);
    while (!alb_failed(st) && p->scan_count <= p->options->seed_count)
        st = pull_step(p, "scanning", scan_next);
    for (size_t i = 0; i < p->scan_count; i++)
        note_problems(p, &p->scans[i]);
    if (!alb_failed(st))
        return EXIT_DONE;
    if (p->interrupted || p->scan_count == 0)
        return pull_fail(p, st, "reading", NULL);
    return output_fail_status(p->output, st, "--seed %s", top_of(p, p->scan_count));
}

/* ---- APPLY ----------------------------------------------------------------------------------- */

static void remember_sequence(struct pull *p)
{
    AUTO_FREE char *name = xasprintf("seen/%s", p->options->layer);
    AUTO_FREE char *text = xasprintf("%" PRIu64, p->sequence);
    struct alb_status st =
        catalogue_swap(p->state->catalogue, name, CATALOGUE_ANY, text, strlen(text), NULL);

    if (alb_failed(st))
        log_status(LOG_WARN, "pull.sequence_not_kept", st, "state=%s", p->state->dir);
}

/* One step: with the journal written, only going on is whole. */
static struct alb_status prepare_and_replay(void *arg)
{
    struct pull *p = arg;
    AUTO_FREE char *version = xasprintf("%s@%s", p->options->layer, p->version);
    const struct apply_options options = {
        .version = version, .exact = p->options->exact, .strict = p->options->strict};
    struct alb_status st = apply_prepare(p->sink.stage, &options, &p->prepared);

    if (alb_failed(st))
        return st;
    p->is_applied = true; /* or will be, by whoever comes next */
    stage_sink_release(&p->sink);
    st = apply_replay(p->options->target, &p->applied);
    /* Between the two the target was not locked: another pull may have done it for us. */
    return st.code == ALB_NOT_FOUND ? ALB_STATUS_OK : st;
}

static enum exit_code apply(struct pull *p)
{
    struct alb_status st = pull_step(p, "applying", prepare_and_replay);

    if (!alb_failed(st)) {
        remember_sequence(p);
        return EXIT_DONE;
    }
    for (size_t i = 0; !p->is_applied && i < p->prepared.conflict_count; i++)
        output_note(p->output, "  %s", p->prepared.conflicts[i]);
    if (p->is_applied)
        return pull_fail(p, st, "half-way (the same command finishes it) in updating", NULL);
    return pull_fail(p, st, "preparing the update of", stage_error_path(p->sink.stage));
}

/* ---- VERIFY ---------------------------------------------------------------------------------- */

static enum exit_code compare_all(struct pull *p, const struct manifest *manifest)
{
    struct digest digest;

    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_entry *e = &manifest->entries[i];
        if (e->type != ENTRY_FILE)
            continue;
        p->files_checked++;
        if (!holdings_digest_of(p->holdings, e->path, &digest) ||
            !digest_equal(&digest, &e->content))
            return output_fail(p->output, ALB_CORRUPT,
                               "verifying %s: %s does not have the content the "
                               "manifest says; pull again",
                               p->options->target, e->path);
    }
    return EXIT_DONE;
}

static uint64_t unit_bytes(void *arg, size_t unit)
{
    return holdings_unit_bytes(((struct pull *)arg)->holdings, unit);
}

static struct alb_status read_unit(void *arg, size_t unit, unsigned member)
{
    (void)member;
    holdings_run(((struct pull *)arg)->holdings, unit);
    return ALB_STATUS_OK;
}

static struct alb_status read_all(struct pull *p)
{
    struct crew_result result;
    uint64_t total = 0;

    for (size_t i = 0; i < holdings_units(p->holdings); i++)
        total += holdings_unit_bytes(p->holdings, i);
    crew_run(&(struct crew_options){.loop = p->loop,
                                    .output = p->output,
                                    .interrupted = &p->interrupted,
                                    .phase = "verifying",
                                    .units = holdings_units(p->holdings),
                                    .total_bytes = total,
                                    .unit_bytes = unit_bytes,
                                    .run = read_unit,
                                    .arg = p},
             &result);
    return result.st;
}

static void release_scans(struct pull *p)
{
    for (size_t i = 0; i < p->scan_count; i++)
        scan_release(&p->scans[i]);
    p->scan_count = 0;
}

static enum exit_code verify(struct pull *p, const struct manifest *manifest)
{
    p->holdings = holdings_new(NULL); /* no cache: every byte is read again */
    holdings_want(p->holdings, manifest);
    holdings_add(p->holdings, &p->scans[0]);
    struct alb_status st = read_all(p);
    if (alb_failed(st))
        return pull_fail(p, st, "verifying", NULL);
    return compare_all(p, manifest);
}

enum exit_code pull_verify(struct pull *p)
{
    struct applied applied;

    release_scans(p);
    struct alb_status st = pull_step(p, "scanning", scan_next);
    if (!alb_failed(st))
        st = applied_read(p->options->target, &applied);
    if (alb_failed(st))
        return pull_fail(p, st, "verifying", NULL);
    enum exit_code code = verify(p, &applied.manifest);
    applied_release(&applied);
    return code;
}

void pull_release(struct pull *p)
{
    p->puller = puller_free(p->puller);
    if (!p->endpoint_is_borrowed)
        endpoint_free(p->endpoint);
    p->endpoint = NULL;
    stage_sink_release(&p->sink);
    p->holdings = holdings_free(p->holdings);
    release_scans(p);
    free(p->scans);
    free(p->cache_path);
    apply_damage_release(&p->damage);
    apply_result_release(&p->prepared);
    apply_result_release(&p->applied);
}
