/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_site.c – `albedo site list|show|find`: what the directory says, and who is there. */
#include <inttypes.h>

#include "base/alloc.h"
#include "client/site_copy.h"
#include "client/table.h"
#include "wire/sites_find.h"

/* ---- who is there ---------------------------------------------------------------------------- */

struct headcount {
    uint64_t devices, reflectors, tokens;
};

/* The hub lists them by site. */
static struct headcount headcount_of(const struct json_doc *members, const char *site)
{
    static const char *const NAMES[] = {"devices", "reflectors", "tokens"};
    size_t low = 0, high = json_doc_count(members, "sites");
    const size_t count = high;
    uint64_t found[3] = {0, 0, 0};
    char path[64];

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        snprintf(path, sizeof path, "sites.%zu.site", middle);
        if (strcmp(json_doc_text(members, path), site) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    snprintf(path, sizeof path, "sites.%zu.site", low);
    for (size_t i = 0; low < count && strcmp(json_doc_text(members, path), site) == 0 && i < 3;
         i++) {
        char member[64];

        snprintf(member, sizeof member, "sites.%zu.%s", low, NAMES[i]);
        found[i] = json_doc_number(members, member);
    }
    return (struct headcount){found[0], found[1], found[2]};
}

/* ---- list ------------------------------------------------------------------------------------ */

static const struct column columns[] = {
    {"SITE", "name", CELL_TEXT},
    {"PARENT", "parent", CELL_TEXT},
    {"SUBNETS", "subnets", CELL_TEXT},
    {"DEVICES", "devices", CELL_NUMBER},
    {"REFLECTORS", "reflectors", CELL_TEXT},
    {"USE", "use", CELL_TEXT},
    {"LINK", "link", CELL_TEXT},
    {"ZONE", "zone", CELL_TEXT},
};

/* A list as people read it: the first, and how many more. */
static void put_first(struct json_writer *w, const char *key, const char *first, size_t count)
{
    AUTO_FREE char *text =
        count < 2 ? xstrdup(count == 0 ? "" : first) : xasprintf("%s +%zu", first, count - 1);

    json_text(w, key, text);
}

static void put_row(struct json_writer *w, const struct sites *s, const struct site *site,
                    const struct json_doc *members)
{
    struct site_terms terms;
    const char *zone;
    char subnet[64] = "";

    sites_terms_of(s, site, &terms, &zone);
    if (site->subnet_count > 0)
        (void)site_subnet_text(&site->subnets[0], subnet);
    json_object_begin(w, NULL);
    json_text(w, "name", site->name);
    json_text(w, "parent", site->parent);
    put_first(w, "subnets", subnet, site->subnet_count);
    json_number(w, "devices", headcount_of(members, site->name).devices);
    put_first(w, "reflectors", site->reflector_count > 0 ? site->reflectors[0] : "",
              site->reflector_count);
    json_text(w, "use", site_use_word(terms.use));
    json_text(w, "link", site->link);
    json_text(w, "zone", zone);
    json_end(w);
}

/* Somebody joined with a token that was made while the directory changed. */
static void note_strays(struct output *o, const struct sites *s, const struct json_doc *members)
{
    for (size_t i = 0; i < json_doc_count(members, "sites"); i++) {
        AUTO_FREE char *path = xasprintf("sites.%zu.site", i);
        const char *name = json_doc_text(members, path);

        if (name[0] != '\0' && sites_find_name(s, name) == NULL)
            output_note(o,
                        "site %s is not in the directory, and %" PRIu64 " devices are there: "
                        "'albedo site add %s'",
                        name, headcount_of(members, name).devices, name);
    }
}

static enum exit_code print_list(struct output *o, const struct site_copy *c,
                                 const struct json_doc *members)
{
    struct json_writer *w = json_writer_new();
    struct json_doc *rows = NULL;
    struct buf text;

    buf_init(&text, SIZE_MAX / 2);
    json_object_begin(w, NULL);
    json_array_begin(w, "sites");
    for (size_t i = 0; i < c->sites->count; i++)
        put_row(w, c->sites, &c->sites->list[i], members);
    json_end(w);
    json_end(w);
    struct alb_status st = json_writer_finish(w, &text);
    if (!alb_failed(st))
        st = json_doc_parse(buf_peek(&text), buf_size(&text), &rows);
    if (!alb_failed(st))
        table_print(o, rows, "sites", columns, ALB_COUNT(columns));
    json_doc_free(rows);
    buf_release(&text);
    return alb_failed(st) ? output_fail_status(o, st, "listing the sites") : EXIT_DONE;
}

static enum exit_code list_json(struct output *o, const struct site_copy *c,
                                const struct json_doc *members)
{
    struct json_doc *all = NULL;
    const struct alb_status st = json_doc_parse(buf_peek(&c->text), buf_size(&c->text), &all);

    if (alb_failed(st))
        return output_fail_status(o, st, "listing the sites");
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_number(w, "number", c->number);
    json_relay(w, "sites", all, "sites");
    json_relay(w, "members", members, "sites");
    json_end(w);
    output_json(o, w);
    json_doc_free(all);
    return EXIT_DONE;
}

enum exit_code cmd_site_list(struct cli *cli)
{
    struct json_doc *members = NULL;
    struct output *o = cli->output;
    struct site_copy copy;
    enum exit_code code = site_copy_begin(cli, &copy);

