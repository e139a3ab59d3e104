/* SPDX-License-Identifier: Apache-2.0 */
/* hub/sites_member.c – who says that it is at a site: devices by their certificate, tokens for
 * those who will join with them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/device.h"
#include "hub/sites.h"
#include "hub/task.h"

struct roll {
    struct site_members *members;
    int64_t now_wall_s;
    size_t room;
};

static void add(struct roll *r, const char *site, const char *name, bool is_token, const char *role)
{
    struct site_members *m = r->members;

    if (m->count == r->room) {
        r->room = r->room == 0 ? 64 : 2 * r->room;
        m->list = xrealloc(m->list, r->room * sizeof *m->list);
    }
    struct site_member *one = &m->list[m->count++];
    *one =
        (struct site_member){.is_token = is_token, .is_reflector = strcmp(role, "reflector") == 0};
    (void)snprintf(one->site, sizeof one->site, "%.63s", site);
    (void)snprintf(one->name, sizeof one->name, "%.63s", name);
}

/* Also those without a site: a reflector that a site names may be one of them. */
static bool add_device(void *arg, const char *name, const void *value, size_t size,
                       uint64_t version)
{
    AUTO_FREE struct device_record *d = xalloc(sizeof *d);

    (void)name;
    (void)version;
    if (!alb_failed(device_decode(value, size, d)) && !d->is_revoked)
        add(arg, d->site, d->device, false, d->role);
    return true;
}

static bool add_token(void *arg, const char *name, const void *value, size_t size, uint64_t version)
{
    const struct roll *r = arg;
    AUTO_FREE struct token_record *t = xalloc(sizeof *t);
    const char *slash = strchr(name, '/');

    (void)version;
    if (!alb_failed(token_record_decode(value, size, t)) && t->site[0] != '\0' && t->uses > 0 &&
        t->withdrawn[0] == '\0' && t->expires_wall_s > r->now_wall_s)
        add(arg, t->site, slash == NULL ? name : slash + 1, true, "");
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct site_member *left = a, *right = b;
    const int order = strcmp(left->site, right->site);

    return order != 0 ? order : strcmp(left->name, right->name);
}

void site_members_release(struct site_members *m)
{
    free(m->list);
    *m = (struct site_members){.count = 0};
}

struct alb_status site_members_read(const struct ledger *l, int64_t now_wall_s,
                                    struct site_members *out)
{
    struct roll roll = {.members = out, .now_wall_s = now_wall_s};

    *out = (struct site_members){.count = 0};
    struct alb_status st = catalogue_list(l->catalogue, "device/", add_device, &roll);
    if (!alb_failed(st))
        st = catalogue_list(l->catalogue, "token/", add_token, &roll);
    if (out->count > 1)
        qsort(out->list, out->count, sizeof *out->list, compare);
    return st;
}

void site_members_add(const struct site_members *m, struct sites *sites)
{
    for (size_t i = 0; i < m->count; i++) {
        struct site site = {.line = 0};

        (void)snprintf(site.name, sizeof site.name, "%s", m->list[i].site);
        if (site.name[0] != '\0' && sites_find_name(sites, site.name) == NULL)
            alb_ignore(sites_put(sites, &site), "a draft of 10,000 sites is enough to begin with");
    }
}

/* ---- judging ---- */

/* " device a, device b, token c and 7 more" of the members of one site that begin at `first`. */
static size_t names_of(const struct site_members *m, size_t first, char out[200])
{
    size_t count = 0, size = 0, shown = 0;

    for (;
         first + count < m->count && strcmp(m->list[first].site, m->list[first + count].site) == 0;
         count++) {
        const struct site_member *one = &m->list[first + count];

        if (shown == 3)
            continue;
        size += (size_t)snprintf(out + size, 200 - size, "%s%s %.40s", shown == 0 ? "" : ", ",
                                 one->is_token ? "token" : "device", one->name);
        shown++;
    }
    if (count > shown)
        (void)snprintf(out + size, 200 - size, " and %zu more", count - shown);
    return count;
}

static bool judge_homes(const struct site_members *m, const struct sites *sites, struct hub_task *t)
{
    char names[200];
    size_t count;

    for (size_t i = 0; i < m->count; i += count) {
        count = names_of(m, i, names);
        if (m->list[i].site[0] == '\0' || sites_find_name(sites, m->list[i].site) != NULL)
            continue;
        hub_task_refuse(t, ALB_REFUSED,
                        "site %s is not in this directory, but there are %s: keep the site, or "
                        "revoke them first ('albedo revoke', 'albedo token revoke')",
                        m->list[i].site, names);
        return false;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const struct site_member *const *)a)->name,
                  (*(const struct site_member *const *)b)->name);
}

static int compare_with_name(const void *name, const void *member)
{
    return strcmp(name, (*(const struct site_member *const *)member)->name);
}

static bool judge_reflector(const struct site *site, const char *name,
                            const struct site_member *const *by_name, size_t count,
                            struct hub_task *t)
{
    const struct site_member *const *found =
        bsearch(name, by_name, count, sizeof *by_name, compare_with_name);
    const struct site_member *m = found == NULL ? NULL : *found;

    if (m == NULL) /* it may join later */
        return true;
    if (!m->is_reflector)
        hub_task_refuse(t, ALB_REFUSED,
                        "site %s names %s as a reflector, and that device is none ('albedo "
                        "devices' shows the roles)",
                        site->name, name);
    else if (strcmp(m->site, site->name) != 0)
        hub_task_refuse(t, ALB_REFUSED,
                        "site %s names reflector %s, which joined at site %s: name it there, or "
                        "let it join again with a token of this site",
                        site->name, name, m->site[0] != '\0' ? m->site : "(none)");
    return m->is_reflector && strcmp(m->site, site->name) == 0;
}

static void judge_reflectors(const struct site_members *m, const struct sites *sites,
                             struct hub_task *t)
{
    AUTO_FREE const struct site_member **by_name = xcalloc(m->count + 1, sizeof *by_name);
    size_t count = 0;
    bool is_good = true;

    for (size_t i = 0; i < m->count; i++)
        if (!m->list[i].is_token)
            by_name[count++] = &m->list[i];
    qsort(by_name, count, sizeof *by_name, compare_names);
    for (size_t i = 0; i < sites->count && is_good; i++)
        for (size_t k = 0; k < sites->list[i].reflector_count && is_good; k++)
            is_good =
                judge_reflector(&sites->list[i], sites->list[i].reflectors[k], by_name, count, t);
}

void site_members_judge(const struct site_members *m, const struct sites *sites, struct hub_task *t)
{
    if (judge_homes(m, sites, t))
        judge_reflectors(m, sites, t);
}
