/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/net/test_tls.c – who is let in, who is not, and what each side is told about it. */
#include "net/tls.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/units.h"
#include "net/stream.h"
#include "net/x509.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const int64_t DAY = 24 * 3600;

/* ---- certificates ---------------------------------------------------------------------------- */

struct ca {
    char *key, *certificate;
};

struct holder {
    char *key, *chain; /* own certificate, then the CA's */
};

struct pki {
    struct ca ours, theirs;
    struct holder hub, pc, stranger;
};

/* A certificate for the key that is there, or for one made now. */
static struct holder certify(char *key, const struct ca *ca, enum role role, int64_t issued_wall_s)
{
    const struct identity who = {.role = role, .org = "acme", .device = "box-1"};
    AUTO_FREE char *csr = NULL;
    AUTO_FREE char *certificate = NULL;
    char serial[SERIAL_HEX_SIZE];
    struct holder h = {key, NULL};

    if (key == NULL)
        assert_false(alb_failed(x509_make_key(&h.key)));
    assert_false(alb_failed(x509_make_request(h.key, &csr)));
    const struct x509_issue issue = {.ca_key_pem = ca->key,
                                     .ca_certificate_pem = ca->certificate,
                                     .csr_pem = csr,
                                     .who = &who,
                                     .now_wall_s = issued_wall_s,
                                     .lifetime_s = DAY};
    assert_false(alb_failed(x509_issue(&issue, &certificate, serial)));
    h.chain = xasprintf("%s%s", certificate, ca->certificate);
    return h;
}

static struct holder make_holder(const struct ca *ca, enum role role, int64_t issued_wall_s)
{
    return certify(NULL, ca, role, issued_wall_s);
}

static void holder_release(struct holder *h)
{
    free(h->key);
    free(h->chain);
}

static void make_ca(struct ca *ca)
{
    assert_false(alb_failed(
        x509_make_ca("acme", (int64_t)time(NULL) - 400 * DAY, &ca->key, &ca->certificate)));
}

static int make_pki(void **state)
{
    struct pki *p = xalloc(sizeof(*p));

    make_ca(&p->ours);
    make_ca(&p->theirs);
    p->hub = make_holder(&p->ours, ROLE_HUB, time(NULL));
    p->pc = make_holder(&p->ours, ROLE_ENDPOINT, time(NULL));
    p->stranger = make_holder(&p->theirs, ROLE_HUB, time(NULL));
    *state = p;
    return 0;
}

static int drop_pki(void **state)
{
    struct pki *p = *state;

    holder_release(&p->hub);
    holder_release(&p->pc);
    holder_release(&p->stranger);
    free(p->ours.key);
    free(p->ours.certificate);
    free(p->theirs.key);
    free(p->theirs.certificate);
    free(p);
    return 0;
}

/* ---- one meeting of a dialler and a server --------------------------------------------------- */

struct meeting {
    struct loop *loop;
    struct stream *dialled, *accepted;
    struct timer watchdog;
    struct alb_status dialler_status; /* after the first byte was read, or not */
    struct identity seen_by_dialler, seen_by_server;
    bool greeted;
};

static void on_late(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for 20 s");
}

/* The server says one byte to whom it let in. */
static void on_accepted(void *arg, struct stream *stream)
{
    struct meeting *m = arg;
    size_t moved = 0;

    m->accepted = stream;
    m->seen_by_server = *stream_peer(stream);
    assert_int_equal(stream_write(stream, "!", 1, &moved), STREAM_MOVED);
}

static void on_dialled(void *arg)
{
    struct meeting *m = arg;
    char byte = 0;
    size_t moved = 0;

    m->seen_by_dialler = *stream_peer(m->dialled);
    enum stream_result result = stream_read(m->dialled, &byte, 1, &moved);
    if (result == STREAM_BLOCKED)
        return;
    m->greeted = result == STREAM_MOVED && byte == '!';
    m->dialler_status = stream_status(m->dialled);
    loop_stop(m->loop);
}

static struct tls_context *context(const struct tls_options *options)
{
    struct tls_context *t = NULL;

