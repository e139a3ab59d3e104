/* SPDX-License-Identifier: Apache-2.0 */
/* support/tls_pair.h – the two ends of a TLS connection: a hub with a certificate, and a stranger
 * who knows its CA. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "net/tls.h"
#include "net/x509.h"

/* Both are the caller's, to be freed as any tls_context. */
static inline void tls_pair_make(struct tls_context **server, struct tls_context **dialler)
{
    const struct identity hub = {.role = ROLE_HUB, .org = "acme", .device = "hub-1"};
    AUTO_FREE char *ca_key = NULL;
    AUTO_FREE char *ca = NULL;
    AUTO_FREE char *key = NULL;
    AUTO_FREE char *csr = NULL;
    AUTO_FREE char *certificate = NULL;
    char serial[SERIAL_HEX_SIZE];
    int64_t now_s = time(NULL);

    assert_false(alb_failed(x509_make_ca("acme", now_s, &ca_key, &ca)));
    assert_false(alb_failed(x509_make_key(&key)));
    assert_false(alb_failed(x509_make_request(key, &csr)));
    const struct x509_issue issue = {ca_key, ca, csr, &hub, now_s, 3600};
    assert_false(alb_failed(x509_issue(&issue, &certificate, serial)));
    const struct tls_options served = {
        .ca_pem = ca, .certificate_pem = certificate, .key_pem = key, .is_server = true};
    const struct tls_options dialled = {.ca_pem = ca};
    assert_false(alb_failed(tls_context_new(&served, server)));
    assert_false(alb_failed(tls_context_new(&dialled, dialler)));
}
