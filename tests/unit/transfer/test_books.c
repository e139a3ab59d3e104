/* SPDX-License-Identifier: Apache-2.0 */
/* unit/transfer/test_books.c – trust, revocations, grants, heads and records from a parent that
 * lies. */
/* LINKS: sim_world */
#include "support/record_stage.h"

#include "transfer/feed_revoked.h"
#include "transfer/own_grant.h"
#include "wire/token.h"

/* ---- what the parent says ---- */

static void make_list(struct stage *g, uint64_t number, const char *serial, unsigned signer,
                      struct buf *out)
{
    char serials[1][41] = {{0}};
    struct revocations list = {.org = "acme",
                               .number = number,
                               .issued_wall_s = loop_wall_s(g->on.hub),
                               .serials = serials,
                               .count = 1};

    snprintf(serials[0], sizeof serials[0], "%s", serial);
    assert_int_equal(revocations_encode(&list, &g->keys[signer], out).code, ALB_OK);
}

static struct head head_of(struct stage *g, uint64_t sequence, uint8_t record)
{
    return (struct head){.org = "acme",
                         .layer = "base/x",
                         .sequence = sequence,
                         .record = {{record}},
                         .issued_wall_s = loop_wall_s(g->on.hub),
                         .expires_wall_s = loop_wall_s(g->on.hub) + HEAD_LIFETIME_S};
}

static void put_head(struct stage *g, struct head head, unsigned signer)
{
    assert_int_equal(head_encode(&head, &g->keys[signer], thing(g, "/v1/head/base/x")).code,
                     ALB_OK);
}

static struct version_record record_of(const char *layer, const char *version, uint8_t root)
{
    struct version_record r = {
        .org = "acme", .sequence = 1, .root = {{root}}, .root_bytes = 100, .entries = 1};

    snprintf(r.layer, sizeof r.layer, "%s", layer);
    snprintf(r.version, sizeof r.version, "%s", version);
    r.made_wall_s = 1800000000;
    return r;
}

static void put_record(struct stage *g, const char *path, struct version_record r, unsigned signer)
{
    r.publisher = g->publics[signer];
    assert_int_equal(record_encode(&r, &g->keys[signer], thing(g, path)).code, ALB_OK);
}

/* The outcome, and of a head its sequence. */
static enum alb_code get(struct stage *g, const char *name, bool *is_stale, uint64_t *sequence)
{
    struct told t;
    struct head head = {.sequence = 0};

    ask(g, &t, name);
    assert_int_equal(t.count, 0);
    run_ms(g, 30000);
    assert_int_equal(t.count, 1);
    if (t.code == ALB_OK && sequence != NULL)
        assert_int_equal(head_decode(buf_peek(&t.bytes), buf_size(&t.bytes),
                                     authority_trust(g->authority), &head)
                             .code,
                         ALB_OK);
    if (sequence != NULL)
        *sequence = head.sequence;
    if (is_stale != NULL)
        *is_stale = t.is_stale;
    buf_release(&t.bytes);
    return t.code;
}

/* ---- trust ---- */

static void the_chain_is_followed_from_the_pin(void **state)
{
    struct stage *g = *state;

    make_trust(g, 2, HUB_KEY, ROOT_KEY, thing(g, "/v1/trust/2"));
    make_trust(g, 3, OTHER_KEY, ROOT_KEY, thing(g, "/v1/trust/3"));
    run_ms(g, 5000);
    assert_int_equal(authority_trust(g->authority)->version, 3);
    assert_int_equal(g->changes, 3);
    stop(g);
    g->refusal = 503;
    start(g); /* and is there at once next time */
    assert_int_equal(authority_trust(g->authority)->version, 3);
}

static void a_first_trust_file_that_is_not_the_pinned_one_is_refused(void **state)
{
    struct stage *g = *state;

    make_trust(g, 1, HUB_KEY, OTHER_KEY, thing(g, "/v1/trust/1"));
    run_ms(g, 5000);
    assert_null(authority_trust(g->authority));
}

static void without_a_pin_no_parents_first_trust_file_is_believed(void **state)
{
    struct stage *g = *state;

    stop(g);
    assert_int_equal(open_authority(g, NULL), ALB_OK);
    g->upstream = liar_plain_upstream(&g->on);
    authority_follow(g->authority, g->upstream, changed, g);
    run_ms(g, 5000);
    assert_null(authority_trust(g->authority));
}

