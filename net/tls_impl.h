/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_impl.h – TLS as OpenSSL's objects, for tls.c, tls_failure.c and stream_event.c alone.
 */
#pragma once

#include <openssl/ssl.h>

#include "net/tls.h"

/* What verification made of the other side's certificate; lives as long as its SSL. */
struct tls_verdict {
    struct alb_status status;
    struct identity peer; /* ROLE_NONE until a certificate was accepted */
};

/* One end of a connection over the socket `fd`, which stays the caller's; NULL: no memory. */
SSL *tls_connection_new(struct tls_context *t, int fd, struct tls_verdict *verdict);
/* After the handshake: HTTP/2 was agreed on, or why not. */
ALB_MUST_USE struct alb_status tls_check_protocol(const SSL *ssl);

/* Why did this call fail?  `ssl_error` is what SSL_get_error() said, `sys` the errno after it.
 * Empties OpenSSL's error queue. */
struct alb_status tls_failure(const struct tls_verdict *verdict, int ssl_error, int sys);
/* What an operator needs to know about X509_V_ERR_… `error` of a `server's` or client's chain. */
struct alb_status tls_chain_failure(int error, bool is_servers);
