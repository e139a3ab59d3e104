/* SPDX-License-Identifier: Apache-2.0 */
/* wire/nearby_text.c – a list as JSON, and back. */
#include "wire/nearby_text.h"

#include <stdio.h>

#include "base/alloc.h"
#include "wire/json.h"

enum { PATH_SIZE = 64, TEXT_SIZE = NEARBY_HOST_SIZE + 10 };

/* ---- addresses with ports -------------------------------------------------------------------- */

static const struct alb_status WRONG_PLACE = {
    ALB_INVALID, 0, "a place is written 10.1.0.5:7443, [2001:db8::5]:7443 or NAME:PORT"};

/* "HOST:PORT" or "[HOST]:PORT", with the colons of IPv6 only within brackets. */
static struct alb_status place_split(const char *text, char *host, size_t host_size, uint16_t *port)
{
    const bool is_bracketed = text[0] == '[';
    const char *begin = text + (is_bracketed ? 1 : 0);
    const size_t size = strcspn(begin, is_bracketed ? "]" : ":");
    const char *colon = begin + size + (is_bracketed && begin[size] == ']' ? 1 : 0);
    uint64_t number;

    if (size == 0 || size >= host_size || *colon != ':' ||
        alb_failed(parse_u64(colon + 1, UINT16_MAX, &number)) || number == 0 ||
        (memchr(begin, ':', size) != NULL) != is_bracketed)
        return WRONG_PLACE;
    memcpy(host, begin, size);
    host[size] = '\0';
    *port = (uint16_t)number;
    return ALB_STATUS_OK;
}

struct alb_status nearby_address_parse(const char *text, struct nearby_address *out)
{
    struct nearby_address a = {.port = 0};
    uint8_t bytes[16];
    struct alb_status st = place_split(text, a.host, sizeof a.host, &a.port);

    if (!alb_failed(st))
        st = site_address_parse(a.host, bytes);
    if (!alb_failed(st))
        *out = a;
    return st;
}

