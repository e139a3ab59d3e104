/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_site_import.c – `albedo site import|export`: the whole directory as a file. */
#include <inttypes.h>

#include "base/alloc.h"
#include "client/site_copy.h"
#include "shaper/policy_zone.h"

/* More of the sites than this part go only with --yes: a file that was cut short says so, too. */
enum { REMOVED_SHARE = 10 };

/* ---- what a file would change ---------------------------------------------------------------- */

struct difference {
    const struct sites *before, *after;
    size_t added, altered, removed;
};

/* One site of either or both; NULL where it is not. */
typedef void (*pair_fn)(struct difference *d, const struct site *before, const struct site *after,
                        void *arg);

/* Both by name. */
static void each_pair(struct difference *d, pair_fn fn, void *arg)
{
    size_t i = 0, k = 0;

    while (i < d->before->count || k < d->after->count) {
        const struct site *a = i < d->before->count ? &d->before->list[i] : NULL;
        const struct site *b = k < d->after->count ? &d->after->list[k] : NULL;
        const int order = a == NULL ? 1 : b == NULL ? -1 : strcmp(a->name, b->name);

        i += order <= 0;
        k += order >= 0;
        fn(d, order <= 0 ? a : NULL, order >= 0 ? b : NULL, arg);
    }
}

static void count_pair(struct difference *d, const struct site *before, const struct site *after,
                       void *arg)
{
    (void)arg;
    if (before == NULL)
        d->added++;
    else if (after == NULL)
        d->removed++;
    else if (!site_is_same(before, after))
        d->altered++;
}

/* "subnets 10.1.0.0/16 → 10.2.0.0/16" for each column that differs. */
static void say_columns(struct output *o, const struct site *before, const struct site *after)
{
    struct buf old, new;

    buf_init(&old, SITES_BYTES_MAX);
    buf_init(&new, SITES_BYTES_MAX);
    for (size_t i = 0; site_column(i) != NULL; i++) {
        buf_clear(&old);
        buf_clear(&new);
        site_column_write(before, i, &old);
        site_column_write(after, i, &new);
        if (strcmp(buf_text(&old), buf_text(&new)) != 0)
            output_say(o, "changed  %s: %s %s → %s", after->name, site_column(i),
                       buf_size(&old) > 0 ? buf_text(&old) : "-",
                       buf_size(&new) > 0 ? buf_text(&new) : "-");
    }
    buf_release(&old);
    buf_release(&new);
}

static void say_pair(struct difference *d, const struct site *before, const struct site *after,
                     void *arg)
{
    (void)d;
    if (before == NULL)
        output_say(arg, "added    %s", after->name);
    else if (after == NULL)
        output_say(arg, "removed  %s", before->name);
    else
        say_columns(arg, before, after);
}

struct named_part {
    struct json_writer *w;
    bool is_added, is_removed;
};

static void put_pair(struct difference *d, const struct site *before, const struct site *after,
                     void *arg)
{
    const struct named_part *part = arg;
    const bool is_added = before == NULL, is_removed = after == NULL;

    (void)d;
    if (is_added == part->is_added && is_removed == part->is_removed &&
        (is_added || is_removed || !site_is_same(before, after)))
        json_text(part->w, NULL, is_removed ? before->name : after->name);
}

static void put_names(struct difference *d, struct json_writer *w)
{
    static const struct {
        const char *key;
        bool is_added, is_removed;
    } PARTS[] = {{"added", true, false}, {"altered", false, false}, {"removed", false, true}};

    for (size_t i = 0; i < ALB_COUNT(PARTS); i++) {
        struct named_part part = {w, PARTS[i].is_added, PARTS[i].is_removed};

        json_array_begin(w, PARTS[i].key);
        each_pair(d, put_pair, &part);
        json_end(w);
    }
}

/* ---- import ---------------------------------------------------------------------------------- */

static void tell_json(const struct site_copy *c, struct difference *d, const struct site_put *put,
                      bool is_dry)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "event", "sites_imported");
    json_bool(w, "dry_run", is_dry);
    json_number(w, "number", put->number);
    json_bool(w, "changed", put->has_changed);
    json_number(w, "policy", put->policy);
    put_names(d, w);
    site_copy_put_warnings(c, NULL, w);
    json_end(w);
    output_json(c->link.output, w);
}

