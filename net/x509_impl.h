/* SPDX-License-Identifier: Apache-2.0 */
/* net/x509_impl.h – certificates as OpenSSL's objects, for x509.c and tls.c alone.
 */
#pragma once

#include <openssl/x509.h>

#include "net/x509.h"

/* The first certificate of a PEM text, the caller's; NULL when there is none. */
X509 *x509_parse(const char *pem);
/* All of them, the caller's (sk_X509_pop_free); NULL when there is none or one does not parse. */
STACK_OF(X509) * x509_parse_all(const char *pem);
/* Never asks anybody for a pass phrase: an encrypted key does not parse. */
EVP_PKEY *x509_parse_key(const char *pem);
/* Role, names, serial and expiry; INVALID unless there is exactly one URI among its names. */
ALB_MUST_USE struct alb_status x509_read_identity(const X509 *certificate, struct identity *out);
void x509_read_pin(const X509 *certificate, struct digest *out);