static void a_forged_successor_is_refused_and_the_list_still_followed(void **state)
{
    struct stage *g = *state;

    make_trust(g, 2, HUB_KEY, OTHER_KEY, thing(g, "/v1/trust/2"));
    make_list(g, 1, "0a", HUB_KEY, thing(g, "/v1/revoked"));
    run_ms(g, 5000);
    assert_int_equal(authority_trust(g->authority)->version, 1);
    assert_true(authority_has_revoked(g->authority, "0a"));
}

/* ---- revocations ---- */

static void an_older_or_forged_revocation_list_is_refused(void **state)
{
    struct stage *g = *state;

    make_list(g, 5, "0a", HUB_KEY, thing(g, "/v1/revoked"));
    run_ms(g, 5000);
    assert_int_equal(authority_revocation_number(g->authority), 5);
    make_list(g, 4, "0b", HUB_KEY, thing(g, "/v1/revoked"));
    authority_refresh(g->authority);
    run_ms(g, 1000);
    assert_false(authority_has_revoked(g->authority, "0b"));
    make_list(g, 6, "0b", PUBLISHER_KEY, thing(g, "/v1/revoked"));
    authority_refresh(g->authority);
    run_ms(g, 1000);
    assert_int_equal(authority_revocation_number(g->authority), 5);
    make_list(g, 6, "0b", HUB_KEY, thing(g, "/v1/revoked"));
    authority_refresh(g->authority);
    run_ms(g, 1000);
    assert_true(authority_has_revoked(g->authority, "0b"));
    assert_false(authority_has_revoked(g->authority, "0a"));
}

static void a_change_told_of_while_asking_is_asked_for_again(void **state)
{
    struct stage *g = *state;

    run_ms(g, 5000);
    make_list(g, 1, "0a", HUB_KEY, thing(g, "/v1/revoked"));
    for (unsigned ms = 0; ms < 100; ms += 5) {
        authority_refresh(g->authority);
        run_ms(g, ms);
        make_list(g, 2 + ms, "0b", HUB_KEY, thing(g, "/v1/revoked"));
        authority_refresh(g->authority); /* perhaps in the middle of the one before */
        run_ms(g, 1000);
        assert_int_equal(authority_revocation_number(g->authority), 2 + ms);
    }
}

static void event_of(const struct buf *list, char *line)
{
    memcpy(line, "revoked ", 8);
    base64url_encode(buf_peek(list), buf_size(list), line + 8);
}

static void a_list_in_an_event_is_in_force_without_a_question(void **state)
{
    struct stage *g = *state;
    char line[FEED_LINE_MAX];
    struct buf list;

    run_ms(g, 5000);
    const unsigned asked = g->on.liar.asked;
    buf_init(&list, SIGNED_MAX);
    make_list(g, 7, "0a", HUB_KEY, &list);
    event_of(&list, line);
    assert_true(feed_hear_revoked(g->authority, line));
    assert_true(authority_has_revoked(g->authority, "0a"));
    run_ms(g, 1000);
    assert_int_equal(g->on.liar.asked, asked);
    buf_release(&list);
}

static void an_event_whose_list_cannot_be_taken_is_a_question(void **state)
{
    struct stage *g = *state;
    char forged[FEED_LINE_MAX];
    struct buf list;

    run_ms(g, 5000);
    buf_init(&list, SIGNED_MAX);
    make_list(g, 7, "0b", PUBLISHER_KEY, &list);
    event_of(&list, forged);
    make_list(g, 7, "0a", HUB_KEY, thing(g, "/v1/revoked"));
    assert_false(feed_hear_revoked(g->authority, "revokedly"));
    assert_false(feed_hear_revoked(g->authority, "trust"));
    const char *const lines[] = {"revoked", "revoked ", "revoked !", "revoked AAAA", forged};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const unsigned asked = g->on.liar.asked;
        assert_true(feed_hear_revoked(g->authority, lines[i]));
        run_ms(g, 1000);
        assert_true(g->on.liar.asked > asked);
    }
    assert_true(authority_has_revoked(g->authority, "0a"));
    assert_false(authority_has_revoked(g->authority, "0b"));
    buf_release(&list);
}

