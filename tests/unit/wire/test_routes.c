/* SPDX-License-Identifier: Apache-2.0 */
/* unit/wire/test_routes.c – each row is found by its pattern, and nothing else is found. */
#include "support/wire_fixture.h"

#include "support/gen.h"
#include "wire/routes.h"

/* A path that the row's pattern takes, and what its '*' gets. */
static void path_of(const struct route *r, char *out, size_t size, const char *rest)
{
    size_t fixed = strcspn(r->pattern, "*");

    snprintf(out, size, "%.*s%s", (int)fixed, r->pattern, r->pattern[fixed] == '*' ? rest : "");
}

static void each_row_is_found_on_its_port_by_its_method(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct route *r = &routes[i];
        bool star = strchr(r->pattern, '*') != NULL;
        const char *rest = NULL;
        char path[200];

        path_of(r, path, sizeof path, "base/debian-12?x=1");
        assert_ptr_equal(route_find(r->ports, r->method, path, &rest), r);
        assert_string_equal(rest, star ? "base/debian-12?x=1" : "");
        assert_null(route_find(r->ports, "PUT", path, &rest));
        assert_null(route_find(~r->ports & 3, r->method, path, &rest));
    }
}

static void rows_are_in_order_of_their_ids_and_say_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct route *r = &routes[i];
        bool get = strcmp(r->method, "GET") == 0;

        assert_int_equal(r->id, i);
        assert_true(get || strcmp(r->method, "POST") == 0);
        assert_int_equal(r->pattern[0], '/');
        assert_true(!get || r->body_limit == 0); /* some of POST say all in their path */
        assert_true(r->ports == PORT_TREE || r->ports == PORT_ADMIN);
        assert_true(r->roles != 0 && r->text[0] != '\0' && r->name[0] != '\0');
        /* Only joining is for those nobody knows; bearer tokens are the admin port's. */
        assert_true((r->roles & RR_NONE) == 0 || r->id == ROUTE_ENROL);
        assert_true((r->ports == PORT_ADMIN) == (r->roles == RR_BEARER));
    }
}

static void neighbours_of_a_pattern_are_not_found(void **state)
{
    const char *rest;

    (void)state;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct route *r = &routes[i];
        char path[200], other[210];

        path_of(r, path, sizeof path, "");
        if (strchr(r->pattern, '*') != NULL) { /* '*' takes something */
            assert_null(route_find(r->ports, r->method, path, &rest));
            snprintf(other, sizeof other, "%s?layer=x", path);
            assert_null(route_find(r->ports, r->method, other, &rest));
            continue;
        }
        snprintf(other, sizeof other, "%s/", path);
        assert_null(route_find(r->ports, r->method, other, &rest));
        snprintf(other, sizeof other, "/%s", path);
        assert_null(route_find(r->ports, r->method, other, &rest));
        path[strlen(path) - 1] = '\0';
        assert_null(route_find(r->ports, r->method, path, &rest));
    }
}

/* The plain definition, to hold the search against. */
static bool is_in_table(const char *method, const char *path)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const char *pattern = routes[i].pattern;
        size_t fixed = strcspn(pattern, "*"), size = strcspn(path, "?");

        if (strcmp(method, routes[i].method) != 0 || strncmp(path, pattern, fixed) != 0)
            continue;
        if (pattern[fixed] == '*' ? size > fixed : size == fixed)
            return true;
    }
    return false;
}

static void any_path_outside_the_table_is_nobody_s(void **state)
{
    static const char *const ODD[] = {"",
                                      "/",
                                      "//",
                                      "/v1",
                                      "/v1/",
                                      "*",
                                      "/v2/enrol",
                                      "/V1/enrol",
                                      "/v1/enrol/../status",
                                      "/v1/%65nrol",
                                      "/v1/enrol#x"};
    const char *rest;
    struct gen g;

    (void)state;
    for (size_t i = 0; i < ALB_COUNT(ODD); i++)
        assert_null(route_find(3, "POST", ODD[i], &rest));
    gen_init_from_env(&g);
    for (unsigned n = 0; n < 100000; n++) {
        const struct route *r = &routes[gen_below(&g, ROUTE_COUNT)];
        const char *method = gen_chance(&g, 1, 2) ? "GET" : "POST";
        size_t size;
        char path[64];

        path_of(r, path, sizeof path, "x");
        size = strlen(path);
        for (unsigned k = 0; k < 1 + n % 3; k++)
            path[gen_below(&g, size)] = "/*?.ev1x%"[gen_below(&g, 9)];
        if (gen_chance(&g, 1, 4))
            path[gen_below(&g, size)] = '\0';
        assert_int_equal(route_find(3, method, path, &rest) != NULL, is_in_table(method, path));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_found_on_its_port_by_its_method),
        cmocka_unit_test(rows_are_in_order_of_their_ids_and_say_all),
        cmocka_unit_test(neighbours_of_a_pattern_are_not_found),
        cmocka_unit_test(any_path_outside_the_table_is_nobody_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
