/* SPDX-License-Identifier: Apache-2.0 */
/* hub/wake_ask.c – POST /v1/wake: who is meant, whether each can be woken, and by what.
 *
 * One device that is unknown, revoked or elsewhere refuses the whole request, and nobody is woken:
 * it is a slip of the hand.  What is merely asleep without a card that wakes is a result, and told
 * as one.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/map.h"
#include "hub/device.h"
#include "hub/roster.h"
#include "hub/wake_impl.h"
#include "net/ethtool_netlink.h"
#include "transfer/serve.h"

enum { PATIENCE_LEAST_S = 7, PATIENCE_MOST_S = 3600 };
#define MINUTE_NS (60 * NS_PER_S)

struct ask_task {
    struct hub_task task; /* first */
    struct wake_wish wish;
    size_t room;
    char id[WAKE_ID_SIZE];
    struct map added; /* by name: those of the wish */
};

/* ---- what is asked for ----------------------------------------------------------------------- */

static void take_number(struct hub_task *t, const struct json_doc *d, const char *name,
                        uint64_t least, uint64_t most, uint64_t *out)
{
    const uint64_t value = json_doc_number(d, name);

    if (value == 0)
        return; /* not said: the default */
    if (value < least || value > most)
        hub_task_refuse(t, ALB_INVALID, "%s: %llu to %llu", name, (unsigned long long)least,
                        (unsigned long long)most);
    *out = value;
}

static void take_password(struct hub_task *t, const char *hex, struct wake_wish *wish)
{
    const size_t size = strlen(hex) / 2;

    if (*hex == '\0')
        return;
    if (strlen(hex) % 2 != 0 || (size != 4 && size != 6) ||
        alb_failed(bytes_parse_hex(hex, wish->password, size)))
        hub_task_refuse(t, ALB_INVALID, "secureon: 8 or 12 lower-case hexadecimal digits");
    else
        wish->password_size = (uint8_t)size;
}

static void take_options(struct hub_task *t, const struct json_doc *d, struct wake_wish *wish)
{
    uint64_t at_once = 0, rate = 0, patience_s = 0;

    take_number(t, d, "at_once", 1, WAKE_AT_ONCE_MOST, &at_once);
    take_number(t, d, "rate", 1, WAKE_JOB_RATE_MOST, &rate);
    take_number(t, d, "patience_s", PATIENCE_LEAST_S, PATIENCE_MOST_S, &patience_s);
    take_password(t, json_doc_text(d, "secureon"), wish);
    wish->options = (struct wake_job_options){
        .at_once = (size_t)at_once, .rate = (unsigned)rate, .patience_ns = patience_s * NS_PER_S};
}

/* "for": the layer's current version, by its root. */
static void take_errand(struct hub_task *t, const struct json_doc *d, struct wake_errand *out)
{
    const char *layer = json_doc_text(d, "for");
    struct version_record record;

    out->sleeps_after = json_doc_bool(d, "sleep_after");
    if (*layer == '\0') {
        if (out->sleeps_after)
            hub_task_refuse(t, ALB_INVALID,
                            "sleep_after: it is by a layer's pull that the hub knows when a "
                            "machine may sleep again; say \"for\", too");
        return;
    }
    t->st = layer_name_check(layer);
    if (alb_failed(t->st))
        return;
    const struct alb_status st = ledger_current(&t->hub->ledger, layer, NULL, &record);
    if (st.code == ALB_NOT_FOUND)
        hub_task_refuse(t, ALB_NOT_FOUND,
                        "nothing of layer %s is published; 'albedo layers' lists what is. Nobody "
                        "was woken",
                        layer);
    else if (alb_failed(st))
        t->st = st;
    if (alb_failed(t->st))
        return;
    snprintf(out->layer, sizeof out->layer, "%s", layer);
    snprintf(out->version, sizeof out->version, "%s", record.version);
    out->root = record.root;
}

/* ---- how it is woken ------------------------------------------------------------------------- */

static void cannot(struct wake_sleeper *s, const char *why)
{
    s->preset = WAKE_CANNOT_BE_WOKEN;
    snprintf(s->why, sizeof s->why, "%s", why);
}

/* Does a frame wake it, as far as is known? */
static bool card_wakes(const struct announce_card *c, bool has_password)
{
    return !c->is_known || (c->wake & WAKE_ON_MAGIC) != 0 ||
           ((c->wake & WAKE_ON_SECURE) != 0 && has_password);
}

