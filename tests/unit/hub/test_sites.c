/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_sites.c – the site directory at the hub: judged, numbered, put into the policy,
 * and what devices, tokens and policies say of it. */
/* LINKS: sim_world */
#include "support/hub_stage.h"

#include "base/log.h"
#include "hub/sites.h"
#include "wire/policy.h"
#include "wire/policy_seal.h"
#include "wire/sites.h"

/* Everybody on the stage is at site1. */
#define DOC(sites) "{\"format\":1,\"sites\":[{\"name\":\"site1\"}," sites "]}"
#define OSLO                                                                                       \
    "{\"name\":\"oslo\",\"subnets\":[\"10.1.0.0/16\"],\"zone\":\"Europe/Oslo\",\"link\":\"mpls\"}"
#define BERGEN "{\"name\":\"bergen\",\"subnets\":[\"10.2.0.0/16\"]}"

static unsigned post(struct stage *s, const char *path, const char *body)
{
    return stage_ask_text(s, ADMIN, "POST", path, body);
}

static uint64_t number_in(const struct stage *s, const char *member)
{
    struct json_doc *d = NULL;

    must(json_doc_parse(buf_peek(&s->reply.body), buf_size(&s->reply.body), &d));
    const uint64_t number = json_doc_number(d, member);
    json_doc_free(d);
    return number;
}

static bool answer_has(const struct stage *s, const char *text)
{
    AUTO_FREE char *body =
        xstrndup((const char *)buf_peek(&s->reply.body), buf_size(&s->reply.body));

    return strstr(body, text) != NULL;
}

static void assert_refused(const struct stage *s, unsigned status, const char *says)
{
    if (s->reply.status != status || strstr(s->reply.error.message, says) == NULL)
        fail_msg("%u: %s", s->reply.status, s->reply.error.message);
}

/* The text of the policy in force is, or has, that. */
static void assert_policy(struct stage *s, uint64_t number, const char *has)
{
    struct policy_seal seal = {.number = 0};

    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/policy", ""), 200);
    must(policy_seal_decode(POLICY_RULES, buf_peek(&s->reply.body), buf_size(&s->reply.body),
                            &s->trust, &seal));
    AUTO_FREE char *text = xstrndup(seal.text, seal.text_size);
    assert_int_equal(seal.number, number);
    if (strstr(text, has) == NULL)
        fail_msg("the policy is %s", text);
}

static void a_directory_is_numbered_and_goes_into_the_policy(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/sites-put?if=0", DOC(OSLO)), 200);
    assert_int_equal(number_in(s, "number"), 1);
    assert_int_equal(number_in(s, "policy"), 1);
    assert_policy(s, 1,
                  "\"sites\":[{\"name\":\"oslo\",\"zone\":\"Europe/Oslo\",\"link\":\"mpls\","
                  "\"subnets\":[\"10.1.0.0/16\"]},{\"name\":\"site1\"}]");
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200); /* nothing new: no number */
    assert_int_equal(number_in(s, "number"), 1);
    assert_int_equal(post(s, "/v1/sites-put?if=1", DOC(BERGEN "," OSLO)), 200);
    assert_int_equal(number_in(s, "number"), 2);
    assert_policy(s, 2, "\"name\":\"bergen\"");
    assert_int_equal(post(s, "/v1/sites-put?if=1", DOC(OSLO)), 409);
    assert_refused(s, 409, "site directory number 2 is in force, not 1");
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/sites", ""), 200);
    assert_true(answer_has(s, "\"number\":2"));
    assert_true(answer_has(s, "\"bergen\""));
    stage_free(s);
}

static void a_policy_without_sites_gets_those_of_the_directory(void **state)
{
    static const char RULES[] = "{\"format\":1,\"rules\":[{\"name\":\"a\",\"scope\":\"site:oslo\","
                                "\"mode\":\"off\"}]}";
    static const char SAME[] =
        "{\"format\":1,\"sites\":[{\"name\":\"oslo\",\"zone\":\"Europe/Oslo\",\"link\":\"mpls\","
        "\"subnets\":[\"10.1.0.0/16\"]}],\"rules\":[]}";
    static const char TYPING_ERROR[] = "{\"format\":1,\"rules\":[{\"name\":\"a\",\"scope\":"
                                       "\"site:olso\",\"mode\":\"off\"}]}";
    static const char OTHER[] = "{\"format\":1,\"sites\":[{\"name\":\"oslo\",\"zone\":\"UTC\"}]}";

    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/policy-put", OTHER), 200); /* no directory: as ever */
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/sites", ""), 200);
    assert_true(answer_has(s, "{\"name\":\"oslo\",\"zone\":\"UTC\"}")); /* the draft */
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200);
    assert_int_equal(post(s, "/v1/policy-put", RULES), 200);
    assert_false(answer_has(s, "warnings"));
    assert_policy(s, 3, "\"link\":\"mpls\"");
    assert_policy(s, 3, "\"site:oslo\"");
    assert_int_equal(post(s, "/v1/policy-put", SAME), 200);
    assert_int_equal(post(s, "/v1/policy-put", TYPING_ERROR), 200);
    assert_true(answer_has(s, "\"warnings\":[\"rule 1 (a): site olso is not among this policy's"));
    assert_int_equal(post(s, "/v1/policy-put", OTHER), 400);
    assert_refused(s, 400, "site oslo has another zone there");
    assert_refused(s, 400, "'albedo site export'");
    stage_free(s);
}

