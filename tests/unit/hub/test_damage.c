/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_damage.c – chunks the hub has lost: listed with what they hurt, said a bounded
 * number of times, and off the list when nobody needs them. */
/* LINKS: sim_world */
#include "base/log.h"
#include "hub/damage.h"

#include "support/hub_crate.h"

enum { NEEDLESS = 300 };

static struct {
    unsigned lost, hurts, needless;
} said;

static void hear(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    said.lost += strstr(line, "chunk.lost") != NULL && strstr(line, "log.held") == NULL;
    said.hurts += strstr(line, "chunk.hurts") != NULL;
    said.needless += strstr(line, "chunk.needless") != NULL;
}

static struct stage *with_a_version(struct crate *c)
{
    struct stage *s = stage_ready();

    crate_make(c, "base/os", 1, 3, false);
    assert_int_equal(stage_publish(s, PUBLISHER, c), 200);
    memset(&said, 0, sizeof said);
    log_install(hear, NULL, LOG_INFO);
    return s;
}

static void end(struct stage *s, struct crate *c)
{
    log_install(NULL, NULL, LOG_ERROR);
    crate_release(c);
    stage_free(s);
}

static size_t listed(struct stage *s)
{
    struct json_doc *doc = NULL;

    world_run(s->world, world_now_ns(s->world) + 60 * NS_PER_S);
    assert_int_equal(stage_ask(s, ADMIN, "GET", "/v1/status", NULL), 200);
    must(json_doc_parse(buf_peek(&s->reply.body), buf_size(&s->reply.body), &doc));
    size_t count = json_doc_count(doc, "damaged");
    for (size_t i = 0; i < count; i++) {
        char name[48];
        (void)snprintf(name, sizeof name, "damaged.%zu.versions", i);
        assert_int_equal(json_doc_count(doc, name), 1); /* each is looked into */
    }
    json_doc_free(doc);
    return count;
}

static void lose(struct stage *s, const struct chunk_key *key)
{
    hub_note_damage(s->hub, key, alb_fail(ALB_CORRUPT, "its check value is wrong"));
}

static void each_of_several_lost_chunks_is_looked_into(void **state)
{
    struct crate c;
    struct stage *s = with_a_version(&c);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        must(chunk_store_remove(s->store, &c.files[i]->key));
        lose(s, &c.files[i]->key);
    }
    assert_int_equal(listed(s), 3);
    assert_int_equal(said.hurts, 3);
    end(s, &c);
}

static void lost_chunks_that_no_version_needs_leave_the_list_to_others(void **state)
{
    struct crate c;
    struct stage *s = with_a_version(&c);
    struct chunk_key key = {.kind = KEY_PLAIN};

    (void)state;
    for (unsigned i = 0; i < DAMAGE_MOST; i++) {
        key.digest.bytes[0] = (uint8_t)(i + 1);
        lose(s, &key);
    }
    assert_int_equal(listed(s), 0);
    assert_int_equal(said.needless, DAMAGE_MOST);
    lose(s, &c.files[0]->key);
    assert_int_equal(listed(s), 1);
    end(s, &c);
}

static void lost_chunks_beyond_the_list_do_not_flood_the_log(void **state)
{
    struct crate c;
    struct stage *s = with_a_version(&c);
    struct chunk_key key = {.kind = KEY_PLAIN};

    (void)state;
    for (unsigned i = 0; i < NEEDLESS; i++) { /* each may be asked for again and again */
        key.digest.bytes[0] = (uint8_t)i;
        key.digest.bytes[1] = (uint8_t)(i >> 8);
        lose(s, &key);
    }
    assert_in_range(said.lost, DAMAGE_MOST, DAMAGE_MOST + 20);
    end(s, &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_of_several_lost_chunks_is_looked_into),
        cmocka_unit_test(lost_chunks_that_no_version_needs_leave_the_list_to_others),
        cmocka_unit_test(lost_chunks_beyond_the_list_do_not_flood_the_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
