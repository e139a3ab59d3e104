/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_failure.c – OpenSSL's reasons, told as what an operator can do something about. */
#include "net/tls_impl.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "base/alloc.h"
#include "base/log.h"

#define OTHER_CA(whose) "the " whose "'s certificate is not from this organisation's CA"
#define OTHER_CA_ROW(error)                                                                        \
    {                                                                                              \
        error, OTHER_CA("server"), OTHER_CA("client")                                              \
    }

static const struct {
    int error; /* X509_V_ERR_… */
    const char *servers, *clients;
} chain_failures[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED,
     "the server's certificate has expired, or this machine's clock is ahead",
     "the client's certificate has expired, or this machine's clock is ahead"},
    {X509_V_ERR_CERT_NOT_YET_VALID,
     "the server's certificate is not valid yet: this machine's clock is behind, or the server's "
     "ahead",
     "the client's certificate is not valid yet: this machine's clock is behind, or the hub's was "
     "ahead"},
    OTHER_CA_ROW(X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT),
    OTHER_CA_ROW(X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY),
    OTHER_CA_ROW(X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE),
    OTHER_CA_ROW(X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN),
    OTHER_CA_ROW(X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT),
    OTHER_CA_ROW(X509_V_ERR_CERT_SIGNATURE_FAILURE),
    OTHER_CA_ROW(X509_V_ERR_AKID_SKID_MISMATCH),
    OTHER_CA_ROW(X509_V_ERR_SUBJECT_ISSUER_MISMATCH),
    {X509_V_ERR_INVALID_PURPOSE, "the server's certificate is not made for TLS servers",
     "the client's certificate is not made for TLS clients"},
};

struct alb_status tls_chain_failure(int error, bool is_servers)
{
    for (size_t i = 0; i < ALB_COUNT(chain_failures); i++)
        if (chain_failures[i].error == error)
            return (struct alb_status){
                ALB_REFUSED, 0, is_servers ? chain_failures[i].servers : chain_failures[i].clients};
    log_event(LOG_DEBUG, "tls.chain", "x509_error=%d", error);
    return alb_fail(ALB_REFUSED, "the other side's certificate does not verify");
}

static const struct {
    int reason; /* SSL_R_… */
    enum alb_code code;
    const char *what;
} reasons[] = {
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, ALB_CLOSED,
     "the other side closed the connection in the middle"},
    {SSL_R_WRONG_VERSION_NUMBER, ALB_REFUSED,
     "the other side does not speak TLS: is the port right?"},
    {SSL_R_HTTP_REQUEST, ALB_REFUSED, "the other side speaks plain HTTP: it should use https"},
    {SSL_R_UNSUPPORTED_PROTOCOL, ALB_REFUSED, "the other side does not speak TLS 1.3"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, ALB_REFUSED, "the other side does not speak TLS 1.3"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, ALB_REFUSED,
     "the other side does not speak HTTP/2 (ALPN h2)"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, ALB_REFUSED,
     "the other side refused our certificate: it is from another organisation's CA"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, ALB_REFUSED,
     "the other side says that our certificate has expired, or its clock is wrong"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, ALB_REFUSED,
     "the other side refused our certificate, and its log says why: its clock may be behind, or "
     "ours, or this certificate is not for this use"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, ALB_REFUSED, "the other side refused our certificate"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, ALB_REFUSED,
     "the other side refused our certificate: it is not made for this use"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, ALB_REFUSED,
     "the other side wants a certificate and we have none"},
};

static struct alb_status library_failure(void)
{
    unsigned long error = ERR_peek_last_error();
    char text[128];

    if (ERR_GET_LIB(error) == ERR_LIB_SSL)
        for (size_t i = 0; i < ALB_COUNT(reasons); i++)
            if (reasons[i].reason == ERR_GET_REASON(error))
                return (struct alb_status){reasons[i].code, 0, reasons[i].what};
    ERR_error_string_n(error, text, sizeof(text));
    char quoted[LOG_TEXT_SIZE];
    log_event(LOG_DEBUG, "tls.error", "text=%s", log_text(text, quoted));
    return alb_fail(ALB_IO, "the TLS connection broke");
}

struct alb_status tls_failure(const struct tls_verdict *verdict, int ssl_error, int sys)
{
    struct alb_status st = verdict->status;

    if (!alb_failed(st)) {
        if (ssl_error != SSL_ERROR_SYSCALL)
            st = library_failure();
        else if (sys == 0)
            st = alb_fail(ALB_CLOSED, "the other side closed the connection in the middle");
        else
            st = alb_status_from_errno(sys, "the connection to the other side");
    }
    ERR_clear_error();
    return st;
}