static void take_cards(const struct announce *a, bool has_password, struct wake_sleeper *s)
{
    bool is_secured = false;

    for (size_t i = 0; i < a->card_count; i++) {
        const struct announce_card *c = &a->cards[i];

        is_secured = is_secured || (c->is_known && (c->wake & WAKE_ON_SECURE) != 0);
        if (s->mac_count < WAKE_ORDER_MACS_MAX && (c->mac.bytes[0] & 1) == 0 &&
            card_wakes(c, has_password))
            s->macs[s->mac_count++] = c->mac;
    }
    if (s->mac_count > 0)
        return;
    if (a->card_count == 0)
        cannot(s, "it told of no network card: it is virtual, or its agent is older");
    else if (is_secured)
        cannot(s, "its card wakes by a SecureOn password only: --secureon FILE");
    else
        cannot(s,
               "no card of its is set to wake: 'ethtool -s LINK wol g' there, while it is awake");
}

static bool is_in_a_subnet(const struct announce_address *a)
{
    static const uint8_t V4[12] = {[10] = 0xff, [11] = 0xff};
    const bool is_v4 = memcmp(a->bytes, V4, sizeof V4) == 0;

    return is_v4 ? a->bits > 96 && a->bits < 128 : a->bits > 0;
}

static bool has_layer(const struct announce *a, const struct wake_errand *errand)
{
    for (size_t i = 0; i < a->layer_count; i++)
        if (strcmp(a->layers[i].layer, errand->layer) == 0 &&
            strcmp(a->layers[i].version, errand->version) == 0)
            return true;
    return false;
}

void hub_wake_learn(struct wake_sleeper *s, const struct presence *p, int64_t now_wall_s,
                    const struct wake_errand *errand, bool has_password)
{
    const struct announce_place *place = &p->announce->place;
    struct wake_sleeper told = {.preset = WAKE_NO_RESULT};

    memcpy(told.device, s->device, sizeof told.device);
    snprintf(told.site, sizeof told.site, "%s", place->site);
    /* It was here a moment ago: whatever a guard remembers of it was answered.  That it went may
     * not be written yet; who is here still is not woken. */
    told.is_again = p->seen_wall_s + WAKE_AGAIN_S > now_wall_s;
    told.has_it = has_layer(p->announce, errand);
    for (size_t i = 0; i < place->address_count && told.address_count < WAKE_ORDER_ADDRESSES_MAX;
         i++)
        if (is_in_a_subnet(&place->addresses[i]))
            told.addresses[told.address_count++] = place->addresses[i];
    for (size_t i = 0; i < place->gateway_count && i < ANNOUNCE_GATEWAYS_MAX; i++)
        told.gateways[told.gateway_count++] = place->gateways[i];
    take_cards(p->announce, has_password, &told);
    if (told.preset == WAKE_NO_RESULT && told.address_count == 0)
        cannot(&told, "in which subnet it sleeps is not known: it told of no address");
    *s = told;
}

static void read_sleeper(struct hub_task *t, const struct wake_wish *wish, struct wake_sleeper *s)
{
    struct presence p = {.announce = NULL};
    const struct alb_status st = presence_read(t->hub->ledger.catalogue, s->device, &p);

    if (!alb_failed(st))
        hub_wake_learn(s, &p, t->now_wall_s, &wish->errand, wish->password_size > 0);
    else if (st.code == ALB_NOT_FOUND || st.code == ALB_CORRUPT)
        cannot(s, "it never told how: no agent of its was here yet");
    else
        t->st = st;
    presence_release(&p);
}

/* ---- who is meant ---------------------------------------------------------------------------- */

static void *mark(void)
{
    static char is_there;

    return &is_there;
}

/* NULL: it was typed twice, or there are too many. */
static struct wake_sleeper *add(struct ask_task *p, const struct wake_sleeper *one)
{
    struct wake_wish *wish = &p->wish;
    const struct chunk_key key = map_text_key(one->device);

    if (map_get(&p->added, &key) != NULL)
        return NULL;
    if (wish->count == WAKE_JOB_TARGETS_MAX) {
        hub_task_refuse(&p->task, ALB_FULL, "one job wakes %d machines at most",
                        WAKE_JOB_TARGETS_MAX);
        return NULL;
    }
    if (wish->count == p->room) {
        p->room = p->room == 0 ? 16 : 2 * p->room;
        wish->sleepers = xrealloc(wish->sleepers, p->room * sizeof *wish->sleepers);
    }
    (void)map_put(&p->added, &key, mark());
    wish->sleepers[wish->count] = *one;
    return &wish->sleepers[wish->count++];
}

/* Where it was last; else where it belongs. */
static bool is_at_site(const struct wake_sleeper *s, const struct device_record *d,
                       const char *site)
{
    return strcmp(s->site[0] != '\0' ? s->site : d->site, site) == 0;
}

