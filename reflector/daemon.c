/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/daemon.c – `albedo-reflector serve`: files, doors, TLS and loop around one reflector.
 *
 *     configuration → doors → TLS → loop → reflector
 *     … SIGTERM → finish → everything closed in reverse
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/process.h"
#include "net/x509.h"
#include "reflector/command.h"
#include "reflector/doors.h"
#include "reflector/reflector.h"

struct daemon {
    const char *config_path;
    struct reflector_config config;
    struct reflector_doors doors;
    struct tls_context *dial_tls, *tree_tls;
    char *certificate_pem, *ca_pem, *csr_pem; /* owned: its own, and what it takes to renew it */
    struct loop *loop;
    struct reflector *reflector;
    const char *pins[CONFIG_PINS_MAX];
};

/* Each returns an exit code after saying what is wrong. */
static const enum line_kind line_kinds[] = {
    [LINE_AUTO] = LINE_IS_AUTO, [LINE_WAN] = LINE_IS_WAN, [LINE_LAN] = LINE_IS_LAN};

static int open_config(struct daemon *d, log_sink sink);
static int open_doors(struct daemon *d);
static int open_tls(struct daemon *d);
static int start(struct daemon *d);
static void run(struct daemon *d);
static void close_all(struct daemon *d);

int reflector_serve_run(const struct reflector_command *c, log_sink sink)
{
    struct daemon *d = xalloc(sizeof *d);

    d->config_path = c->config;
    int code = open_config(d, sink);
    if (code == 0)
        code = open_doors(d);
    if (code == 0)
        code = open_tls(d);
    if (code == 0)
        code = start(d);
    if (code == 0)
        run(d);
    close_all(d);
    free(d);
    return code;
}

static int open_config(struct daemon *d, log_sink sink)
{
    char error[CONFIG_ERROR_SIZE];
    struct alb_status st = reflector_config_load(d->config_path, &d->config, error);

    if (st.code == ALB_NOT_FOUND)
        return reflector_fail(st.code, "%s; `albedo-reflector init` writes it", error);
    if (alb_failed(st))
        return reflector_fail(st.code, "%s", error);
    log_install(sink, NULL, d->config.log_level);
    return 0;
}

/* ---- doors ---- */

static int open_doors(struct daemon *d)
{
    const char *dir = d->config.data;

    if (!file_exists(dir))
        return reflector_fail(ALB_NOT_FOUND, "%s: data %s is not there; is its disk mounted?",
                              d->config_path, dir);
    return reflector_doors_open(&d->config, &d->doors);
}

/* ---- TLS ---- */

struct pems {
    struct buf key, certificate, ca, chain;
};

static struct alb_status read_pem(const struct daemon *d, const char *name, struct buf *out)
{
    AUTO_FREE char *path = path_join(d->config.data, name);

    buf_init(out, REFLECTOR_PEM_MOST);
    struct alb_status st = file_read(path, out);
    if (alb_failed(st))
        (void)reflector_fail_status(st, "%s", path); /* said here, where the name is known */
    return st;
}

static struct alb_status make_contexts(struct daemon *d, struct pems *p)
{
    const struct tls_options dial = {.ca_pem = buf_text(&p->ca),
                                     .certificate_pem = buf_text(&p->chain),
                                     .key_pem = buf_text(&p->key)};
    struct tls_options tree = dial;

    tree.is_server = true;
    tree.ask_client_certificate = true;
    struct alb_status st = x509_check_signed(dial.certificate_pem, dial.ca_pem);
    if (!alb_failed(st))
        st = tls_context_new(&dial, &d->dial_tls);
    if (!alb_failed(st))
        st = tls_context_new(&tree, &d->tree_tls);
    if (alb_failed(st))
        (void)reflector_fail_status(st,
                                    "%s: " REFLECTOR_KEY ", " REFLECTOR_CERTIFICATE
                                    " and " REFLECTOR_CA " do not fit together; restore them from "
                                    "a backup, or enrol again with `albedo-reflector init` into "
                                    "an empty directory",
                                    d->config.data);
    return st;
}

static int open_tls(struct daemon *d)
{
    struct pems p = {.key = {0}};
    struct alb_status st = read_pem(d, REFLECTOR_KEY, &p.key);

    if (!alb_failed(st))
        st = read_pem(d, REFLECTOR_CERTIFICATE, &p.certificate);
    if (!alb_failed(st))
        st = read_pem(d, REFLECTOR_CA, &p.ca);
    buf_init(&p.chain, (size_t)2 * REFLECTOR_PEM_MOST);
    if (!alb_failed(st))
        st = buf_printf(&p.chain, "%s\n%s", buf_text(&p.certificate), buf_text(&p.ca));
    if (!alb_failed(st))
        st = make_contexts(d, &p);
    if (!alb_failed(st)) {
        d->certificate_pem = xstrdup(buf_text(&p.certificate));
        d->ca_pem = xstrdup(buf_text(&p.ca));
        st = x509_make_request(buf_text(&p.key), &d->csr_pem);
    }
    if (p.key.bytes != NULL)
        wipe(p.key.bytes, p.key.capacity);
    buf_release(&p.key);
    buf_release(&p.certificate);
    buf_release(&p.ca);
    buf_release(&p.chain);
    return reflector_exit_code(st.code);
}

/* ---- a new certificate ---- */

