/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/net/test_x509.c – the CA, requests, certificates, and the refusals on the way. */
#include "net/x509.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const int64_t NOW = 1790000000;
static const int64_t DAY = 24 * 3600;

struct ca {
    char *key, *certificate;
};

static int make_ca(void **state)
{
    struct ca *ca = xalloc(sizeof(*ca));

    assert_false(alb_failed(x509_make_ca("acme", NOW, &ca->key, &ca->certificate)));
    *state = ca;
    return 0;
}
static int drop_ca(void **state)
{
    struct ca *ca = *state;

    free(ca->key);
    free(ca->certificate);
    free(ca);
    return 0;
}

static char *make_request(void)
{
    AUTO_FREE char *key = NULL;
    char *csr = NULL;

    assert_false(alb_failed(x509_make_key(&key)));
    assert_false(alb_failed(x509_make_request(key, &csr)));
    return csr;
}

static struct alb_status issue(const struct ca *ca, const char *csr, const struct identity *who,
                               int64_t lifetime_s, char **out, char *serial)
{
    const struct x509_issue i = {.ca_key_pem = ca->key,
                                 .ca_certificate_pem = ca->certificate,
                                 .csr_pem = csr,
                                 .who = who,
                                 .now_wall_s = NOW,
                                 .lifetime_s = lifetime_s};

    return x509_issue(&i, out, serial);
}

static const struct identity pc = {.role = ROLE_ENDPOINT, .org = "acme", .device = "pc-7"};

static void an_issued_certificate_says_who_holds_it(void **state)
{
    AUTO_FREE char *csr = make_request();
    AUTO_FREE char *pem = NULL;
    char serial[SERIAL_HEX_SIZE] = "";
    struct identity id = {.role = ROLE_NONE};

    assert_false(alb_failed(issue(*state, csr, &pc, 30 * DAY, &pem, serial)));
    assert_false(alb_failed(x509_identity(pem, &id)));
    assert_int_equal(id.role, ROLE_ENDPOINT);
    assert_string_equal(id.org, "acme");
    assert_string_equal(id.device, "pc-7");
    assert_string_equal(id.serial, serial);
    assert_int_equal(strlen(serial), 32);
    assert_int_equal(id.expires_wall_s, NOW + 30 * DAY);
}

static void two_certificates_have_two_serials(void **state)
{
    AUTO_FREE char *csr = make_request();
    AUTO_FREE char *one = NULL;
    AUTO_FREE char *two = NULL;
    char first[SERIAL_HEX_SIZE] = "";
    char second[SERIAL_HEX_SIZE] = "";

    assert_false(alb_failed(issue(*state, csr, &pc, DAY, &one, first)));
    assert_false(alb_failed(issue(*state, csr, &pc, DAY, &two, second)));
    assert_string_not_equal(first, second);
}

static void a_certificate_does_not_outlive_its_ca(void **state)
{
    AUTO_FREE char *csr = make_request();
    AUTO_FREE char *pem = NULL;
    char serial[SERIAL_HEX_SIZE];
    struct identity id;

    assert_false(alb_failed(issue(*state, csr, &pc, 100 * 365 * DAY, &pem, serial)));
    assert_false(alb_failed(x509_identity(pem, &id)));
    assert_int_equal(id.expires_wall_s, NOW + 20 * 365 * DAY);
}

/* The signature is the last thing in the request: change one of its base64 characters. */
static void a_request_with_a_wrong_signature_is_corrupt(void **state)
{
    AUTO_FREE char *csr = make_request();
    char *end = strstr(csr, "\n-----END");
    AUTO_FREE char *pem = NULL;
    char serial[SERIAL_HEX_SIZE] = "untouched";

    assert_non_null(end);
    char *victim = end - 8;
    while (*victim == '\n')
        victim--;
    *victim = *victim == 'A' ? 'B' : 'A';
    assert_int_equal(issue(*state, csr, &pc, DAY, &pem, serial).code, ALB_CORRUPT);
    assert_null(pem);
    assert_string_equal(serial, "untouched");
}

static void what_is_no_request_is_invalid(void **state)
{
    const struct ca *ca = *state;
    AUTO_FREE char *pem = NULL;
    char serial[SERIAL_HEX_SIZE];

    assert_int_equal(issue(ca, "", &pc, DAY, &pem, serial).code, ALB_INVALID);
    assert_int_equal(issue(ca, "hello", &pc, DAY, &pem, serial).code, ALB_INVALID);
    assert_int_equal(issue(ca, ca->certificate, &pc, DAY, &pem, serial).code, ALB_INVALID);
}

static void an_identity_that_would_not_read_back_is_not_signed(void **state)
{
    static const struct identity bad[] = {
        {.role = ROLE_NONE, .org = "acme", .device = "pc"},
        {.role = ROLE_HUB, .org = "acme", .device = "pc,URI:albedo://acme/admin/x"},
        {.role = ROLE_HUB, .org = "acme/hub", .device = "pc"},
        {.role = ROLE_HUB, .org = "acme", .device = ""},
    };
    AUTO_FREE char *csr = make_request();
    AUTO_FREE char *pem = NULL;
    char serial[SERIAL_HEX_SIZE];

    for (size_t i = 0; i < ALB_COUNT(bad); i++)
        assert_int_equal(issue(*state, csr, &bad[i], DAY, &pem, serial).code, ALB_INVALID);
}