static void a_list_of_the_hub_key_before_still_counts_after_a_restart(void **state)
{
    struct stage *g = *state;

    make_list(g, 5, "0a", HUB_KEY, thing(g, "/v1/revoked"));
    run_ms(g, 5000);
    make_trust(g, 2, OTHER_KEY, ROOT_KEY, thing(g, "/v1/trust/2"));
    authority_refresh(g->authority);
    run_ms(g, 1000);
    assert_int_equal(authority_trust(g->authority)->version, 2);
    stop(g);
    g->refusal = 503;
    start(g);
    assert_true(authority_has_revoked(g->authority, "0a"));
}

static void what_is_kept_and_does_not_verify_stops_the_start(void **state)
{
    struct stage *g = *state;

    run_ms(g, 5000);
    stop(g);
    assert_int_equal(
        catalogue_swap(g->catalogue, "revoked", CATALOGUE_ANY, "nonsense", 8, NULL).code, ALB_OK);
    assert_int_not_equal(open_authority(g, &g->pin), ALB_OK);
    assert_int_equal(catalogue_swap(g->catalogue, "revoked", CATALOGUE_ANY, NULL, 0, NULL).code,
                     ALB_OK);
    start(g);
}

static void the_clock_never_falls_behind_what_was_verified(void **state)
{
    struct stage *g = *state;
    const int64_t now = loop_wall_s(g->on.box);

    assert_int_equal(authority_now_s(g->authority, now), now);
    assert_true(authority_now_s(g->authority, 0) > 1700000000); /* this program's own age */
    authority_saw_time(g->authority, now + 500);
    authority_saw_time(g->authority, now + 300);
    assert_int_equal(authority_now_s(g->authority, now), now + 500);
    assert_int_equal(authority_now_s(g->authority, now + 900), now + 900);
}

/* … and is no later than this clock was: a hub that was once ahead bars nobody afterwards. */
static void what_was_seen_of_time_outlasts_a_restart(void **state)
{
    struct stage *g = *state;
    const int64_t now = loop_wall_s(g->on.box);

    authority_saw_time(g->authority, now - 500);
    stop(g);
    start(g);
    assert_int_equal(authority_floor_s(g->authority), now - 500);
    authority_saw_time(g->authority, now + 400 * 86400);
    assert_int_equal(authority_floor_s(g->authority), now + 400 * 86400);
    stop(g);
    start(g);
    assert_true(authority_floor_s(g->authority) <= loop_wall_s(g->on.box));
}

static void a_list_signed_when_the_hubs_clock_was_ahead_bars_nobody_after_a_restart(void **state)
{
    struct stage *g = *state;
    const int64_t now = loop_wall_s(g->on.box);
    const struct revocations list = {
        .org = "acme", .number = 7, .issued_wall_s = now + 400 * 86400};
    struct buf bytes;

    run_ms(g, 5000);
    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(revocations_encode(&list, &g->keys[HUB_KEY], &bytes).code, ALB_OK);
    assert_int_equal(
        authority_add_revocations(g->authority, buf_peek(&bytes), buf_size(&bytes)).code, ALB_OK);
    buf_release(&bytes);
    stop(g);
    start(g);
    assert_int_equal(authority_revocation_number(g->authority), 7);
    assert_true(authority_floor_s(g->authority) <= loop_wall_s(g->on.box));
}

/* ---- this device's grant ---- */

static enum alb_code judge(struct stage *g, struct own_grant *own, const char *device,
                           const char *org, int64_t lifetime_s, unsigned signer)
{
    struct grant grant = {.prefix_count = 1, .issued_wall_s = loop_wall_s(g->on.hub) - 1000};
    struct buf bytes;
    int64_t renew = 0;

    snprintf(grant.device, sizeof grant.device, "%s", device);
    snprintf(grant.org, sizeof grant.org, "%s", org);
    grant.expires_wall_s = grant.issued_wall_s + lifetime_s;
    buf_init(&bytes, SIGNED_MAX);
    assert_int_equal(grant_encode(&grant, &g->keys[signer], &bytes).code, ALB_OK);
    struct alb_status st = own_grant_judge(own, buf_peek(&bytes), buf_size(&bytes), &renew);
    if (!alb_failed(st))
        assert_int_equal(renew, grant.issued_wall_s + lifetime_s / 2);
    buf_release(&bytes);
    return st.code;
}