    assert_false(alb_failed(tls_context_new(options, &t)));
    return t;
}

static struct meeting meet_with(struct tls_context *server_tls, struct tls_context *dialler_tls)
{
    struct meeting m = {.loop = loop_new(&(struct loop_options){.workers = 1})};
    struct listener *listener = NULL;
    const struct listen_options where = {.address = "127.0.0.1", .tls = server_tls};

    assert_false(alb_failed(loop_listen(m.loop, &where, on_accepted, &m, &listener)));
    const struct dial_options to = {.host = "127.0.0.1",
                                    .port = listener_port(listener),
                                    .tls = dialler_tls,
                                    .timeout_ns = 10 * NS_PER_S};
    m.dialled = loop_dial(m.loop, &to);
    stream_on_ready(m.dialled, on_dialled, &m);
    timer_init(&m.watchdog, m.loop, on_late, NULL);
    timer_set_in(&m.watchdog, 20 * NS_PER_S);
    loop_run(m.loop);
    timer_stop(&m.watchdog);
    m.dialled = stream_free(m.dialled);
    m.accepted = stream_free(m.accepted);
    listener_free(listener);
    loop_free(m.loop);
    return m;
}

static struct meeting meet(const struct tls_options *server, const struct tls_options *dialler)
{
    struct tls_context *server_tls = context(server);
    struct tls_context *dialler_tls = context(dialler);
    struct meeting m = meet_with(server_tls, dialler_tls);

    tls_context_free(server_tls);
    tls_context_free(dialler_tls);
    return m;
}

static struct tls_options server_of(const struct pki *p, const struct holder *h)
{
    return (struct tls_options){.ca_pem = p->ours.certificate,
                                .certificate_pem = h->chain,
                                .key_pem = h->key,
                                .is_server = true,
                                .ask_client_certificate = true};
}

static struct tls_options dialler_of(const struct pki *p, const struct holder *h)
{
    return (struct tls_options){.ca_pem = p->ours.certificate,
                                .certificate_pem = h == NULL ? NULL : h->chain,
                                .key_pem = h == NULL ? NULL : h->key};
}

static void assert_refused(const struct meeting *m, const char *because)
{
    assert_false(m->greeted);
    assert_int_equal(m->dialler_status.code, ALB_REFUSED);
    assert_non_null(strstr(m->dialler_status.what, because));
}

/* ---- let in ---------------------------------------------------------------------------------- */

static void both_sides_learn_who_the_other_is(void **state)
{
    const struct pki *p = *state;
    struct tls_options server = server_of(p, &p->hub);
    struct tls_options dialler = dialler_of(p, &p->pc);
    struct meeting m = meet(&server, &dialler);

    assert_true(m.greeted);
    assert_int_equal(m.seen_by_dialler.role, ROLE_HUB);
    assert_int_equal(m.seen_by_server.role, ROLE_ENDPOINT);
    assert_string_equal(m.seen_by_server.device, "box-1");
    assert_int_equal(strlen(m.seen_by_server.serial), 32);
}

static void a_renewed_certificate_is_shown_from_the_next_handshake_on(void **state)
{
    const struct pki *p = *state;
    struct tls_options server = server_of(p, &p->hub);
    struct tls_options dialler = dialler_of(p, &p->pc);
    struct tls_context *server_tls = context(&server), *dialler_tls = context(&dialler);
    struct holder hub = certify(p->hub.key, &p->ours, ROLE_HUB, time(NULL));
    struct holder pc = certify(p->pc.key, &p->ours, ROLE_ENDPOINT, time(NULL));
    struct meeting old = meet_with(server_tls, dialler_tls);

    assert_false(alb_failed(tls_context_use_certificate(server_tls, hub.chain)));
    assert_false(alb_failed(tls_context_use_certificate(dialler_tls, pc.chain)));
    struct meeting new = meet_with(server_tls, dialler_tls);
    assert_true(old.greeted && new.greeted);
    assert_string_not_equal(old.seen_by_dialler.serial, new.seen_by_dialler.serial);
    assert_string_not_equal(old.seen_by_server.serial, new.seen_by_server.serial);

    /* Another key's, or none at all: what was in use stays. */
    assert_int_equal(tls_context_use_certificate(server_tls, p->pc.chain).code, ALB_INVALID);
    assert_int_equal(tls_context_use_certificate(server_tls, "nonsense").code, ALB_INVALID);
    struct meeting last = meet_with(server_tls, dialler_tls);
    assert_true(last.greeted);
    assert_string_equal(last.seen_by_dialler.serial, new.seen_by_dialler.serial);
    free(hub.chain);
    free(pc.chain);
    tls_context_free(server_tls);
    tls_context_free(dialler_tls);
}

