/* SPDX-License-Identifier: Apache-2.0 */
/* sim/scenario.c – reads scenario files: each line is matched against a table of statements.
 *
 * A row's pattern is the statement as people write it; words in capitals are values: NAME, TIME
 * (30s), RATE (2Mbit), SIZE (64MiB), PERCENT (0.5%), COUNT (40), NUMBER (1.01).
 */
#include "sim/scenario.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/units.h"

enum { WORDS_MAX = 16, VALUES_MAX = 6, LINE_SIZE = 256, FILE_SIZE_MAX = 1 << 20 };
enum { ENDPOINTS_MAX = 100000, PERCENT_IN_MILLION = 10000 };

struct value {
    const char *word;
    uint64_t number; /* bytes, bytes/s, ns, a count, or parts per million */
    double ratio;
};

struct reader {
    struct scenario *scenario;
    unsigned line;
    char *error;
    struct value values[VALUES_MAX];
    size_t value_count;
};

/* Handlers return false after fail(). */
struct statement {
    const char *pattern;
    bool (*handle)(struct reader *r, const struct value *v);
};

static bool take_seed(struct reader *r, const struct value *v);
static bool take_link(struct reader *r, const struct value *v);
static bool take_reflector(struct reader *r, const struct value *v);
static bool take_endpoints(struct reader *r, const struct value *v);
static bool take_sites(struct reader *r, const struct value *v);
static bool take_publish(struct reader *r, const struct value *v);
static bool take_every_want(struct reader *r, const struct value *v);
static bool take_site_want(struct reader *r, const struct value *v);
static bool take_revoke(struct reader *r, const struct value *v);
static bool take_cut(struct reader *r, const struct value *v);
static bool take_cut_all(struct reader *r, const struct value *v);
static bool take_death(struct reader *r, const struct value *v);
static bool take_hub_death(struct reader *r, const struct value *v);
static bool expect_has(struct reader *r, const struct value *v);
static bool expect_out(struct reader *r, const struct value *v);
static bool expect_cut_off(struct reader *r, const struct value *v);
static bool expect_crossing(struct reader *r, const struct value *v);
static bool expect_crossings(struct reader *r, const struct value *v);
static bool expect_wire(struct reader *r, const struct value *v);
static bool expect_sessions(struct reader *r, const struct value *v);
static bool expect_requests(struct reader *r, const struct value *v);
static bool expect_queueing(struct reader *r, const struct value *v);

static const struct statement statements[] = {
    {"seed COUNT", take_seed},
    {"link NAME rate RATE delay TIME", take_link},
    {"link NAME rate RATE delay TIME loss PERCENT", take_link},
    {"reflector NAME parent NAME", take_reflector},
    {"reflector NAME parent NAME cache SIZE", take_reflector},
    {"endpoints NAME COUNT", take_endpoints},
    {"sites NAME COUNT rate RATE delay TIME cache SIZE endpoints COUNT", take_sites},
    {"at TIME hub publishes NAME SIZE", take_publish},
    {"at TIME every endpoint wants NAME", take_every_want},
    {"at TIME endpoints of NAME want NAME", take_site_want},
    {"at TIME hub revokes NAME", take_revoke},
    {"at TIME link NAME down for TIME", take_cut},
    {"at TIME every link down for TIME", take_cut_all},
    {"at TIME reflector NAME dies for TIME", take_death},
    {"at TIME hub dies for TIME", take_hub_death},
    {"expect by TIME every endpoint has NAME", expect_has},
    {"expect by TIME NAME is cut off", expect_cut_off},
    {"expect by TIME NAME is out", expect_out},
    {"expect crossing ratio NAME <= NUMBER", expect_crossing},
    {"expect crossing ratio of every site <= NUMBER", expect_crossings},
    {"expect from TIME at most COUNT sessions a second at the hub", expect_sessions},
    {"expect from TIME at most COUNT requests a second at the hub", expect_requests},
    {"expect wire ratio NAME <= NUMBER", expect_wire},
    {"expect queueing delay NAME p95 <= TIME", expect_queueing},
};

ALB_PRINTF(2, 3) static bool fail(struct reader *r, const char *format, ...)
{
    int used = snprintf(r->error, SCENARIO_ERROR_SIZE, "%s:%u: ", r->scenario->file, r->line);
    va_list args;

    va_start(args, format);
    if (used > 0 && used < SCENARIO_ERROR_SIZE)
        (void)vsnprintf(r->error + used, SCENARIO_ERROR_SIZE - (size_t)used, format, args);
    va_end(args);
    return false;
}