/* Written by a worker; the contexts show it whether or not that works. */
struct keep_certificate {
    struct job job;
    char *path, *pem; /* owned */
    struct alb_status st;
};

static void keep_run(struct job *job)
{
    struct keep_certificate *k = ALB_CONTAINER(job, struct keep_certificate, job);

    k->st = file_replace(k->path, k->pem, strlen(k->pem), 0644);
}

static void keep_done(struct job *job)
{
    struct keep_certificate *k = ALB_CONTAINER(job, struct keep_certificate, job);

    if (alb_failed(k->st))
        log_status(LOG_ERROR, "certificate.not_kept", k->st,
                   "path=%s next=\"renewed again after a restart\"", k->path);
    free(k->path);
    free(k->pem);
    free(k);
}

static void renewed(void *arg, const char *certificate_pem)
{
    struct daemon *d = arg;
    struct keep_certificate *k = xalloc(sizeof *k);
    AUTO_FREE char *chain = xasprintf("%s\n%s", certificate_pem, d->ca_pem);
    struct alb_status st = tls_context_use_certificate(d->dial_tls, chain);

    if (!alb_failed(st))
        st = tls_context_use_certificate(d->tree_tls, chain);
    if (alb_failed(st))
        log_status(LOG_ERROR, "certificate.not_used", st, "device=%s", d->config.device);
    k->job = (struct job){.run = keep_run, .done = keep_done};
    k->path = path_join(d->config.data, REFLECTOR_CERTIFICATE);
    k->pem = xstrdup(certificate_pem);
    loop_submit(d->loop, &k->job);
}

/* ---- running ---- */

static void copy_parents(const struct config_urls *urls, struct reflector_options *out)
{
    _Static_assert((int)CONFIG_URLS_MAX <= (int)UPSTREAM_PLACES_MAX, "every parent has a place");
    for (size_t i = 0; i < urls->count; i++) {
        (void)snprintf(out->parents[i].host, sizeof out->parents[i].host, "%s", urls->at[i].host);
        out->parents[i].port = urls->at[i].port;
    }
    out->parent_count = urls->count;
}

static int start(struct daemon *d)
{
    const struct reflector_config *c = &d->config;
    char where[URL_TEXT_SIZE];

    d->loop = loop_new(&(struct loop_options){.workers = (unsigned)c->workers});
    struct reflector_options options = {
        .loop = d->loop,
        .store = d->doors.store,
        .catalogue = d->doors.catalogue,
        .dial_tls = d->dial_tls,
        .tree_tls = d->tree_tls,
        .listen_address = c->listen.host,
        .listen_port = c->listen.port,
        .trust_pin = &c->trust_pin,
        .device = c->device,
        .certificate_pem = d->certificate_pem,
        .csr_pem = d->csr_pem,
        .renewed = renewed,
        .renewed_arg = d,
        .site = c->site,
        .has_beacon = c->beacon,
        .ask_wake = wake_ability_ask,
        .memory_cache_bytes = c->memory_cache_bytes,
        .window_bytes = c->window_bytes,
        .line = line_kinds[c->parent_line],
        .wan_down_bps = c->wan_down_bps,
        .wan_up_bps = c->wan_up_bps,
        .lan_rate_bps = c->lan_rate_bps,
        .packet_overhead = (uint32_t)c->packet_overhead,
        .max_sessions = process_fit_sessions("reflector.limits", c->max_sessions)};
    copy_parents(&c->parents, &options);
    for (; options.pin_count < c->cache_pins.count; options.pin_count++)
        d->pins[options.pin_count] = c->cache_pins.at[options.pin_count];
    options.pins = d->pins;
    own_addresses_read(&options.addresses);
    struct alb_status st = reflector_start(&options, &d->reflector);
    if (alb_failed(st) && st.code == ALB_REFUSED)
        return reflector_fail_status(st,
                                     "starting with what %s holds: trust_pin in %s is not of that "
                                     "trust; put it right, or enrol again with `albedo-reflector "
                                     "init` into an empty directory",
                                     c->data, d->config_path);
    if (alb_failed(st))
        return reflector_fail_status(st, "starting on %s as %s says",
                                     listen_format(&c->listen, where), d->config_path);
    return 0;
}

static void stopped(void *arg)
{
    struct daemon *d = arg;

    loop_stop(d->loop);
}

static void on_terminate(void *arg)
{
    struct daemon *d = arg;

    log_event(LOG_INFO, "reflector.stopping", "device=%s", d->config.device);
    reflector_stop(d->reflector, stopped, d);
}

static void run(struct daemon *d)
{
    loop_on_terminate(d->loop, on_terminate, d);
    log_event(LOG_INFO, "reflector.ready", "device=%s site=%s listen=%s port=%u", d->config.device,
              d->config.site, d->config.listen.host, (unsigned)reflector_port(d->reflector));
    loop_run(d->loop);
}

static void close_all(struct daemon *d)
{
    struct timer last;

    reflector_free(d->reflector);
    if (d->loop != NULL) { /* what was closed is freed by the loop, a turn later */
        timer_init(&last, d->loop, stopped, d);
        timer_set_in(&last, 0);
        loop_run(d->loop);
        loop_free(d->loop); /* jobs under way end here, before the doors they use are closed */
    }
    tls_context_free(d->dial_tls);
    tls_context_free(d->tree_tls);
    free(d->certificate_pem);
    free(d->ca_pem);
    free(d->csr_pem);
    reflector_doors_close(&d->doors);
}
