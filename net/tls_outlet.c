/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_outlet.c – the end of TLS that records leave by: whoever owns the socket sends them. */
#include <openssl/bio.h>

#include "base/status.h"
#include "net/tls_impl.h"

static int outlet_write(BIO *bio, const char *bytes, size_t size, size_t *written)
{
    const struct tls_outlet *outlet = BIO_get_data(bio);
    ssize_t went = outlet->put(outlet->arg, bytes, size);

    BIO_clear_retry_flags(bio);
    if (went > 0) {
        *written = (size_t)went;
        return 1;
    }
    if (errno == EAGAIN || errno == EINTR)
        BIO_set_retry_write(bio);
    return -1;
}

/* Nothing is held back here, so there is nothing to flush; TLS asks for no more than that. */
static long outlet_ctrl(BIO *bio, int what, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH;
}

struct bio_method_st *tls_outlet_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "albedo outlet");

    alb_assert(method != NULL && BIO_meth_set_write_ex(method, outlet_write) == 1 &&
               BIO_meth_set_ctrl(method, outlet_ctrl) == 1);
    return method;
}

void tls_outlet_method_free(struct bio_method_st *method)
{
    BIO_meth_free(method);
}

BIO *tls_outlet_bio(const struct bio_method_st *method, struct tls_outlet *outlet)
{
    BIO *bio = BIO_new(method);

    if (bio == NULL)
        return NULL;
    BIO_set_data(bio, outlet);
    BIO_set_init(bio, 1);
    return bio;
}