static void place_text(const char *host, uint16_t port, char *out, size_t size)
{
    const bool is_v6 = strchr(host, ':') != NULL;

    (void)snprintf(out, size, "%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

const char *nearby_address_text(const struct nearby_address *a, char out[64])
{
    place_text(a->host, a->port, out, 64);
    return out;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_terms(const struct site_terms *t, struct json_writer *w)
{
    json_object_begin(w, "terms");
    json_text(w, "use", site_use_word(t->use));
    if (t->latency_ms > 0)
        json_number(w, "latency_ms", t->latency_ms);
    if (t->load_percent > 0)
        json_number(w, "load_percent", t->load_percent);
    if (t->max_sessions > 0)
        json_number(w, "max_sessions", t->max_sessions);
    json_end(w);
}

static void put_holder(const struct nearby_holder *h, struct json_writer *w)
{
    char text[64];

    json_object_begin(w, NULL);
    json_text(w, "device", h->device);
    json_text(w, "site", h->site);
    json_number(w, "depth", h->depth);
    json_number(w, "order", h->order);
    json_text(w, "state", reflector_state_word(h->state));
    json_array_begin(w, "at");
    for (size_t i = 0; i < h->at_count; i++)
        json_text(w, NULL, nearby_address_text(&h->at[i], text));
    json_end(w);
    json_array_begin(w, "subnets");
    for (size_t i = 0; i < h->subnet_count; i++)
        json_text(w, NULL, site_subnet_text(&h->subnets[i], text));
    json_end(w);
    json_end(w);
}

static void put_hub(const struct nearby *n, struct json_writer *w)
{
    char text[TEXT_SIZE];

    json_array_begin(w, "hub");
    for (size_t i = 0; i < n->hub_count; i++) {
        place_text(n->hub[i].host, n->hub[i].port, text, sizeof text);
        json_text(w, NULL, text);
    }
    json_end(w);
}

void nearby_show(const struct nearby *n, struct json_writer *w)
{
    json_number(w, "format", NEARBY_FORMAT);
    json_text(w, "site", n->site);
    json_array_begin(w, "above");
    for (size_t i = 0; i < n->above_count; i++)
        json_text(w, NULL, n->above[i]);
    json_end(w);
    json_number(w, "number", n->number);
    json_signed(w, "issued", n->issued_wall_s);
    json_signed(w, "expires", n->expires_wall_s);
    put_terms(&n->terms, w);
    json_array_begin(w, "holders");
    for (size_t i = 0; i < n->holder_count; i++)
        put_holder(&n->holders[i], w);
    json_end(w);
    put_hub(n, w);
}

struct alb_status nearby_text_write(const struct nearby *n, struct buf *out)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    nearby_show(n, w);
    json_end(w);
    return json_writer_finish(w, out);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reader {
    const struct json_doc *doc;
    const char *at; /* where in the document: "" or "holders.3." */
    struct alb_status st;
};

static const char *path_of(const struct reader *r, const char *name, char out[PATH_SIZE])
{
    (void)snprintf(out, PATH_SIZE, "%s%s", r->at, name);
    return out;
}

static void fail(struct reader *r, struct alb_status st)
{
    if (alb_failed(st) && !alb_failed(r->st))
        r->st = st;
}

static void get_text(struct reader *r, const char *name, char *out, size_t size)
{
    char path[PATH_SIZE];
    const char *text = json_doc_text(r->doc, path_of(r, name, path));

    if (strlen(text) >= size)
        fail(r, alb_fail(ALB_INVALID, "a text in a list of what is nearby is too long"));
    else
        memcpy(out, text, strlen(text) + 1);
}

static uint64_t get_number(struct reader *r, const char *name, uint64_t most)
{
    char path[PATH_SIZE];
    const uint64_t number = json_doc_number(r->doc, path_of(r, name, path));

    if (number > most)
        fail(r, alb_fail(ALB_INVALID, "a number in a list of what is nearby is too large"));
    return number > most ? 0 : number;
}

/* How many there are of what may be there at most `most` times. */
static size_t get_count(struct reader *r, const char *name, size_t most)
{
    char path[PATH_SIZE];
    const size_t count = json_doc_count(r->doc, path_of(r, name, path));

    if (count > most)
        fail(r, alb_fail(ALB_INVALID, "a list within a list of what is nearby is too long"));
    return count > most ? 0 : count;
}

static const char *get_item(const struct reader *r, const char *name, size_t index)
{
    char path[PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s%s.%zu", r->at, name, index);
    return json_doc_text(r->doc, path);
}

static void get_use(struct reader *r, struct site_terms *t)
{
    char word[16] = "";

    get_text(r, "terms.use", word, sizeof word);
    for (int use = SITE_USE_ALWAYS; use <= SITE_USE_DIRECT; use++)
        if (strcmp(word, site_use_word((enum site_use)use)) == 0)
            t->use = (enum site_use)use;
}

static void get_terms(struct reader *r, struct site_terms *t)
{
    get_use(r, t);
    t->latency_ms = (uint32_t)get_number(r, "terms.latency_ms", SITES_LATENCY_MAX_MS);
    t->load_percent = (uint32_t)get_number(r, "terms.load_percent", 100);
    t->max_sessions = (uint32_t)get_number(r, "terms.max_sessions", SITES_SESSIONS_MAX);
}

static void get_holder(struct reader *r, struct nearby_holder *h)
{
    char state[16] = "";

    get_text(r, "device", h->device, sizeof h->device);
    get_text(r, "site", h->site, sizeof h->site);
    get_text(r, "state", state, sizeof state);
    fail(r, reflector_state_parse(state, &h->state));
    h->depth = (unsigned)get_number(r, "depth", NEARBY_ABOVE_MAX);
    h->order = (unsigned)get_number(r, "order", UINT16_MAX);
    h->at_count = get_count(r, "at", NEARBY_AT_MAX);
    for (size_t i = 0; i < h->at_count; i++)
        fail(r, nearby_address_parse(get_item(r, "at", i), &h->at[i]));
    h->subnet_count = get_count(r, "subnets", NEARBY_SUBNETS_MAX);
    for (size_t i = 0; i < h->subnet_count; i++)
        fail(r, site_subnet_parse(get_item(r, "subnets", i), &h->subnets[i]));
}

static void get_holders(struct reader *r, struct nearby *n)
{
    char at[PATH_SIZE];

    n->holder_count = get_count(r, "holders", NEARBY_HOLDERS_MAX);
    n->holders = xcalloc(n->holder_count + 1, sizeof *n->holders);
    for (size_t i = 0; i < n->holder_count; i++) {
        (void)snprintf(at, sizeof at, "holders.%zu.", i);
        r->at = at;
        get_holder(r, &n->holders[i]);
        r->at = "";
    }
}

static void get_hub(struct reader *r, struct nearby *n)
{
    n->hub_count = get_count(r, "hub", NEARBY_HUB_MAX);
    for (size_t i = 0; i < n->hub_count; i++) {
        struct nearby_hub *h = &n->hub[i];

        fail(r, place_split(get_item(r, "hub", i), h->host, sizeof h->host, &h->port));
    }
}

static void get_above(struct reader *r, struct nearby *n)
{
    n->above_count = get_count(r, "above", NEARBY_ABOVE_MAX);
    for (size_t i = 0; i < n->above_count; i++) {
        const char *text = get_item(r, "above", i);

        if (strlen(text) >= sizeof n->above[i])
            fail(r, alb_fail(ALB_INVALID, "the name of a site above is too long"));
        else
            memcpy(n->above[i], text, strlen(text) + 1);
    }
}

struct alb_status nearby_text_read(const void *bytes, size_t size, struct nearby *out)
{
    struct reader r = {.at = "", .st = ALB_STATUS_OK};
    struct json_doc *doc;
    struct alb_status st = json_doc_parse(bytes, size, &doc);

    if (alb_failed(st))
        return st;
    r.doc = doc;
    if (json_doc_number(doc, "format") != NEARBY_FORMAT)
        fail(&r, alb_fail(ALB_INVALID, "this format of a list is not known to this program"));
    get_text(&r, "site", out->site, sizeof out->site);
    get_above(&r, out);
    out->number = get_number(&r, "number", INT64_MAX);
    out->issued_wall_s = (int64_t)get_number(&r, "issued", INT64_MAX);
    out->expires_wall_s = (int64_t)get_number(&r, "expires", INT64_MAX);
    get_terms(&r, &out->terms);
    get_holders(&r, out);
    get_hub(&r, out);
    json_doc_free(doc);
    return r.st;
}