static void a_wrong_directory_changes_nothing(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/sites-put", "name,parent\na,b\nb,a\na,\n"), 400);
    assert_refused(s, 400, "line 4 (site a): line 2 (site a) has the same name, and more is wrong");
    assert_int_equal(post(s, "/v1/sites-put", "name,zone\na,Mars/Olympus\n"), 400);
    assert_refused(s, 400, "Mars/Olympus");
    assert_int_equal(post(s, "/v1/sites-put?if=x", DOC(OSLO)), 400);
    assert_int_equal(stage_ask_text(s, ENDPOINT, "GET", "/v1/policy", ""), 404);
    stage_free(s);
}

static void nobody_but_an_admin_may_see_or_change_sites(void **state)
{
    static const enum actor others[] = {NOBODY, REFLECTOR, ENDPOINT, PUBLISHER};
    struct stage *s = stage_ready();

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(others); i++) {
        const unsigned no = others[i] == NOBODY ? 401 : 403;

        assert_int_equal(stage_ask_text(s, others[i], "POST", "/v1/sites-put", DOC(OSLO)), no);
        assert_int_equal(stage_ask_text(s, others[i], "GET", "/v1/sites", ""), no);
        assert_int_equal(stage_ask_text(s, others[i], "GET", "/v1/site-devices", ""), no);
    }
    stage_free(s);
}

static void a_site_with_devices_or_tokens_stays(void **state)
{
    struct stage *s = stage_ready();
    struct identity till = {.role = ROLE_ENDPOINT, .org = "acme", .expires_wall_s = INT64_MAX};

    (void)state;
    (void)snprintf(till.device, sizeof till.device, "till-7");
    (void)snprintf(till.serial, sizeof till.serial, "%032x", 77U);
    must(hub_admit(s->hub, &till, "bergen", ""));
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/sites", ""), 200);
    assert_true(answer_has(s, "\"bergen\"")); /* the draft begins with it */
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 403);
    assert_refused(s, 403, "site bergen is not in this directory, but there are device till-7");
    assert_int_equal(post(s, "/v1/sites-put", "{\"format\":1,\"sites\":[]}"), 403);
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO "," BERGEN)), 200);
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/site-devices", ""), 200);
    assert_true(answer_has(s, "{\"site\":\"bergen\",\"devices\":1,\"reflectors\":0,\"tokens\":0}"));
    assert_int_equal(post(s, "/v1/sites-put",
                          DOC(OSLO ",{\"name\":\"bergen\",\"reflectors\":[\"till-7\",\"later\"]}")),
                     403);
    assert_refused(s, 403, "site bergen names till-7 as a reflector, and that device is none");
    assert_int_equal(post(s, "/v1/token", "{\"role\":\"endpoint\",\"site\":\"olso\"}"), 404);
    assert_refused(s, 404, "there is no site olso");
    assert_int_equal(post(s, "/v1/token", "{\"role\":\"endpoint\",\"site\":\"oslo\"}"), 200);
    assert_int_equal(post(s, "/v1/sites-put", DOC(BERGEN)), 403);
    assert_refused(s, 403, "site oslo is not in this directory, but there are token ");
    stage_free(s);
}

static void a_large_directory_is_kept_in_parts_and_read_back(void **state)
{
    struct stage *s = stage_ready();
    struct buf text;

    (void)state;
    buf_init(&text, SITES_BYTES_MAX);
    must(buf_printf(&text, "name,note,gateways,subnets\nsite1,,,\n"));
    for (unsigned i = 0; i + 1 < SITES_MAX; i++)
        must(buf_printf(&text, "s%05u,%020u,52:54:00:%02x:%02x:%02x,10.%u.%u.0/24\n", i, i, i >> 16,
                        i >> 8 & 255, i & 255, i >> 8, i & 255));
    assert_int_equal(post(s, "/v1/sites-put", buf_text(&text)), 200);
    assert_int_equal(number_in(s, "number"), 1);
    assert_int_equal(post(s, "/v1/sites-put", buf_text(&text)), 200);
    assert_int_equal(number_in(s, "number"), 1);
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/sites", ""), 200);
    assert_true(answer_has(s, "\"s09998\""));
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200);
    assert_policy(s, 2, "\"oslo\"");
    buf_release(&text);
    stage_free(s);
}

