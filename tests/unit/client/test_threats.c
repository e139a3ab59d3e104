/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_threats.c – an endpoint against TUF's list of what a hostile parent or thief can
 * do.
 *
 * The parent's catalogue is the attacker's to write; keys are named where a test says they were
 * stolen.
 */
/* LINKS: sim_world */
#include "client/endpoint.h"
#include "client/puller.h"

#include "sim/cast_holder.h"
#include "support/liar.h"
#include "wire/json.h"

#define LAYER "base/os"
#define OTHER "app/tool"
enum { CONTENT_SIZE = 300 << 10, DAY_S = 86400 };

struct stage {
    struct chunk_sink sink; /* first */
    struct world *world;
    struct world_link *wan;
    struct loop *hub, *pc;
    struct cast_holder parent;
    struct cast_version one, two, other;
    struct catalogue *catalogue; /* the endpoint's */
    struct endpoint *endpoint;
    struct puller *puller;
    size_t put;
    bool is_over;
    struct alb_status st;
    char got[NAME_MAX_SIZE]; /* version of the last pull that worked */
};

static void must(struct alb_status st)
{
    char text[256];

    if (alb_failed(st))
        fail_msg("%s", alb_status_text(st, text, sizeof text));
}

/* ---- pulling ---- */

static struct alb_status sink_plan(struct chunk_sink *s, const struct root_view *view,
                                   uint32_t **positions, size_t *count)
{
    (void)s;
    *count = view->content_key_count;
    *positions = xcalloc(*count + 1, sizeof **positions);
    for (size_t i = 0; i < *count; i++)
        (*positions)[i] = (uint32_t)i;
    return ALB_STATUS_OK;
}

static struct alb_status sink_put(struct chunk_sink *s, uint32_t position,
                                  const struct chunk *chunk)
{
    (void)position;
    (void)chunk;
    ((struct stage *)s)->put++;
    return ALB_STATUS_OK;
}

static struct alb_status sink_seal(struct chunk_sink *s)
{
    (void)s;
    return ALB_STATUS_OK;
}

static const struct chunk_sink_ops sink_ops = {
    .plan = sink_plan, .put = sink_put, .seal = sink_seal};

static void pull_ended(void *arg, struct alb_status st)
{
    struct stage *g = arg;

    g->is_over = true;
    g->st = st;
    if (!alb_failed(st))
        memcpy(g->got, puller_record(g->puller)->version, sizeof g->got);
    g->puller = puller_free(g->puller);
}

static bool is_over(void *arg)
{
    return ((struct stage *)arg)->is_over;
}

static enum alb_code pull_since(struct stage *g, const char *version, uint64_t least_sequence)
{
    g->is_over = false;
    g->got[0] = '\0';
    g->put = 0;
    g->puller = puller_start(&(struct puller_options){.loop = g->pc,
                                                      .authority = endpoint_authority(g->endpoint),
                                                      .records = endpoint_records(g->endpoint),
                                                      .roots = endpoint_roots(g->endpoint),
                                                      .supply = endpoint_supply(g->endpoint),
                                                      .sink = &g->sink,
                                                      .layer = LAYER,
                                                      .version = version,
                                                      .least_sequence = least_sequence,
                                                      .done = pull_ended,
                                                      .arg = g});
    assert_true(world_run_until(g->world, world_now_ns(g->world) + 120 * NS_PER_S, is_over, g));
    if (alb_failed(g->st))
        assert_int_equal(g->put, 0); /* refused whole, before anything reached the sink */
    return g->st.code;
}

static enum alb_code pull(struct stage *g)
{
    record_book_forget(endpoint_records(g->endpoint), NULL); /* as if minutes had passed */
    return pull_since(g, NULL, 0);
}

static void start_endpoint(struct stage *g, bool has_trust)
{
    if (has_trust)
        must(catalogue_swap(g->catalogue, "trust/1", CATALOGUE_ANY,
                            buf_peek(&g->parent.trust_bytes), buf_size(&g->parent.trust_bytes),
                            NULL));
    must(endpoint_start(&(struct endpoint_options){.loop = g->pc,
                                                   .catalogue = g->catalogue,
                                                   .parents = {{"hub", CAST_PORT}},
                                                   .parent_count = 1,
                                                   .device = "pc",
                                                   .trust_pin = &g->parent.trust_pin},
                        &g->endpoint));
}

/* ---- what the attacker writes ---- */

