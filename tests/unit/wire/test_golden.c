/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_golden.c – every format against bytes that must never change.
 *
 * tests/golden/wire/NAME.hex holds the bytes of each sample as commented hexadecimal; FORMAT.md
 * walks through them.  A difference here means that programs already out there cannot read us any
 * more.
 */
#include "support/wire_fixture.h"

#include "base/file.h"
#include "wire/batch.h"
#include "wire/manifest.h"
#include "wire/nearby.h"
#include "wire/policy_seal.h"
#include "wire/probe.h"
#include "wire/root.h"
#include "wire/stamp.h"
#include "wire/token.h"
#include "wire/vigil.h"
#include "wire/wake.h"

/* ---- samples ---- */

static struct chunk_key key_of(uint8_t fill)
{
    struct chunk_key k = {.kind = KEY_PLAIN};

    memset(&k.digest, fill, sizeof k.digest);
    return k;
}

static void write_manifest(const struct manifest_entry *entries, size_t count, struct buf *out)
{
    static const struct manifest_params PARAMS = {64 << 10, 256 << 10, 1 << 20};
    struct manifest_writer w;

    assert_ok(manifest_begin(&w, &PARAMS, &entries[0]));
    for (size_t i = 1; i < count; i++)
        assert_ok(manifest_add(&w, &entries[i]));
    assert_ok(manifest_finish(&w, out));
    manifest_writer_release(&w);
}

/* bin/ with a whole-chunk file, a large one in two slices with a hole,
 * a link to each kind of name. */
static void make_manifest(struct buf *out)
{
    static const struct hole HOLE = {4096, 8192};
    static const struct xattr XATTR = {"user.note", (const uint8_t *)"hi", 2};
    struct slice whole = {key_of(0x11), 0, 300};
    struct slice two[] = {{key_of(0x22), 0, 70000}, {key_of(0x22), 70000, 30000}};
    struct manifest_entry entries[] = {
        {.path = "", .type = ENTRY_DIRECTORY, .mode = 0755, .mtime_s = 1700000000},
        {.path = "bin", .type = ENTRY_DIRECTORY, .mode = 0755, .mtime_s = 1700000000},
        {.path = "home",
         .type = ENTRY_DIRECTORY,
         .owner = OWNER_USER,
         .mode = 0700,
         .uid = 1000,
         .gid = 1000,
         .mtime_s = -1,
         .mtime_ns = 999999999},
        {.path = "bin/big",
         .type = ENTRY_FILE,
         .mode = 0644,
         .size = 100000,
         .content = key_of(0x33).digest,
         .slices = two,
         .slice_count = 2,
         .holes = &HOLE,
         .hole_count = 1},
        {.path = "bin/sh",
         .type = ENTRY_FILE,
         .mode = 04755,
         .size = 300,
         .content = whole.key.digest,
         .slices = &whole,
         .slice_count = 1,
         .xattrs = &XATTR,
         .xattr_count = 1},
        {.path = "bin/sh2", .type = ENTRY_HARDLINK, .target = "bin/sh"},
        {.path = "bin/sh3", .type = ENTRY_SYMLINK, .mode = 0777, .target = "sh"},
        {.path = "bin/tty", .type = ENTRY_CHAR_DEVICE, .mode = 0620, .dev_major = 5},
    };

    write_manifest(entries, ALB_COUNT(entries), out);
}

static struct alb_status read_manifest(const struct buf *b)
{
    struct manifest_limits limits = manifest_limits_default;
    struct manifest m;
    struct alb_status st;

    limits.allow_devices = true;
    st = manifest_decode(buf_peek(b), buf_size(b), &limits, &m);
    if (!alb_failed(st))
        manifest_release(&m);
    return st;
}

static void make_root(struct buf *out)
{
    struct root_chunk chunks[] = {{key_of(0x44), 4000, 900}, {key_of(0x55), 1000, 300}};
    struct root r = {.entries = 8,
                     .content_bytes = 100300,
                     .content_chunks = 2,
                     .content_raw_bytes = 100300,
                     .manifest_bytes = 5000,
                     .chunks = chunks,
                     .chunk_count = 2};

    assert_ok(root_encode(&r, out));
}

static struct alb_status read_root(const struct buf *b)
{
    struct root r;
    struct alb_status st = root_decode(buf_peek(b), buf_size(b), &r);

    if (!alb_failed(st))
        root_release(&r);
    return st;
}