static void who_shows_no_certificate_has_no_role(void **state)
{
    const struct pki *p = *state;
    struct tls_options server = server_of(p, &p->hub);
    struct tls_options dialler = dialler_of(p, NULL);
    struct meeting m = meet(&server, &dialler);

    assert_true(m.greeted);
    assert_int_equal(m.seen_by_server.role, ROLE_NONE);
}

static void a_port_that_does_not_ask_sees_no_role(void **state)
{
    const struct pki *p = *state;
    struct tls_options server = server_of(p, &p->hub);
    struct tls_options dialler = dialler_of(p, &p->pc);

    server.ask_client_certificate = false;
    struct meeting m = meet(&server, &dialler);
    assert_true(m.greeted);
    assert_int_equal(m.seen_by_server.role, ROLE_NONE);
}

static void the_right_pin_is_enough_to_enrol(void **state)
{
    const struct pki *p = *state;
    struct digest pin;
    struct tls_options server = server_of(p, &p->hub);
    const struct tls_options dialler = {.ca_pin = &pin};

    assert_false(alb_failed(x509_pin(p->ours.certificate, &pin)));
    struct meeting m = meet(&server, &dialler);
    assert_true(m.greeted);
    assert_int_equal(m.seen_by_dialler.role, ROLE_HUB);
}

/* ---- not let in ------------------------------------------------------------------------------ */

static void a_wrong_pin_is_refused(void **state)
{
    const struct pki *p = *state;
    struct digest pin;
    struct tls_options server = server_of(p, &p->hub);
    const struct tls_options dialler = {.ca_pin = &pin};

    assert_false(alb_failed(x509_pin(p->theirs.certificate, &pin)));
    struct meeting m = meet(&server, &dialler);
    assert_refused(&m, "not the one that the token names");
}

/* The pinned CA travels in the chain, but did not sign the server's certificate. */
static void the_pinned_ca_beside_a_foreign_certificate_is_refused(void **state)
{
    const struct pki *p = *state;
    struct digest pin;
    AUTO_FREE char *chain = xasprintf("%s%s", p->stranger.chain, p->ours.certificate);
    const struct holder forger = {.key = p->stranger.key, .chain = chain};
    struct tls_options server = server_of(p, &forger);
    const struct tls_options dialler = {.ca_pin = &pin};

    assert_false(alb_failed(x509_pin(p->ours.certificate, &pin)));
    struct meeting m = meet(&server, &dialler);
    assert_refused(&m, "not from this organisation's CA");
}

static void a_server_of_another_ca_is_refused(void **state)
{
    const struct pki *p = *state;
    struct tls_options server = server_of(p, &p->stranger);
    struct tls_options dialler = dialler_of(p, &p->pc);
    struct meeting m = meet(&server, &dialler);

    assert_refused(&m, "the server's certificate is not from this organisation's CA");
}

static void an_endpoint_that_plays_server_is_refused(void **state)
{
    const struct pki *p = *state;
    struct tls_options server = server_of(p, &p->pc);
    struct tls_options dialler = dialler_of(p, &p->pc);
    struct meeting m = meet(&server, &dialler);

    assert_refused(&m, "no hub and no reflector");
}

