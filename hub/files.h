/* SPDX-License-Identifier: Apache-2.0 */
/* hub/files.h – what stands in the hub's data directory, and reading it.
 *
 *     hub.conf       written last: where it is, a hub is
 *     init.unfinished  only while init runs, or was killed: the same command goes on
 *     ca.key ca.pem  the organisation's CA; the key never leaves this directory
 *     online.key     Ed25519 seed, hex: signs heads, grants, revocations
 *     tls.key        of both ports; its certificate is made anew at each start and every 30 days
 *     admin.token    bearer token of the admin port
 *     audit.log      who changed what, one line each
 *     segments/ index/ catalogue/   chunks and records (store/disk/segment_store.h)
 *
 * Keys and tokens are 0600, the directory 0700.  Everything here blocks: start-up only.
 */
#pragma once

#include "base/crypto.h"
#include "net/tls.h"
#include "store/catalogue.h"
#include "store/chunk_store.h"

enum { HUB_TLS_LIFETIME_S = 2 * 365 * 86400, HUB_TLS_RENEW_S = 30 * 86400 };

struct hub_keys {
    char *ca_key_pem, *ca_pem, *tls_key_pem; /* owned */
    struct sign_secret online;
};

/* Every key of a new hub, made and written to `dir`. */
ALB_MUST_USE struct alb_status hub_keys_make(const char *dir, const char *org, int64_t now_wall_s,
                                             struct hub_keys *out);
/* NOT_FOUND, CORRUPT, IO; *file (a literal) says which one. */
ALB_MUST_USE struct alb_status hub_keys_read(const char *dir, struct hub_keys *out,
                                             const char **file);
void hub_keys_release(struct hub_keys *k);
/* An online key's file: "online.key", or "online.next" (rotate.h). NOT_FOUND, CORRUPT, IO. */
ALB_MUST_USE struct alb_status hub_online_read(const char *dir, const char *name,
                                               struct sign_secret *out);
ALB_MUST_USE struct alb_status hub_online_write(const char *dir, const char *name,
                                                const struct sign_secret *key);

/* A server's context with a fresh certificate of the role hub. */
ALB_MUST_USE struct alb_status hub_keys_tls(const struct hub_keys *k, const char *org,
                                            int64_t now_wall_s, bool asks_certificate,
                                            struct tls_context **out);

/* The same context with a certificate that is fresh again, from the next handshake on. */
ALB_MUST_USE struct alb_status hub_keys_renew(const struct hub_keys *k, const char *org,
                                              int64_t now_wall_s, struct tls_context *tls);

struct hub_doors {
    struct chunk_store *store;
    struct catalogue *catalogue;
};
/* CONFLICT: another hub runs on `dir`; CORRUPT: damaged, and nothing can be built anew from the
 * rest (all of the catalogue is read to know that; an index of chunks is built anew silently);
 * INVALID: of a newer program; FULL; IO.  *part (a literal) says which. */
ALB_MUST_USE struct alb_status hub_doors_open(const char *dir, struct hub_doors *out,
                                              const char **part);
void hub_doors_close(struct hub_doors *d);