static void copy_word(char out[SCENARIO_WORD_SIZE], const char *word)
{
    (void)snprintf(out, SCENARIO_WORD_SIZE, "%s", word); /* read_name() bounded it */
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool read_decimal(const char *word, const char *suffix, double *out)
{
    char *end;

    *out = strtod(word, &end);
    return end != word && strcmp(end, suffix) == 0 && *out >= 0 && *out < 1e15;
}

static bool read_name(const char *word)
{
    return strlen(word) < SCENARIO_WORD_SIZE;
}

static bool read_value(struct reader *r, const char *kind, const char *word, struct value *v)
{
    bool ok = false;

    *v = (struct value){.word = word};
    if (strcmp(kind, "NAME") == 0)
        ok = read_name(word);
    else if (strcmp(kind, "TIME") == 0)
        ok = !alb_failed(parse_duration(word, &v->number));
    else if (strcmp(kind, "RATE") == 0)
        ok = !alb_failed(parse_rate(word, &v->number)) && v->number >= 8;
    else if (strcmp(kind, "SIZE") == 0)
        ok = !alb_failed(parse_size(word, &v->number));
    else if (strcmp(kind, "COUNT") == 0)
        ok = !alb_failed(parse_u64(word, UINT64_MAX, &v->number));
    else if (strcmp(kind, "NUMBER") == 0)
        ok = read_decimal(word, "", &v->ratio);
    else if (strcmp(kind, "PERCENT") == 0)
        ok = read_decimal(word, "%", &v->ratio) && v->ratio <= 100;
    return ok || fail(r,
                      "'%s' is no %s; such as: NAME site1, TIME 30s, RATE 2Mbit, SIZE 64MiB, "
                      "PERCENT 0.5%%, COUNT 40, NUMBER 1.01",
                      word, kind);
}

/* ---- one line -------------------------------------------------------------------------------- */

static size_t split(char *line, const char **words)
{
    size_t count = 0;
    char *state = NULL;

    for (char *w = strtok_r(line, " \t\r", &state); w != NULL && count < WORDS_MAX;
         w = strtok_r(NULL, " \t\r", &state))
        words[count++] = w;
    return count;
}

static bool is_value(const char *word)
{
    return word[0] >= 'A' && word[0] <= 'Z';
}

/* Do the fixed words of the pattern stand where they should? */
static bool has_shape(const char *const *pattern, size_t pattern_count, const char *const *words,
                      size_t count)
{
    if (count != pattern_count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!is_value(pattern[i]) && strcmp(pattern[i], words[i]) != 0)
            return false;
    return true;
}

static bool obey(struct reader *r, const struct statement *statement, const char *const *pattern,
                 const char *const *words, size_t count)
{
    memset(r->values, 0, sizeof(r->values));
    r->value_count = 0;
    for (size_t i = 0; i < count; i++)
        if (is_value(pattern[i]) &&
            !read_value(r, pattern[i], words[i], &r->values[r->value_count++]))
            return false;
    return statement->handle(r, r->values);
}

static bool fail_unknown(struct reader *r, const char *first)
{
    char known[SCENARIO_ERROR_SIZE / 2] = "";
    size_t used = 0;
    size_t length = strlen(first);

    for (size_t i = 0; i < ALB_COUNT(statements) && used < sizeof(known); i++) {
        const char *p = statements[i].pattern;

        if (strncmp(p, first, length) == 0 && p[length] == ' ')
            used += (size_t)snprintf(known + used, sizeof(known) - used, "\n    %s", p);
    }
    if (used == 0)
        return fail(r,
                    "no statement begins with '%.40s'; these do: seed, link, reflector, "
                    "endpoints, sites, at, expect",
                    first);
    return fail(r, "not understood; what begins with '%s':%s", first, known);
}

static bool read_line(struct reader *r, char *line)
{
    const char *words[WORDS_MAX];
    char *comment = strchr(line, '#');

    if (comment != NULL)
        *comment = '\0';
    size_t count = split(line, words);
    if (count == 0)
        return true;
    for (size_t i = 0; i < ALB_COUNT(statements); i++) {
        char text[LINE_SIZE];
        const char *pattern[WORDS_MAX];

        (void)snprintf(text, sizeof(text), "%s", statements[i].pattern);
        size_t pattern_count = split(text, pattern);
        if (has_shape(pattern, pattern_count, words, count))
            return obey(r, &statements[i], pattern, words, count);
    }
    return fail_unknown(r, words[0]);
}

/* ---- the cast -------------------------------------------------------------------------------- */

static struct scenario_site *find_site(struct scenario *s, const char *name)
{
    for (size_t i = 0; i < s->site_count; i++)
        if (strcmp(s->sites[i].name, name) == 0)
            return &s->sites[i];
    return NULL;
}

static struct scenario_link *find_link(struct scenario *s, const char *name)
{
    for (struct scenario_link *l = s->links; l != NULL; l = l->next)
        if (strcmp(l->name, name) == 0)
            return l;
    return NULL;
}

static bool take_seed(struct reader *r, const struct value *v)
{
    r->scenario->seed = v[0].number;
    return true;
}

static bool take_link(struct reader *r, const struct value *v)
{
    struct scenario_link *l;

    if (find_link(r->scenario, v[0].word) != NULL)
        return fail(r, "there is a link '%s' already", v[0].word);
    l = xalloc(sizeof(*l));
    copy_word(l->name, v[0].word);
    l->rate_bps = v[1].number / 8; /* the world counts bytes */
    l->delay_ns = v[2].number;
    l->loss_per_million = (uint32_t)(v[3].ratio * PERCENT_IN_MILLION);
    l->next = r->scenario->links;
    r->scenario->links = l;
    return true;
}

static bool take_reflector(struct reader *r, const struct value *v)
{
    struct scenario *s = r->scenario;
    const struct scenario_site *parent = find_site(s, v[1].word);
    char link[2 * SCENARIO_WORD_SIZE + 2];

    if (find_site(s, v[0].word) != NULL)
        return fail(r, "there is a '%s' already", v[0].word);
    if (parent == NULL)
        return fail(r, "no hub or reflector is called '%s'", v[1].word);
    (void)snprintf(link, sizeof(link), "%s--%s", v[1].word, v[0].word);
    if (find_link(s, link) == NULL)
        return fail(r, "nothing leads there: a line `link %s rate … delay …` must come first",
                    link);
    if (s->site_count == SCENARIO_SITES_MAX)
        return fail(r, "more than %d sites", SCENARIO_SITES_MAX - 1);
    struct scenario_site *site = &s->sites[s->site_count++];
    copy_word(site->name, v[0].word);
    site->parent = parent;
    site->cache_bytes = v[2].number;
    return true;
}

static bool take_endpoints(struct reader *r, const struct value *v)
{
    struct scenario *s = r->scenario;
    struct scenario_site *site = find_site(s, v[0].word);

    if (site == NULL)
        return fail(r, "no hub or reflector is called '%s'", v[0].word);
    if (site->endpoints > 0)
        return fail(r, "the endpoints of '%s' are there already", v[0].word);
    if (v[1].number == 0 || v[1].number > ENDPOINTS_MAX - s->endpoints)
        return fail(r, "between 1 and %d endpoints in all, please", ENDPOINTS_MAX);
    site->first_endpoint = s->endpoints;
    site->endpoints = (unsigned)v[1].number;
    s->endpoints += site->endpoints;
    return true;
}

/* As that many times "link hub--NAMEn", "reflector NAMEn" and "endpoints NAMEn". */
static bool take_sites(struct reader *r, const struct value *v)
{
    char name[SCENARIO_WORD_SIZE], link[SCENARIO_WORD_SIZE];

    if (strlen(v[0].word) > 40)
        return fail(r, "'%s' is too long a name for a number behind it", v[0].word);
    for (uint64_t n = 1; n <= v[1].number; n++) {
        (void)snprintf(name, sizeof name, "%.40s%llu", v[0].word, (unsigned long long)n);
        (void)snprintf(link, sizeof link, "hub--%.50s", name);
        const struct value line[] = {{.word = link}, v[2], v[3], {.ratio = 0}};
        const struct value box[] = {{.word = name}, {.word = "hub"}, v[4]};
        const struct value crowd[] = {{.word = name}, v[5]};
        if (!take_link(r, line) || !take_reflector(r, box) || !take_endpoints(r, crowd))
            return false;
    }
    return true;
}

/* ---- the time-table -------------------------------------------------------------------------- */

static struct scenario_event *add_event(struct reader *r, enum scenario_act act, uint64_t at_ns,
                                        const char *name)
{
    struct scenario_event **at = &r->scenario->events;
    struct scenario_event *e = xalloc(sizeof(*e));

    while (*at != NULL)
        at = &(*at)->next;
    *at = e;
    e->act = act;
    e->at_ns = at_ns;
    copy_word(e->name, name);
    return e;
}

static bool take_publish(struct reader *r, const struct value *v)
{
    add_event(r, ACT_PUBLISH, v[0].number, v[1].word)->size = v[2].number;
    return true;
}

static bool take_every_want(struct reader *r, const struct value *v)
{
    (void)add_event(r, ACT_WANT, v[0].number, v[1].word);
    return true;
}

static bool take_site_want(struct reader *r, const struct value *v)
{
    const struct scenario_site *site = find_site(r->scenario, v[1].word);

    if (site == NULL || site->endpoints == 0)
        return fail(r, "there are no endpoints of '%s'", v[1].word);
    add_event(r, ACT_WANT, v[0].number, v[2].word)->site = site;
    return true;
}

/* "SITE-3" of a site with three endpoints or more. */
static bool find_endpoint(struct reader *r, const char *name)
{
    const char *dash = strrchr(name, '-');
    char site_name[SCENARIO_WORD_SIZE] = "";
    uint64_t number = 0;

    if (dash != NULL)
        (void)snprintf(site_name, sizeof site_name, "%.*s", (int)(dash - name), name);
    const struct scenario_site *site = find_site(r->scenario, site_name);
    if (site != NULL && !alb_failed(parse_u64(dash + 1, site->endpoints, &number)) && number > 0)
        return true;
    return fail(r, "no endpoint is called '%s'; they are SITE-1, SITE-2, …", name);
}

static bool take_revoke(struct reader *r, const struct value *v)
{
    if (!find_endpoint(r, v[1].word))
        return false;
    (void)add_event(r, ACT_REVOKE, v[0].number, v[1].word);
    return true;
}

static bool take_cut(struct reader *r, const struct value *v)
{
    if (find_link(r->scenario, v[1].word) == NULL)
        return fail(r, "there is no link '%s'", v[1].word);
    (void)add_event(r, ACT_LINK_DOWN, v[0].number, v[1].word);
    (void)add_event(r, ACT_LINK_UP, v[0].number + v[2].number, v[1].word);
    return true;
}

static bool take_cut_all(struct reader *r, const struct value *v)
{
    (void)add_event(r, ACT_LINK_DOWN, v[0].number, "");
    (void)add_event(r, ACT_LINK_UP, v[0].number + v[1].number, "");
    return true;
}

static bool take_death(struct reader *r, const struct value *v)
{
    const struct scenario_site *site = find_site(r->scenario, v[1].word);

    if (site == NULL || site->parent == NULL)
        return fail(r, "no reflector is called '%s'", v[1].word);
    add_event(r, ACT_DIE, v[0].number, v[1].word)->site = site;
    add_event(r, ACT_REVIVE, v[0].number + v[2].number, v[1].word)->site = site;
    return true;
}

static bool take_hub_death(struct reader *r, const struct value *v)
{
    const struct scenario_site *hub = &r->scenario->sites[0];

    add_event(r, ACT_DIE, v[0].number, hub->name)->site = hub;
    add_event(r, ACT_REVIVE, v[0].number + v[1].number, hub->name)->site = hub;
    return true;
}

/* ---- what is expected ------------------------------------------------------------------------ */

static struct scenario_expectation *add_expectation(struct reader *r, enum scenario_measure measure,
                                                    const char *name, double most)
{
    struct scenario_expectation **at = &r->scenario->expectations;
    struct scenario_expectation *e = xalloc(sizeof(*e));

    while (*at != NULL)
        at = &(*at)->next;
    *at = e;
    e->measure = measure;
    e->line = r->line;
    e->most = most;
    copy_word(e->name, name);
    return e;
}

static bool expect_of_link(struct reader *r, enum scenario_measure measure, const char *link,
                           double most)
{
    if (find_link(r->scenario, link) == NULL)
        return fail(r, "there is no link '%s'", link);
    (void)add_expectation(r, measure, link, most);
    return true;
}

static bool expect_has(struct reader *r, const struct value *v)
{
    add_expectation(r, MEASURE_HAS, v[1].word, 0)->by_ns = v[0].number;
    return true;
}

static bool expect_of_endpoint(struct reader *r, enum scenario_measure measure,
                               const struct value *v)
{
    if (!find_endpoint(r, v[1].word))
        return false;
    add_expectation(r, measure, v[1].word, 0)->by_ns = v[0].number;
    return true;
}

static bool expect_cut_off(struct reader *r, const struct value *v)
{
    return expect_of_endpoint(r, MEASURE_CUT_OFF, v);
}

static bool expect_out(struct reader *r, const struct value *v)
{
    return expect_of_endpoint(r, MEASURE_OUT, v);
}

static bool expect_crossing(struct reader *r, const struct value *v)
{
    return expect_of_link(r, MEASURE_CROSSING, v[0].word, v[1].ratio);
}

static bool expect_crossings(struct reader *r, const struct value *v)
{
    (void)add_expectation(r, MEASURE_CROSSINGS, "", v[0].ratio);
    return true;
}

static bool expect_sessions(struct reader *r, const struct value *v)
{
    add_expectation(r, MEASURE_SESSIONS, "", (double)v[1].number)->by_ns = v[0].number;
    return true;
}

static bool expect_requests(struct reader *r, const struct value *v)
{
    add_expectation(r, MEASURE_REQUESTS, "", (double)v[1].number)->by_ns = v[0].number;
    return true;
}

static bool expect_wire(struct reader *r, const struct value *v)
{
    return expect_of_link(r, MEASURE_WIRE, v[0].word, v[1].ratio);
}

static bool expect_queueing(struct reader *r, const struct value *v)
{
    return expect_of_link(r, MEASURE_QUEUEING, v[0].word, (double)v[1].number);
}

/* ---- a whole file ---------------------------------------------------------------------------- */

static bool read_lines(struct reader *r, const char *text)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        char line[LINE_SIZE];

        r->line++;
        if (length >= sizeof(line))
            return fail(r, "a line of more than %d bytes", LINE_SIZE - 1);
        memcpy(line, text, length);
        line[length] = '\0';
        if (!read_line(r, line))
            return false;
        text += length + (text[length] == '\n');
    }
    if (r->scenario->expectations == NULL)
        return fail(r, "nothing is expected: a scenario needs an `expect` line");
    return true;
}

