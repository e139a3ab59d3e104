/* SPDX-License-Identifier: Apache-2.0 */
/* client/state.h – what this machine or person is to the organisation, kept in one directory.
 *
 *    identity.json    who we are and where the hub is; written last, so its presence means "joined"
 *    key.pem          TLS key, 0600        certificate.pem, ca.pem
 *    publisher.key    Ed25519 seed, hex, 0600: signs version records (publishers and admins)
 *    roots/N.key      Ed25519 seeds, hex, 0600: root keys of the trust file (the first admin)
 *    catalogue/       trust files, heads, records, the read grant (client/file_catalogue.h)
 *
 * The directory is 0700; default /var/lib/albedo for root, else $XDG_STATE_HOME/albedo or
 * ~/.local/state/albedo.
 */
#pragma once

#include "base/crypto.h"
#include "client/output.h"
#include "net/identity.h"
#include "store/catalogue.h"
#include "transfer/upstream.h"

struct cli;

struct state_identity {
    char org[ID_SIZE], device[ID_SIZE], site[ID_SIZE];
    enum role role;
    struct upstream_place hub;
    struct upstream_place upstream; /* host "": none, the hub is asked */
    bool has_trust_pin;
    struct digest trust_pin; /* of trust file 1 */
    int64_t joined_wall_s;
};

struct state {
    char *dir; /* owned */
    struct state_identity who;
    struct catalogue *catalogue; /* owned */
};

/* Heap; NULL when there is neither --state nor a home directory. */
char *state_default_dir(void);

/* NOT_FOUND when nobody joined with it, CORRUPT when identity.json is not what we wrote. */
ALB_MUST_USE struct alb_status state_open(const char *dir, struct state *out);
/* A directory to join with: made (0700) and proved writable; `who` is left empty. */
ALB_MUST_USE struct alb_status state_create(const char *dir, struct state *out);
void state_close(struct state *s);
/* Opens what --state names, or says why not and what to do. */
enum exit_code state_begin(struct cli *c, struct state *out);

bool state_is_joined(const char *dir);
/* Makes it "not joined", the first step of joining anew; what was learnt from the old hub goes too.
 * Root and publisher keys stay. */
ALB_MUST_USE struct alb_status state_forget(struct state *s);
/* Write identity.json from `who`. */
ALB_MUST_USE struct alb_status state_save(const struct state *s);

/* Small files beside it. */
ALB_MUST_USE struct alb_status state_read(const struct state *s, const char *name, struct buf *out);
ALB_MUST_USE struct alb_status state_write(const struct state *s, const char *name,
                                           const void *bytes, size_t size, unsigned mode);

/* ---- signing keys: `name` is "publisher.key" or "roots/N.key"; wipe() what you got ---- */

/* NOT_FOUND, CORRUPT. */
ALB_MUST_USE struct alb_status state_key_read(const struct state *s, const char *name,
                                              struct sign_secret *out);
/* The key that is there, or a new one that is there from now on. */
ALB_MUST_USE struct alb_status state_key_make(const struct state *s, const char *name,
                                              struct sign_secret *out);
