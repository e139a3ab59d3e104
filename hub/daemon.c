/* SPDX-License-Identifier: Apache-2.0 */
/* hub/daemon.c – `albedo-hub serve`: files and sockets opened, the hub run on the kernel's loop. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "config/config.h"
#include "hub/commands.h"
#include "hub/files.h"
#include "hub/hub.h"
#include "hub/rotate.h"

struct sink {
    wall_clock now_s;
    pthread_mutex_t lock;
    enum log_level least; /* of what goes to stderr; the audit file gets every line of its own */
    int audit_fd;
};

#define BEGIN_AGAIN_NS (NS_PER_S / 5)

static void on_stopped(void *arg);

struct daemon {
    struct hub_config config;
    struct sink sink;
    struct loop *loop;
    struct hub_keys keys;
    struct hub_doors doors;
    struct tls_context *tree_tls, *admin_tls;
    bool is_to_end;       /* a signal said so: whatever else was to come */
    bool begins_again;    /* a trust file named another online key */
    struct timer soon;    /* ... when who put it there has its answer */
    struct timer renewal; /* of the certificate that both ports show */
    struct hub *hub;
};

static int fail(const char *what, struct alb_status st, const char *advice)
{
    char text[256];

    fprintf(stderr, "albedo-hub: %s: %s%s%s\n", what, alb_status_text(st, text, sizeof text),
            advice[0] != '\0' ? "; " : "", advice);
    return EXIT_FAILED;
}

/* ---- the log --------------------------------------------------------------------------------- */

static void write_line(void *arg, enum log_level level, const char *line)
{
    static const char audit[] = "event=audit ";
    struct sink *sink = arg;
    char time_text[UNITS_TEXT_SIZE], whole[LOG_LINE_SIZE + 128];

    format_time(sink->now_s(), time_text);
    int size = snprintf(whole, sizeof whole, "time=%s level=%s %s\n", time_text,
                        log_level_name(level), line);
    if (size < 0 || (size_t)size >= sizeof whole)
        size = sizeof whole - 1;
    pthread_mutex_lock(&sink->lock);
    if (level >= sink->least)
        alb_ignore(file_write_all(STDERR_FILENO, whole, (size_t)size), "nowhere left to say it");
    if (sink->audit_fd >= 0 && strncmp(line, audit, sizeof audit - 1) == 0 &&
        (alb_failed(file_write_all(sink->audit_fd, whole, (size_t)size)) ||
         fdatasync(sink->audit_fd) != 0))
        alb_ignore(file_write_all(STDERR_FILENO, "event=audit.not_written\n", 24),
                   "nowhere left to say it");
    pthread_mutex_unlock(&sink->lock);
}

static int open_log(struct daemon *d)
{
    AUTO_FREE char *path = path_join(d->config.data, "audit.log");

    pthread_mutex_init(&d->sink.lock, NULL);
    d->sink.least = d->config.log_level;
    d->sink.audit_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (d->sink.audit_fd < 0)
        return fail(path, alb_fail_sys("opening the audit log"),
                    "is the data directory this user's?");
    log_install(write_line, &d->sink, d->sink.least < LOG_INFO ? d->sink.least : LOG_INFO);
    return EXIT_FINE;
}

/* ---- starting -------------------------------------------------------------------------------- */

static const char *keys_advice(enum alb_code code)
{
    return code == ALB_NOT_FOUND
               ? "is 'data' in hub.conf right? 'albedo-hub init' makes a new hub"
               : "restore this file from a backup: every device trusts this key and no other";
}

static const char *doors_advice(enum alb_code code)
{
    if (code == ALB_CONFLICT)
        return "another albedo-hub is running on this directory";
    if (code == ALB_FULL)
        return "make room there and start it again";
    if (code == ALB_CORRUPT)
        return "layers, devices and revocations stand here and nowhere else: move it away, put a "
               "backup of it in its place and start again (segments and index may stay as they "
               "are); what was published or enrolled since that backup is to be published and "
               "enrolled again. Branches go on with what they hold meanwhile";
    return "";
}

