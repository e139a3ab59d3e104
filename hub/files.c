/* SPDX-License-Identifier: Apache-2.0 */
/* hub/files.c – keys as small files; the two doors on disk. */
#include "hub/files.h"

#include "base/alloc.h"
#include "base/file.h"
#include "net/x509.h"
#include "store/disk/segment_store.h"

enum { FILE_MAX = 64 << 10, SECRET_MODE = 0600, PUBLIC_MODE = 0644 };

static struct alb_status write_text(const char *dir, const char *name, const char *text,
                                    unsigned mode)
{
    AUTO_FREE char *path = path_join(dir, name);

    return file_replace(path, text, strlen(text), mode);
}

static struct alb_status read_text(const char *dir, const char *name, char **out)
{
    AUTO_FREE char *path = path_join(dir, name);
    struct buf bytes;

    buf_init(&bytes, FILE_MAX);
    struct alb_status st = file_read(path, &bytes);
    if (!alb_failed(st))
        *out = xstrndup((const char *)buf_peek(&bytes), buf_size(&bytes));
    if (bytes.bytes != NULL)
        wipe(bytes.bytes, bytes.capacity);
    buf_release(&bytes);
    return st;
}

/* ---- making ---------------------------------------------------------------------------------- */

struct alb_status hub_online_write(const char *dir, const char *name, const struct sign_secret *key)
{
    char hex[2 * SIGN_SECRET_SIZE + 2];

    bytes_hex(key->seed, SIGN_SECRET_SIZE, hex);
    memcpy(hex + 2 * SIGN_SECRET_SIZE, "\n", 2);
    struct alb_status st = write_text(dir, name, hex, SECRET_MODE);
    wipe(hex, sizeof hex);
    return st;
}

static struct alb_status write_keys(const char *dir, const struct hub_keys *k)
{
    struct alb_status st = write_text(dir, "ca.key", k->ca_key_pem, SECRET_MODE);

    if (!alb_failed(st))
        st = write_text(dir, "ca.pem", k->ca_pem, PUBLIC_MODE);
    if (!alb_failed(st))
        st = write_text(dir, "tls.key", k->tls_key_pem, SECRET_MODE);
    return alb_failed(st) ? st : hub_online_write(dir, "online.key", &k->online);
}

struct alb_status hub_keys_make(const char *dir, const char *org, int64_t now_wall_s,
                                struct hub_keys *out)
{
    struct hub_keys k = {.ca_pem = NULL};
    struct sign_public pub;

    sign_generate(&k.online, &pub);
    struct alb_status st = x509_make_ca(org, now_wall_s, &k.ca_key_pem, &k.ca_pem);
    if (!alb_failed(st))
        st = x509_make_key(&k.tls_key_pem);
    if (!alb_failed(st))
        st = write_keys(dir, &k);
    if (alb_failed(st))
        hub_keys_release(&k);
    else
        *out = k;
    return st;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct alb_status hub_online_read(const char *dir, const char *name, struct sign_secret *out)
{
    AUTO_FREE char *hex = NULL;
    struct alb_status st = read_text(dir, name, &hex);

    if (alb_failed(st))
        return st;
    alb_assert(hex != NULL);
    hex[strcspn(hex, "\r\n")] = '\0';
    st = bytes_parse_hex(hex, out->seed, SIGN_SECRET_SIZE);
    wipe(hex, strlen(hex));
    return alb_failed(st) ? alb_fail(ALB_CORRUPT, "not a signing key: 64 hexadecimal digits") : st;
}

struct alb_status hub_keys_read(const char *dir, struct hub_keys *out, const char **file)
{
    struct hub_keys k = {.ca_pem = NULL};
    struct alb_status st = read_text(dir, *file = "ca.key", &k.ca_key_pem);

    if (!alb_failed(st))
        st = read_text(dir, *file = "ca.pem", &k.ca_pem);
    if (!alb_failed(st))
        st = read_text(dir, *file = "tls.key", &k.tls_key_pem);
    if (!alb_failed(st))
        st = hub_online_read(dir, *file = "online.key", &k.online);
    if (alb_failed(st))
        hub_keys_release(&k);
    else
        *out = k;
    return st;
}

static void free_secret(char *text)
{
    if (text != NULL)
        wipe(text, strlen(text));
    free(text);
}

void hub_keys_release(struct hub_keys *k)
{
    free_secret(k->ca_key_pem);
    free_secret(k->tls_key_pem);
    free(k->ca_pem);
    wipe(&k->online, sizeof k->online);
    *k = (struct hub_keys){.ca_pem = NULL};
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static struct alb_status make_certificate(const struct hub_keys *k, const char *org,
                                          int64_t now_wall_s, char **out)
{
    struct identity who = {.role = ROLE_HUB, .device = "hub"};
    AUTO_FREE char *csr = NULL;
    char serial[SERIAL_HEX_SIZE];
    struct alb_status st = x509_make_request(k->tls_key_pem, &csr);

    if (alb_failed(st))
        return st;
    memcpy(who.org, org, strnlen(org, sizeof who.org - 1));
    const struct x509_issue ask = {.ca_key_pem = k->ca_key_pem,
                                   .ca_certificate_pem = k->ca_pem,
                                   .csr_pem = csr,
                                   .who = &who,
                                   .now_wall_s = now_wall_s,
                                   .lifetime_s = HUB_TLS_LIFETIME_S};
    return x509_issue(&ask, out, serial);
}

struct alb_status hub_keys_tls(const struct hub_keys *k, const char *org, int64_t now_wall_s,
                               bool asks_certificate, struct tls_context **out)
{
    AUTO_FREE char *own = NULL;
    struct alb_status st = make_certificate(k, org, now_wall_s, &own);

    if (!alb_failed(st))
        st = x509_check_signed(own, k->ca_pem);
    if (alb_failed(st))
        return st;
    AUTO_FREE char *chain = xasprintf("%s%s", own, k->ca_pem);
    const struct tls_options options = {.ca_pem = k->ca_pem,
                                        .certificate_pem = chain,
                                        .key_pem = k->tls_key_pem,
                                        .is_server = true,
                                        .ask_client_certificate = asks_certificate};
    return tls_context_new(&options, out);
}

struct alb_status hub_keys_renew(const struct hub_keys *k, const char *org, int64_t now_wall_s,
                                 struct tls_context *tls)
{
    AUTO_FREE char *own = NULL;
    struct alb_status st = make_certificate(k, org, now_wall_s, &own);

    if (alb_failed(st))
        return st;
    AUTO_FREE char *chain = xasprintf("%s%s", own, k->ca_pem);
    return tls_context_use_certificate(tls, chain);
}

/* ---- doors ----------------------------------------------------------------------------------- */

struct alb_status hub_doors_open(const char *dir, struct hub_doors *out, const char **part)
{
    AUTO_FREE char *catalogue = path_join(dir, "catalogue");
    struct hub_doors d = {.store = NULL};

    *part = "segments";
    struct alb_status st =
        segment_store_open(&(struct segment_store_options){.dir = dir}, &d.store);
    if (!alb_failed(st)) {
        *part = "catalogue";
        st = disk_catalogue_open_whole(catalogue, &d.catalogue);
    }
    if (alb_failed(st))
        hub_doors_close(&d);
    else
        *out = d;
    return st;
}

void hub_doors_close(struct hub_doors *d)
{
    catalogue_close(d->catalogue);
    chunk_store_close(d->store);
    *d = (struct hub_doors){.store = NULL};
}
