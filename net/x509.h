/* SPDX-License-Identifier: Apache-2.0 */
/* net/x509.h – the hub's CA, the certificates it signs, and the requests they come from.
 *
 * Keys are ECDSA P-256 (TLS identity; signing keys for content are Ed25519 and live elsewhere).
 * All texts are PEM, heap, the caller's.  The names in a request are ignored: identity is what the
 * hub decides, in one URI SAN.
 */
#pragma once

#include "base/key.h"
#include "net/identity.h"

ALB_MUST_USE struct alb_status x509_make_key(char **out_key_pem);
/* A self-signed CA for `org`, valid 20 years from `now_wall_s`. */
ALB_MUST_USE struct alb_status x509_make_ca(const char *org, int64_t now_wall_s, char **out_key_pem,
                                            char **out_certificate_pem);
ALB_MUST_USE struct alb_status x509_make_request(const char *key_pem, char **out_csr_pem);

struct x509_issue {
    const char *ca_key_pem;
    const char *ca_certificate_pem;
    const char *csr_pem;        /* its signature is checked: CORRUPT                     */
    const struct identity *who; /* role, org, device                                     */
    int64_t now_wall_s;
    int64_t lifetime_s;
};
/* `out_serial` (SERIAL_HEX_SIZE) receives the serial, 16 random bytes. */
ALB_MUST_USE struct alb_status x509_issue(const struct x509_issue *issue,
                                          char **out_certificate_pem, char *out_serial);
/* Is the first certificate in `certificate_pem` signed by that CA, and the CA by itself?  CORRUPT:
 * a byte of one of them is not what was signed, or they do not belong together. */
ALB_MUST_USE struct alb_status x509_check_signed(const char *certificate_pem, const char *ca_pem);
/* SHA-256 of the certificate's SubjectPublicKeyInfo (DER): the pin. */
ALB_MUST_USE struct alb_status x509_pin(const char *certificate_pem, struct digest *out);
/* The same of the key that a request is for, once the request's signature has proved it:
 * CORRUPT. */
ALB_MUST_USE struct alb_status x509_request_pin(const char *csr_pem, struct digest *out);
/* When to ask for the next certificate: two thirds of this one's life are over. */
ALB_MUST_USE struct alb_status x509_renew_at(const char *certificate_pem, int64_t *out_wall_s);
ALB_MUST_USE struct alb_status x509_identity(const char *certificate_pem, struct identity *out);