static void plant(struct stage *g, const char *name, const struct buf *bytes)
{
    must(catalogue_swap(g->parent.catalogue, name, CATALOGUE_ANY, buf_peek(bytes), buf_size(bytes),
                        NULL));
}

static void digest_of(const struct buf *bytes, struct digest *out)
{
    sha256(buf_peek(bytes), buf_size(bytes), out);
}

static void plant_head_at(struct stage *g, const char *name, struct head head,
                          const struct sign_secret *key)
{
    struct buf bytes;

    snprintf(head.org, sizeof head.org, "acme");
    if (head.layer[0] == '\0')
        snprintf(head.layer, sizeof head.layer, LAYER);
    if (head.issued_wall_s == 0)
        head.issued_wall_s = loop_wall_s(g->hub);
    head.expires_wall_s = head.issued_wall_s + HEAD_LIFETIME_S;
    buf_init(&bytes, SIGNED_MAX);
    must(head_encode(&head, key, &bytes));
    plant(g, name, &bytes);
    buf_release(&bytes);
}

static void plant_head(struct stage *g, const struct buf *record, uint64_t sequence,
                       const struct sign_secret *key)
{
    struct head head = {.sequence = sequence};

    digest_of(record, &head.record);
    plant_head_at(g, "head/" LAYER, head, key);
}

/* The record under its digest and its root, signed by `key`. */
static void plant_record(struct stage *g, const struct version_record *record,
                         const struct sign_secret *key, struct buf *out)
{
    char name[CATALOGUE_NAME_MAX + 1], hex[DIGEST_HEX_SIZE];
    struct digest digest;

    buf_init(out, SIGNED_MAX);
    must(record_encode(record, key, out));
    digest_of(out, &digest);
    snprintf(name, sizeof name, "record/" LAYER "@sha256:%s", digest_hex(&digest, hex));
    plant(g, name, out);
    snprintf(name, sizeof name, "record/" LAYER "@root:%s", digest_hex(&record->root, hex));
    plant(g, name, out);
    snprintf(name, sizeof name, "record/" LAYER "@%s", record->version);
    plant(g, name, out);
}

/* Trust file 2, signed by the root key as it must be. */
static void rotate(struct stage *g, uint64_t hub_seed, const char *prefix)
{
    struct trust_delegation all = {.prefix = ""};
    struct trust trust = {.org = "acme", .version = 2, .threshold = 1, .root_count = 1};
    struct sign_secret unused;
    struct buf bytes;

    snprintf(all.prefix, sizeof all.prefix, "%s", prefix);
    cast_key(1, &unused, &trust.roots[0]);
    cast_key(hub_seed, &g->parent.hub_key, &trust.hub_key);
    cast_key(3, &unused, &all.key);
    trust.delegations = &all;
    trust.delegation_count = 1;
    buf_init(&bytes, SIGNED_MAX);
    must(trust_encode(&trust, &g->parent.root_key, 1, &bytes));
    must(authority_add_trust(endpoint_authority(g->endpoint), buf_peek(&bytes), buf_size(&bytes)));
    must(authority_add_trust(g->parent.authority, buf_peek(&bytes), buf_size(&bytes)));
    buf_release(&bytes);
}

static const struct sign_secret *a_strangers_key(void)
{
    static struct sign_secret secret;
    struct sign_public pub;

    cast_key(666, &secret, &pub);
    return &secret;
}

/* ---- stage ---- */

static void make_version(struct stage *g, const char *layer, uint64_t sequence,
                         struct cast_version *out)
{
    const struct cast_order order = cast_holder_order(&g->parent, layer, sequence, CONTENT_SIZE);

    cast_version_make(&order, out);
}

static int set_up_with(void **state, bool has_trust)
{
    static const struct identity hub = {
        .role = ROLE_HUB, .org = "acme", .device = "hub", .serial = "77"};
    static const struct identity pc = {
        .role = ROLE_ENDPOINT, .org = "acme", .device = "pc", .serial = "01"};
    struct stage *g = xalloc(sizeof *g);

    if (getenv("ALB_LOG") != NULL)
        log_install(liar_print_log, NULL, LOG_DEBUG);
    g->sink.ops = &sink_ops;
    g->world = world_new(1);
    g->hub = world_add_node(g->world, "hub", &hub);
    g->pc = world_add_node(g->world, "pc", &pc);
    g->wan = world_add_link(g->world, "wan", 1250 * 1000, 5 * NS_PER_MS);
    world_route(g->world, g->hub, g->pc, &g->wan, 1);
    cast_holder_start(&g->parent, g->hub);
    make_version(g, LAYER, 1, &g->one);
    make_version(g, LAYER, 2, &g->two);
    make_version(g, OTHER, 3, &g->other);
    cast_holder_publish(&g->parent, &g->one, 1);
    cast_holder_publish(&g->parent, &g->other, 1);
    g->catalogue = ram_catalogue_new(&(struct ram_options){0});
    start_endpoint(g, has_trust);
    *state = g;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, true);
}

