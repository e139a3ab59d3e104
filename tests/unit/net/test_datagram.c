/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_datagram.c – datagrams through real sockets. */
#include "net/datagram.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/units.h"

struct side {
    struct rig *rig;
    struct datagram *socket;
    unsigned got;
    size_t size;
    uint8_t bytes[DATAGRAM_MOST];
    struct datagram_peer from;
    uint64_t at_ns;
    bool echoes, closes;
};

struct rig {
    struct loop *loop;
    struct side asker, answerer;
    struct timer watchdog;
    unsigned wanted; /* of the asker; then the loop stops */
};

static void on_got(void *arg, const void *bytes, size_t size, const struct datagram_peer *from,
                   uint64_t at_ns)
{
    struct side *s = arg;

    s->got++;
    s->size = size;
    memcpy(s->bytes, bytes, size);
    s->from = *from;
    s->at_ns = at_ns;
    if (s->echoes)
        assert_false(alb_failed(datagram_send(s->socket, bytes, size, from)));
    if (s->closes)
        s->socket = datagram_close(s->socket);
    if (s->rig->asker.got >= s->rig->wanted)
        loop_stop(s->rig->loop);
}

static void on_late(void *arg)
{
    (void)arg;
    fail_msg("nothing came for 20 s");
}

static void stop(void *loop)
{
    loop_stop(loop);
}

static int make_rig(void **state)
{
    struct rig *r = xalloc(sizeof(*r));

    r->loop = loop_new(&(struct loop_options){.workers = 1});
    r->asker.rig = r;
    r->answerer.rig = r;
    r->answerer.echoes = true;
    r->wanted = 1;
    timer_init(&r->watchdog, r->loop, on_late, NULL);
    timer_set_in(&r->watchdog, 20 * NS_PER_S);
    *state = r;
    return 0;
}

static int drop_rig(void **state)
{
    struct rig *r = *state;

    timer_stop(&r->watchdog);
    datagram_close(r->asker.socket);
    datagram_close(r->answerer.socket);
    loop_free(r->loop);
    free(r);
    return 0;
}

/* False: this machine has no such address. */
static bool open_side(struct side *s, const char *address, const struct datagram_peer *towards)
{
    const struct datagram_options o = {
        .address = address, .towards = towards, .got = on_got, .arg = s};

    return !alb_failed(datagram_open(s->rig->loop, &o, &s->socket));
}

static struct datagram_peer peer_at(struct rig *r, const char *text, uint16_t port)
{
    struct stream line = {.loop = r->loop};
    struct datagram_peer peer;

    (void)snprintf(line.address, sizeof(line.address), "%s", text);
    assert_true(datagram_peer_of(&line, port, &peer));
    return peer;
}

static void ask(struct rig *r, const char *listen, const char *dialled, const char *seen_as)
{
    if (!open_side(&r->answerer, listen, NULL)) {
        skip(); /* no IPv6 on this machine */
        return;
    }
    const struct datagram_peer to = peer_at(r, dialled, datagram_port(r->answerer.socket));
    char text[ADDRESS_TEXT_SIZE];

    assert_true(open_side(&r->asker, NULL, &to));
    const uint64_t before_ns = loop_now_ns(r->loop);
    assert_false(alb_failed(datagram_send(r->asker.socket, "hello", 5, &to)));
    loop_run(r->loop);
    assert_int_equal(r->asker.size, 5);
    assert_memory_equal(r->asker.bytes, "hello", 5);
    assert_true(r->asker.at_ns >= before_ns && r->asker.at_ns <= loop_now_ns(r->loop));
    address_format(&r->asker.from.address.storage, text);
    *strrchr(text, ':') = '\0';
    assert_string_equal(text, seen_as); /* the answer came from the address that was asked */
    assert_int_equal(address_port(&r->asker.from.address.storage),
                     datagram_port(r->answerer.socket));
}

static void a_datagram_is_answered_over_ipv4(void **state)
{
    ask(*state, "127.0.0.1", "127.0.0.1:9", "127.0.0.1");
}

static void a_socket_at_all_addresses_answers_from_the_one_that_was_asked(void **state)
{
    ask(*state, "0.0.0.0", "127.0.0.77:9", "127.0.0.77");
}

static void a_datagram_is_answered_over_ipv6(void **state)
{
    ask(*state, "::1", "[::1]:9", "[::1]");
}

static void a_socket_of_both_families_answers_ipv4_from_the_address_that_was_asked(void **state)
{
    ask(*state, "::", "127.0.0.78:9", "127.0.0.78");
}

