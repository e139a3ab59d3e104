/* SPDX-License-Identifier: Apache-2.0 */
/* client/agent.c – an agent put together, its one loop, and its end. */
#include "client/agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "client/agent_impl.h"
#include "net/x509.h"

enum { PEM_MOST = 64 << 10 };
/* A head that changed is asked for at once, but not by a whole branch in the same millisecond. */
#define EVENT_WITHIN_NS (200 * NS_PER_MS)
/* A line that is back is everybody's. */
#define UP_WITHIN_NS (3 * NS_PER_S)

/* ---- what is heard --------------------------------------------------------------------------- */

static void look_all(struct agent *a, const char *layer, uint64_t within_ns)
{
    for (size_t i = 0; i < a->follow_count; i++)
        if (layer == NULL || strcmp(a->follows[i].layer, layer) == 0)
            follow_look(&a->follows[i], within_ns);
}

static const struct net_picture *picture(void *arg)
{
    const struct agent *a = arg;

    return whereabouts_picture(endpoint_whereabouts(a->endpoint));
}

static void seen(void *arg)
{
    const struct agent *a = arg;

    if (a->waker != NULL)
        waker_look(a->waker);
}

/* "for DEVICE REST": what only one device is told. */
static void heard_for(struct agent *a, const char *line)
{
    const char *device = a->options.state->who.device;
    const size_t size = strlen(device);

    if (a->waker == NULL || strncmp(line, device, size) != 0 || line[size] != ' ')
        return;
    if (!waker_hear(a->waker, line + size + 1) && !agent_vigil_hear(a, line + size + 1))
        log_event(LOG_DEBUG, "agent.not_understood", "line=\"%.40s\"", line);
}

static void heard(void *arg, const char *line)
{
    static const char head[] = "head ", one[] = "for ";
    struct agent *a = arg;

    if (strncmp(line, head, sizeof head - 1) == 0)
        look_all(a, line + sizeof head - 1, EVENT_WITHIN_NS);
    else if (strcmp(line, "layers") == 0 || strcmp(line, "trust") == 0)
        look_all(a, NULL, UP_WITHIN_NS);
    else if (strncmp(line, one, sizeof one - 1) == 0)
        heard_for(a, line + sizeof one - 1);
}

static void way_changed(void *arg)
{
    struct agent *a = arg;

    if (a->follows != NULL) /* else it is only being put together */
        agent_changed(a);
}

static void on_up(struct upstream_listener *l)
{
    struct agent *a = ALB_CONTAINER(l, struct agent, listener);

    a->cut_off_since_wall_s = 0;
    for (size_t i = 0; i < a->follow_count; i++)
        follow_line_up(&a->follows[i], UP_WITHIN_NS);
    agent_changed(a);
}

static void on_down(struct upstream_listener *l)
{
    struct agent *a = ALB_CONTAINER(l, struct agent, listener);

    a->cut_off_since_wall_s = loop_wall_s(a->loop);
    agent_changed(a);
}

static void on_terminate(void *arg)
{
    struct agent *a = arg;

    if (a->is_terminated)
        output_quit(a->options.output);
    a->is_terminated = true;
    if (a->pulling != NULL)
        a->pulling->interrupted = true;
    loop_stop(a->loop);
}

/* ---- its certificate ------------------------------------------------------------------------- */

static struct alb_status read_pem(const struct agent *a, const char *name, char **out)
{
    struct buf text;

    buf_init(&text, PEM_MOST);
    struct alb_status st = state_read(a->options.state, name, &text);
    if (!alb_failed(st))
        *out = xstrndup((const char *)buf_peek(&text), buf_size(&text));
    if (text.bytes != NULL)
        wipe(text.bytes, text.capacity);
    buf_release(&text);
    return st;
}

