/* SPDX-License-Identifier: Apache-2.0 */
/* unit/client/test_pull_fail.c – the words in which a pull says why it cannot go on, and what to
 * do. */
/* LINKS: sim_world */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "client/pull.h"
#include "sim/cast_holder.h"

enum { DAY_S = 86400 };

struct scene {
    struct world *world;
    struct cast_holder holder; /* only signs */
    struct state state;
    struct output output;
    char *out, *err;
    size_t out_size, err_size;
    struct pull_options options;
    struct pull pull;
};

static void must(struct alb_status st)
{
    assert_int_equal(st.code, ALB_OK);
}

static void start_endpoint(struct scene *s)
{
    struct endpoint_options options = {.loop = s->pull.loop,
                                       .catalogue = s->state.catalogue,
                                       .parents = {{"hub", CAST_PORT}},
                                       .parent_count = 1,
                                       .device = "laptop",
                                       .trust_pin = &s->holder.trust_pin};

    must(endpoint_start(&options, &s->pull.endpoint));
}

static int set_up(void **state)
{
    struct scene *s = xalloc(sizeof *s);
    struct identity hub = {.role = ROLE_HUB};
    struct identity laptop = {.role = ROLE_ENDPOINT, .org = "acme", .device = "laptop"};
    char dir[] = "/state";

    log_install(NULL, NULL, LOG_ERROR);
    s->world = world_new(1);
    cast_holder_start(&s->holder, world_add_node(s->world, "hub", &hub));
    s->state.catalogue = ram_catalogue_new(&(struct ram_options){0});
    s->state.dir = xstrdup(dir);
    must(catalogue_swap(s->state.catalogue, "trust/1", CATALOGUE_ABSENT,
                        buf_peek(&s->holder.trust_bytes), buf_size(&s->holder.trust_bytes), NULL));
    output_init(&s->output, open_memstream(&s->out, &s->out_size),
                open_memstream(&s->err, &s->err_size));
    s->options = (struct pull_options){.layer = "base/os", .target = "/t"};
    s->pull = (struct pull){.output = &s->output, .state = &s->state, .options = &s->options};
    s->pull.loop = world_add_node(s->world, "laptop", &laptop);
    start_endpoint(s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    s->pull.endpoint = endpoint_free(s->pull.endpoint);
    cast_holder_stop(&s->holder);
    world_run(s->world, world_now_ns(s->world) + 20 * NS_PER_S);
    world_free(s->world);
    cast_holder_release(&s->holder);
    catalogue_close(s->state.catalogue);
    free(s->state.dir);
    fclose(s->output.out);
    fclose(s->output.err);
    output_release(&s->output);
    free(s->out);
    free(s->err);
    free(s);
    return 0;
}

static void keep_record(struct scene *s, uint64_t sequence)
{
    struct cast_order order = cast_holder_order(&s->holder, "base/os", sequence, 1000);
    struct cast_version version;
    char name[64];

    cast_version_make(&order, &version);
    snprintf(name, sizeof name, "record/base/os@%u", (unsigned)sequence);
    must(catalogue_swap(s->state.catalogue, name, CATALOGUE_ANY, buf_peek(&version.record_bytes),
                        buf_size(&version.record_bytes), NULL));
    cast_version_release(&version);
}

/* Exit code, and one line on standard error that has all of `words`, up to NULL. */
static void assert_says(struct scene *s, enum exit_code wanted, enum exit_code code,
                        const char *const *words)
{
    fflush(s->output.err);
    assert_int_equal(code, wanted);
    assert_int_equal(strncmp(s->err, "albedo: ", 8), 0);
    assert_ptr_equal(strchr(s->err, '\n'), s->err + s->err_size - 1);
    for (; *words != NULL; words++)
        if (strstr(s->err, *words) == NULL)
            fail_msg("\"%s\" is not in: %s", *words, s->err);
}
#define SAYS(code, ...)                                                                            \
    assert_says(s, (code), pull_fetch_failed(&s->pull), (const char *const[]){__VA_ARGS__, NULL})

static void let_head_expire(struct scene *s)
{
    s->pull.st = alb_fail(ALB_TIMEOUT, "expired");
    s->pull.fetched.refusal = PULL_HEAD_EXPIRED;
    s->pull.fetched.head_expires_wall_s =
        authority_now_s(endpoint_authority(s->pull.endpoint), loop_wall_s(s->pull.loop)) -
        3 * DAY_S;
}

static void an_expired_head_names_its_age_the_newest_version_and_the_command(void **state)
{
    struct scene *s = *state;

    keep_record(s, 9);
    keep_record(s, 11);
    keep_record(s, 10);
    let_head_expire(s);
    SAYS(EXIT_UNREACHABLE, "expired 3d", "hub's operator", "albedo pull base/os@11 /t");
}

static void an_expired_head_where_nothing_is_held_says_how_to_name_a_version(void **state)
{
    struct scene *s = *state;

    let_head_expire(s);
    SAYS(EXIT_UNREACHABLE, "no version", "albedo layers", "albedo pull base/os@VERSION /t");
}

static void records_that_nobody_may_sign_are_not_recommended(void **state)
{
    struct scene *s = *state;

    must(catalogue_swap(s->state.catalogue, "record/base/os@99", CATALOGUE_ANY, "forged", 6, NULL));
    keep_record(s, 2);
    let_head_expire(s);
    SAYS(EXIT_UNREACHABLE, "base/os@2 /t");
}

static void without_trust_the_state_is_named(void **state)
{
    struct scene *s = *state;

    s->pull.st = alb_fail(ALB_REFUSED, "no trust");
    s->pull.fetched.refusal = PULL_NO_TRUST;
    SAYS(EXIT_REFUSED, "state /state", "--force");
}

static void a_stage_without_room_says_that_nothing_fetched_is_lost(void **state)
{
    struct scene *s = *state;

    s->pull.st = (struct alb_status){ALB_FULL, ENOSPC, "writing"};
    atomic_store(&s->pull.sink.has_failed, true);
    SAYS(EXIT_FULL, "/t", "no space left", "same command again");
}

static void an_interruption_is_told_as_one_and_what_was_changed(void **state)
{
    struct scene *s = *state;

    s->pull.st = alb_fail(ALB_CLOSED, "given up");
    s->pull.interrupted = true;
    SAYS(EXIT_INTERRUPTED, "interrupted", "nothing in /t was changed");
}

static void after_applying_an_interruption_says_that_the_version_is_there(void **state)
{
    struct scene *s = *state;

    s->pull.interrupted = s->pull.is_applied = true;
    snprintf(s->pull.version, sizeof s->pull.version, "7");
    assert_says(s, EXIT_INTERRUPTED,
                pull_fail(&s->pull, alb_fail(ALB_CLOSED, "x"), "verifying", NULL),
                (const char *const[]){"/t holds base/os@7", NULL});
}

static void a_path_is_told_with_its_target(void **state)
{
    struct scene *s = *state;

    assert_says(
        s, EXIT_FAILED,
        pull_fail(&s->pull, (struct alb_status){ALB_IO, EIO, "reading"}, "staging in", "usr/x"),
        (const char *const[]){"staging in /t/usr/x: reading: Input/output error", NULL});
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(an_expired_head_names_its_age_the_newest_version_and_the_command),
        ROW(an_expired_head_where_nothing_is_held_says_how_to_name_a_version),
        ROW(records_that_nobody_may_sign_are_not_recommended),
        ROW(without_trust_the_state_is_named),
        ROW(a_stage_without_room_says_that_nothing_fetched_is_lost),
        ROW(an_interruption_is_told_as_one_and_what_was_changed),
        ROW(after_applying_an_interruption_says_that_the_version_is_there),
        ROW(a_path_is_told_with_its_target),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
