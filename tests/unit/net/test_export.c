/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_export.c – the secret that both ends of a connection share and nobody else has. */
#include "net/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "support/tls_pair.h"

struct rig {
    struct loop *loop;
    struct tls_context *server_tls, *dialler_tls;
    struct listener *listener;
    struct stream *dialled[2], *accepted[2];
    unsigned accepts;
    struct timer watchdog;
};

static void on_late(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for 60 s");
}

static void on_accepted(void *arg, struct stream *stream)
{
    struct rig *r = arg;

    r->accepted[r->accepts++] = stream;
    loop_stop(r->loop);
}

static void on_ready(void *arg)
{
    (void)arg;
}

static int make_rig(void **state)
{
    struct rig *r = xalloc(sizeof(*r));

    r->loop = loop_new(&(struct loop_options){.workers = 1});
    tls_pair_make(&r->server_tls, &r->dialler_tls);
    timer_init(&r->watchdog, r->loop, on_late, NULL);
    timer_set_in(&r->watchdog, 60 * NS_PER_S);
    *state = r;
    return 0;
}

static int drop_rig(void **state)
{
    struct rig *r = *state;

    timer_stop(&r->watchdog);
    for (size_t i = 0; i < 2; i++) {
        stream_free(r->dialled[i]);
        stream_free(r->accepted[i]);
    }
    listener_free(r->listener);
    loop_free(r->loop);
    tls_context_free(r->server_tls);
    tls_context_free(r->dialler_tls);
    free(r);
    return 0;
}

static void connect_one(struct rig *r, size_t which, bool with_tls)
{
    struct listen_options where = {.address = "127.0.0.1", .tls = with_tls ? r->server_tls : NULL};

    if (r->listener == NULL)
        assert_false(alb_failed(loop_listen(r->loop, &where, on_accepted, r, &r->listener)));
    const struct dial_options to = {.host = "127.0.0.1",
                                    .port = listener_port(r->listener),
                                    .tls = with_tls ? r->dialler_tls : NULL,
                                    .timeout_ns = 20 * NS_PER_S};
    r->dialled[which] = loop_dial(r->loop, &to);
    stream_on_ready(r->dialled[which], on_ready, r);
    loop_run(r->loop);
    while (!stream_is_open(r->dialled[which]))
        loop_run(r->loop);
}

static void both_ends_have_one_key_for_a_label_and_another_for_another(void **state)
{
    struct rig *r = *state;
    uint8_t here[32], there[32], else_here[32], elsewhere[32];

    connect_one(r, 0, true);
    connect_one(r, 1, true);
    assert_false(alb_failed(stream_export_key(r->dialled[0], "EXPORTER-a", here)));
    assert_false(alb_failed(stream_export_key(r->accepted[0], "EXPORTER-a", there)));
    assert_memory_equal(here, there, sizeof(here));
    assert_false(alb_failed(stream_export_key(r->dialled[0], "EXPORTER-b", else_here)));
    assert_memory_not_equal(here, else_here, sizeof(here));
    assert_false(alb_failed(stream_export_key(r->dialled[1], "EXPORTER-a", elsewhere)));
    assert_memory_not_equal(here, elsewhere, sizeof(here));
}

static void a_connection_without_tls_or_not_open_yet_has_no_secret(void **state)
{
    struct rig *r = *state;
    uint8_t key[32];

    connect_one(r, 0, false);
    assert_int_equal(stream_export_key(r->dialled[0], "EXPORTER-a", key).code, ALB_REFUSED);
    const struct dial_options nowhere = {
        .host = "127.0.0.1", .port = 1, .tls = r->dialler_tls, .timeout_ns = NS_PER_S};
    r->dialled[1] = loop_dial(r->loop, &nowhere);
    assert_int_equal(stream_export_key(r->dialled[1], "EXPORTER-a", key).code, ALB_REFUSED);
}

int main(void)
{
#define with_rig(test) cmocka_unit_test_setup_teardown(test, make_rig, drop_rig)
    const struct CMUnitTest tests[] = {
        with_rig(both_ends_have_one_key_for_a_label_and_another_for_another),
        with_rig(a_connection_without_tls_or_not_open_yet_has_no_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