static void meet_server_issued_at(const struct pki *p, int64_t wall_s, const char *because)
{
    struct holder hub = make_holder(&p->ours, ROLE_HUB, wall_s);
    struct tls_options server = server_of(p, &hub);
    struct tls_options dialler = dialler_of(p, &p->pc);
    struct meeting m = meet(&server, &dialler);

    holder_release(&hub);
    assert_refused(&m, because);
}

static void an_expired_server_is_refused_by_name_of_the_reason(void **state)
{
    meet_server_issued_at(*state, time(NULL) - 10 * DAY, "the server's certificate has expired");
}

static void a_server_from_the_future_points_at_the_clock(void **state)
{
    meet_server_issued_at(*state, time(NULL) + 10 * DAY, "not valid yet");
}

static void meet_client(const struct pki *p, const struct holder *client, const char *because)
{
    struct tls_options server = server_of(p, &p->hub);
    struct tls_options dialler = dialler_of(p, client);
    struct meeting m = meet(&server, &dialler);

    assert_null(m.accepted);
    assert_refused(&m, because);
}

static void a_client_of_another_ca_is_told_so(void **state)
{
    const struct pki *p = *state;

    meet_client(p, &p->stranger, "it is from another organisation's CA");
}

static void an_expired_client_is_told_so(void **state)
{
    const struct pki *p = *state;
    struct holder old = make_holder(&p->ours, ROLE_ENDPOINT, time(NULL) - 10 * DAY);

    meet_client(p, &old, "our certificate has expired");
    holder_release(&old);
}

/* Whoever holds the CA's key does not thereby get in as somebody. */
static void the_ca_itself_is_no_client(void **state)
{
    const struct pki *p = *state;
    const struct holder nameless = {.key = p->ours.key, .chain = p->ours.certificate};

    meet_client(p, &nameless, "refused our certificate");
}

/* ---- contexts that cannot be ----------------------------------------------------------------- */

static void options_that_make_no_sense_are_invalid(void **state)
{
    const struct pki *p = *state;
    const struct tls_options bad[] = {
        {.ca_pem = "nonsense"},
        {.ca_pem = NULL},
        {.ca_pem = p->ours.certificate, .is_server = true},
        {.ca_pem = p->ours.certificate, .certificate_pem = "nonsense", .key_pem = p->hub.key},
        {.ca_pem = p->ours.certificate, .certificate_pem = p->hub.chain, .key_pem = "nonsense"},
        {.ca_pem = p->ours.certificate, .certificate_pem = p->hub.chain},
        {.ca_pem = p->ours.certificate, .certificate_pem = p->hub.chain, .key_pem = p->pc.key},
        {.certificate_pem = p->hub.chain,
         .key_pem = p->hub.key,
         .is_server = true,
         .ask_client_certificate = true},
    };
    struct tls_context *t = NULL;

    for (size_t i = 0; i < ALB_COUNT(bad); i++)
        assert_int_equal(tls_context_new(&bad[i], &t).code, ALB_INVALID);
    assert_null(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_learn_who_the_other_is),
        cmocka_unit_test(a_renewed_certificate_is_shown_from_the_next_handshake_on),
        cmocka_unit_test(who_shows_no_certificate_has_no_role),
        cmocka_unit_test(a_port_that_does_not_ask_sees_no_role),
        cmocka_unit_test(the_right_pin_is_enough_to_enrol),
        cmocka_unit_test(a_wrong_pin_is_refused),
        cmocka_unit_test(the_pinned_ca_beside_a_foreign_certificate_is_refused),
        cmocka_unit_test(a_server_of_another_ca_is_refused),
        cmocka_unit_test(an_endpoint_that_plays_server_is_refused),
        cmocka_unit_test(an_expired_server_is_refused_by_name_of_the_reason),
        cmocka_unit_test(a_server_from_the_future_points_at_the_clock),
        cmocka_unit_test(a_client_of_another_ca_is_told_so),
        cmocka_unit_test(an_expired_client_is_told_so),
        cmocka_unit_test(the_ca_itself_is_no_client),
        cmocka_unit_test(options_that_make_no_sense_are_invalid),
    };

    return cmocka_run_group_tests(tests, make_pki, drop_pki);
}
