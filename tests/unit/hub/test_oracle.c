/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_oracle.c – an answer to who may not read never tells, in bytes or in time, what
 * exists. */
/* LINKS: sim_world */
#include "support/hub_crate.h"

/* A look at the catalogue costs more than this;
 * some letters of a path take more bits than others. */
enum { ANSWER_KEPT = 1024, SAME_NS = 2000 };

struct heard {
    unsigned status;
    char body[ANSWER_KEPT];
    uint64_t took_ns;
};

static void ask(struct stage *s, const char *method, const char *path, const struct buf *body,
                struct heard *out)
{
    const uint64_t from_ns = world_now_ns(s->world);

    out->status = stage_ask(s, ENDPOINT, method, path, body);
    out->took_ns = world_now_ns(s->world) - from_ns;
    assert_true(buf_size(&s->reply.body) < ANSWER_KEPT);
    memset(out->body, 0, sizeof out->body);
    memcpy(out->body, buf_peek(&s->reply.body), buf_size(&s->reply.body));
}

static bool is_longer(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns > b_ns + SAME_NS;
}

static void expect_same(const char *what, const struct heard *there, const struct heard *nowhere)
{
    if (there->status != nowhere->status || strcmp(there->body, nowhere->body) != 0)
        fail_msg("%s: %u %s, but of nothing %u %s", what, there->status, there->body,
                 nowhere->status, nowhere->body);
    if (is_longer(there->took_ns, nowhere->took_ns) || is_longer(nowhere->took_ns, there->took_ns))
        fail_msg("%s: took %llu ns, but of nothing %llu ns", what,
                 (unsigned long long)there->took_ns, (unsigned long long)nowhere->took_ns);
    assert_int_not_equal(there->status, 200);
}

static void compare(struct stage *s, const char *there, const char *nowhere)
{
    struct heard a, b;

    ask(s, "GET", there, NULL, &a);
    ask(s, "GET", nowhere, NULL, &b);
    expect_same(there, &a, &b);
}

static void compare_records(struct stage *s, const char *layer, const char *none, const char *which,
                            const char *no_which)
{
    char there[256], nowhere[256];

    snprintf(there, sizeof there, "/v1/record/%s@%s", layer, which);
    snprintf(nowhere, sizeof nowhere, "/v1/record/%s@%s", none, no_which);
    compare(s, there, nowhere);
}

static void compare_chunks(struct stage *s, const char *layer, const char *none,
                           const struct digest *root, const struct digest *no_root)
{
    char a[DIGEST_HEX_SIZE], b[DIGEST_HEX_SIZE], there[256], nowhere[256];
    static const char *const kinds[] = {"root/%s?layer=%s", "chunk/%s/M/0?layer=%s",
                                        "chunk/%s/C/1?layer=%s"};

    digest_hex(root, a);
    digest_hex(no_root, b);
    for (size_t i = 0; i < ALB_COUNT(kinds); i++) {
        const size_t head = strcspn(kinds[i], "%"), tail = head + 2;
        char middle[32];
        snprintf(middle, sizeof middle, "%.*s", (int)strcspn(kinds[i] + tail, "%"),
                 kinds[i] + tail);
        snprintf(there, sizeof there, "/v1/%.*s%s%s%s", (int)head, kinds[i], a, middle, layer);
        snprintf(nowhere, sizeof nowhere, "/v1/%.*s%s%s%s", (int)head, kinds[i], b, middle, none);
        compare(s, there, nowhere);
    }
}

static void ask_batch(struct stage *s, const char *path, const char *layer,
                      const struct digest *root, struct heard *out)
{
    struct batch_request request = {
        .root = *root, .list = LIST_CONTENT, .run_count = 1, .runs = {{0, 2}}};
    struct buf body;

    snprintf(request.layer, sizeof request.layer, "%s", layer);
    buf_init(&body, BATCH_REQUEST_MAX);
    must(batch_request_encode(&request, &body));
    ask(s, "POST", path, &body, out);
    buf_release(&body);
}

static struct stage *with_a_secret(struct crate *secret, struct crate *open)
{
    struct stage *s = stage_ready();

    crate_make(secret, "app/secret", 1, 3, false);
    crate_make(open, "base/os", 10, 3, false);
    assert_int_equal(stage_publish(s, PUBLISHER, secret), 200);
    assert_int_equal(stage_publish(s, PUBLISHER, open), 200);
    return s;
}