static void a_grant_is_taken_only_when_it_is_ours_and_holds(void **state)
{
    struct stage *g = *state;
    struct own_grant own = {.loop = g->on.box, .catalogue = g->catalogue, .device = "box"};

    run_ms(g, 5000);
    own.authority = g->authority;
    own_grant_init(&own);
    assert_int_equal(buf_size(&own.bytes), 0);
    assert_int_equal(judge(g, &own, "other", "acme", 9000, HUB_KEY), ALB_REFUSED);
    assert_int_equal(judge(g, &own, "box", "evil", 9000, HUB_KEY), ALB_REFUSED);
    assert_int_equal(judge(g, &own, "box", "acme", 900, HUB_KEY), ALB_REFUSED); /* expired */
    assert_int_not_equal(judge(g, &own, "box", "acme", 9000, OTHER_KEY), ALB_OK);
    assert_int_equal(buf_size(&own.bytes), 0);
    assert_int_equal(judge(g, &own, "box", "acme", 9000, HUB_KEY), ALB_OK);
    const size_t size = buf_size(&own.bytes);
    own_grant_release(&own);
    own_grant_init(&own); /* kept */
    assert_int_equal(buf_size(&own.bytes), size);
    own_grant_release(&own);
    run_ms(g, 9000 * 1000);
    own_grant_init(&own); /* but not for ever */
    assert_int_equal(buf_size(&own.bytes), 0);
    own_grant_release(&own);
}

/* ---- heads ---- */

static void many_ask_and_the_parent_is_asked_once(void **state)
{
    struct stage *g = *state;
    static struct told many[100];

    put_head(g, head_of(g, 1, 1), HUB_KEY);
    run_ms(g, 5000);
    const unsigned before = g->on.liar.asked;
    for (unsigned i = 0; i < 100; i++)
        ask(g, &many[i], "head/base/x");
    for (unsigned i = 0; i < 100; i += 3)
        record_book_leave(g->book, &many[i].wait);
    run_ms(g, 1000);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(many[i].count, i % 3 != 0);
        assert_true(i % 3 == 0 || many[i].code == ALB_OK);
        buf_release(&many[i].bytes);
    }
    assert_int_equal(g->on.liar.asked, before + 1);
    assert_int_equal(get(g, "head/base/x", NULL, NULL), ALB_OK);
    assert_int_equal(g->on.liar.asked, before + 1); /* fresh for some seconds … */
    assert_int_equal(get(g, "head/base/x", NULL, NULL), ALB_OK);
    assert_int_equal(g->on.liar.asked, before + 2); /* … and then no more */
}

static void an_older_second_or_forged_head_never_replaces_the_one_held(void **state)
{
    struct stage *g = *state;
    uint64_t sequence;
    bool is_stale;

    put_head(g, head_of(g, 5, 1), HUB_KEY);
    run_ms(g, 5000);
    assert_int_equal(get(g, "head/base/x", &is_stale, &sequence), ALB_OK);
    assert_int_equal(sequence, 5);
    assert_false(is_stale);
    for (unsigned lie = 0; lie < 5; lie++) {
        struct head head = head_of(g, lie == 0 ? 4 : lie == 1 ? 5 : 6, 2);
        if (lie == 2)
            snprintf(head.layer, sizeof head.layer, "base/y");
        put_head(g, head, lie == 3 ? PUBLISHER_KEY : HUB_KEY);
        if (lie == 4)
            buf_clear(thing(g, "/v1/head/base/x"));
        assert_int_equal(get(g, "head/base/x", &is_stale, &sequence), ALB_OK);
        assert_int_equal(sequence, 5);
        assert_true(is_stale);
    }
    put_head(g, head_of(g, 6, 2), HUB_KEY);
    assert_int_equal(get(g, "head/base/x", &is_stale, &sequence), ALB_OK);
    assert_int_equal(sequence, 6);
    assert_false(is_stale);
}

static void nor_does_it_after_a_restart(void **state)
{
    struct stage *g = *state;
    uint64_t sequence;
    bool is_stale;

    put_head(g, head_of(g, 5, 1), HUB_KEY);
    run_ms(g, 5000);
    assert_int_equal(get(g, "head/base/x", NULL, &sequence), ALB_OK);
    stop(g);
    put_head(g, head_of(g, 4, 2), HUB_KEY);
    start(g);
    run_ms(g, 5000);
    assert_int_equal(get(g, "head/base/x", &is_stale, &sequence), ALB_OK);
    assert_int_equal(sequence, 5);
    assert_true(is_stale);
}