/* ---- between two writes ---- */

/* The next directory, kept and no more: nobody made its policy. */
static void keep(struct catalogue *c, const char *text)
{
    const struct ledger l = {.catalogue = c};
    struct sites_record before;
    struct buf bytes;

    sites_record_init(&before);
    must(sites_record_read_head(&l, &before));
    buf_init(&bytes, SITES_BYTES_MAX);
    must(buf_printf(&bytes, "%s", text));
    must(sites_record_write(&l, &before, &bytes, "root", 0));
    buf_release(&bytes);
    sites_record_release(&before);
}

static void a_hub_that_died_before_the_policy_makes_it_when_it_starts(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200);
    keep(s->catalogue, DOC(BERGEN));
    stage_stop_hub(s);
    stage_start_hub(s);
    assert_policy(s, 2, "\"name\":\"bergen\"");
    assert_int_equal(post(s, "/v1/token", "{\"role\":\"endpoint\",\"site\":\"oslo\"}"), 404);
    stage_stop_hub(s);
    stage_start_hub(s);
    assert_policy(s, 2, "\"name\":\"bergen\""); /* it says so already */
    stage_free(s);
}

/* Somebody writes the next directory between a reader's head and its parts. */
struct busy {
    struct catalogue base;
    struct catalogue *real;
    bool was_busy;
};

static struct alb_status busy_get(struct catalogue *c, const char *name, struct buf *out,
                                  uint64_t *version)
{
    struct busy *b = ALB_CONTAINER(c, struct busy, base);

    if (strncmp(name, "sites-part/", 11) == 0 && !b->was_busy) {
        b->was_busy = true;
        keep(b->real, DOC(BERGEN));
    }
    return catalogue_get(b->real, name, out, version);
}

static void a_directory_that_is_replaced_while_it_is_read_is_not_damaged(void **state)
{
    static const struct catalogue_ops OPS = {.name = "busy", .get = busy_get};
    struct catalogue *real = ram_catalogue_new(&(struct ram_options){0});
    struct busy busy = {.base = {.ops = &OPS}, .real = real};
    const struct ledger l = {.catalogue = &busy.base};
    struct sites_record r;

    (void)state;
    keep(real, DOC(OSLO));
    sites_record_init(&r);
    must(sites_record_read(&l, &r));
    assert_int_equal(r.number, 2);
    assert_non_null(sites_find_name(r.sites, "bergen"));
    sites_record_release(&r);
    must(catalogue_swap(real, "sites-part/2/0", CATALOGUE_ANY, "x", 1, NULL));
    sites_record_init(&r);
    assert_int_equal(sites_record_read(&l, &r).code, ALB_CORRUPT); /* that is damage */
    sites_record_release(&r);
    catalogue_close(real);
}

static void a_head_of_another_format_is_not_read(void **state)
{
    struct catalogue *real = ram_catalogue_new(&(struct ram_options){0});
    const struct ledger l = {.catalogue = real};
    struct sites_record r;
    struct buf head;

    (void)state;
    keep(real, DOC(OSLO));
    buf_init(&head, 4096);
    must(catalogue_get(real, "sites", &head, NULL));
    char *format = strstr(buf_text(&head), "\"format\":1");
    assert_non_null(format);
    format[9] = '2';
    must(catalogue_swap(real, "sites", CATALOGUE_ANY, buf_peek(&head), buf_size(&head), NULL));
    sites_record_init(&r);
    const struct alb_status st = sites_record_read(&l, &r);
    assert_int_equal(st.code, ALB_CORRUPT);
    assert_non_null(strstr(st.what, "newer"));
    sites_record_release(&r);
    buf_release(&head);
    catalogue_close(real);
}

/* A disk on which there is no room for one more policy. */
struct full {
    struct catalogue base;
    struct catalogue *real;
    bool is_full;
};

static struct alb_status full_get(struct catalogue *c, const char *name, struct buf *out,
                                  uint64_t *version)
{
    return catalogue_get(ALB_CONTAINER(c, struct full, base)->real, name, out, version);
}

static struct alb_status full_swap(struct catalogue *c, const char *name, uint64_t expected,
                                   const void *value, size_t size, uint64_t *version)
{
    struct full *f = ALB_CONTAINER(c, struct full, base);

    if (f->is_full && strcmp(name, "policy") == 0)
        return alb_fail(ALB_FULL, "no room");
    return catalogue_swap(f->real, name, expected, value, size, version);
}

