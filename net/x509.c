/* SPDX-License-Identifier: Apache-2.0 */
/* net/x509.c – makes and reads keys, requests and certificates. */
#include "net/x509_impl.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/crypto.h"
#include "base/units.h"

enum {
    SERIAL_SIZE = 16,     /* 127 random bits: nobody meets one twice or guesses the next   */
    CA_YEARS = 20,        /* outlives the boxes; the trust file can replace it before that */
    CLOCK_SLACK_S = 3600, /* a joiner's clock may be this much behind the hub's         */
    URI_SIZE = 256,
};
static const int64_t CA_LIFETIME_S = (int64_t)CA_YEARS * 365 * 24 * 3600;

static void key_release(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}
static void certificate_release(X509 **c)
{
    X509_free(*c);
}
static void request_release(X509_REQ **r)
{
    X509_REQ_free(*r);
}
static void bio_release(BIO **b)
{
    BIO_free(*b);
}
#define AUTO_KEY ALB_AUTO(key_release) EVP_PKEY
#define AUTO_CERTIFICATE ALB_AUTO(certificate_release) X509
#define AUTO_REQUEST ALB_AUTO(request_release) X509_REQ
#define AUTO_BIO ALB_AUTO(bio_release) BIO

/* ---- PEM texts ------------------------------------------------------------------------------- */

static BIO *pem_open(const char *pem)
{
    size_t length = strlen(pem);

    ERR_clear_error();
    return length > INT_MAX ? NULL : BIO_new_mem_buf(pem, (int)length);
}

X509 *x509_parse(const char *pem)
{
    AUTO_BIO *in = pem_open(pem);

    return in == NULL ? NULL : PEM_read_bio_X509(in, NULL, NULL, NULL);
}