    if (code != EXIT_DONE)
        return code;
    code = site_copy_ask(&copy, "/v1/site-devices", &members);
    if (code == EXIT_DONE && copy.number == 0)
        output_note(o, "there is no directory yet; these are the sites that the policy, devices "
                       "and tokens name: 'albedo site export' makes a file of them to begin with");
    if (code == EXIT_DONE)
        code = o->json ? list_json(o, &copy, members) : print_list(o, &copy, members);
    if (code == EXIT_DONE && copy.number > 0)
        note_strays(o, copy.sites, members);
    json_doc_free(members);
    site_copy_end(&copy);
    return code;
}

/* ---- show ------------------------------------------------------------------------------------ */

/* What is not said at the site is said above, or by nobody. */
static void say_terms(struct output *o, const struct sites *s, const struct site *site)
{
    struct site_terms terms;
    const char *zone;

    sites_terms_of(s, site, &terms, &zone);
    output_say(o, "%-13s use %s, zone %s", "holds there", site_use_word(terms.use),
               zone[0] != '\0' ? zone : "of the policy");
    if (terms.latency_ms > 0)
        output_say(o, "%-13s latency at most %ums", "", terms.latency_ms);
    if (terms.load_percent > 0)
        output_say(o, "%-13s load at most %u %%", "", terms.load_percent);
    if (terms.max_sessions > 0)
        output_say(o, "%-13s %u sessions of each reflector", "", terms.max_sessions);
    if (terms.keep_awake == SITE_KEEP_YES)
        output_say(o, "%-13s one machine of each subnet stays awake while no reflector is here",
                   "");
}

static void show_text(struct output *o, const struct sites *s, const struct site *site,
                      const struct headcount *there)
{
    struct buf text;

    buf_init(&text, SITES_BYTES_MAX);
    for (size_t i = 0; site_column(i) != NULL; i++) {
        buf_clear(&text);
        site_column_write(site, i, &text);
        if (buf_size(&text) > 0)
            output_say(o, "%-13s %s", site_column(i), buf_text(&text));
    }
    buf_release(&text);
    say_terms(o, s, site);
    output_say(o,
               "%-13s %" PRIu64 " (%" PRIu64 " of them reflectors), and %" PRIu64
               " tokens that may still be used",
               "devices", there->devices, there->reflectors, there->tokens);
}

static void put_terms(struct json_writer *w, const struct sites *s, const struct site *site)
{
    struct site_terms terms;
    const char *zone;

    sites_terms_of(s, site, &terms, &zone);
    json_object_begin(w, "holds");
    json_text(w, "use", site_use_word(terms.use));
    json_text(w, "zone", zone);
    json_number(w, "latency_ms", terms.latency_ms);
    json_number(w, "load", terms.load_percent);
    json_number(w, "max_sessions", terms.max_sessions);
    json_bool(w, "keep_awake", terms.keep_awake == SITE_KEEP_YES);
    json_end(w);
}

static enum exit_code show_json(struct output *o, const struct site_copy *c,
                                const struct site *site, const struct headcount *there)
{
    AUTO_FREE char *path = xasprintf("sites.%zu", (size_t)(site - c->sites->list));
    struct json_doc *all = NULL;
    const struct alb_status st = json_doc_parse(buf_peek(&c->text), buf_size(&c->text), &all);

    if (alb_failed(st))
        return output_fail_status(o, st, "showing the site");
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_number(w, "number", c->number);
    json_relay(w, "site", all, path);
    put_terms(w, c->sites, site);
    json_number(w, "devices", there->devices);
    json_number(w, "reflectors", there->reflectors);
    json_number(w, "tokens", there->tokens);
    json_end(w);
    output_json(o, w);
    json_doc_free(all);
    return EXIT_DONE;
}

enum exit_code cmd_site_show(struct cli *cli)
{
    const char *name = cli->words[0];
    struct json_doc *members = NULL;
    struct site_copy copy;
    enum exit_code code = site_copy_begin(cli, &copy);

