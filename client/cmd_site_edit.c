/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_site_edit.c – `albedo site add|set|remove`: one site of the directory. */
#include <inttypes.h>

#include "base/alloc.h"
#include "client/site_copy.h"

/* ---- the directory with the edit, judged and given back -------------------------------------- */

static void tell_json(const struct site_copy *c, const char *event, const char *name,
                      const struct site_put *put, const struct policy_findings *f)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "event", event);
    json_text(w, "name", name);
    json_number(w, "number", put->number);
    json_bool(w, "changed", put->has_changed);
    json_number(w, "policy", put->policy);
    site_copy_put_warnings(c, f, w);
    json_end(w);
    output_json(c->link.output, w);
}

static void tell(const struct site_copy *c, const char *event, const char *name,
                 const struct site_put *put, const struct policy_findings *f)
{
    struct output *o = c->link.output;

    site_copy_warn(c, f);
    if (o->json)
        tell_json(c, event, name, put, f);
    else if (put->has_changed)
        output_say(o, "%s: %s; site directory %" PRIu64 ", policy %" PRIu64, event, name,
                   put->number, put->policy);
    else
        output_say(o, "site %s says just that already: nothing changed", name);
}

static enum exit_code fail_findings(struct output *o, const char *name,
                                    const struct policy_findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->list[i].is_error)
            output_say(o, "error: %s", f->list[i].text);
    findings_tell(o, "sites_checked", NULL, f);
    return output_fail(o, ALB_INVALID, "site %s: %zu error%s; nothing was changed", name, f->errors,
                       f->errors == 1 ? "" : "s");
}

/* Which zones there are is the hub's to say: this machine may be older, or have none. */
static enum exit_code give_back(struct site_copy *c, const char *event, const char *name)
{
    struct policy_findings findings;
    enum exit_code code;
    struct site_put put = {.number = 0};

    policy_findings_init(&findings);
    sites_check(c->sites, NULL, NULL, &findings);
    if (findings.errors > 0)
        code = fail_findings(c->link.output, name, &findings);
    else
        code = site_copy_put(c, false, &put);
    if (code == EXIT_DONE)
        tell(c, event, name, &put, &findings);
    policy_findings_release(&findings);
    return code;
}

/* ---- add, set -------------------------------------------------------------------------------- */

/* KEY=VALUE words behind the name; the texts lie in `copies`. */
static enum exit_code take_changes(const struct cli *cli, char **copies,
                                   struct site_change *changes, size_t *count)
{
    *count = 0;
    for (size_t i = 1; i < cli->word_count; i++) {
        char *value;

        copies[*count] = xstrdup(cli->words[i]);
        changes[*count].column = copies[*count];
        value = strchr(copies[*count], '=');
        ++*count;
        if (value == NULL)
            return cli_usage(cli, "%s: what is said of a site is KEY=VALUE, as in zone=Europe/Oslo",
                             cli->words[i]);
        *value = '\0';
        changes[*count - 1].text = value + 1;
        if (strcmp(changes[*count - 1].column, "name") == 0)
            return cli_usage(cli, "a site keeps its name: add one of the new name, and remove this "
                                  "one when nobody is there any more");
    }
    return EXIT_DONE;
}

static enum exit_code change(struct site_copy *c, const char *event, const char *name,
                             const struct site_change *changes, size_t count)
{
    const struct site *before = sites_find_name(c->sites, name);
    struct policy_findings findings;
    struct site site;
    enum exit_code code;

    policy_findings_init(&findings);
    struct alb_status st = site_changed(before, name, changes, count, &findings, &site);
    if (alb_failed(st)) {
        code = fail_findings(c->link.output, name, &findings);
    } else {
        st = sites_put(c->sites, &site);
        site_release(&site);
        code = alb_failed(st) ? output_fail_status(c->link.output, st, "site %s", name)
                              : give_back(c, event, name);
    }
    policy_findings_release(&findings);
    return code;
}

/* A site that is only in a draft has been named by somebody, and is added all the same. */
static enum exit_code change_at_hub(struct cli *cli, bool is_new, const struct site_change *changes,
                                    size_t count)
{
    const char *name = cli->words[0];
    struct site_copy copy;
    enum exit_code code = site_copy_begin(cli, &copy);

    if (code != EXIT_DONE)
        return code;
    const bool is_there = sites_find_name(copy.sites, name) != NULL;
    if (is_new && is_there && copy.number > 0)
        code = output_fail(cli->output, ALB_CONFLICT,
                           "there is a site %s already: 'albedo site set %s KEY=VALUE' changes it",
                           name, name);
    else if (!is_new && !is_there)
        code = output_fail(cli->output, ALB_NOT_FOUND,
                           "there is no site %s: 'albedo site list' shows those there are", name);
    else
        code = change(&copy, is_new ? "site_added" : "site_set", name, changes, count);
    site_copy_end(&copy);
    return code;
}

static enum exit_code edit(struct cli *cli, bool is_new)
{
    const struct alb_status st = id_check(cli->words[0]);
    AUTO_FREE struct site_change *changes = xcalloc(cli->word_count, sizeof *changes);
    AUTO_FREE char **copies = xcalloc(cli->word_count, sizeof *copies);
    size_t count = 0;

    if (alb_failed(st))
        return cli_usage(cli, "NAME %s: %s", cli->words[0], st.what);
    enum exit_code code = take_changes(cli, copies, changes, &count);
    if (code == EXIT_DONE)
        code = change_at_hub(cli, is_new, changes, count);
    for (size_t i = 0; i < count; i++)
        free(copies[i]);
    return code;
}

enum exit_code cmd_site_add(struct cli *cli)
{
    return edit(cli, true);
}

enum exit_code cmd_site_set(struct cli *cli)
{
    return edit(cli, false);
}

/* ---- remove ---------------------------------------------------------------------------------- */

enum exit_code cmd_site_remove(struct cli *cli)
{
    const char *name = cli->words[0];
    struct site_copy copy;
    enum exit_code code = site_copy_begin(cli, &copy);

    if (code != EXIT_DONE)
        return code;
    if (alb_failed(sites_remove(copy.sites, name)))
        code = output_fail(cli->output, ALB_NOT_FOUND,
                           "there is no site %s: 'albedo site list' shows those there are", name);
    else
        code = give_back(&copy, "site_removed", name);
    site_copy_end(&copy);
    return code;
}