static int set_up_without_trust(void **state)
{
    return set_up_with(state, false);
}

static int tear_down(void **state)
{
    struct stage *g = *state;

    endpoint_free(g->endpoint);
    cast_holder_stop(&g->parent);
    world_run(g->world, world_now_ns(g->world) + 60 * NS_PER_S);
    world_free(g->world);
    catalogue_close(g->catalogue);
    cast_holder_release(&g->parent);
    cast_version_release(&g->one);
    cast_version_release(&g->two);
    cast_version_release(&g->other);
    free(g);
    return 0;
}

/* ---- the list ---- */

static void arbitrary_installation_what_strangers_sign_is_not_installed(void **state)
{
    struct stage *g = *state;
    struct version_record record = g->one.record;
    struct buf bytes;

    plant_record(g, &record, a_strangers_key(), &bytes);
    plant_head(g, &bytes, 5, a_strangers_key());
    assert_int_equal(pull(g), ALB_CORRUPT);
    assert_int_equal(pull_since(g, record.version, 0), ALB_REFUSED);
    buf_release(&bytes);
}

static void arbitrary_installation_without_trust_nothing_is_believed(void **state)
{
    struct stage *g = *state;
    struct buf bytes;

    plant_record(g, &g->one.record, a_strangers_key(), &bytes);
    assert_int_equal(pull_since(g, g->one.record.version, 0), ALB_REFUSED);
    buf_release(&bytes);
}

static void key_compromise_the_online_key_introduces_nothing(void **state)
{
    struct stage *g = *state;
    struct version_record record = g->one.record;
    struct buf bytes;

    record.sequence = 9;
    plant_record(g, &record, &g->parent.hub_key, &bytes); /* stolen */
    plant_head(g, &bytes, 9, &g->parent.hub_key);
    assert_int_equal(pull(g), ALB_REFUSED);
    buf_release(&bytes);
}

static void wrong_software_a_publisher_stays_within_its_prefix(void **state)
{
    struct stage *g = *state;

    assert_int_equal(pull(g), ALB_OK);
    rotate(g, 2, "app"); /* the publisher of LAYER may from now on only publish app/… */
    struct version_record record = g->one.record;
    struct buf bytes;
    record.sequence = 4;
    snprintf(record.version, sizeof record.version, "4");
    plant_record(g, &record, &g->parent.publisher_key, &bytes);
    plant_head(g, &bytes, 4, &g->parent.hub_key);
    assert_int_equal(pull(g), ALB_REFUSED);
    buf_release(&bytes);
}

static void rollback_an_old_head_says_nothing_new(void **state)
{
    struct stage *g = *state;

    cast_holder_publish(&g->parent, &g->two, 2);
    assert_int_equal(pull(g), ALB_OK);
    assert_string_equal(g->got, g->two.record.version);
    cast_holder_publish(&g->parent, &g->one, 1); /* last week's, as it was signed */
    assert_int_equal(pull(g), ALB_OK);
    assert_string_equal(g->got, g->two.record.version);

    g->endpoint = endpoint_free(g->endpoint); /* and not after a restart either */
    start_endpoint(g, false);
    assert_int_equal(pull(g), ALB_OK);
    assert_string_equal(g->got, g->two.record.version);
}

static void rollback_a_second_head_of_the_same_sequence_is_refused(void **state)
{
    struct stage *g = *state;

    cast_holder_publish(&g->parent, &g->two, 2);
    assert_int_equal(pull(g), ALB_OK);
    plant_head(g, &g->one.record_bytes, 2, &g->parent.hub_key);
    assert_int_equal(pull(g), ALB_OK);
    assert_string_equal(g->got, g->two.record.version);
}

