/* SPDX-License-Identifier: Apache-2.0 */
/* client/publish.h – from a tree to a published version, in the steps `albedo publish` shows.
 *
 *     may we? (trust file) → SCAN → BUILD (all workers) → SIGN → UPLOAD what the hub lacks → COMMIT
 */
#pragma once

#include "client/link.h"
#include "image/build.h"
#include "wire/record.h"

struct publish_options {
    const char *layer;
    const char *tree;
    const char *version;    /* NULL: the sequence number */
    const char *as_version; /* no tree: an old version's root under a new sequence */
    const char *const *exclude;
    size_t exclude_count;
    bool cross_mounts, devices, hold;
    uint64_t wait_ns; /* how long the hub may be out of reach before giving up */
};

struct publish_result {
    char version[NAME_MAX_SIZE];
    uint64_t sequence;
    uint64_t entries, content_bytes, chunks;
    size_t sent_chunks;
    uint64_t sent_bytes;
    uint64_t manifest_bytes, manifest_stored_bytes;
    size_t left_out; /* files that vanished while being read */
};

/* What the hub knows of a layer. */
struct publish_past {
    uint64_t newest_sequence; /* 0: the layer is new */
    bool is_taken;            /* the version's name that was asked for */
    bool has_old;
    struct version_record old; /* of `as_version` */
};

/* Says what went wrong itself. */
enum exit_code publish_run(struct link *l, const struct publish_options *options,
                           struct publish_result *out);
/* The publishing key of this state, allowed for `layer` by the trust file; says why not. */
enum exit_code publish_key(struct link *l, const char *layer, struct sign_secret *out);
enum exit_code publish_past(struct link *l, const struct publish_options *options,
                            struct publish_past *out);
enum exit_code publish_name_is_free(struct link *l, const struct publish_options *options,
                                    const struct publish_past *past);
/* Fill in, sign and append to `signed_bytes`. */
enum exit_code publish_sign(struct link *l, const struct publish_options *options,
                            const struct publish_past *past, const struct sign_secret *key,
                            struct version_record *record, struct buf *signed_bytes);