static void tell_end(const struct site_copy *c, struct difference *d, const struct site_put *put,
                     bool is_dry)
{
    struct output *o = c->link.output;

    site_copy_warn(c, NULL);
    if (o->json)
        tell_json(c, d, put, is_dry);
    else if (is_dry)
        output_say(o,
                   "%zu added, %zu changed, %zu removed: the hub would take it; nothing was "
                   "changed",
                   d->added, d->altered, d->removed);
    else if (put->has_changed)
        output_say(o,
                   "site directory %" PRIu64 ", policy %" PRIu64 ": %zu site%s; %zu added, %zu "
                   "changed, %zu removed",
                   put->number, put->policy, d->after->count, d->after->count == 1 ? "" : "s",
                   d->added, d->altered, d->removed);
    else
        output_say(o, "site directory %" PRIu64 " says just that already: nothing changed",
                   put->number);
}

static enum exit_code import(struct cli *cli, struct site_copy *c, struct sites **file)
{
    struct output *o = cli->output;
    struct difference d = {.before = c->sites, .after = *file};
    struct sites *before = c->sites;
    const bool is_dry = cli_flag(cli, "dry-run");
    struct site_put put;

    each_pair(&d, count_pair, NULL);
    if (c->number == 0 && before->count > 0)
        output_note(o, "there is no directory yet: compared with the sites that the policy, "
                       "devices and tokens name");
    each_pair(&d, say_pair, o);
    if (!is_dry && d.removed * REMOVED_SHARE > before->count && !cli_flag(cli, "yes"))
        return output_fail(o, ALB_REFUSED,
                           "this removes %zu of %zu sites; say --yes if that is meant (nothing was "
                           "changed)",
                           d.removed, before->count);
    c->sites = *file;
    *file = before; /* the caller's to free, as is the other */
    const enum exit_code code = site_copy_put(c, is_dry, &put);
    if (code == EXIT_DONE)
        tell_end(c, &d, &put, is_dry);
    return code;
}

static enum exit_code judge(struct cli *cli, const char *file, const struct buf *bytes,
                            struct sites **out)
{
    struct output *o = cli->output;
    struct policy_findings findings;
    enum exit_code code = EXIT_DONE;

    policy_findings_init(&findings);
    const struct alb_status st =
        sites_decode(buf_peek(bytes), buf_size(bytes), zone_is_known, NULL, &findings, out);
    findings_say(o, file, &findings);
    if (findings.count > 0)
        findings_tell(o, "sites_checked", file, &findings);
    if (alb_failed(st))
        code = output_fail(o, st.code, "%s: %zu error%s in this directory; nothing was changed",
                           file, findings.errors, findings.errors == 1 ? "" : "s");
    policy_findings_release(&findings);
    return code;
}

enum exit_code cmd_site_import(struct cli *cli)
{
    const char *file = cli->words[0];
    struct sites *sites = NULL;
    struct site_copy copy;
    struct buf bytes;

    buf_init(&bytes, SITES_BYTES_MAX);
    enum exit_code code =
        findings_file_read(cli, file, "a site directory is at most 8 MiB", &bytes);
    if (code == EXIT_DONE)
        code = judge(cli, file, &bytes, &sites);
    if (code == EXIT_DONE)
        code = site_copy_begin(cli, &copy);
    if (code == EXIT_DONE) {
        code = import(cli, &copy, &sites);
        site_copy_end(&copy);
    }
    sites_free(sites);
    buf_release(&bytes);
    return code;
}

/* ---- export ---------------------------------------------------------------------------------- */

/* As a file a line a site, among events one line. */
static enum exit_code print(struct output *o, const struct site_copy *c, bool as_table)
{
    struct buf text;

    buf_init(&text, 2 * (size_t)SITES_BYTES_MAX);
    const struct alb_status st =
        as_table ? sites_csv_write(c->sites, &text) : sites_encode(c->sites, &text);
    if (!alb_failed(st) && o->json) {
        char *to = (char *)(text.bytes + text.head);

        for (const char *at = buf_text(&text); *at != '\0'; at++)
            if (*at != '\n') /* those within texts are spelled otherwise */
                *to++ = *at;
        output_json_text(o, buf_peek(&text), (size_t)(to - (const char *)buf_peek(&text)));
    } else if (!alb_failed(st)) {
        fwrite(buf_peek(&text), 1, buf_size(&text), o->out);
    }
    buf_release(&text);
    return alb_failed(st) ? output_fail_status(o, st, "writing the sites") : EXIT_DONE;
}

enum exit_code cmd_site_export(struct cli *cli)
{
    struct output *o = cli->output;
    struct site_copy copy;

    if (o->json && cli_flag(cli, "csv"))
        return cli_usage(cli, "--csv and --json: one of them");
    enum exit_code code = site_copy_begin(cli, &copy);
    if (code != EXIT_DONE)
        return code;
    if (copy.number == 0)
        output_note(o, "there is no directory yet: this is a draft of one, from the sites that the "
                       "policy, devices and tokens name");
    copy.sites->number = 0;
    code = print(o, &copy, cli_flag(cli, "csv"));
    site_copy_end(&copy);
    return code;
}
