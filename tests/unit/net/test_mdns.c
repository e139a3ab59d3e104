/* SPDX-License-Identifier: Apache-2.0 */
/* unit/net/test_mdns.c – packets of multicast DNS: what is read of them, what strangers send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "net/mdns.h"

enum { ROOM = 9100, HEADER = 12 };

/* A packet made by hand. */
struct raw {
    uint8_t bytes[ROOM];
    size_t size;
};

static void put(struct raw *p, const char *bytes, size_t size)
{
    assert_true(p->size + size <= ROOM);
    memcpy(p->bytes + p->size, bytes, size);
    p->size += size;
}
#define PUT(p, text) put((p), (text), sizeof(text) - 1)

static void begin(struct raw *p, uint8_t flags, uint8_t questions, uint8_t records)
{
    p->size = 0;
    PUT(p, "\0\0");
    put(p, (const char[]){(char)flags, 0, 0, (char)questions, 0, (char)records}, 6);
    PUT(p, "\0\0\0\0");
}

static struct mdns_name name(const char *dotted)
{
    struct mdns_name n;

    assert_true(mdns_name_of(dotted, &n));
    return n;
}

static bool is_name(const struct mdns_name *n, const char *dotted)
{
    const struct mdns_name other = name(dotted);

    return mdns_name_is_same(n, &other);
}

/* Reads all; returns how many records, and what was wrong. */
static unsigned read_all(const struct raw *p, const char **error)
{
    struct mdns_reader r;
    struct mdns_record record;
    unsigned count = 0;

    assert_true(mdns_read_begin(&r, p->bytes, p->size));
    while (mdns_read_record(&r, &record))
        count++;
    *error = mdns_read_failed(&r);
    return count;
}

static void names_compare_without_regard_to_case(void **state)
{
    const struct mdns_name service = name("_albedo._tcp.local"), loud = name("_ALBEDO._Tcp.LOCAL");
    const struct mdns_name other = name("_albedo._udp.local"), shorter = name("_tcp.local");
    struct mdns_name instance;

    (void)state;
    assert_true(mdns_name_is_same(&service, &loud));
    assert_false(mdns_name_is_same(&service, &other));
    assert_true(mdns_name_under("4f0a", &loud, &instance));
    assert_true(mdns_name_is_child(&instance, &service));
    assert_false(mdns_name_is_child(&instance, &other));
    assert_false(mdns_name_is_child(&instance, &shorter));
    assert_false(mdns_name_is_child(&service, &service));
}

static void names_that_are_none_are_refused(void **state)
{
    struct mdns_name n;
    char label[66], most[300];

    (void)state;
    memset(label, 'a', sizeof(label) - 1);
    label[65] = '\0';
    assert_false(mdns_name_of("", &n));
    assert_false(mdns_name_of("a..b", &n));
    assert_false(mdns_name_of("a.", &n));
    assert_false(mdns_name_of(label, &n));
    label[63] = '\0';
    assert_true(mdns_name_of(label, &n));
    for (size_t i = 0; i < 256; i++)
        most[i] = i % 2 == 0 ? 'a' : '.';
    most[253] = '\0'; /* 127 labels: 254 bytes, and the end */
    assert_true(mdns_name_of(most, &n));
    assert_int_equal(n.size, 255);
    most[253] = '.';
    most[255] = '\0';
    assert_false(mdns_name_of(most, &n));
}

static void what_is_written_is_read_back(void **state)
{
    const char *strings[] = {"proto=1", "org=91b7"};
    uint8_t text[64];
    struct mdns_writer w;
    struct mdns_reader r;
    struct mdns_record out;
    char value[8];

    (void)state;
    mdns_write_begin(&w, true);
    mdns_write_record(&w, &(struct mdns_record){.name = name("x._albedo._tcp.local"),
                                                .type = MDNS_SRV,
                                                .flushes = true,
                                                .ttl_s = 120,
                                                .port = 7443,
                                                .target = name("box.local")});
    mdns_write_record(&w, &(struct mdns_record){.name = name("x._albedo._tcp.local"),
                                                .type = MDNS_TXT,
                                                .ttl_s = 120,
                                                .text = text,
                                                .text_size = mdns_text_join(strings, 2, text, 64)});
    assert_true(mdns_write_end(&w));
    assert_true(mdns_read_begin(&r, w.bytes, w.size) && r.is_response && !r.is_cut);
    assert_true(mdns_read_record(&r, &out));
    assert_int_equal(out.type, MDNS_SRV);
    assert_true(out.flushes);
    assert_int_equal(out.ttl_s, 120);
    assert_int_equal(out.port, 7443);
    assert_true(is_name(&out.target, "box.local"));
    assert_true(mdns_read_record(&r, &out));
    assert_true(mdns_text_find(&out, "ORG", value, sizeof(value)));
    assert_string_equal(value, "91b7");
    assert_false(mdns_text_find(&out, "org", value, 4));
    assert_false(mdns_text_find(&out, "or", value, sizeof(value)));
    assert_false(mdns_read_record(&r, &out));
    assert_null(mdns_read_failed(&r));
}

