/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls.c – TLS contexts, and who is accepted as the other side. */
#include "net/tls_impl.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "net/x509_impl.h"

struct tls_context {
    SSL_CTX *ctx;
    bool is_server;
    bool has_pin;
    struct digest ca_pin;
    int64_t floor_wall_s; /* of trusted time; 0: the clock is believed */
};

enum { CHAIN_MAX_SIZE = 16 << 10 /* bytes of certificates believed; ours are about 1.3 KiB */ };

static const unsigned char alpn_h2[] = {2, 'h', '2'};

/* ---- verification ---------------------------------------------------------------------------- */

/* The certificate among those sent whose key is the pinned one. */
static X509 *find_pinned(X509_STORE_CTX *store, const struct digest *pin)
{
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);

    for (int i = 0; i < sk_X509_num(sent); i++) {
        struct digest found;

        x509_read_pin(sk_X509_value(sent, i), &found);
        if (digest_equal(&found, pin))
            return sk_X509_value(sent, i);
    }
    return NULL;
}

static struct alb_status check_chain(const struct tls_context *t, X509_STORE_CTX *store)
{
    STACK_OF(X509) *trusted = NULL;

    if (t->has_pin) {
        X509 *ca = find_pinned(store, &t->ca_pin);

        if (ca == NULL)
            return alb_fail(ALB_REFUSED, "the server's CA is not the one that the token names");
        trusted = sk_X509_new_null();
        alb_assert(trusted != NULL && sk_X509_push(trusted, ca) > 0);
        X509_STORE_CTX_set0_trusted_stack(store, trusted);
    }
    if ((int64_t)time(NULL) < t->floor_wall_s)
        X509_STORE_CTX_set_time(store, 0, (time_t)t->floor_wall_s);
    bool ok = X509_verify_cert(store) == 1;
    sk_X509_free(trusted); /* the certificates in it were borrowed */
    return ok ? ALB_STATUS_OK : tls_chain_failure(X509_STORE_CTX_get_error(store), !t->is_server);
}

static struct alb_status check_identity(const struct tls_context *t, X509_STORE_CTX *store,
                                        struct identity *out)
{
    struct identity peer = {.role = ROLE_NONE};
    struct alb_status st = x509_read_identity(X509_STORE_CTX_get0_cert(store), &peer);

    if (alb_failed(st))
        return (struct alb_status){ALB_REFUSED, 0, st.what};
    if (!t->is_server && peer.role != ROLE_HUB && peer.role != ROLE_REFLECTOR)
        return alb_fail(ALB_REFUSED,
                        "the other side is of this organisation, but no hub and no reflector");
    /* A token's secret is for the hub alone: a stolen reflector must not collect them. */
    if (t->has_pin && peer.role != ROLE_HUB)
        return alb_fail(ALB_REFUSED, "a token is shown to the hub only, and this is no hub: give "
                                     "the hub's own address");
    *out = peer;
    return ALB_STATUS_OK;
}

/* Takes the place of OpenSSL's own verification; 1 accepts. */
static int verify(X509_STORE_CTX *store, void *arg)
{
    const struct tls_context *t = arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_verdict *verdict = SSL_get_app_data(ssl);

    verdict->status = check_chain(t, store);
    if (!alb_failed(verdict->status))
        verdict->status = check_identity(t, store, &verdict->peer);
    if (!alb_failed(verdict->status))
        return 1;
    if (X509_STORE_CTX_get_error(store) == X509_V_OK)
        X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED); /* becomes the alert */
    return 0;
}

/* ---- contexts -------------------------------------------------------------------------------- */

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                     const unsigned char *offered, unsigned offered_size, void *arg)
{
    unsigned char *chosen = NULL;

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_size, alpn_h2, sizeof(alpn_h2), offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* No resumption in any form: a resumed session would not show its certificate again, and a revoked
 * one must not slip in that way. */
static void set_rules(SSL_CTX *ctx, bool is_server)
{
    alb_assert(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    alb_assert(SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1);
    /* AES-128 first: safe enough for all we know, and four rounds fewer for every block served. */
    alb_assert(SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:"
                                             "TLS_AES_256_GCM_SHA384") == 1);
    SSL_CTX_set_options(ctx,
                        SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record in one read, not header and body in two */
    SSL_CTX_set_max_cert_list(ctx, CHAIN_MAX_SIZE);
    if (is_server)
        SSL_CTX_set_alpn_select_cb(ctx, choose_h2, NULL);
    else
        alb_assert(SSL_CTX_set_alpn_protos(ctx, alpn_h2, sizeof(alpn_h2)) == 0);
}

static struct alb_status use_ca(SSL_CTX *ctx, const char *pem)
{
    STACK_OF(X509) *all = x509_parse_all(pem);

    if (all == NULL)
        return alb_fail(ALB_INVALID, "the CA: not a PEM certificate");
    for (int i = 0; i < sk_X509_num(all); i++)
        alb_assert(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), sk_X509_value(all, i)) == 1);
    sk_X509_pop_free(all, X509_free);
    return ALB_STATUS_OK;
}