static void make_trust(struct buf *out)
{
    struct sign_secret secrets[] = {secret_of(ROOT_1), secret_of(ROOT_3)};
    struct trust_delegation d;
    struct trust t;

    trust_sample(&t, &d);
    assert_ok(trust_encode(&t, secrets, 2, out));
}

static struct alb_status read_trust(const struct buf *b)
{
    struct trust t;
    struct alb_status st = trust_decode(buf_peek(b), buf_size(b), NULL, NULL, &t);

    if (!alb_failed(st))
        trust_release(&t);
    return st;
}

static void make_record(struct buf *out)
{
    struct version_record r = record_sample();
    struct sign_secret secret = secret_of(PUBLISHER);

    assert_ok(record_encode(&r, &secret, out));
}

/* The trust that the others are checked against. */
static struct alb_status with_trust(const struct buf *b,
                                    struct alb_status (*read)(const struct buf *b,
                                                              const struct trust *t))
{
    struct trust_delegation d;
    struct trust t;

    trust_sample(&t, &d);
    return read(b, &t);
}

static struct alb_status judge_record(const struct buf *b, const struct trust *t)
{
    struct version_record r;

    return record_decode(buf_peek(b), buf_size(b), t, &r);
}

static struct alb_status read_record(const struct buf *b)
{
    return with_trust(b, judge_record);
}

static void make_head(struct buf *out)
{
    struct head h = head_sample();
    struct sign_secret secret = secret_of(HUB);

    assert_ok(head_encode(&h, &secret, out));
}

static struct alb_status judge_head(const struct buf *b, const struct trust *t)
{
    struct head h;

    return head_decode(buf_peek(b), buf_size(b), t, &h);
}

static struct alb_status read_head(const struct buf *b)
{
    return with_trust(b, judge_head);
}

static void make_grant(struct buf *out)
{
    AUTO_FREE struct grant *g = xalloc(sizeof *g);
    struct sign_secret secret = secret_of(HUB);

    *g = (struct grant){.org = "acme",
                        .device = "till-7",
                        .site = "oslo",
                        .issued_wall_s = 1700000000,
                        .expires_wall_s = 1700000000 + GRANT_LIFETIME_S,
                        .prefix_count = 2,
                        .prefixes = {"app/till", "base"}};
    assert_ok(grant_encode(g, &secret, out));
}

static struct alb_status judge_grant(const struct buf *b, const struct trust *t)
{
    AUTO_FREE struct grant *g = xalloc(sizeof *g);

    return grant_decode(buf_peek(b), buf_size(b), t, g);
}

static struct alb_status read_grant(const struct buf *b)
{
    return with_trust(b, judge_grant);
}

static void make_revocations(struct buf *out)
{
    char serials[][41] = {"01", "ff00"};
    struct revocations r = {
        .org = "acme", .number = 3, .issued_wall_s = 1700000000, .serials = serials, .count = 2};
    struct sign_secret secret = secret_of(HUB);

    assert_ok(revocations_encode(&r, &secret, out));
}

static struct alb_status judge_revocations(const struct buf *b, const struct trust *t)
{
    struct revocations r;
    struct alb_status st = revocations_decode(buf_peek(b), buf_size(b), t, &r);

    if (!alb_failed(st))
        revocations_release(&r);
    return st;
}

static struct alb_status read_revocations(const struct buf *b)
{
    return with_trust(b, judge_revocations);
}

static void make_sealed(enum policy_part part, struct buf *out)
{
    static const char TEXT[] = "{\"rules\":[]}";
    const struct policy_seal s = {.org = "acme",
                                  .number = 5,
                                  .issued_wall_s = 1700000000,
                                  .text = TEXT,
                                  .text_size = sizeof TEXT - 1};
    struct sign_secret secret = secret_of(HUB);

    assert_ok(policy_seal_encode(part, &s, &secret, out));
}

static void make_policy(struct buf *out)
{
    make_sealed(POLICY_RULES, out);
}

static struct alb_status judge_policy(const struct buf *b, const struct trust *t)
{
    struct policy_seal s;

    return policy_seal_decode(POLICY_RULES, buf_peek(b), buf_size(b), t, &s);
}

static struct alb_status read_policy(const struct buf *b)
{
    return with_trust(b, judge_policy);
}

static void make_overrides(struct buf *out)
{
    make_sealed(POLICY_OVERRIDES, out);
}

static struct alb_status judge_overrides(const struct buf *b, const struct trust *t)
{
    struct policy_seal s;

    return policy_seal_decode(POLICY_OVERRIDES, buf_peek(b), buf_size(b), t, &s);
}