/* A few times a year, so the loop may wait for the disk. */
static void renewed(void *arg, const char *certificate_pem)
{
    struct agent *a = arg;
    struct alb_status st = state_write(a->options.state, "certificate.pem", certificate_pem,
                                       strlen(certificate_pem), 0644);

    if (!alb_failed(st))
        st = tls_context_use_certificate(a->tls, certificate_pem);
    if (alb_failed(st)) {
        log_status(LOG_ERROR, "certificate.not_kept", st, "state=%s", a->options.state->dir);
        return;
    }
    free(a->certificate_pem);
    a->certificate_pem = xstrdup(certificate_pem);
    log_event(LOG_INFO, "certificate.renewed", "state=%s", a->options.state->dir);
    agent_changed(a);
}

static struct alb_status start_renewal(struct agent *a)
{
    char *key_pem = NULL;
    struct alb_status st = read_pem(a, "certificate.pem", &a->certificate_pem);

    if (!alb_failed(st))
        st = read_pem(a, "key.pem", &key_pem);
    if (!alb_failed(st))
        st = x509_make_request(key_pem, &a->csr_pem);
    if (!alb_failed(st))
        st = renewal_new(&(struct renewal_options){.loop = a->loop,
                                                   .upstream = endpoint_upstream(a->endpoint),
                                                   .authority = endpoint_authority(a->endpoint),
                                                   .certificate_pem = a->certificate_pem,
                                                   .csr_pem = a->csr_pem,
                                                   .renewed = renewed,
                                                   .arg = a},
                         &a->renewal);
    if (key_pem != NULL)
        wipe(key_pem, strlen(key_pem));
    free(key_pem);
    return st;
}

/* ---- birth ----------------------------------------------------------------------------------- */

static enum exit_code take_lock(struct agent *a)
{
    const char *dir = a->options.state->dir;
    struct alb_status st = agent_lock_take(dir, &a->lock);

    if (st.code == ALB_CONFLICT)
        return output_fail(a->options.output, ALB_CONFLICT,
                           "state %s: an agent runs on it already (process %ld); stop that one "
                           "first, or give this one a state of its own",
                           dir, a->lock.pid);
    if (alb_failed(st))
        return output_fail_status(a->options.output, st, "state %s", dir);
    return EXIT_DONE;
}

static struct alb_status start_endpoint(struct agent *a)
{
    const struct state_identity *who = &a->options.state->who;
    struct endpoint_options options = {.loop = a->loop,
                                       .catalogue = a->options.state->catalogue,
                                       .parent_count = 1,
                                       .dial_tls = a->tls,
                                       .device = who->device,
                                       .site = who->site,
                                       .trust_pin = who->has_trust_pin ? &who->trust_pin : NULL,
                                       .looks_around = true,
                                       .allow_metered = a->options.allow_metered,
                                       .changed = way_changed,
                                       .seen = seen,
                                       .heard = heard,
                                       .arg = a};
    const bool is_hub = who->upstream.host[0] == '\0';

    options.parents[0] = is_hub ? who->hub : who->upstream;
    options.hub = who->hub;
    options.line = a->options.line;
    own_addresses_read(&options.addresses);
    return endpoint_start(&options, &a->endpoint);
}

static enum exit_code start(struct agent *a)
{
    struct output *o = a->options.output;
    const char *dir = a->options.state->dir;
    struct alb_status st = link_tls_open(a->options.state, &a->tls);

    if (alb_failed(st))
        return output_fail_status(o, st,
                                  "state %s: its key or certificates cannot be used; join anew "
                                  "with --force",
                                  dir);
    a->loop = loop_new(&(struct loop_options){.workers = 0});
    a->begun_wall_s = a->cut_off_since_wall_s = loop_wall_s(a->loop);
    loop_on_terminate(a->loop, on_terminate, a);
    st = start_endpoint(a);
    if (alb_failed(st))
        return output_fail_status(o, st, "state %s: its trust files", dir);
    st = start_renewal(a);
    if (alb_failed(st))
        return output_fail_status(o, st, "state %s: its key or certificate", dir);
    a->listener = (struct upstream_listener){.up = on_up, .down = on_down};
    upstream_listen(endpoint_upstream(a->endpoint), &a->listener);
    a->waker = waker_new(&(struct waker_options){.loop = a->loop,
                                                 .authority = endpoint_authority(a->endpoint),
                                                 .upstream = endpoint_upstream(a->endpoint),
                                                 .device = a->options.state->who.device,
                                                 .picture = picture,
                                                 .arg = a});
    agent_told_start(a);
    agent_vigil_start(a);
    a->follows = xcalloc(a->options.follow_count + 1, sizeof *a->follows);
    for (; a->follow_count < a->options.follow_count; a->follow_count++)
        follow_init(&a->follows[a->follow_count], a, &a->options.follows[a->follow_count]);
    agent_show_init(a);
    agent_announce_start(a);
    return EXIT_DONE;
}

