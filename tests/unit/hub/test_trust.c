/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_trust.c – trust files put, one after another, and those that are not taken. */
/* LINKS: sim_world */
#include "support/hub_stage.h"

static unsigned put(struct stage *s, const struct buf *bytes)
{
    return stage_ask(s, ADMIN, "POST", "/v1/trust-put", bytes);
}

/* The stage's trust file changed and signed again. */
static unsigned put_changed(struct stage *s, const struct trust *t, const struct sign_secret *key)
{
    struct buf bytes;

    buf_init(&bytes, SIGNED_MAX);
    must(trust_encode(t, key, 1, &bytes));
    unsigned status = put(s, &bytes);
    buf_release(&bytes);
    return status;
}

static void the_first_trust_file_is_taken_and_served(void **state)
{
    struct stage *s = stage_new();

    (void)state;
    assert_int_equal(put(s, &s->trust_bytes), 200);
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", "/v1/trust/1", NULL), 200);
    assert_int_equal(buf_size(&s->reply.body), buf_size(&s->trust_bytes));
    assert_memory_equal(buf_peek(&s->reply.body), buf_peek(&s->trust_bytes),
                        buf_size(&s->trust_bytes));
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", "/v1/trust/2", NULL), 404);
    stage_free(s);
}

static void it_is_still_there_after_a_restart(void **state)
{
    struct stage *s = stage_new();
    struct trust next;

    (void)state;
    assert_int_equal(put(s, &s->trust_bytes), 200);
    next = s->trust;
    next.version = 2;
    assert_int_equal(put_changed(s, &next, &s->root_key), 200);
    stage_stop_hub(s);
    stage_start_hub(s);
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", "/v1/trust/2", NULL), 200);
    stage_free(s);
}

static void putting_the_same_again_is_fine(void **state)
{
    struct stage *s = stage_new();

    (void)state;
    assert_int_equal(put(s, &s->trust_bytes), 200);
    assert_int_equal(put(s, &s->trust_bytes), 200);
    stage_free(s);
}

static void two_at_once_leave_one(void **state)
{
    struct stage *s = stage_new();
    struct trust other = s->trust;
    struct reply first, second;
    struct buf bytes;

    (void)state;
    other.issued_wall_s++;
    buf_init(&bytes, SIGNED_MAX);
    must(trust_encode(&other, &s->root_key, 1, &bytes));
    stage_begin(s, ADMIN, "POST", "/v1/trust-put", &s->trust_bytes, &first);
    stage_begin(s, ADMIN, "POST", "/v1/trust-put", &bytes, &second);
    world_run(s->world, world_now_ns(s->world) + 5 * NS_PER_S);
    assert_true(first.is_over && second.is_over);
    assert_int_equal(first.status, 200);
    assert_in_range(second.status, 400, 409);
    buf_release(&bytes);
    buf_release(&first.body);
    buf_release(&second.body);
    stage_free(s);
}

static void what_is_not_the_next_trust_file_is_refused(void **state)
{
    struct stage *s = stage_new();
    struct trust t = s->trust;
    struct sign_secret other;

    (void)state;
    stage_ask_text(s, ADMIN, "POST", "/v1/trust-put", "nonsense");
    assert_in_range(s->reply.status, 400, 422);
    t.version = 2;
    assert_in_range(put_changed(s, &t, &s->root_key), 400, 422);
    t.version = 1;
    assert_in_range(put_changed(s, &t, &s->publisher_key), 400, 422);

    snprintf(t.org, sizeof t.org, "evil");
    put_changed(s, &t, &s->root_key);
    stage_refused(s, 403, "another organisation's");
    t = s->trust;
    stage_key(9, &other, &t.hub_key);
    put_changed(s, &t, &s->root_key);
    stage_refused(s, 403, "another hub key");
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/trust/1", NULL), 404);

    assert_int_equal(put(s, &s->trust_bytes), 200);
    t = s->trust;
    t.version = 3;
    assert_in_range(put_changed(s, &t, &s->root_key), 400, 422);
    stage_free(s);
}

static void a_hub_does_not_start_on_another_hubs_trust(void **state)
{
    struct stage *s = stage_ready();
    struct hub *hub = NULL;

    (void)state;
    stage_stop_hub(s);
    struct alb_status st = hub_start(&(struct hub_options){.loop = s->hub_loop,
                                                           .store = s->store,
                                                           .catalogue = s->catalogue,
                                                           .org = "acme",
                                                           .online_key = &s->publisher_key,
                                                           .listen_address = "0.0.0.0"},
                                     &hub);
    assert_int_equal(st.code, ALB_REFUSED);
    st = hub_start(&(struct hub_options){.loop = s->hub_loop,
                                         .store = s->store,
                                         .catalogue = s->catalogue,
                                         .org = "Not An Org",
                                         .online_key = &s->hub_key,
                                         .listen_address = "0.0.0.0"},
                   &hub);
    assert_int_equal(st.code, ALB_INVALID);
    world_run(s->world, world_now_ns(s->world) + NS_PER_S);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_trust_file_is_taken_and_served),
        cmocka_unit_test(it_is_still_there_after_a_restart),
        cmocka_unit_test(putting_the_same_again_is_fine),
        cmocka_unit_test(two_at_once_leave_one),
        cmocka_unit_test(what_is_not_the_next_trust_file_is_refused),
        cmocka_unit_test(a_hub_does_not_start_on_another_hubs_trust),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
