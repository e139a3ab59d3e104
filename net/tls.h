/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls.h – TLS 1.3 contexts for the two ports; no session tickets, ALPN "h2".
 *
 * Tree port: the server asks for a client certificate without demanding one; a certificate shown
 * must chain to the CA and carry one URI SAN (net/identity.h).  A dialler accepts only a server
 * whose certificate chains to the pinned CA and whose role is hub or reflector; DNS names carry no
 * authority.
 */
#pragma once

#include "base/key.h"
#include "net/identity.h"

struct tls_context;

struct tls_options {
    const char *ca_pem; /* trusted CA certificate(s); NULL with `ca_pin`              */
    const struct digest
        *ca_pin; /* enrolment: SHA-256 of the CA's SubjectPublicKeyInfo, which must be
                                    in the chain the server sends                              */
    const char *certificate_pem; /* own certificate, then the CA's; NULL: none (enrolment)     */
    const char *key_pem;
    bool is_server;
    bool ask_client_certificate; /* server: tree port yes, admin port no                      */
};

/* INVALID when a PEM does not parse or key and certificate do not match. */
ALB_MUST_USE struct alb_status tls_context_new(const struct tls_options *options,
                                               struct tls_context **out);
/* Show this certificate (then the CA's) from the next handshake on; connections that are up keep
 * the one they have.  INVALID, and nothing has changed: it is none, or not for the context's key.
 */
ALB_MUST_USE struct alb_status tls_context_use_certificate(struct tls_context *t,
                                                           const char *certificate_pem);
/* Judge certificates by this time while the clock is behind it: DESIGN's floor of trusted time, for
 * machines whose clock forgets.  NULL is fine. */
void tls_context_floor(struct tls_context *t, int64_t wall_s);
struct tls_context *tls_context_free(struct tls_context *t);