static void tell_ready(const struct agent *a)
{
    log_event(LOG_INFO, "agent.ready", "state=%s pid=%ld follows=%zu", a->options.state->dir,
              a->lock.pid, a->follow_count);
    if (!a->options.output->json)
        return;
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_text(w, "event", "ready");
    json_number(w, "pid", (uint64_t)a->lock.pid);
    json_end(w);
    output_json(a->options.output, w);
}

/* ---- life ------------------------------------------------------------------------------------ */

static struct follow *find_due(struct agent *a)
{
    for (size_t i = 0; i < a->follow_count; i++)
        if (a->follows[i].state == FOLLOW_DUE)
            return &a->follows[i];
    return NULL;
}

/* What is due is pulled out of every callback: pulling runs the loop itself. */
static void live(struct agent *a)
{
    while (!a->is_terminated) {
        struct follow *f = find_due(a);
        if (f != NULL)
            follow_pull(f);
        else
            loop_run(a->loop);
    }
}

static enum exit_code pull_once(struct agent *a)
{
    enum exit_code code = EXIT_DONE;

    for (size_t i = 0; i < a->follow_count && !a->is_terminated; i++) {
        follow_pull(&a->follows[i]);
        code = code == EXIT_DONE ? a->follows[i].code : code;
    }
    return code;
}

/* ---- death ----------------------------------------------------------------------------------- */

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

/* What was closed is freed by the loop, a turn later. */
static void finish_loop(struct agent *a)
{
    struct timer last;

    timer_init(&last, a->loop, stop_loop, a->loop);
    timer_set_in(&last, 0);
    loop_run(a->loop);
    timer_stop(&last);
    a->loop = loop_free(a->loop);
}

static void stop(struct agent *a)
{
    for (size_t i = 0; i < a->follow_count; i++)
        follow_stop(&a->follows[i]);
    if (a->follows != NULL) {
        agent_vigil_stop(a);
        agent_announce_stop(a);
        agent_show_stop(a);
        upstream_unlisten(endpoint_upstream(a->endpoint), &a->listener);
    }
    for (size_t i = 0; i < a->follow_count; i++)
        follow_stop(&a->follows[i]); /* an event may have begun a look meanwhile */
    a->renewal = renewal_free(a->renewal);
    a->waker = waker_free(a->waker);
    agent_told_stop(a);
    a->endpoint = endpoint_free(a->endpoint);
    free(a->follows);
    free(a->certificate_pem);
    free(a->csr_pem);
    if (a->loop != NULL)
        finish_loop(a);
    a->tls = tls_context_free(a->tls);
    agent_lock_release(&a->lock);
}

enum exit_code agent_run(const struct agent_options *options)
{
    struct agent *a = xalloc(sizeof *a);

    *a = (struct agent){.options = *options, .lock = {.fd = -1}};
    enum exit_code code = take_lock(a);
    if (code == EXIT_DONE)
        code = start(a);
    if (code == EXIT_DONE) {
        tell_ready(a);
        if (options->is_once)
            code = pull_once(a);
        else
            live(a);
        log_event(LOG_INFO, "agent.stopping", "state=%s", options->state->dir);
    }
    stop(a);
    free(a);
    return code;
}