static const char *const batches[] = {"/v1/chunks", "/v1/holds", "/v1/holds?read=1"};

static void judge_all(struct stage *s, const struct crate *secret)
{
    char which[DIGEST_HEX_SIZE + 8], hex[DIGEST_HEX_SIZE];
    struct digest none;
    struct heard a, b;

    memset(&none, 0xee, sizeof none);
    compare(s, "/v1/head/app/secret", "/v1/head/app/nothin");
    compare_records(s, "app/secret", "app/nothin", "1", "9");
    snprintf(which, sizeof which, "root:%s", digest_hex(&secret->record.root, hex));
    compare_records(s, "app/secret", "app/secret", which,
                    "root:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    compare_chunks(s, "app/secret", "app/nothin", &secret->record.root, &none);
    for (size_t i = 0; i < ALB_COUNT(batches); i++) {
        ask_batch(s, batches[i], "app/secret", &secret->record.root, &a);
        ask_batch(s, batches[i], "app/nothin", &none, &b);
        expect_same(batches[i], &a, &b);
    }
}

static void a_layer_that_may_not_be_read_answers_like_one_that_is_not_there(void **state)
{
    struct crate secret, open;
    struct stage *s = with_a_secret(&secret, &open);

    (void)state;
    assert_int_equal(stage_ask(s, ENDPOINT, "POST", "/v1/session", NULL), 200);
    judge_all(s, &secret); /* without a grant */
    stage_greet(s, ENDPOINT);
    assert_int_equal(stage_ask(s, ENDPOINT, "GET", "/v1/head/base/os", NULL), 200);
    judge_all(s, &secret); /* with one for base */
    crate_release(&secret);
    crate_release(&open);
    stage_free(s);
}

/* To name another layer's root under one's own layer is to name nothing. */
static void another_layers_root_is_unknown_in_ones_own(void **state)
{
    struct crate secret, open;
    struct stage *s = with_a_secret(&secret, &open);
    struct digest none;
    struct heard a, b;
    char which[DIGEST_HEX_SIZE + 8], hex[DIGEST_HEX_SIZE];

    (void)state;
    stage_greet(s, ENDPOINT);
    memset(&none, 0xee, sizeof none);
    compare_chunks(s, "base/os", "base/os", &secret.record.root, &none);
    snprintf(which, sizeof which, "root:%s", digest_hex(&secret.record.root, hex));
    compare_records(s, "base/os", "base/os", which,
                    "root:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    for (size_t i = 0; i < ALB_COUNT(batches); i++) {
        ask_batch(s, batches[i], "base/os", &secret.record.root, &a);
        ask_batch(s, batches[i], "base/os", &none, &b);
        assert_int_equal(a.status, b.status);
        assert_memory_equal(a.body, b.body, sizeof a.body); /* two "missing" items, or 404 */
        assert_false(is_longer(a.took_ns, b.took_ns) || is_longer(b.took_ns, a.took_ns));
    }
    crate_release(&secret);
    crate_release(&open);
    stage_free(s);
}

static void what_an_endpoint_may_not_do_is_refused_before_it_is_looked_at(void **state)
{
    struct crate secret, open;
    struct stage *s = with_a_secret(&secret, &open);
    char path[DIGEST_HEX_SIZE + 16], hex[DIGEST_HEX_SIZE];
    struct upload_answer up;
    struct heard a, b;

    (void)state;
    assert_int_equal(stage_open(s, ENDPOINT, &secret, &up), 403); /* "what do you lack?" */
    ask(s, "POST", "/v1/upload-put/00000000000000000000000000000000", NULL, &a);
    ask(s, "POST", "/v1/upload-put/x", NULL, &b);
    expect_same("an upload", &a, &b);
    ask(s, "GET", "/v1/devices", NULL, &a);
    assert_int_equal(a.status, 403);
    snprintf(path, sizeof path, "/v1/explain/%s", digest_hex(&secret.record.root, hex));
    ask(s, "GET", path, NULL, &a);
    ask(s, "GET", "/v1/explain/x", NULL, &b);
    expect_same("a chunk explained", &a, &b);
    assert_int_equal(a.status, 403);
    crate_release(&secret);
    crate_release(&open);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_that_may_not_be_read_answers_like_one_that_is_not_there),
        cmocka_unit_test(another_layers_root_is_unknown_in_ones_own),
        cmocka_unit_test(what_an_endpoint_may_not_do_is_refused_before_it_is_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