static void cut_off_the_last_head_is_told_as_stale_and_a_new_name_as_closed(void **state)
{
    struct stage *g = *state;
    bool is_stale;

    put_head(g, head_of(g, 5, 1), HUB_KEY);
    run_ms(g, 5000);
    assert_int_equal(get(g, "head/base/x", NULL, NULL), ALB_OK);
    world_link_set_up(g->on.wan, false);
    run_ms(g, 60000);
    assert_int_equal(get(g, "head/base/x", &is_stale, NULL), ALB_OK);
    assert_true(is_stale);
    assert_int_equal(get(g, "head/base/other", NULL, NULL), ALB_CLOSED);
    stop(g);
    start(g); /* even right after a start */
    assert_int_equal(get(g, "head/base/x", &is_stale, NULL), ALB_OK);
    assert_true(is_stale);
}

static void what_does_not_exist_is_not_found_and_takes_no_place(void **state)
{
    struct stage *g = *state;
    char name[64];

    run_ms(g, 5000);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "record/base/x@%u", i);
        assert_int_equal(get(g, name, NULL, NULL), ALB_NOT_FOUND);
    }
    assert_int_equal(get(g, "anything", NULL, NULL), ALB_INVALID);
}

/* ---- records ---- */

static void a_record_must_be_the_one_asked_for(void **state)
{
    struct stage *g = *state;
    char hex[DIGEST_HEX_SIZE], name[200], path[210];
    struct digest digest;

    run_ms(g, 5000);
    put_record(g, "/v1/record/base/x@1", record_of("base/x", "2", 7), PUBLISHER_KEY);
    assert_int_equal(get(g, "record/base/x@1", NULL, NULL), ALB_CORRUPT);
    put_record(g, "/v1/record/base/x@1", record_of("base/y", "1", 7), PUBLISHER_KEY);
    assert_int_equal(get(g, "record/base/x@1", NULL, NULL), ALB_CORRUPT);
    put_record(g, "/v1/record/base/x@1", record_of("base/x", "1", 7), OTHER_KEY);
    assert_int_not_equal(get(g, "record/base/x@1", NULL, NULL), ALB_OK);
    put_record(g, "/v1/record/base/x@1", record_of("base/x", "1", 7), PUBLISHER_KEY);
    assert_int_equal(get(g, "record/base/x@1", NULL, NULL), ALB_OK);

    const struct digest root = {{7}};
    snprintf(name, sizeof name, "record/base/x@root:%s", digest_hex(&root, hex));
    snprintf(path, sizeof path, "/v1/%s", name);
    put_record(g, path, record_of("base/x", "1", 8), PUBLISHER_KEY);
    assert_int_equal(get(g, name, NULL, NULL), ALB_CORRUPT);
    put_record(g, path, record_of("base/x", "1", 7), PUBLISHER_KEY);
    assert_int_equal(get(g, name, NULL, NULL), ALB_OK);

    struct buf *right = thing(g, "/v1/record/base/x@2");
    struct version_record two = record_of("base/x", "2", 9);
    two.publisher = g->publics[PUBLISHER_KEY];
    assert_int_equal(record_encode(&two, &g->keys[PUBLISHER_KEY], right).code, ALB_OK);
    sha256(buf_peek(right), buf_size(right), &digest);
    snprintf(name, sizeof name, "record/base/x@sha256:%s", digest_hex(&digest, hex));
    snprintf(path, sizeof path, "/v1/%s", name);
    put_record(g, path, record_of("base/x", "1", 7), PUBLISHER_KEY);
    assert_int_equal(get(g, name, NULL, NULL), ALB_CORRUPT);
    put_record(g, path, two, PUBLISHER_KEY);
    assert_int_equal(get(g, name, NULL, NULL), ALB_OK);
}

static void a_record_never_changes_so_it_is_asked_for_once(void **state)
{
    struct stage *g = *state;

    run_ms(g, 5000);
    put_record(g, "/v1/record/base/x@1", record_of("base/x", "1", 7), PUBLISHER_KEY);
    assert_int_equal(get(g, "record/base/x@1", NULL, NULL), ALB_OK);
    const unsigned asked = g->on.liar.asked;
    assert_int_equal(get(g, "record/base/x@1", NULL, NULL), ALB_OK);
    assert_int_equal(g->on.liar.asked, asked);
    g->refusal = 503;
    stop(g);
    start(g);
    assert_int_equal(get(g, "record/base/x@1", NULL, NULL), ALB_OK); /* kept */
}