static struct alb_status read_overrides(const struct buf *b)
{
    return with_trust(b, judge_overrides);
}

static void make_nearby(struct buf *out)
{
    struct nearby_holder holder = {.device = "box",
                                   .site = "norway",
                                   .depth = 1,
                                   .state = REFLECTOR_DRAIN,
                                   .at = {{"10.1.0.5", 7443}},
                                   .at_count = 1,
                                   .subnets = {{.address = {0x20, 0x01, 0x0d, 0xb8}, .bits = 64}},
                                   .subnet_count = 1};
    const struct nearby n = {.org = "acme",
                             .site = "oslo",
                             .above = {"norway"},
                             .above_count = 1,
                             .number = 5,
                             .issued_wall_s = 1700000000,
                             .expires_wall_s = 1700000000 + NEARBY_LIFETIME_S,
                             .terms = {.use = SITE_USE_PREFER, .max_sessions = 200},
                             .holders = &holder,
                             .holder_count = 1,
                             .hub = {{"hub.example", 7443}},
                             .hub_count = 1};
    struct sign_secret secret = secret_of(HUB);

    assert_ok(nearby_encode(&n, &secret, out));
}

static struct alb_status judge_nearby(const struct buf *b, const struct trust *t)
{
    struct nearby n = {.number = 0};
    const struct alb_status st = nearby_decode(buf_peek(b), buf_size(b), t, &n);

    nearby_release(&n);
    return st;
}

static struct alb_status read_nearby(const struct buf *b)
{
    return with_trust(b, judge_nearby);
}

static void make_states(struct buf *out)
{
    make_sealed(POLICY_STATES, out);
}

static struct alb_status judge_states(const struct buf *b, const struct trust *t)
{
    struct policy_seal s;

    return policy_seal_decode(POLICY_STATES, buf_peek(b), buf_size(b), t, &s);
}

static struct alb_status read_states(const struct buf *b)
{
    return with_trust(b, judge_states);
}

static void make_wake(struct buf *out)
{
    AUTO_FREE struct wake_order *o = xalloc(sizeof *o);
    struct sign_secret secret = secret_of(HUB);

    *o = (struct wake_order){.org = "acme",
                             .guard = "till-1",
                             .job = "w0123456789abcdef",
                             .number = 77,
                             .issued_wall_s = 1700000000,
                             .expires_wall_s = 1700000060,
                             .target_count = 2};
    o->targets[0] = (struct wake_order_target){
        .device = "till-7",
        .macs = {{{0x52, 0x54, 0, 1, 2, 3}}},
        .mac_count = 1,
        .addresses = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 0, 7}, 120}},
        .address_count = 1};
    o->targets[1] = o->targets[0];
    memcpy(o->targets[1].device, "till-8", sizeof "till-8");
    o->targets[1].macs[0].bytes[5] = 4;
    memcpy(o->targets[1].password, "\1\2\3\4\5\6", WAKE_ORDER_PASSWORD_MAX);
    o->targets[1].password_size = WAKE_ORDER_PASSWORD_MAX;
    o->targets[1].is_again = true;
    assert_ok(wake_order_encode(o, &secret, out));
}

static struct alb_status judge_wake(const struct buf *b, const struct trust *t)
{
    AUTO_FREE struct wake_order *o = xalloc(sizeof *o);

    return wake_order_decode(buf_peek(b), buf_size(b), t, o);
}

static struct alb_status read_wake(const struct buf *b)
{
    return with_trust(b, judge_wake);
}

static void make_vigil(struct buf *out)
{
    const struct vigil_order o = {.org = "acme",
                                  .device = "till-7",
                                  .number = 78,
                                  .issued_wall_s = 1700000000,
                                  .expires_wall_s = 1700000060,
                                  .kind = VIGIL_SLEEP,
                                  .begun_wall_s = 1699999900,
                                  .until_wall_s = 1700007200,
                                  .layer = "base/debian-12",
                                  .version = "12.5"};
    struct sign_secret secret = secret_of(HUB);

    assert_ok(vigil_order_encode(&o, &secret, out));
}

static struct alb_status judge_vigil(const struct buf *b, const struct trust *t)
{
    struct vigil_order o;

    return vigil_order_decode(buf_peek(b), buf_size(b), t, &o);
}

static struct alb_status read_vigil(const struct buf *b)
{
    return with_trust(b, judge_vigil);
}