static void rollback_a_new_head_of_an_older_version_is_refused(void **state)
{
    struct stage *g = *state;

    plant_head(g, &g->one.record_bytes, 7, &g->parent.hub_key);
    assert_int_equal(pull_since(g, NULL, 2), ALB_REFUSED);
    assert_int_equal(pull_since(g, g->one.record.version, 2), ALB_REFUSED);
}

static void indefinite_freeze_an_expired_head_is_no_latest(void **state)
{
    struct stage *g = *state;

    assert_int_equal(pull(g), ALB_OK);
    world_run(g->world, world_now_ns(g->world) + (uint64_t)8 * DAY_S * NS_PER_S);
    assert_int_equal(pull(g), ALB_TIMEOUT);
    assert_int_equal(pull_since(g, g->one.record.version, 0), ALB_OK); /* by name it goes on */
}

static void fast_forward_ends_with_the_stolen_key(void **state)
{
    struct stage *g = *state;
    struct authority *a = endpoint_authority(g->endpoint);
    struct revocations list = {.org = "acme", .number = UINT64_MAX};
    struct head head = {.sequence = UINT64_MAX, .issued_wall_s = INT64_C(1) << 40};
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    list.issued_wall_s = head.issued_wall_s;
    must(revocations_encode(&list, &g->parent.hub_key, &bytes));
    must(authority_add_revocations(a, buf_peek(&bytes), buf_size(&bytes)));
    digest_of(&g->one.record_bytes, &head.record);
    plant_head_at(g, "head/" LAYER, head, &g->parent.hub_key);
    pull(g); /* whatever comes of it: by that clock every grant has expired */

    rotate(g, 22, "");
    cast_holder_publish(&g->parent, &g->two, 1);
    world_run(g->world, world_now_ns(g->world) + 600 * NS_PER_S); /* a new grant is asked for */
    assert_int_equal(pull(g), ALB_OK);
    assert_string_equal(g->got, g->two.record.version);
    buf_clear(&bytes);
    list.number = 1;
    list.issued_wall_s = loop_wall_s(g->pc);
    must(revocations_encode(&list, &g->parent.hub_key, &bytes));
    must(authority_add_revocations(a, buf_peek(&bytes), buf_size(&bytes)));
    assert_true(authority_now_s(a, loop_wall_s(g->pc)) < head.issued_wall_s);
    buf_release(&bytes);
}

static void mix_and_match_another_layers_head_and_record_are_refused(void **state)
{
    struct stage *g = *state;
    struct head head = {.sequence = 5, .layer = OTHER};
    char name[CATALOGUE_NAME_MAX + 1], hex[DIGEST_HEX_SIZE];
    struct digest digest;

    digest_of(&g->other.record_bytes, &head.record);
    plant_head_at(g, "head/" LAYER, head, &g->parent.hub_key);
    assert_int_equal(pull(g), ALB_CORRUPT);

    plant_head(g, &g->other.record_bytes, 6, &g->parent.hub_key);
    digest_of(&g->other.record_bytes, &digest);
    snprintf(name, sizeof name, "record/" LAYER "@sha256:%s", digest_hex(&digest, hex));
    plant(g, name, &g->other.record_bytes);
    assert_int_equal(pull(g), ALB_CORRUPT);
}

static void mix_and_match_a_record_answers_only_the_question_asked(void **state)
{
    struct stage *g = *state;
    char name[CATALOGUE_NAME_MAX + 1];

    snprintf(name, sizeof name, "record/" LAYER "@%s", g->two.record.version);
    plant(g, name, &g->one.record_bytes); /* asked for two, given one */
    assert_int_equal(pull_since(g, g->two.record.version, 0), ALB_CORRUPT);
}

static void extraneous_content_beside_what_was_signed_is_refused(void **state)
{
    struct stage *g = *state;
    struct version_record record = g->one.record;
    struct buf bytes;

    record.sequence = 3;
    record.entries++;
    plant_record(g, &record, &g->parent.publisher_key, &bytes);
    plant_head(g, &bytes, 3, &g->parent.hub_key);
    assert_int_not_equal(pull(g), ALB_OK);
    buf_release(&bytes);
}

static void another_organisations_head_is_refused(void **state)
{
    struct stage *g = *state;
    struct head head = {
        .org = "evil", .layer = LAYER, .sequence = 9, .issued_wall_s = loop_wall_s(g->hub)};
    struct buf bytes;

    head.expires_wall_s = head.issued_wall_s + HEAD_LIFETIME_S;
    buf_init(&bytes, SIGNED_MAX);
    must(head_encode(&head, &g->parent.hub_key, &bytes));
    plant(g, "head/" LAYER, &bytes);
    assert_int_equal(pull(g), ALB_REFUSED);
    buf_release(&bytes);
}