static void cut_off_a_record_that_came_by_its_root_is_found_by_its_version(void **state)
{
    struct stage *g = *state;
    char hex[DIGEST_HEX_SIZE], name[200], path[210];
    const struct digest root = {{7}};

    run_ms(g, 5000);
    snprintf(name, sizeof name, "record/base/x@root:%s", digest_hex(&root, hex));
    snprintf(path, sizeof path, "/v1/%s", name);
    put_record(g, path, record_of("base/x", "3", 7), PUBLISHER_KEY);
    assert_int_equal(get(g, name, NULL, NULL), ALB_OK);
    world_link_set_up(g->on.wan, false);
    run_ms(g, 60000);
    assert_int_equal(get(g, "record/base/x@3", NULL, NULL), ALB_OK);
    assert_int_equal(get(g, "record/base/x@2", NULL, NULL), ALB_CLOSED);
}

static struct told again, other;
static struct stage *asks_again;

static void told_and_ask_again(struct record_wait *w, struct alb_status st, const uint8_t *bytes,
                               size_t size, bool is_stale)
{
    told(w, st, bytes, size, is_stale);
    record_book_leave(asks_again->book, &other.wait);
    if (again.count < 3)
        record_book_get(asks_again->book, "head/base/x", w);
}

static void one_told_may_ask_again_and_make_another_leave(void **state)
{
    struct stage *g = *state;

    put_head(g, head_of(g, 5, 1), HUB_KEY);
    run_ms(g, 5000);
    asks_again = g;
    ask(g, &again, "head/base/x");
    again.wait.done = told_and_ask_again;
    ask(g, &other, "head/base/x");
    run_ms(g, 5000);
    assert_int_equal(again.count, 3);
    assert_int_equal(other.count, 0);
    assert_int_equal(get(g, "head/base/x", NULL, NULL), ALB_OK);
    buf_release(&again.bytes);
    buf_release(&other.bytes);
}

static void the_book_may_be_freed_at_every_moment(void **state)
{
    struct stage *g = *state;
    struct told t;

    put_head(g, head_of(g, 5, 1), HUB_KEY);
    for (unsigned ms = 0; ms < 120; ms += 4) {
        run_ms(g, 2000);
        ask(g, &t, "head/base/x");
        run_ms(g, ms);
        stop(g);
        record_book_leave(NULL, &t.wait); /* harmless: it was forgotten, or told */
        buf_release(&t.bytes);
        start(g);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_chain_is_followed_from_the_pin),
        TEST(a_first_trust_file_that_is_not_the_pinned_one_is_refused),
        TEST(without_a_pin_no_parents_first_trust_file_is_believed),
        TEST(a_forged_successor_is_refused_and_the_list_still_followed),
        TEST(an_older_or_forged_revocation_list_is_refused),
        TEST(a_change_told_of_while_asking_is_asked_for_again),
        TEST(a_list_in_an_event_is_in_force_without_a_question),
        TEST(an_event_whose_list_cannot_be_taken_is_a_question),
        TEST(a_list_of_the_hub_key_before_still_counts_after_a_restart),
        TEST(what_is_kept_and_does_not_verify_stops_the_start),
        TEST(the_clock_never_falls_behind_what_was_verified),
        TEST(what_was_seen_of_time_outlasts_a_restart),
        TEST(a_list_signed_when_the_hubs_clock_was_ahead_bars_nobody_after_a_restart),
        TEST(a_grant_is_taken_only_when_it_is_ours_and_holds),
        TEST(many_ask_and_the_parent_is_asked_once),
        TEST(an_older_second_or_forged_head_never_replaces_the_one_held),
        TEST(nor_does_it_after_a_restart),
        TEST(cut_off_the_last_head_is_told_as_stale_and_a_new_name_as_closed),
        TEST(what_does_not_exist_is_not_found_and_takes_no_place),
        TEST(a_record_must_be_the_one_asked_for),
        TEST(a_record_never_changes_so_it_is_asked_for_once),
        TEST(cut_off_a_record_that_came_by_its_root_is_found_by_its_version),
        TEST(one_told_may_ask_again_and_make_another_leave),
        TEST(the_book_may_be_freed_at_every_moment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