static void what_waited_for_a_busy_loop_is_dated_by_its_arrival(void **state)
{
    struct rig *r = *state;

    assert_true(open_side(&r->answerer, "127.0.0.1", NULL));
    r->answerer.echoes = false;
    const struct datagram_peer to = peer_at(r, "127.0.0.1:1", datagram_port(r->answerer.socket));
    assert_true(open_side(&r->asker, NULL, &to));
    const uint64_t sent_ns = loop_now_ns(r->loop);
    assert_false(alb_failed(datagram_send(r->asker.socket, "x", 1, &to)));
    const uint64_t arrived_ns = loop_now_ns(r->loop);
    while (loop_now_ns(r->loop) < sent_ns + 30 * NS_PER_MS) /* the loop is busy */
        continue;
    r->wanted = 0;
    loop_run(r->loop);
    assert_int_equal(r->answerer.got, 1);
    assert_in_range(r->answerer.at_ns, sent_ns - NS_PER_MS / 10, arrived_ns + 5 * NS_PER_MS);
}

static void a_datagram_that_is_too_long_is_dropped_and_the_next_is_not(void **state)
{
    struct rig *r = *state;
    uint8_t large[2000] = {0};

    assert_true(open_side(&r->answerer, "127.0.0.1", NULL));
    const uint16_t port = datagram_port(r->answerer.socket);
    const struct datagram_peer to = peer_at(r, "127.0.0.1:1", port);
    assert_true(open_side(&r->asker, NULL, &to));
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(sendto(fd, large, sizeof(large), 0,
                            (const struct sockaddr *)&to.address.storage, to.address.size),
                     sizeof(large));
    close(fd);
    assert_false(alb_failed(datagram_send(r->asker.socket, "next", 4, &to)));
    loop_run(r->loop);
    assert_int_equal(r->answerer.got, 1);
    assert_int_equal(r->asker.size, 4);
}

static void a_socket_may_be_closed_in_its_own_call(void **state)
{
    struct rig *r = *state;

    assert_true(open_side(&r->answerer, "127.0.0.1", NULL));
    r->answerer.closes = true;
    const struct datagram_peer to = peer_at(r, "127.0.0.1:1", datagram_port(r->answerer.socket));
    assert_true(open_side(&r->asker, NULL, &to));
    for (unsigned i = 0; i < 5; i++)
        assert_false(alb_failed(datagram_send(r->asker.socket, "x", 1, &to)));
    loop_run(r->loop);
    assert_int_equal(r->answerer.got, 1);
    assert_null(r->answerer.socket);
}

static void what_cannot_be_opened_or_sent_says_so(void **state)
{
    struct rig *r = *state;
    struct datagram_options o = {.address = "127.0.0.1", .got = on_got, .arg = &r->asker};
    struct datagram *other = NULL;
    struct datagram_peer nobody;
    struct stream line = {.loop = r->loop, .address = ""};

    assert_true(open_side(&r->answerer, "127.0.0.1", NULL));
    o.port = datagram_port(r->answerer.socket);
    struct alb_status st = datagram_open(r->loop, &o, &other);
    assert_string_equal(st.what, "binding the UDP port");
    assert_int_equal(st.sys, EADDRINUSE);
    o.address = "example";
    assert_int_equal(datagram_open(r->loop, &o, &other).code, ALB_INVALID);
    assert_false(datagram_peer_of(&line, 1, &nobody));
    (void)snprintf(line.address, sizeof(line.address), "a.name:1");
    assert_false(datagram_peer_of(&line, 1, &nobody));
    const struct datagram_peer away = peer_at(r, "255.255.255.255:1", 9);
    assert_true(alb_failed(datagram_send(r->answerer.socket, "x", 1, &away)));
    /* Nobody listens there: no error comes back to haunt the next one. */
    const struct datagram_peer closed = peer_at(r, "127.0.0.1:1", 1);
    assert_false(alb_failed(datagram_send(r->answerer.socket, "x", 1, &closed)));
    timer_stop(&r->watchdog);
    timer_init(&r->watchdog, r->loop, stop, r->loop);
    timer_set_in(&r->watchdog, 20 * NS_PER_MS);
    loop_run(r->loop);
    assert_false(alb_failed(datagram_send(r->answerer.socket, "x", 1, &closed)));
}

int main(void)
{
#define with_rig(test) cmocka_unit_test_setup_teardown(test, make_rig, drop_rig)
    const struct CMUnitTest tests[] = {
        with_rig(a_datagram_is_answered_over_ipv4),
        with_rig(a_socket_at_all_addresses_answers_from_the_one_that_was_asked),
        with_rig(a_datagram_is_answered_over_ipv6),
        with_rig(a_socket_of_both_families_answers_ipv4_from_the_address_that_was_asked),
        with_rig(what_waited_for_a_busy_loop_is_dated_by_its_arrival),
        with_rig(a_datagram_that_is_too_long_is_dropped_and_the_next_is_not),
        with_rig(a_socket_may_be_closed_in_its_own_call),
        with_rig(what_cannot_be_opened_or_sent_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