static void a_mirror_that_has_nothing_takes_nothing_away(void **state)
{
    struct stage *g = *state;

    assert_int_equal(pull(g), ALB_OK);
    must(catalogue_swap(g->parent.catalogue, "head/" LAYER, CATALOGUE_ANY, NULL, 0, NULL));
    assert_int_equal(pull(g), ALB_NOT_FOUND); /* said, not passed over in silence */
    cast_holder_publish(&g->parent, &g->one, 1);
    assert_int_equal(pull(g), ALB_OK);
}

static bool is_said_revoked(struct endpoint *endpoint)
{
    struct json_writer *w = json_writer_new();
    struct buf text;

    buf_init(&text, 64 << 10);
    json_object_begin(w, NULL);
    chooser_show(endpoint_chooser(endpoint), w);
    json_end(w);
    must(json_writer_finish(w, &text));
    const bool said = strstr(buf_text(&text), "\"revoked\"") != NULL;
    buf_release(&text);
    return said;
}

static void a_stolen_box_is_no_parent_once_it_is_revoked(void **state)
{
    struct stage *g = *state;
    struct authority *a = endpoint_authority(g->endpoint);
    char serials[1][41] = {"77"}; /* the parent's own */
    struct revocations list = {.org = "acme", .number = 1, .serials = serials, .count = 1};
    struct upstream_figures figures;
    struct buf bytes;

    assert_int_equal(pull(g), ALB_OK);
    list.issued_wall_s = loop_wall_s(g->pc);
    buf_init(&bytes, SIGNED_MAX);
    must(revocations_encode(&list, &g->parent.hub_key, &bytes));
    must(authority_add_revocations(a, buf_peek(&bytes), buf_size(&bytes)));
    world_run(g->world, world_now_ns(g->world) + NS_PER_S);
    upstream_figures(endpoint_upstream(g->endpoint), &figures);
    assert_true(figures.losses > 0);
    assert_false(figures.is_up);
    assert_non_null(strstr(figures.why_down, "nobody takes this machine now"));
    assert_true(is_said_revoked(g->endpoint)); /* where that line sends whoever reads it */
    buf_release(&bytes);
}

static void bad_clock_time_never_goes_back_behind_a_verified_head(void **state)
{
    struct stage *g = *state;
    struct authority *a = endpoint_authority(g->endpoint);
    struct head head = {.sequence = 2};
    const int64_t built_s = authority_now_s(a, 0); /* a clock of 1970 */

    assert_true(built_s > 1700000000);
    digest_of(&g->one.record_bytes, &head.record);
    head.issued_wall_s = (loop_wall_s(g->pc) > built_s ? loop_wall_s(g->pc) : built_s) + DAY_S;
    plant_head_at(g, "head/" LAYER, head, &g->parent.hub_key);
    assert_int_equal(pull(g), ALB_OK);
    assert_true(authority_now_s(a, 0) == head.issued_wall_s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arbitrary_installation_what_strangers_sign_is_not_installed),
        cmocka_unit_test_setup_teardown(arbitrary_installation_without_trust_nothing_is_believed,
                                        set_up_without_trust, tear_down),
        TEST(key_compromise_the_online_key_introduces_nothing),
        TEST(wrong_software_a_publisher_stays_within_its_prefix),
        TEST(rollback_an_old_head_says_nothing_new),
        TEST(rollback_a_second_head_of_the_same_sequence_is_refused),
        TEST(rollback_a_new_head_of_an_older_version_is_refused),
        TEST(indefinite_freeze_an_expired_head_is_no_latest),
        TEST(fast_forward_ends_with_the_stolen_key),
        TEST(mix_and_match_another_layers_head_and_record_are_refused),
        TEST(mix_and_match_a_record_answers_only_the_question_asked),
        TEST(extraneous_content_beside_what_was_signed_is_refused),
        TEST(another_organisations_head_is_refused),
        TEST(a_mirror_that_has_nothing_takes_nothing_away),
        TEST(a_stolen_box_is_no_parent_once_it_is_revoked),
        TEST(bad_clock_time_never_goes_back_behind_a_verified_head),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