    if (code != EXIT_DONE)
        return code;
    const struct site *site = sites_find_name(copy.sites, name);
    if (site == NULL)
        code = output_fail(cli->output, ALB_NOT_FOUND,
                           "there is no site %s: 'albedo site list' shows those there are", name);
    else
        code = site_copy_ask(&copy, "/v1/site-devices", &members);
    if (code == EXIT_DONE) {
        const struct headcount there = headcount_of(members, name);

        if (cli->output->json)
            code = show_json(cli->output, &copy, site, &there);
        else
            show_text(cli->output, copy.sites, site, &there);
    }
    json_doc_free(members);
    site_copy_end(&copy);
    return code;
}

/* ---- find ------------------------------------------------------------------------------------ */

struct place {
    uint8_t address[1][16];
    struct site_mac *gateways; /* owned */
    size_t gateway_count;
};

static enum exit_code take_place(const struct cli *cli, struct place *p)
{
    struct alb_status st = site_address_parse(cli->words[0], p->address[0]);

    if (alb_failed(st))
        return cli_usage(cli, "ADDRESS %s: %s", cli->words[0], st.what);
    p->gateways = xcalloc(cli_count(cli, "gateway") + 1, sizeof *p->gateways);
    for (size_t i = 0; i < cli_count(cli, "gateway"); i++) {
        st = site_mac_parse(cli_text_at(cli, "gateway", i), &p->gateways[i]);
        if (alb_failed(st))
            return cli_usage(cli, "--gateway %s: %s", cli_text_at(cli, "gateway", i), st.what);
        p->gateway_count++;
    }
    return EXIT_DONE;
}

static void say_found(struct output *o, const char *address, const struct place *p,
                      const struct sites_found *f)
{
    char subnet[64], mac[18];

    if (f->subnet_site != NULL)
        (void)site_subnet_text(&f->subnet, subnet);
    if (f->why == SITES_BY_SUBNET)
        output_say(o, "site %s: %s is the narrowest subnet around %s", f->site->name, subnet,
                   address);
    else
        output_say(o, "site %s: %s is one of its gateways, which goes before every subnet",
                   f->site->name, site_mac_text(&p->gateways[f->index], mac));
    if (f->why == SITES_BY_GATEWAY && f->subnet_site != NULL && f->subnet_site != f->site)
        output_say(o, "by its address alone it would be %s (%s)", f->subnet_site->name, subnet);
}

static void say_above(struct output *o, const struct sites *s, const struct site *site)
{
    for (site = sites_parent_of(s, site); site != NULL; site = sites_parent_of(s, site))
        output_say(o, "%-13s %s", "above", site->name);
}

static void put_above(struct json_writer *w, const struct sites *s, const struct site *site)
{
    json_array_begin(w, "above");
    while (site != NULL && (site = sites_parent_of(s, site)) != NULL)
        json_text(w, NULL, site->name);
    json_end(w);
}

static void find_json(struct output *o, const struct site_copy *c, const struct place *p,
                      const struct sites_found *f)
{
    static const char *const WHY[] = {"none", "gateway", "subnet"};
    struct json_writer *w = json_writer_new();
    char subnet[64] = "", mac[18] = "";

    if (f->subnet_site != NULL)
        (void)site_subnet_text(&f->subnet, subnet);
    if (f->why == SITES_BY_GATEWAY)
        (void)site_mac_text(&p->gateways[f->index], mac);
    json_object_begin(w, NULL);
    json_number(w, "number", c->number);
    json_text(w, "site", f->site != NULL ? f->site->name : "");
    json_text(w, "why", WHY[f->why]);
    json_text(w, "gateway", mac);
    json_text(w, "subnet", subnet);
    json_text(w, "subnet_site", f->subnet_site != NULL ? f->subnet_site->name : "");
    put_above(w, c->sites, f->site);
    if (f->site != NULL)
        put_terms(w, c->sites, f->site);
    json_end(w);
    output_json(o, w);
}

static enum exit_code find(struct cli *cli, const struct site_copy *c, const struct place *p)
{
    struct sites_index *x = sites_index_new(c->sites);
    const struct sites_found found =
        sites_find(x, &(struct sites_place){.addresses = p->address,
                                            .address_count = 1,
                                            .gateways = p->gateways,
                                            .gateway_count = p->gateway_count});
    struct output *o = cli->output;
    enum exit_code code = EXIT_DONE;

    if (o->json)
        find_json(o, c, p, &found);
    if (found.site == NULL)
        code = output_fail(o, ALB_NOT_FOUND,
                           "%s is at no site: it is in no site's subnet%s; 'albedo site set NAME "
                           "subnets=…' gives one",
                           cli->words[0],
                           p->gateway_count > 0 ? ", and no site has that gateway" : "");
    else if (!o->json) {
        say_found(o, cli->words[0], p, &found);
        say_above(o, c->sites, found.site);
        say_terms(o, c->sites, found.site);
    }
    x = sites_index_free(x);
    return code;
}

enum exit_code cmd_site_find(struct cli *cli)
{
    struct place place = {.gateways = NULL};
    struct site_copy copy;
    enum exit_code code = take_place(cli, &place);

    if (code == EXIT_DONE)
        code = site_copy_begin(cli, &copy);
    if (code == EXIT_DONE) {
        code = find(cli, &copy, &place);
        site_copy_end(&copy);
    }
    free(place.gateways);
    return code;
}