static void a_packet_that_is_full_is_not_sent(void **state)
{
    const struct mdns_name n = name("_albedo._tcp.local");
    struct mdns_writer w;

    (void)state;
    mdns_write_begin(&w, false);
    for (unsigned i = 0; i < 60; i++)
        mdns_write_question(&w, &n, MDNS_PTR);
    assert_false(mdns_write_end(&w));
    assert_true(w.size <= MDNS_WRITE_MOST);
}

static void a_compressed_name_is_followed_backwards(void **state)
{
    struct raw p;
    struct mdns_reader r;
    struct mdns_record out;

    (void)state;
    begin(&p, 0x84, 0, 2);
    PUT(&p, "\7_albedo\4_tcp\5local\0"
            "\0\14\0\1\0\0\0\170\0\4"
            "\1x\300\14");
    PUT(&p, "\300\14"
            "\0\14\200\1\0\0\0\170\0\4"
            "\1y\300\24");
    assert_true(mdns_read_begin(&r, p.bytes, p.size));
    assert_true(mdns_read_record(&r, &out));
    assert_true(is_name(&out.target, "x._albedo._tcp.local"));
    assert_true(mdns_read_record(&r, &out));
    assert_true(is_name(&out.name, "_albedo._tcp.local"));
    assert_true(is_name(&out.target, "y._tcp.local"));
    assert_null(mdns_read_failed(&r));
}

static void a_name_that_points_at_itself_or_forward_is_refused(void **state)
{
    static const char *const LOOPS[] = {"\300\14", "\1a\300\14", "\300\40", "\300\0", "\300\13"};
    struct raw p;
    const char *error;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(LOOPS); i++) {
        begin(&p, 0x84, 0, 1);
        put(&p, LOOPS[i], 2 + (LOOPS[i][0] == 1 ? 2 : 0));
        PUT(&p, "\0\14\0\1\0\0\0\170\0\1\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_int_equal(read_all(&p, &error), 0);
        assert_non_null(error);
    }
}

/* Each points at the one before, so the last would be a name of 250 labels. */
static void a_chain_of_pointers_ends(void **state)
{
    struct raw p;
    struct mdns_reader r;
    struct mdns_question asked;

    (void)state;
    begin(&p, 0, 1, 0);
    size_t at = p.size;
    PUT(&p, "\1a\0");
    while (p.size < 1000) {
        const size_t here = p.size;
        put(&p, (const char[]){1, 'a', (char)(0xc0 | at >> 8), (char)at}, 4);
        at = here;
    }
    PUT(&p, "\0\14\0\1");
    assert_true(mdns_read_begin(&r, p.bytes, p.size));
    r.at = at;
    assert_false(mdns_read_question(&r, &asked));
    assert_non_null(mdns_read_failed(&r));
}

static void every_cut_of_a_packet_is_refused(void **state)
{
    const struct mdns_name service = name("_albedo._tcp.local");
    struct mdns_writer w;
    struct raw p;
    const char *error;

    (void)state;
    mdns_write_begin(&w, true);
    mdns_write_record(&w, &(struct mdns_record){
                              .name = service, .type = MDNS_PTR, .ttl_s = 9, .target = service});
    mdns_write_record(
        &w, &(struct mdns_record){.name = service, .type = MDNS_A, .ttl_s = 9, .ip = {{10}, 4}});
    for (size_t size = HEADER; size < w.size; size++) {
        memcpy(p.bytes, w.bytes, size);
        p.size = size;
        assert_true(read_all(&p, &error) < 2);
        assert_non_null(error);
    }
}