STACK_OF(X509) * x509_parse_all(const char *pem)
{
    AUTO_BIO *in = pem_open(pem);
    STACK_OF(X509) *all = sk_X509_new_null();
    X509 *one = NULL;

    if (in == NULL || all == NULL)
        alb_abort(__FILE__, __LINE__, "no memory for certificates");
    while ((one = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL)
        if (sk_X509_push(all, one) <= 0)
            alb_abort(__FILE__, __LINE__, "no memory for certificates");
    /* "No further PEM object" is the regular end, anything else a broken one. */
    bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (is_end && sk_X509_num(all) > 0)
        return all;
    sk_X509_pop_free(all, X509_free);
    return NULL;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL says what it takes */
static int no_pass_phrase(char *out, int size, int is_writing, void *arg)
{
    (void)out;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1;
}

EVP_PKEY *x509_parse_key(const char *pem)
{
    AUTO_BIO *in = pem_open(pem);

    return in == NULL ? NULL : PEM_read_bio_PrivateKey(in, NULL, no_pass_phrase, NULL);
}

static char *bio_text(BIO *out)
{
    char *text = NULL;
    long size = BIO_get_mem_data(out, &text);

    return xstrndup(text, (size_t)size);
}

static char *key_text(EVP_PKEY *key)
{
    /* Secure memory is zeroed when it is freed. */
    AUTO_BIO *out = BIO_new(BIO_s_secmem());

    alb_assert(out != NULL && PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
    return bio_text(out);
}

static char *certificate_text(X509 *certificate)
{
    AUTO_BIO *out = BIO_new(BIO_s_mem());

    alb_assert(out != NULL && PEM_write_bio_X509(out, certificate) == 1);
    return bio_text(out);
}

/* ---- keys and requests ----------------------------------------------------------------------- */

struct alb_status x509_make_key(char **out_key_pem)
{
    AUTO_KEY *key = EVP_EC_gen("P-256");

    if (key == NULL)
        return alb_fail(ALB_IO, "making a P-256 key");
    *out_key_pem = key_text(key);
    return ALB_STATUS_OK;
}

struct alb_status x509_make_request(const char *key_pem, char **out_csr_pem)
{
    AUTO_KEY *key = x509_parse_key(key_pem);
    AUTO_REQUEST *request = X509_REQ_new();
    AUTO_BIO *out = BIO_new(BIO_s_mem());

    if (key == NULL)
        return alb_fail(ALB_INVALID, "the private key: not an unencrypted PEM key");
    if (request == NULL || out == NULL || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_pubkey(request, key) != 1 || X509_REQ_sign(request, key, EVP_sha256()) <= 0 ||
        PEM_write_bio_X509_REQ(out, request) != 1)
        return alb_fail(ALB_IO, "making a certificate request");
    *out_csr_pem = bio_text(out);
    return ALB_STATUS_OK;
}

static bool is_p256(EVP_PKEY *key)
{
    char group[32] = "";

    return EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
           strcmp(group, SN_X9_62_prime256v1) == 0;
}

/* The public key that asks, after it proved that it holds the private one. */
static struct alb_status take_request_key(const char *csr_pem, EVP_PKEY **out)
{
    AUTO_BIO *in = pem_open(csr_pem);
    AUTO_REQUEST *request = in == NULL ? NULL : PEM_read_bio_X509_REQ(in, NULL, NULL, NULL);
    AUTO_KEY *key = request == NULL ? NULL : X509_REQ_get_pubkey(request);

    if (key == NULL)
        return alb_fail(ALB_INVALID, "the certificate request: not a PEM request");
    if (!is_p256(key))
        return alb_fail(ALB_INVALID, "the certificate request: its key is not ECDSA P-256");
    if (X509_REQ_verify(request, key) != 1)
        return alb_fail(ALB_CORRUPT, "the certificate request: its signature is wrong");
    *out = take_ptr(&key);
    return ALB_STATUS_OK;
}

/* ---- certificates ---------------------------------------------------------------------------- */

struct extension {
    int nid;
    const char *value;
};

static bool add_extensions(X509 *certificate, X509 *issuer, const struct extension *list,
                           size_t count)
{
    X509V3_CTX context;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    for (size_t i = 0; i < count; i++) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, list[i].nid, list[i].value);
        bool ok = e != NULL && X509_add_ext(certificate, e, -1) == 1;

        X509_EXTENSION_free(e);
        if (!ok)
            return false;
    }
    return true;
}

/* Positive and always of full length: the top bits are 01. */
static bool set_serial(X509 *certificate)
{
    uint8_t bytes[SERIAL_SIZE];

    random_bytes(bytes, sizeof(bytes));
    bytes[0] = (uint8_t)((bytes[0] & 0x3f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    bool ok =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;

    BN_free(number);
    return ok;
}

static bool add_name(X509_NAME *name, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, (const unsigned char *)value, -1,
                                      -1, 0) == 1;
}

/* A certificate with everything but issuer, extensions and signature. */
static X509 *begin_certificate(const char *org, const char *common_name, EVP_PKEY *key,
                               int64_t from_wall_s, int64_t until_wall_s)
{
    AUTO_CERTIFICATE *c = X509_new();

    if (c == NULL || X509_set_version(c, X509_VERSION_3) != 1 || !set_serial(c) ||
        ASN1_TIME_set(X509_getm_notBefore(c), from_wall_s) == NULL ||
        ASN1_TIME_set(X509_getm_notAfter(c), until_wall_s) == NULL ||
        X509_set_pubkey(c, key) != 1 || !add_name(X509_get_subject_name(c), "O", org) ||
        !add_name(X509_get_subject_name(c), "CN", common_name))
        return NULL;
    return take_ptr(&c);
}

struct alb_status x509_make_ca(const char *org, int64_t now_wall_s, char **out_key_pem,
                               char **out_certificate_pem)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
    };

    if (alb_failed(id_check(org)))
        return alb_fail(ALB_INVALID, "the organisation: it is no valid name (a-z, 0-9, '-')");
    AUTO_KEY *key = EVP_EC_gen("P-256");
    AUTO_CERTIFICATE *c = key == NULL
                              ? NULL
                              : begin_certificate(org, "Albedo CA", key, now_wall_s - CLOCK_SLACK_S,
                                                  now_wall_s + CA_LIFETIME_S);
    if (c == NULL || X509_set_issuer_name(c, X509_get_subject_name(c)) != 1 ||
        !add_extensions(c, c, extensions, ALB_COUNT(extensions)) ||
        X509_sign(c, key, EVP_sha256()) <= 0)
        return alb_fail(ALB_IO, "making the CA");
    *out_key_pem = key_text(key);
    *out_certificate_pem = certificate_text(c);
    return ALB_STATUS_OK;
}