static struct alb_status full_list(struct catalogue *c, const char *prefix, catalogue_visit visit,
                                   void *arg)
{
    return catalogue_list(ALB_CONTAINER(c, struct full, base)->real, prefix, visit, arg);
}

static void hear(void *count, enum log_level level, const char *line)
{
    (void)level;
    *(unsigned *)count += strstr(line, "what=sites number=1 sites=2 ") != NULL;
}

static void sites_that_are_kept_without_their_policy_are_audited_and_hold(void **state)
{
    static const struct catalogue_ops OPS = {
        .name = "full", .get = full_get, .swap = full_swap, .list = full_list};
    struct stage *s = stage_ready();
    struct full full = {.base = {.ops = &OPS}, .real = s->catalogue};
    unsigned audited = 0;

    (void)state;
    stage_stop_hub(s);
    s->catalogue = &full.base;
    stage_start_hub(s);
    log_install(hear, &audited, LOG_INFO);
    full.is_full = true;
    assert_int_not_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200);
    assert_int_equal(audited, 1);
    assert_int_equal(post(s, "/v1/token", "{\"role\":\"endpoint\",\"site\":\"bergen\"}"), 404);
    full.is_full = false;
    assert_int_equal(post(s, "/v1/sites-put?if=1", DOC(OSLO)), 200);
    assert_int_equal(number_in(s, "number"), 1);
    assert_policy(s, 1, "\"oslo\"");
    assert_int_equal(audited, 1);
    log_install(NULL, NULL, LOG_ERROR);
    stage_stop_hub(s);
    s->catalogue = full.real;
    stage_free(s);
}

/* ---- with policies ---- */

static void an_edit_of_sites_that_disarms_a_rule_says_so(void **state)
{
    static const char RULES[] = "{\"format\":1,\"rules\":[{\"name\":\"a\",\"scope\":"
                                "\"link:mpls\",\"mode\":\"capped\",\"rate\":\"2Mbit\"}]}";
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200);
    assert_int_equal(post(s, "/v1/policy-put", RULES), 200);
    assert_int_equal(post(s, "/v1/sites-put?dry=1", DOC("{\"name\":\"oslo\"}")), 200);
    assert_true(answer_has(s, "\"warnings\":[\"rule 1 (a) can never match: no site of this policy "
                              "is on link mpls\"]"));
    assert_int_equal(post(s, "/v1/sites-put?dry=0", DOC("{\"name\":\"oslo\"}")), 200);
    assert_int_equal(number_in(s, "number"), 2);
    assert_true(answer_has(s, "can never match"));
    assert_int_equal(post(s, "/v1/sites-put", DOC(BERGEN)), 200); /* it was so before */
    assert_false(answer_has(s, "warnings"));
    stage_free(s);
}

static void behind_an_emptied_directory_the_draft_has_the_policys_sites(void **state)
{
    struct stage *s = stage_ready();

    (void)state;
    assert_int_equal(post(s, "/v1/sites-put", DOC(OSLO)), 200);
    stage_stop_hub(s);
    keep(s->catalogue, "{\"format\":1,\"sites\":[\n]}\n");
    stage_start_hub(s);
    assert_int_equal(post(s, "/v1/policy-put", "{\"format\":1,\"sites\":[{\"name\":\"hilo\"}]}"),
                     200);
    assert_int_equal(stage_ask_text(s, ADMIN, "GET", "/v1/sites", ""), 200);
    assert_int_equal(number_in(s, "number"), 2);
    assert_true(answer_has(s, "{\"name\":\"hilo\"}"));
    assert_true(answer_has(s, "{\"name\":\"site1\"}"));
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_numbered_and_goes_into_the_policy),
        cmocka_unit_test(a_policy_without_sites_gets_those_of_the_directory),
        cmocka_unit_test(a_wrong_directory_changes_nothing),
        cmocka_unit_test(nobody_but_an_admin_may_see_or_change_sites),
        cmocka_unit_test(a_site_with_devices_or_tokens_stays),
        cmocka_unit_test(a_large_directory_is_kept_in_parts_and_read_back),
        cmocka_unit_test(a_hub_that_died_before_the_policy_makes_it_when_it_starts),
        cmocka_unit_test(a_directory_that_is_replaced_while_it_is_read_is_not_damaged),
        cmocka_unit_test(a_head_of_another_format_is_not_read),
        cmocka_unit_test(sites_that_are_kept_without_their_policy_are_audited_and_hold),
        cmocka_unit_test(an_edit_of_sites_that_disarms_a_rule_says_so),
        cmocka_unit_test(behind_an_emptied_directory_the_draft_has_the_policys_sites),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