struct alb_status scenario_parse(const char *file, const char *text, struct scenario **out,
                                 char error[SCENARIO_ERROR_SIZE]) /* NOLINT: written to by fail() */
{
    struct scenario *s = xalloc(sizeof(*s));
    struct reader r = {.scenario = s, .error = error};
    const char *slash = strrchr(file, '/');

    (void)snprintf(s->file, sizeof(s->file), "%.60s", slash == NULL ? file : slash + 1);
    s->seed = 1;
    copy_word(s->sites[0].name, "hub");
    s->site_count = 1;
    if (!read_lines(&r, text)) {
        scenario_free(s);
        return alb_fail(ALB_INVALID, "reading a scenario");
    }
    *out = s;
    return ALB_STATUS_OK;
}

struct alb_status scenario_read(const char *path, struct scenario **out,
                                char error[SCENARIO_ERROR_SIZE])
{
    struct buf text;
    char why[SCENARIO_ERROR_SIZE / 2];

    buf_init(&text, FILE_SIZE_MAX);
    struct alb_status st = file_read(path, &text);
    if (alb_failed(st))
        (void)snprintf(error, SCENARIO_ERROR_SIZE, "%s: cannot be read: %s", path,
                       alb_status_text(st, why, sizeof(why)));
    else
        st = scenario_parse(path, buf_text(&text), out, error);
    buf_release(&text);
    return st;
}

struct scenario *scenario_free(struct scenario *s)
{
    if (s == NULL)
        return NULL;
    while (s->links != NULL) {
        struct scenario_link *l = s->links;
        s->links = l->next;
        free(l);
    }
    while (s->events != NULL) {
        struct scenario_event *e = s->events;
        s->events = e->next;
        free(e);
    }
    while (s->expectations != NULL) {
        struct scenario_expectation *e = s->expectations;
        s->expectations = e->next;
        free(e);
    }
    free(s);
    return NULL;
}