static int64_t expiry_of(const X509 *certificate)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &tm) != 1)
        return 0;
    return timegm(&tm);
}

/* Issued for `who`, never outliving the CA. */
static X509 *make_leaf(const struct x509_issue *issue, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key)
{
    char uri[URI_SIZE];
    char alternative[URI_SIZE + 4];
    int64_t until_s = issue->now_wall_s + issue->lifetime_s;
    const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, "serverAuth,clientAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid:always"},
        {NID_subject_alt_name, alternative},
    };

    identity_format_uri(issue->who, uri, sizeof(uri));
    (void)snprintf(alternative, sizeof(alternative), "URI:%s", uri);
    if (until_s > expiry_of(ca))
        until_s = expiry_of(ca);
    AUTO_CERTIFICATE *c = begin_certificate(issue->who->org, issue->who->device, key,
                                            issue->now_wall_s - CLOCK_SLACK_S, until_s);
    if (c == NULL || X509_set_issuer_name(c, X509_get_subject_name(ca)) != 1 ||
        !add_extensions(c, ca, extensions, ALB_COUNT(extensions)) ||
        X509_sign(c, ca_key, EVP_sha256()) <= 0)
        return NULL;
    return take_ptr(&c);
}

/* Only names that parse back: what the hub decides becomes text in an extension here. */
static struct alb_status check_names(const struct identity *who)
{
    if (alb_failed(id_check(who->org)) || alb_failed(id_check(who->device)))
        return alb_fail(ALB_INVALID, "the certificate: organisation or device is no valid name");
    if (who->role == ROLE_NONE)
        return alb_fail(ALB_INVALID, "the certificate: it needs a role");
    return ALB_STATUS_OK;
}

static void read_serial(const X509 *certificate, char out[SERIAL_HEX_SIZE]);

struct alb_status x509_issue(const struct x509_issue *issue, char **out_certificate_pem,
                             char *out_serial)
{
    struct alb_status st = check_names(issue->who);
    if (alb_failed(st))
        return st;

    AUTO_KEY *ca_key = x509_parse_key(issue->ca_key_pem);
    AUTO_CERTIFICATE *ca = x509_parse(issue->ca_certificate_pem);
    if (ca_key == NULL || ca == NULL || X509_check_private_key(ca, ca_key) != 1)
        return alb_fail(ALB_INVALID, "the CA: its key and certificate do not belong together");
    AUTO_KEY *key = NULL;
    st = take_request_key(issue->csr_pem, &key);
    if (alb_failed(st))
        return st;

    AUTO_CERTIFICATE *c = make_leaf(issue, key, ca, ca_key);
    if (c == NULL)
        return alb_fail(ALB_IO, "signing a certificate");
    *out_certificate_pem = certificate_text(c);
    read_serial(c, out_serial);
    return ALB_STATUS_OK;
}

static bool is_signed_by(X509 *certificate, const X509 *ca)
{
    EVP_PKEY *key = X509_get0_pubkey(ca);

    ERR_clear_error();
    return key != NULL && X509_verify(certificate, key) == 1;
}

struct alb_status x509_check_signed(const char *certificate_pem, const char *ca_pem)
{
    AUTO_CERTIFICATE *certificate = x509_parse(certificate_pem);
    AUTO_CERTIFICATE *ca = x509_parse(ca_pem);

    if (ca == NULL || !is_signed_by(ca, ca))
        return alb_fail(ALB_CORRUPT, "the CA's certificate is damaged");
    if (certificate == NULL || !is_signed_by(certificate, ca))
        return alb_fail(ALB_CORRUPT, "the certificate is damaged, or not of this CA");
    return ALB_STATUS_OK;
}