/* The first certificate is our own, the others are sent with it. */
static bool use_chain(SSL_CTX *ctx, STACK_OF(X509) * chain)
{
    if (SSL_CTX_use_certificate(ctx, sk_X509_value(chain, 0)) != 1)
        return false;
    for (int i = 1; i < sk_X509_num(chain); i++)
        if (SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i)) != 1)
            return false;
    return true;
}

static struct alb_status use_own(SSL_CTX *ctx, const struct tls_options *options)
{
    STACK_OF(X509) *chain = x509_parse_all(options->certificate_pem);
    if (chain == NULL)
        return alb_fail(ALB_INVALID, "the own certificate: not a PEM certificate");
    bool ok = use_chain(ctx, chain);
    sk_X509_pop_free(chain, X509_free);
    if (!ok)
        return alb_fail(ALB_INVALID, "the own certificate: TLS cannot use it");

    EVP_PKEY *key = options->key_pem == NULL ? NULL : x509_parse_key(options->key_pem);
    if (key == NULL)
        return alb_fail(ALB_INVALID, "the private key: not an unencrypted PEM key");
    ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    if (!ok)
        return alb_fail(ALB_INVALID, "the private key: it does not belong to the certificate");
    return ALB_STATUS_OK;
}

static struct alb_status fill_context(struct tls_context *t, const struct tls_options *options)
{
    struct alb_status st = ALB_STATUS_OK;
    bool verifies = !options->is_server || options->ask_client_certificate;

    if (verifies && options->ca_pem == NULL && (options->ca_pin == NULL || options->is_server))
        return alb_fail(ALB_INVALID, "TLS: there is no CA to verify the other side with");
    if (options->is_server && options->certificate_pem == NULL)
        return alb_fail(ALB_INVALID, "TLS: a server needs a certificate");
    set_rules(t->ctx, options->is_server);
    if (options->ca_pem != NULL)
        st = use_ca(t->ctx, options->ca_pem);
    if (!alb_failed(st) && options->certificate_pem != NULL)
        st = use_own(t->ctx, options);
    if (verifies) {
        SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(t->ctx, verify, t);
    }
    return st;
}

struct alb_status tls_context_new(const struct tls_options *options, struct tls_context **out)
{
    struct tls_context *t = xalloc(sizeof(*t));

    ERR_clear_error();
    t->is_server = options->is_server;
    t->has_pin = options->ca_pem == NULL && options->ca_pin != NULL;
    if (t->has_pin)
        t->ca_pin = *options->ca_pin;
    t->ctx = SSL_CTX_new(options->is_server ? TLS_server_method() : TLS_client_method());
    alb_assert(t->ctx != NULL);
    struct alb_status st = fill_context(t, options);
    ERR_clear_error();
    if (alb_failed(st)) {
        tls_context_free(t);
        return st;
    }
    *out = t;
    return ALB_STATUS_OK;
}

static bool renew_chain(SSL_CTX *ctx, STACK_OF(X509) * chain)
{
    EVP_PKEY *key = SSL_CTX_get0_privatekey(ctx);

    return key != NULL && X509_check_private_key(sk_X509_value(chain, 0), key) == 1 &&
           SSL_CTX_clear_chain_certs(ctx) == 1 && use_chain(ctx, chain);
}

struct alb_status tls_context_use_certificate(struct tls_context *t, const char *certificate_pem)
{
    STACK_OF(X509) *chain = x509_parse_all(certificate_pem);

    if (chain == NULL)
        return alb_fail(ALB_INVALID, "the new certificate: not a PEM certificate");
    bool ok = renew_chain(t->ctx, chain);
    sk_X509_pop_free(chain, X509_free);
    ERR_clear_error();
    return ok ? ALB_STATUS_OK
              : alb_fail(ALB_INVALID, "the new certificate: it is not for the key in use");
}

void tls_context_floor(struct tls_context *t, int64_t wall_s)
{
    if (t != NULL)
        t->floor_wall_s = wall_s;
}

struct tls_context *tls_context_free(struct tls_context *t)
{
    if (t != NULL)
        SSL_CTX_free(t->ctx);
    free(t);
    return NULL;
}

/* ---- connections ----------------------------------------------------------------------------- */

SSL *tls_connection_new(struct tls_context *t, int fd, BIO *out, struct tls_verdict *verdict)
{
    ERR_clear_error();
    BIO *in = BIO_new_socket(fd, BIO_NOCLOSE);
    SSL *ssl = SSL_new(t->ctx);

    *verdict = (struct tls_verdict){.status = ALB_STATUS_OK, .peer = {.role = ROLE_NONE}};
    if (ssl == NULL || in == NULL || out == NULL) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return NULL;
    }
    SSL_set_bio(ssl, in, out);
    SSL_set_app_data(ssl, verdict);
    if (t->is_server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    return ssl;
}

struct alb_status tls_check_protocol(const SSL *ssl)
{
    const unsigned char *chosen = NULL;
    unsigned size = 0;

    SSL_get0_alpn_selected(ssl, &chosen, &size);
    if (size != 2 || memcmp(chosen, "h2", 2) != 0)
        return alb_fail(ALB_REFUSED, "the other side does not speak HTTP/2 (ALPN h2)");
    return ALB_STATUS_OK;
}
