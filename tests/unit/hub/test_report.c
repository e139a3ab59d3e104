/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_report.c – layers, devices, status and metrics, for members and for bearers. */
/* LINKS: sim_world */
#include "support/hub_crate.h"

static void layers_list_their_versions_in_sequence(void **state)
{
    struct stage *s = stage_ready();
    struct json_doc *doc = NULL;
    struct crate one, two;

    (void)state;
    crate_make(&one, "base/os", 1, 3, false);
    snprintf(one.record.version, sizeof one.record.version, "9"); /* by name behind "10" */
    crate_make(&two, "base/os", 9, 4, false);
    two.record.sequence = 2;
    snprintf(two.record.version, sizeof two.record.version, "10");
    assert_int_equal(stage_publish(s, PUBLISHER, &one), 200);
    assert_int_equal(stage_publish(s, PUBLISHER, &two), 200);
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(stage_ask(s, n == 0 ? ADMIN : BEARER, "GET",
                                   n == 0 ? "/v1/layers" : "/api/v1/layers", NULL),
                         200);
        must(json_doc_parse(buf_peek(&s->reply.body), buf_size(&s->reply.body), &doc));
        assert_int_equal(json_doc_count(doc, "layers"), 1);
        assert_string_equal(json_doc_text(doc, "layers.0.layer"), "base/os");
        assert_string_equal(json_doc_text(doc, "layers.0.current"), "10");
        assert_int_equal(json_doc_number(doc, "layers.0.sequence"), 2);
        assert_int_equal(json_doc_count(doc, "layers.0.versions"), 2);
        assert_string_equal(json_doc_text(doc, "layers.0.versions.0.version"), "9");
        assert_int_equal(json_doc_number(doc, "layers.0.versions.1.entries"), 5);
        assert_int_equal(json_doc_number(doc, "layers.0.versions.1.content_bytes"), 4000);
        json_doc_free(doc);
    }
    crate_release(&one);
    crate_release(&two);
    stage_free(s);
}

static void status_names_the_hub_and_counts(void **state)
{
    struct stage *s = stage_ready();
    struct json_doc *doc = NULL;
    char hex[2 * SIGN_PUBLIC_SIZE + 1];
    struct crate c;

    (void)state;
    crate_make(&c, "base/os", 1, 3, false);
    assert_int_equal(stage_publish(s, PUBLISHER, &c), 200);
    world_run(s->world, world_now_ns(s->world) + 7 * NS_PER_S);
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", "/v1/status", NULL), 200);
    assert_null(strstr(stage_text(s), "\"devices\"")); /* its totals are the operator's */
    assert_null(strstr(stage_text(s), "\"chunks\""));
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/status", NULL), 200);
    must(json_doc_parse(buf_peek(&s->reply.body), buf_size(&s->reply.body), &doc));
    bytes_hex(s->trust.hub_key.bytes, SIGN_PUBLIC_SIZE, hex);
    assert_string_equal(json_doc_text(doc, "hub_key"), hex);
    assert_string_equal(json_doc_text(doc, "org"), "acme");
    assert_int_equal(json_doc_number(doc, "trust_version"), 1);
    assert_int_equal(json_doc_number(doc, "layers"), 1);
    assert_int_equal(json_doc_number(doc, "devices"), 4);
    assert_int_equal(json_doc_number(doc, "chunks"), 5);
    assert_int_equal(json_doc_number(doc, "published"), 1);
    assert_in_range(json_doc_number(doc, "uptime_s"), 7, 9);
    json_doc_free(doc);
    assert_int_equal(stage_ask(s, BEARER, "GET", "/api/v1/status", NULL), 200);
    assert_int_equal(stage_ask(s, BEARER, "GET", "/api/v1/devices", NULL), 200);
    assert_non_null(strstr(stage_text(s), "laptop"));
    crate_release(&c);
    stage_free(s);
}

static void metrics_are_what_prometheus_reads(void **state)
{
    struct stage *s = stage_ready();
    char *line, *rest;

    (void)state;
    assert_int_equal(stage_ask(s, BEARER, "GET", "/metrics", NULL), 200);
    assert_non_null(strstr(stage_text(s), "\nalbedo_hub_devices 4\n"));
    char *text = strdup(stage_text(s));
    for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char name[64], value[32];
        if (line[0] != '#' && sscanf(line, "albedo_hub_%63[a-z_] %31[0-9]", name, value) != 2)
            fail_msg("not a metric: %s", line);
    }
    free(text);
    stage_free(s);
}

static void a_wrong_bearer_token_is_refused(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    stage_ask(s, PASSER, "GET", "/metrics", NULL);
    stage_refused(s, 401, "Authorization: Bearer");
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_list_their_versions_in_sequence),
        cmocka_unit_test(status_names_the_hub_and_counts),
        cmocka_unit_test(metrics_are_what_prometheus_reads),
        cmocka_unit_test(a_wrong_bearer_token_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