static void make_request(struct buf *out)
{
    static const uint32_t POSITIONS[] = {3, 4, 5, 9, 1000};
    AUTO_FREE struct batch_request *r = xalloc(sizeof *r);

    *r = (struct batch_request){.layer = "base", .root = key_of(0x66).digest, .list = LIST_CONTENT};
    assert_ok(batch_request_set(r, POSITIONS, ALB_COUNT(POSITIONS)));
    assert_ok(batch_request_encode(r, out));
}

static struct alb_status read_request(const struct buf *b)
{
    AUTO_FREE struct batch_request *r = xalloc(sizeof *r);

    return batch_request_decode(buf_peek(b), buf_size(b), r);
}

static void make_items(struct buf *out)
{
    static const struct batch_item ITEMS[] = {
        {.status = ITEM_QUEUED, .line = 2, .rate_bps = 250000},
        {.status = ITEM_HIT, .position = 1000, .size = 5},
        {.status = ITEM_MISSING, .position = 3},
        {.status = ITEM_FAILED, .position = 4},
    };

    for (size_t i = 0; i < ALB_COUNT(ITEMS); i++) {
        assert_ok(batch_item_head(&ITEMS[i], out));
        if (ITEMS[i].status == ITEM_HIT)
            assert_ok(buf_append(out, "frame", 5));
    }
}

static struct alb_status read_items(const struct buf *b)
{
    struct buf rest = *b; /* a view that is consumed */
    struct batch_item item;
    size_t used;

    while (buf_size(&rest) > 0) {
        struct alb_status st = batch_item_next(&rest, 100, &item, &used);

        if (alb_failed(st) || used == 0)
            return alb_fail(ALB_CORRUPT, "an item is not whole");
        buf_consume(&rest, used);
    }
    return ALB_STATUS_OK;
}

static void make_runs(struct buf *out)
{
    static const struct batch_run RUNS[] = {{0, 1}, {2, 3}, {100, 900}};

    assert_ok(runs_encode(RUNS, ALB_COUNT(RUNS), out));
}

static struct alb_status read_runs(const struct buf *b)
{
    struct batch_run *runs;
    size_t count;
    struct alb_status st = runs_decode(buf_peek(b), buf_size(b), 1000, &runs, &count);

    if (!alb_failed(st))
        free(runs);
    return st;
}

static void make_upload(struct buf *out)
{
    struct upload_open u = {.layer = "base",
                            .root = (const uint8_t *)"root object",
                            .root_size = 11,
                            .items = (const uint8_t *)"items",
                            .items_size = 5};

    assert_ok(upload_open_encode(&u, out));
}

static struct alb_status read_upload(const struct buf *b)
{
    struct upload_open u;

    return upload_open_decode(buf_peek(b), buf_size(b), &u);
}

static void make_answer(struct buf *out)
{
    struct batch_run run = {7, 2};
    struct upload_answer a = {.id = "0123abcd", .runs = &run, .run_count = 1};

    assert_ok(upload_answer_encode(&a, out));
}

static struct alb_status read_answer(const struct buf *b)
{
    struct upload_answer a;
    struct alb_status st = upload_answer_decode(buf_peek(b), buf_size(b), 9, &a);

    if (!alb_failed(st))
        upload_answer_release(&a);
    return st;
}

static void make_token(struct buf *out)
{
    struct token t = {.id = "abcdefghij",
                      .has_trust_pin = true,
                      .ca_pin = key_of(0xaa).digest,
                      .trust_pin = key_of(0xbb).digest};
    char text[TOKEN_TEXT_SIZE];

    memset(t.secret, 0x77, sizeof t.secret);
    token_format(&t, text);
    assert_ok(buf_append(out, text, strlen(text)));
}

static struct alb_status read_token(const struct buf *b)
{
    AUTO_FREE char *text = xstrndup((const char *)buf_peek(b), buf_size(b));
    struct token t;

    return token_parse(text, &t);
}

static const uint8_t PROBE_KEY[PROBE_KEY_SIZE] = {0x4b};

static void make_probe(struct buf *out)
{
    struct probe_packet p = {
        .kind = PROBE_REQUEST, .sequence = 258, .sent_ns = UINT64_C(1000000000)};
    uint8_t bytes[PROBE_PACKET_SIZE];

    memset(p.id, 0xd1, sizeof p.id);
    probe_packet_seal(&p, PROBE_KEY, bytes);
    assert_ok(buf_append(out, bytes, sizeof bytes));
    p.kind = PROBE_REPLY;
    p.received_ns = UINT64_C(77000000000);
    p.held_ns = 60000;
    p.epoch = 0x2a01;
    p.aggregate_bps = 9600000;
    p.flows = 2;
    probe_packet_seal(&p, PROBE_KEY, bytes);
    assert_ok(buf_append(out, bytes, sizeof bytes));
}

