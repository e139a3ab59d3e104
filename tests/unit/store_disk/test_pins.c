/* SPDX-License-Identifier: Apache-2.0 */
/* unit/store_disk/test_pins.c – pins: their file, restarts, damage, and what they hold. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/cache.h"
#include "store/disk/pins.h"
#include "support/tmpdir.h"

static const char golden[] = "414c4250494e3031"
                             "2066ae4d"
                             "03614031"
                             "0010000000000000"
                             "0100000000000000"
                             "01000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

static struct chunk_key key_of(unsigned n)
{
    return (struct chunk_key){.kind = KEY_PLAIN, .digest = {{(uint8_t)n, (uint8_t)(n >> 8), 7}}};
}

static void put(struct pins *p, const char *name, unsigned first, unsigned count, uint64_t bytes)
{
    struct chunk_key keys[64];
    for (unsigned i = 0; i < count; i++)
        keys[i] = key_of(first + i);
    assert_int_equal(pins_put(p, name, keys, count, bytes).code, ALB_OK);
}

static bool holds(const struct pins *p, unsigned n)
{
    struct chunk_key key = key_of(n);
    return pins_hold(p, chunk_key_hash(&key));
}

/* The only file there. */
static char *only_file(const struct tmpdir *t)
{
    DIR *folder = opendir(t->path);
    const struct dirent *entry;
    char *name = NULL;
    while ((entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.') {
            assert_null(name);
            name = xstrdup(entry->d_name);
        }
    (void)closedir(folder);
    assert_non_null(name);
    return name;
}

static void the_file_is_golden(void **state)
{
    struct tmpdir *tmp = tmpdir_open();
    struct pins p;
    struct chunk_key key = {.kind = KEY_PLAIN};
    char hex[2 * 80 + 1];
    size_t size;
    (void)state;
    for (unsigned i = 0; i < DIGEST_SIZE; i++)
        key.digest.bytes[i] = (uint8_t)i;
    assert_int_equal(pins_open(&p, tmp->path).code, ALB_OK);
    assert_int_equal(pins_put(&p, "a@1", &key, 1, 4096).code, ALB_OK);
    char *name = only_file(tmp);
    uint8_t *bytes = tmpdir_read(tmp, name, &size);
    assert_int_equal(2 * size, strlen(golden));
    bytes_hex(bytes, size, hex);
    assert_string_equal(hex, golden);
    free(bytes);
    free(name);
    pins_release(&p);
    tmpdir_close(tmp);
}

static void pins_outlive_a_restart_and_are_replaced_by_name(void **state)
{
    struct tmpdir *tmp = tmpdir_open();
    struct pins p;
    (void)state;
    assert_int_equal(pins_open(&p, tmp->path).code, ALB_OK);
    put(&p, "base/os@1", 0, 10, 1000);
    put(&p, "base/os@2", 5, 10, 2000);
    put(&p, "base/os@1", 0, 3, 500);
    pins_release(&p);
    assert_int_equal(pins_open(&p, tmp->path).code, ALB_OK);
    assert_int_equal(p.count, 2);
    assert_int_equal(pins_reserved_bytes(&p), 2500);
    assert_true(pins_disk_bytes(&p) >= 2 * 512);
    assert_true(holds(&p, 2) && !holds(&p, 3) && holds(&p, 5) && holds(&p, 14) && !holds(&p, 15));
    const struct pin *second = pins_find(&p, "base/os@2");
    struct chunk_key five = key_of(5);
    assert_false(pins_hold_besides(&p, chunk_key_hash(&five), second));
    assert_int_equal(pins_remove(&p, "base/os@2").code, ALB_OK);
    assert_int_equal(pins_remove(&p, "base/os@2").code, ALB_NOT_FOUND);
    assert_false(holds(&p, 5));
    pins_release(&p);
    assert_int_equal(pins_open(&p, tmp->path).code, ALB_OK);
    assert_int_equal(p.count, 1);
    pins_release(&p);
    tmpdir_close(tmp);
}

static void a_damaged_pin_is_set_aside_and_the_others_stay(void **state)
{
    struct tmpdir *tmp = tmpdir_open();
    struct pins p;
    size_t size;
    (void)state;
    assert_int_equal(pins_open(&p, tmp->path).code, ALB_OK);
    put(&p, "a@1", 0, 10, 1000);
    pins_release(&p);
    char *name = only_file(tmp);
    uint8_t *bytes = tmpdir_read(tmp, name, &size);
    bytes[size - 1] ^= 1;
    tmpdir_write(tmp, name, bytes, size);
    assert_int_equal(pins_open(&p, tmp->path).code, ALB_OK);
    assert_int_equal(p.count, 0);
    put(&p, "b@1", 0, 10, 1000);
    pins_release(&p);
    assert_int_equal(pins_open(&p, tmp->path).code, ALB_OK);
    assert_int_equal(p.count, 1);
    pins_release(&p);
    free(bytes);
    free(name);
    tmpdir_close(tmp);
}

static void a_pin_of_a_newer_version_is_left_alone(void **state)
{
    struct tmpdir *tmp = tmpdir_open();
    struct pins p;
    (void)state;
    tmpdir_write(tmp, "0123456789abcdef.pin", "ALBPIN02 whatever", 17);
    assert_int_equal(pins_open(&p, tmp->path).code, ALB_INVALID);
    pins_release(&p);
    tmpdir_close(tmp);
}

static void names_and_numbers_have_bounds(void **state)
{
    struct tmpdir *tmp = tmpdir_open();
    struct pins p;
    char name[300];
    (void)state;
    memset(name, 'a', sizeof name);
    name[256] = '\0';
    assert_int_equal(pins_open(&p, tmp->path).code, ALB_OK);
    assert_int_equal(pins_put(&p, "", NULL, 0, 0).code, ALB_INVALID);
    assert_int_equal(pins_put(&p, name, NULL, 0, 0).code, ALB_INVALID);
    for (unsigned n = 0; n < PINS_MAX; n++) {
        (void)snprintf(name, sizeof name, "x@%u", n);
        put(&p, name, n, 1, 1);
    }
    assert_int_equal(pins_put(&p, "y@1", NULL, 0, 0).code, ALB_FULL);
    put(&p, "x@1", 0, 2, 2); /* in place of another there is room */
    pins_release(&p);
    tmpdir_close(tmp);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_is_golden),
        cmocka_unit_test(pins_outlive_a_restart_and_are_replaced_by_name),
        cmocka_unit_test(a_damaged_pin_is_set_aside_and_the_others_stay),
        cmocka_unit_test(a_pin_of_a_newer_version_is_left_alone),
        cmocka_unit_test(names_and_numbers_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