static int open_files(struct daemon *d)
{
    const char *dir = d->config.data, *file = "";
    const int64_t now_wall_s = d->sink.now_s();
    struct alb_status st = hub_keys_read(dir, &d->keys, &file);

    if (alb_failed(st)) {
        AUTO_FREE char *path = path_join(dir, file);
        return fail(path, st, keys_advice(st.code));
    }
    st = hub_keys_tls(&d->keys, d->config.org, now_wall_s, true, &d->tree_tls);
    if (!alb_failed(st))
        st = hub_keys_tls(&d->keys, d->config.org, now_wall_s, false, &d->admin_tls);
    if (alb_failed(st))
        return fail(dir, st,
                    "ca.key, ca.pem and tls.key do not fit together: one of them is damaged or "
                    "not this hub's; restore all three from a backup");
    st = hub_doors_open(dir, &d->doors, &file);
    if (alb_failed(st)) {
        AUTO_FREE char *path = path_join(dir, file);
        return fail(path, st, doors_advice(st.code));
    }
    return EXIT_FINE;
}

/* ---- another online key (rotate.h) ----------------------------------------------------------- */

static bool is_next_key(void *arg, const struct sign_public *key)
{
    const struct daemon *d = arg;

    return rotate_is_next(d->config.data, key);
}

static void key_named(void *arg)
{
    struct daemon *d = arg;

    if (d->is_to_end)
        return; /* the next start finds the key named */
    log_event(LOG_INFO, "hub.begins_again", "why=\"a trust file names its next online key\"");
    d->begins_again = true;
    timer_set_in(&d->soon, BEGIN_AGAIN_NS);
}

static void begin_again(void *arg)
{
    struct daemon *d = arg;

    hub_stop(d->hub, on_stopped, d);
}

static int use_named_key(struct daemon *d)
{
    bool has_changed = false;
    struct alb_status st =
        rotate_finish(d->config.data, d->doors.catalogue, &d->keys, &has_changed);

    if (alb_failed(st)) {
        AUTO_FREE char *path = path_join(d->config.data, "online.next");
        return fail(path, st, "it is to become online.key, since the newest trust file names it");
    }
    if (has_changed)
        log_event(LOG_INFO, "hub.new_online_key", "next=\"heads and revocations are signed anew\"");
    return EXIT_FINE;
}

static void renew(void *arg)
{
    struct daemon *d = arg;
    const int64_t now_wall_s = d->sink.now_s();
    struct alb_status st = hub_keys_renew(&d->keys, d->config.org, now_wall_s, d->tree_tls);

    if (!alb_failed(st))
        st = hub_keys_renew(&d->keys, d->config.org, now_wall_s, d->admin_tls);
    if (alb_failed(st))
        log_status(LOG_ERROR, "hub.certificate_not_renewed", st, "org=%s", d->config.org);
    timer_set_in(&d->renewal, HUB_TLS_RENEW_S * NS_PER_S);
}

static int start(struct daemon *d)
{
    const struct hub_config *c = &d->config;
    char listen[URL_TEXT_SIZE], admin[URL_TEXT_SIZE];
    struct hub_options options = {.loop = d->loop,
                                  .store = d->doors.store,
                                  .catalogue = d->doors.catalogue,
                                  .org = c->org,
                                  .online_key = &d->keys.online,
                                  .ca_key_pem = d->keys.ca_key_pem,
                                  .ca_certificate_pem = d->keys.ca_pem,
                                  .tree_tls = d->tree_tls,
                                  .admin_tls = d->admin_tls,
                                  .listen_address = c->listen.host,
                                  .listen_port = c->listen.port,
                                  .admin_address = c->admin_listen.host,
                                  .admin_port = c->admin_listen.port,
                                  .memory_cache_bytes = c->memory_cache_bytes,
                                  .max_sessions =
                                      process_fit_sessions("hub.limits", c->max_sessions),
                                  .link_bps = c->link_rate_bps,
                                  .packet_overhead = (uint32_t)c->packet_overhead,
                                  .delta_versions = (unsigned)c->delta_versions,
                                  .is_next_key = is_next_key,
                                  .key_named = key_named,
                                  .key_arg = d,
                                  .worst_lag_ns = loop_worst_lag_ns};

    options.place_count = c->places.count;
    for (size_t i = 0; i < c->places.count; i++) {
        memcpy(options.places[i].host, c->places.at[i].host, sizeof options.places[i].host);
        options.places[i].port = c->places.at[i].port;
    }
    struct alb_status st = hub_start(&options, &d->hub);

    listen_format(&c->listen, listen);
    listen_format(&c->admin_listen, admin);
    if (alb_failed(st)) {
        AUTO_FREE char *what = xasprintf("starting on %s and %s", listen, admin);
        return fail(what, st, "");
    }
    log_event(LOG_INFO, "hub.ready", "org=%s listen=%s port=%u admin=%s admin_port=%u version=%s",
              c->org, listen, hub_port(d->hub), admin, hub_admin_port(d->hub), ALB_VERSION);
    return EXIT_FINE;
}