static struct alb_status read_probe(const struct buf *b)
{
    struct probe_packet p;
    struct alb_status st = probe_packet_read(buf_peek(b), PROBE_PACKET_SIZE, &p);

    if (!alb_failed(st))
        st = probe_packet_read(buf_peek(b) + PROBE_PACKET_SIZE, PROBE_PACKET_SIZE, &p);
    assert_true(probe_packet_is_authentic(buf_peek(b), PROBE_KEY));
    assert_true(probe_packet_is_authentic(buf_peek(b) + PROBE_PACKET_SIZE, PROBE_KEY));
    return st;
}

static void make_stamp(struct buf *out)
{
    const struct sender_stamp s = {.flags = STAMP_POLICY_LIMITED,
                                   .sent_ns = UINT64_C(77000000000),
                                   .cumulative_bytes = 1 << 20,
                                   .retransmitted = 3,
                                   .aggregate_bps = 9600000,
                                   .flows = 2};
    uint8_t bytes[STAMP_SIZE];

    sender_stamp_encode(&s, bytes);
    assert_ok(buf_append(out, bytes, sizeof bytes));
}

static struct alb_status read_stamp(const struct buf *b)
{
    struct sender_stamp s;

    return sender_stamp_decode(buf_peek(b), buf_size(b), &s);
}

static const struct sample {
    const char *name;
    void (*make)(struct buf *out);
    struct alb_status (*read)(const struct buf *b);
} SAMPLES[] = {
    {"manifest", make_manifest, read_manifest},
    {"root", make_root, read_root},
    {"trust", make_trust, read_trust},
    {"version", make_record, read_record},
    {"head", make_head, read_head},
    {"grant", make_grant, read_grant},
    {"revocations", make_revocations, read_revocations},
    {"policy_seal", make_policy, read_policy},
    {"overrides_seal", make_overrides, read_overrides},
    {"states_seal", make_states, read_states},
    {"nearby", make_nearby, read_nearby},
    {"wake", make_wake, read_wake},
    {"vigil", make_vigil, read_vigil},
    {"batch_request", make_request, read_request},
    {"batch_items", make_items, read_items},
    {"runs", make_runs, read_runs},
    {"upload_open", make_upload, read_upload},
    {"upload_answer", make_answer, read_answer},
    {"token", make_token, read_token},
    {"probe", make_probe, read_probe},
    {"stamp", make_stamp, read_stamp},
};

/* ---- files ---- */

/* Beside this file's folder: …/tests/golden/wire/NAME.hex */
static char *golden_path(const char *name)
{
    static const char HERE[] = __FILE__;
    const char *tests = strstr(HERE, "tests/unit/wire/");

    assert_non_null(tests);
    return xasprintf("%.*stests/golden/wire/%s.hex", (int)(tests - HERE), HERE, name);
}

/* The hexadecimal of a file: blanks do not count, '#' begins a comment. */
static void read_golden(const char *name, struct buf *hex)
{
    AUTO_FREE char *path = golden_path(name);
    bool comment = false;
    struct buf text;

    buf_init(&text, 1 << 20);
    assert_ok(file_read(path, &text));
    for (size_t i = 0; i < buf_size(&text); i++) {
        char c = (char)buf_peek(&text)[i];

        comment = c == '#' || (comment && c != '\n');
        if (!comment && strchr(" \n", c) == NULL)
            assert_ok(buf_append(hex, &c, 1));
    }
    buf_release(&text);
}

static void bytes_are_the_golden_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALB_COUNT(SAMPLES); i++) {
        AUTO_FREE char *hex = NULL;
        struct buf made, golden;

        buf_init(&made, 1 << 20);
        buf_init(&golden, 1 << 20);
        SAMPLES[i].make(&made);
        hex = xalloc(2 * buf_size(&made) + 1);
        bytes_hex(buf_peek(&made), buf_size(&made), hex);
        read_golden(SAMPLES[i].name, &golden);
        if (strcmp(hex, buf_text(&golden)) != 0)
            print_error("%s is now\n%s\n", SAMPLES[i].name, hex);
        assert_string_equal(hex, buf_text(&golden));
        assert_ok(SAMPLES[i].read(&made));
        buf_release(&made);
        buf_release(&golden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_the_golden_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