static bool is_machine(const struct device_record *d)
{
    return strcmp(d->role, "endpoint") == 0 || strcmp(d->role, "reflector") == 0;
}

static void refuse_unknown(struct hub_task *t, const char *device)
{
    struct site_mac mac;

    if (!alb_failed(site_mac_parse(device, &mac)))
        hub_task_refuse(t, ALB_INVALID,
                        "%s is a MAC address: machines are woken by the names they joined with "
                        "('albedo devices'), and only by the cards they told of themselves",
                        device);
    else
        hub_task_refuse(
            t, ALB_NOT_FOUND,
            "no device %.64s is enrolled; 'albedo devices' lists them. Nobody was woken", device);
}

static void judge_named(struct hub_task *t, const struct device_record *d)
{
    if (d->is_revoked)
        hub_task_refuse(t, ALB_REFUSED, "%s is revoked: it could do nothing. Nobody was woken",
                        d->device);
    else if (!is_machine(d))
        hub_task_refuse(t, ALB_INVALID, "%s is %s %s, no machine of a branch. Nobody was woken",
                        d->device, strcmp(d->role, "admin") == 0 ? "an" : "a", d->role);
}

/* May it have what it would be woken for? */
static bool is_covered(const struct device_record *d, const char *layer)
{
    AUTO_FREE char(*prefixes)[NAME_MAX_SIZE] = xcalloc(GRANT_PREFIXES_MAX, sizeof *prefixes);
    size_t count = 0;
    bool is_under = layer[0] == '\0';

    if (!is_under && alb_failed(layers_split(d->layers, GRANT_PREFIXES_MAX, prefixes, &count)))
        return false;
    for (size_t i = 0; i < count && !is_under; i++)
        is_under = layer_is_under(layer, prefixes[i]);
    return is_under;
}

static void take_named(struct ask_task *p, const char *device)
{
    AUTO_FREE struct device_record *d = xalloc(sizeof *d);
    struct hub_task *t = &p->task;
    struct alb_status st = id_check(device);

    if (!alb_failed(st))
        st = device_read(t->hub->ledger.catalogue, device, d, NULL);
    if (alb_failed(st) && st.code != ALB_NOT_FOUND && st.code != ALB_INVALID)
        t->st = st;
    else if (alb_failed(st))
        refuse_unknown(t, device);
    else
        judge_named(t, d);
    if (alb_failed(t->st))
        return;
    struct wake_sleeper s = {.preset = WAKE_NO_RESULT};
    snprintf(s.device, sizeof s.device, "%s", device);
    read_sleeper(t, &p->wish, &s);
    if (alb_failed(t->st))
        return;
    if (!is_covered(d, p->wish.errand.layer)) {
        s.preset = WAKE_REFUSED;
        snprintf(s.why, sizeof s.why, "its grant does not cover %.100s", p->wish.errand.layer);
    }
    if (p->wish.site[0] != '\0' && !is_at_site(&s, d, p->wish.site))
        hub_task_refuse(t, ALB_INVALID, "%s is not at site %s but at %s. Nobody was woken", device,
                        p->wish.site, s.site[0] != '\0' ? s.site : d->site);
    else
        (void)add(p, &s);
}

static bool take_of_site(void *arg, const char *name, const void *value, size_t size,
                         uint64_t version)
{
    struct ask_task *p = arg;
    AUTO_FREE struct device_record *d = xalloc(sizeof *d);

    (void)name;
    (void)version;
    if (alb_failed(device_decode(value, size, d)) || d->is_revoked ||
        strcmp(d->role, "endpoint") != 0 || !is_covered(d, p->wish.errand.layer))
        return true; /* of a site only those are meant who may have it */
    struct wake_sleeper s = {.preset = WAKE_NO_RESULT};
    memcpy(s.device, d->device, sizeof s.device);
    read_sleeper(&p->task, &p->wish, &s);
    if (!alb_failed(p->task.st) && is_at_site(&s, d, p->wish.site))
        (void)add(p, &s);
    return !alb_failed(p->task.st);
}

static void take_site(struct ask_task *p)
{
    struct hub_task *t = &p->task;

    const struct alb_status st =
        catalogue_list(t->hub->ledger.catalogue, "device/", take_of_site, p);
    if (!alb_failed(t->st))
        t->st = st;
    if (!alb_failed(t->st) && p->wish.count == 0)
        hub_task_refuse(t, ALB_NOT_FOUND,
                        "nobody is at site %s: no endpoint%s belongs there or was there last; "
                        "'albedo site list' shows the sites there are",
                        p->wish.site,
                        p->wish.errand.layer[0] == '\0' ? "" : " that may read the layer");
}