static void a_ca_whose_key_is_not_its_own_signs_nothing(void **state)
{
    struct ca mixed = *(const struct ca *)*state;
    AUTO_FREE char *csr = make_request();
    AUTO_FREE char *key = NULL;
    AUTO_FREE char *pem = NULL;
    char serial[SERIAL_HEX_SIZE];

    assert_false(alb_failed(x509_make_key(&key)));
    mixed.key = key;
    assert_int_equal(issue(&mixed, csr, &pc, DAY, &pem, serial).code, ALB_INVALID);
}

static void the_pin_is_of_the_key_and_tells_cas_apart(void **state)
{
    const struct ca *ca = *state;
    AUTO_FREE char *key = NULL;
    AUTO_FREE char *other = NULL;
    struct digest a;
    struct digest again;
    struct digest b;

    assert_false(alb_failed(x509_make_ca("acme", NOW, &key, &other)));
    assert_false(alb_failed(x509_pin(ca->certificate, &a)));
    assert_false(alb_failed(x509_pin(ca->certificate, &again)));
    assert_false(alb_failed(x509_pin(other, &b)));
    assert_true(digest_equal(&a, &again));
    assert_false(digest_equal(&a, &b));
}

static void a_ca_names_no_identity_and_a_bad_name_makes_no_ca(void **state)
{
    const struct ca *ca = *state;
    AUTO_FREE char *key = NULL;
    AUTO_FREE char *certificate = NULL;
    struct identity id;
    struct digest pin;

    assert_int_equal(x509_identity(ca->certificate, &id).code, ALB_INVALID);
    assert_int_equal(x509_identity("nonsense", &id).code, ALB_INVALID);
    assert_int_equal(x509_pin("nonsense", &pin).code, ALB_INVALID);
    assert_int_equal(x509_make_ca("Acme Inc.", NOW, &key, &certificate).code, ALB_INVALID);
    assert_int_equal(x509_make_request("nonsense", &key).code, ALB_INVALID);
}

static void a_requests_pin_is_its_certificates(void **state)
{
    AUTO_FREE char *csr = make_request();
    AUTO_FREE char *other = make_request();
    AUTO_FREE char *pem = NULL;
    char serial[SERIAL_HEX_SIZE];
    struct digest of_request, of_certificate, of_other;

    assert_false(alb_failed(issue(*state, csr, &pc, DAY, &pem, serial)));
    assert_false(alb_failed(x509_request_pin(csr, &of_request)));
    assert_false(alb_failed(x509_request_pin(other, &of_other)));
    assert_false(alb_failed(x509_pin(pem, &of_certificate)));
    assert_true(digest_equal(&of_request, &of_certificate));
    assert_false(digest_equal(&of_other, &of_certificate));
    assert_int_equal(x509_request_pin("nonsense", &of_other).code, ALB_INVALID);
    *(strstr(csr, "\n-----END") - 8) ^= 1;
    assert_true(alb_failed(x509_request_pin(csr, &of_request)));
}

static void it_is_time_to_renew_when_two_thirds_are_over(void **state)
{
    AUTO_FREE char *csr = make_request();
    AUTO_FREE char *pem = NULL;
    char serial[SERIAL_HEX_SIZE];
    int64_t at = 0;

    assert_false(alb_failed(issue(*state, csr, &pc, 30 * DAY, &pem, serial)));
    assert_false(alb_failed(x509_renew_at(pem, &at)));
    assert_in_range(at, NOW + 20 * DAY - 3600, NOW + 20 * DAY);
    assert_int_equal(x509_renew_at("nonsense", &at).code, ALB_INVALID);
}

#define WITH_A_CA(test) cmocka_unit_test_setup_teardown(test, make_ca, drop_ca)

static void a_certificate_with_another_byte_is_no_longer_signed(void **state)
{
    const struct ca *ca = *state;
    const struct identity who = {.org = "acme", .role = ROLE_ENDPOINT, .device = "pc-7"};
    AUTO_FREE char *csr = make_request();
    AUTO_FREE char *pem = NULL, *other_key = NULL, *other = NULL;
    char serial[SERIAL_HEX_SIZE];

    assert_false(alb_failed(issue(ca, csr, &who, DAY, &pem, serial)));
    assert_false(alb_failed(x509_check_signed(pem, ca->certificate)));
    assert_false(alb_failed(x509_check_signed(ca->certificate, ca->certificate)));
    assert_false(alb_failed(x509_make_ca("acme", NOW, &other_key, &other)));
    assert_int_equal(x509_check_signed(pem, other).code, ALB_CORRUPT);
    assert_int_equal(x509_check_signed("nonsense", ca->certificate).code, ALB_CORRUPT);
    for (size_t line = 1; line < 5; line++) {
        char *at = pem + line * 65;
        const char was = *at;
        *at = was == 'A' ? 'B' : 'A';
        assert_int_equal(x509_check_signed(pem, ca->certificate).code, ALB_CORRUPT);
        *at = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_CA(an_issued_certificate_says_who_holds_it),
        WITH_A_CA(two_certificates_have_two_serials),
        WITH_A_CA(a_certificate_does_not_outlive_its_ca),
        WITH_A_CA(a_request_with_a_wrong_signature_is_corrupt),
        WITH_A_CA(what_is_no_request_is_invalid),
        WITH_A_CA(an_identity_that_would_not_read_back_is_not_signed),
        WITH_A_CA(a_ca_whose_key_is_not_its_own_signs_nothing),
        WITH_A_CA(the_pin_is_of_the_key_and_tells_cas_apart),
        WITH_A_CA(a_ca_names_no_identity_and_a_bad_name_makes_no_ca),
        WITH_A_CA(a_requests_pin_is_its_certificates),
        WITH_A_CA(it_is_time_to_renew_when_two_thirds_are_over),
        WITH_A_CA(a_certificate_with_another_byte_is_no_longer_signed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
