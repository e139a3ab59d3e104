/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_impl.h – TLS as OpenSSL's objects, for tls*.c, loop_event.c and stream_*.c alone.
 */
#pragma once

#include <openssl/ssl.h>
#include <sys/types.h>

#include "net/tls.h"

/* What verification made of the other side's certificate; lives as long as its SSL. */
struct tls_verdict {
    struct alb_status status;
    struct identity peer; /* ROLE_NONE until a certificate was accepted */
};

/* Where TLS puts the records it has sealed.  Like send(): how many bytes were taken, or -1 and
 * errno. */
struct tls_outlet {
    ssize_t (*put)(void *arg, const void *bytes, size_t size);
    void *arg;
};

/* What every outlet of a loop is made with; outlives them. */
struct bio_method_st *tls_outlet_method_new(void);
void tls_outlet_method_free(struct bio_method_st *method);
/* Borrows `outlet`; NULL: no memory. */
BIO *tls_outlet_bio(const struct bio_method_st *method, struct tls_outlet *outlet);

/* One end of a connection that reads from the socket `fd`, which stays the caller's, and writes to
 * `out`, which is taken (may be NULL).  NULL: no memory. */
SSL *tls_connection_new(struct tls_context *t, int fd, BIO *out, struct tls_verdict *verdict);
/* After the handshake: HTTP/2 was agreed on, or why not. */
ALB_MUST_USE struct alb_status tls_check_protocol(const SSL *ssl);

/* Why did this call fail?  `ssl_error` is what SSL_get_error() said, `sys` the errno after it.
 * Empties OpenSSL's error queue. */
struct alb_status tls_failure(const struct tls_verdict *verdict, int ssl_error, int sys);
/* What an operator needs to know about X509_V_ERR_… `error` of a `server's` or client's chain. */
struct alb_status tls_chain_failure(int error, bool is_servers);