static void take_devices(struct ask_task *p, const struct json_doc *d, size_t count)
{
    char path[32];

    for (size_t i = 0; i < count && !alb_failed(p->task.st); i++) {
        snprintf(path, sizeof path, "devices.%zu", i);
        take_named(p, json_doc_text(d, path));
    }
}

/* ---- the task -------------------------------------------------------------------------------- */

static void take_all(struct ask_task *p, const struct json_doc *d)
{
    struct hub_task *t = &p->task;
    const size_t count = json_doc_count(d, "devices");
    const char *site = json_doc_text(d, "site");

    take_options(t, d, &p->wish);
    if (!alb_failed(t->st) && count == 0 && *site == '\0')
        hub_task_refuse(t, ALB_INVALID, "say whom: \"devices\", or a \"site\"");
    if (!alb_failed(t->st) && count > WAKE_JOB_TARGETS_MAX)
        hub_task_refuse(t, ALB_FULL, "one job wakes %d machines at most", WAKE_JOB_TARGETS_MAX);
    if (!alb_failed(t->st) && *site != '\0')
        t->st = id_check(site);
    if (!alb_failed(t->st))
        take_errand(t, d, &p->wish.errand);
    if (alb_failed(t->st))
        return;
    snprintf(p->wish.site, sizeof p->wish.site, "%.63s", site);
    if (count > 0)
        take_devices(p, d, count);
    else
        take_site(p);
}

static void ask_run(struct hub_task *t)
{
    struct ask_task *p = (struct ask_task *)t;
    struct json_doc *d = NULL;

    t->st = json_doc_parse(buf_peek(&t->body), buf_size(&t->body), &d);
    if (alb_failed(t->st))
        return;
    take_all(p, d);
    json_doc_free(d);
    if (alb_failed(t->st))
        return;
    wake_job_id_make(p->id);
    t->st = hub_wake_record_begin(t->hub->ledger.catalogue, p->id, t->who.device, t->now_wall_s,
                                  p->wish.site, p->wish.count);
    if (!alb_failed(t->st))
        hub_audit(&t->who, "wake", "job=%s site=%s machines=%zu first=%s for=%s sleep_after=%d",
                  p->id, p->wish.site, p->wish.count, p->wish.sleepers[0].device,
                  p->wish.errand.layer, p->wish.errand.sleeps_after);
}

static void answer_begun(struct ask_task *p)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "job", p->id);
    json_number(w, "count", p->wish.count);
    json_end(w);
    p->task.content_type = "application/json";
    p->task.st = json_writer_finish(w, &p->task.answer);
}

static void ask_after(struct hub_task *t)
{
    struct ask_task *p = (struct ask_task *)t;

    if (!alb_failed(t->st)) {
        t->st = hub_wake_begin(t->hub->wakes, p->id, &t->who, &p->wish, t->why);
        if (alb_failed(t->st)) {
            hub_audit(&t->who, "wake.refused", "job=%s why=\"%s\"", p->id, t->why);
            hub_wake_record_refused(t->hub, p->id); /* it was written down as running */
        }
    }
    if (!alb_failed(t->st))
        answer_begun(p);
    hub_task_end(t);
}

static void ask_release(struct hub_task *t)
{
    struct ask_task *p = (struct ask_task *)t;

    wipe(p->wish.password, sizeof p->wish.password);
    free(p->wish.sleepers);
    map_release(&p->added);
}

static bool is_too_often(struct hub_wakes *w)
{
    const uint64_t now_ns = loop_now_ns(w->hub->options.loop);

    if (w->minute_ns == 0 || now_ns - w->minute_ns >= MINUTE_NS) {
        w->minute_ns = now_ns;
        w->asks = 0;
    }
    return w->asks++ >= WAKE_ASKS_A_MINUTE;
}

void hub_handle_wake(void *hub, struct serve_request *rq)
{
    struct hub *h = hub;
    struct ask_task *p = hub_task_new(h, rq, sizeof *p);
    struct hub_task *t = &p->task;

    map_init(&p->added);
    t->release = ask_release;
    if (is_too_often(h->wakes))
        hub_task_refuse(t, ALB_FULL, "machines were woken %d times within a minute: again later",
                        WAKE_ASKS_A_MINUTE);
    else if (authority_trust(h->authority) == NULL)
        hub_task_refuse(t, ALB_REFUSED,
                        "guards judge orders by the trust file, and there is none "
                        "yet: run 'albedo trust init' first");
    if (alb_failed(t->st)) {
        hub_task_end(t);
        return;
    }
    t->run = ask_run;
    t->after = ask_after;
    hub_task_start(t, JOB_ORDERED, 1 << 20);
}