/* ---- running --------------------------------------------------------------------------------- */

static void on_stopped(void *arg)
{
    struct daemon *d = arg;

    loop_stop(d->loop);
}

static void on_terminate(void *arg)
{
    struct daemon *d = arg;

    d->is_to_end = true;
    timer_stop(&d->soon);
    log_event(LOG_INFO, "hub.stopping", "why=signal");
    hub_stop(d->hub, on_stopped, d);
}

static int run(struct daemon *d)
{
    int code = open_log(d);

    if (code == EXIT_FINE)
        code = open_files(d);
    if (code == EXIT_FINE)
        code = use_named_key(d);
    if (code != EXIT_FINE)
        return code;
    d->loop = loop_new(&(struct loop_options){.workers = (unsigned)d->config.workers});
    code = start(d);
    if (code != EXIT_FINE)
        return code;
    timer_init(&d->soon, d->loop, begin_again, d);
    timer_init(&d->renewal, d->loop, renew, d);
    timer_set_in(&d->renewal, HUB_TLS_RENEW_S * NS_PER_S);
    loop_on_terminate(d->loop, on_terminate, d);
    loop_run(d->loop);
    timer_stop(&d->renewal);
    timer_stop(&d->soon);
    log_event(LOG_INFO, "hub.stopped", "org=%s", d->config.org);
    return EXIT_FINE;
}

/* The loop before the doors: its workers may still be writing. */
static void close_all(struct daemon *d)
{
    hub_free(d->hub);
    if (d->loop != NULL)
        loop_free(d->loop);
    hub_doors_close(&d->doors);
    tls_context_free(d->tree_tls);
    tls_context_free(d->admin_tls);
    hub_keys_release(&d->keys);
    log_install(NULL, NULL, LOG_ERROR);
    if (d->sink.audit_fd >= 0)
        close(d->sink.audit_fd);
    const struct daemon again = {.config = d->config,
                                 .sink = {.now_s = d->sink.now_s, .audit_fd = -1}};
    *d = again;
}

int command_serve(const char *config_path, wall_clock now_s)
{
    AUTO_FREE struct daemon *d = xalloc(sizeof *d);
    AUTO_FREE char *error = xalloc(CONFIG_ERROR_SIZE);

    d->sink.audit_fd = -1;
    d->sink.now_s = now_s;
    struct alb_status st = hub_config_load(config_path, &d->config, error);
    if (alb_failed(st) && st.code != ALB_NOT_FOUND && error[0] != '\0') {
        fprintf(stderr, "albedo-hub: %s\n", error);
        return EXIT_USAGE;
    }
    if (alb_failed(st))
        return fail(config_path, st, "'albedo-hub init --data DIR' writes DIR/hub.conf");
    for (bool is_over = false; !is_over;) {
        int code = run(d);
        is_over = code != EXIT_FINE || !d->begins_again || d->is_to_end;
        close_all(d);
        if (is_over)
            return code;
    }
    alb_unreachable();
}