static void headers_that_are_not_for_us_are_ignored(void **state)
{
    struct mdns_reader r;
    struct raw p;

    (void)state;
    begin(&p, 0x80, 0, 0);
    assert_true(mdns_read_begin(&r, p.bytes, p.size));
    assert_false(mdns_read_begin(&r, p.bytes, p.size - 1));
    assert_false(mdns_read_begin(&r, p.bytes, 9001));
    p.bytes[2] = 0x28; /* opcode 5: update */
    assert_false(mdns_read_begin(&r, p.bytes, p.size));
    p.bytes[2] = 0x80;
    p.bytes[3] = 3; /* NXDOMAIN */
    assert_false(mdns_read_begin(&r, p.bytes, p.size));
}

static void counts_that_lie_cost_nothing(void **state)
{
    struct raw p = {.size = 9000};
    struct mdns_reader r;
    struct mdns_record out;
    unsigned count = 0;
    const char *error;

    (void)state;
    begin(&p, 0x84, 0, 0);
    memset(p.bytes + 6, 0xff, 6); /* 65,535 of each section */
    assert_int_equal(read_all(&p, &error), 0);
    assert_non_null(error);
    while (p.size + 11 < MDNS_PACKET_MOST)
        PUT(&p, "\0\0\20\0\1\0\0\0\11\0\0"); /* as many empty TXT records as go in */
    assert_true(mdns_read_begin(&r, p.bytes, p.size));
    while (mdns_read_record(&r, &out))
        count++;
    assert_int_equal(count, MDNS_RECORDS_MOST);
    memset(p.bytes + 4, 0xff, 2);
    assert_int_equal(read_all(&p, &error), 0); /* where records begin is not known */
}

static void records_that_do_not_fit_their_type_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } BAD[] = {
        {"\0\0\1\0\1\0\0\0\11\0\5\12\0\0\1\1", 16},     /* an IPv4 address of five bytes */
        {"\0\0\34\0\1\0\0\0\11\0\4\12\0\0\1", 15},      /* an IPv6 address of four       */
        {"\0\0\41\0\1\0\0\0\11\0\6\0\0\0\0\35\23", 17}, /* a service nowhere             */
        {"\0\0\20\0\1\0\0\0\11\0\2\5a", 13},            /* a string longer than its text */
        {"\0\0\14\0\1\0\0\0\11\0\4\1a\0\0", 15},        /* a name, and more              */
        {"\100\0\14\0\1\0\0\0\11\0\1\0", 12},           /* a label of an unknown kind    */
    };
    struct raw p;
    const char *error;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(BAD); i++) {
        begin(&p, 0x84, 0, 1);
        put(&p, BAD[i].bytes, BAD[i].size);
        assert_int_equal(read_all(&p, &error), 0);
        assert_non_null(error);
    }
}

static void records_of_other_types_and_classes_are_stepped_over(void **state)
{
    struct raw p;
    struct mdns_reader r;
    struct mdns_record out;

    (void)state;
    begin(&p, 0x84, 1, 3);
    PUT(&p, "\1a\0\0\14\0\3");                    /* asked of class CHAOS */
    PUT(&p, "\1a\0\0\57\200\1\0\0\0\170\0\3abc"); /* NSEC */
    PUT(&p, "\1a\0\0\1\0\3\0\0\0\170\0\4abcd");   /* an address of class CHAOS */
    PUT(&p, "\1a\0\0\1\200\1\0\0\0\170\0\4\12\1\0\5");
    assert_true(mdns_read_begin(&r, p.bytes, p.size));
    assert_true(mdns_read_record(&r, &out));
    assert_int_equal(out.ip.bytes[3], 5);
    assert_false(mdns_read_record(&r, &out));
    assert_null(mdns_read_failed(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_compare_without_regard_to_case),
        cmocka_unit_test(names_that_are_none_are_refused),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_packet_that_is_full_is_not_sent),
        cmocka_unit_test(a_compressed_name_is_followed_backwards),
        cmocka_unit_test(a_name_that_points_at_itself_or_forward_is_refused),
        cmocka_unit_test(a_chain_of_pointers_ends),
        cmocka_unit_test(every_cut_of_a_packet_is_refused),
        cmocka_unit_test(headers_that_are_not_for_us_are_ignored),
        cmocka_unit_test(counts_that_lie_cost_nothing),
        cmocka_unit_test(records_that_do_not_fit_their_type_are_refused),
        cmocka_unit_test(records_of_other_types_and_classes_are_stepped_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