/* ---- reading them ---------------------------------------------------------------------------- */

static void read_serial(const X509 *certificate, char out[SERIAL_HEX_SIZE])
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    int length = ASN1_STRING_length(serial);

    out[0] = '\0';
    if (length > 0 && 2 * length < SERIAL_HEX_SIZE)
        bytes_hex(ASN1_STRING_get0_data(serial), (size_t)length, out);
}

/* The text of the only URI; a second one, or a zero byte inside, makes it unusable. */
static struct alb_status only_uri(const GENERAL_NAMES *names, const char **out)
{
    const ASN1_IA5STRING *found = NULL;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (name->type != GEN_URI)
            continue;
        if (found != NULL)
            return alb_fail(ALB_INVALID, "the certificate: it names more than one identity");
        found = name->d.uniformResourceIdentifier;
    }
    if (found == NULL)
        return alb_fail(ALB_INVALID, "the certificate: it names no identity (albedo://…)");
    const char *text = (const char *)ASN1_STRING_get0_data(found);
    if (strnlen(text, (size_t)ASN1_STRING_length(found)) != (size_t)ASN1_STRING_length(found))
        return alb_fail(ALB_INVALID, "the certificate: a zero byte in its identity");
    *out = text; /* OpenSSL keeps a zero byte after it */
    return ALB_STATUS_OK;
}

struct alb_status x509_read_identity(const X509 *certificate, struct identity *out)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    const char *uri = NULL;
    struct identity found = {.role = ROLE_NONE};
    struct alb_status st = only_uri(names, &uri);

    if (!alb_failed(st))
        st = identity_parse_uri(uri, &found);
    GENERAL_NAMES_free(names);
    if (alb_failed(st))
        return st;
    read_serial(certificate, found.serial);
    if (found.serial[0] == '\0')
        return alb_fail(ALB_INVALID, "the certificate: its serial number is too long");
    found.expires_wall_s = expiry_of(certificate);
    *out = found;
    return ALB_STATUS_OK;
}

void x509_read_pin(const X509 *certificate, struct digest *out)
{
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);

    alb_assert(size > 0);
    sha256(der, (size_t)size, out);
    OPENSSL_free(der);
}

struct alb_status x509_pin(const char *certificate_pem, struct digest *out)
{
    AUTO_CERTIFICATE *c = x509_parse(certificate_pem);

    if (c == NULL)
        return alb_fail(ALB_INVALID, "the certificate: not a PEM certificate");
    x509_read_pin(c, out);
    return ALB_STATUS_OK;
}

struct alb_status x509_request_pin(const char *csr_pem, struct digest *out)
{
    AUTO_KEY *key = NULL;
    unsigned char *der = NULL;
    struct alb_status st = take_request_key(csr_pem, &key);

    if (alb_failed(st))
        return st;
    int size = i2d_PUBKEY(key, &der);
    alb_assert(size > 0);
    sha256(der, (size_t)size, out);
    OPENSSL_free(der);
    return ALB_STATUS_OK;
}

struct alb_status x509_renew_at(const char *certificate_pem, int64_t *out_wall_s)
{
    AUTO_CERTIFICATE *c = x509_parse(certificate_pem);
    struct tm from;

    if (c == NULL || ASN1_TIME_to_tm(X509_get0_notBefore(c), &from) != 1)
        return alb_fail(ALB_INVALID, "the certificate: not a PEM certificate");
    const int64_t from_s = timegm(&from);

    *out_wall_s = from_s + (expiry_of(c) - from_s) / 3 * 2;
    return ALB_STATUS_OK;
}

struct alb_status x509_identity(const char *certificate_pem, struct identity *out)
{
    AUTO_CERTIFICATE *c = x509_parse(certificate_pem);

    if (c == NULL)
        return alb_fail(ALB_INVALID, "the certificate: not a PEM certificate");
    return x509_read_identity(c, out);
}
