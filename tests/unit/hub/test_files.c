/* SPDX-License-Identifier: Apache-2.0 */
/* unit/hub/test_files.c – a hub's keys on disk, and the certificates made from them. */
#include "hub/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/tmpdir.h"

static const int64_t NOW = 1790000000;

static void keys_are_read_as_they_were_made_and_certify_again(void **state)
{
    struct tmpdir *tmp = tmpdir_open();
    struct hub_keys made, other, read;
    struct tls_context *tls = NULL;
    const char *file = "";

    (void)state;
    assert_false(alb_failed(hub_keys_make(tmp->path, "acme", NOW, &made)));
    assert_false(alb_failed(hub_keys_read(tmp->path, &read, &file)));
    assert_string_equal(made.tls_key_pem, read.tls_key_pem);
    assert_memory_equal(&made.online, &read.online, sizeof made.online);
    assert_false(alb_failed(hub_keys_tls(&read, "acme", NOW, true, &tls)));
    assert_false(alb_failed(hub_keys_renew(&read, "acme", NOW + HUB_TLS_RENEW_S, tls)));

    /* The context is for one key. */
    assert_false(alb_failed(hub_keys_make(tmp->path, "acme", NOW, &other)));
    assert_int_equal(hub_keys_renew(&other, "acme", NOW, tls).code, ALB_INVALID);
    tls_context_free(tls);
    hub_keys_release(&made);
    hub_keys_release(&other);
    hub_keys_release(&read);
    tmpdir_close(tmp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_read_as_they_were_made_and_certify_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
