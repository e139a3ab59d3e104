/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/root_book.h – a root, opened: its record, its lists M and C, and on demand its manifest.
 *
 *     RECORD (record/LAYER@root:HEX) → ROOT OBJECT → MANIFEST CHUNKS → DECODE (worker) → open
 *                                          └── of a delta set: both lists are in it ──────^
 *
 * Being entitled to a position is membership by construction: the record ties layer and root, and a
 * key is only ever found through a list of an open root.  Everything fetched goes through the
 * supply, so it is verified, shared and cached like any other chunk.  Opened roots stay, least
 * recently used first out, up to `max_roots` and 2 M content keys; views in use are never dropped.
 * That a root is not to be had is remembered for 5 s, so asking again troubles nobody.
 */
#pragma once

#include "transfer/record_book.h"
#include "transfer/supply.h"
#include "wire/delta_set.h"
#include "wire/manifest.h"

struct root_book;

struct root_view {
    char layer[NAME_MAX_SIZE];
    struct digest digest;
    bool is_delta; /* a delta set: `delta` instead of `record`, no manifest, and of `root` only list
                      M, which spells its index; list C is its stream (wire/delta_set.h) */
    struct version_record record;
    struct delta_set_record delta;
    struct root root;               /* list M in it           */
    struct chunk_key *content_keys; /* list C                 */
    uint32_t *content_raw_bytes;    /* … and how large each can be */
    size_t content_key_count;
    struct manifest *manifest; /* when the book keeps manifests; else NULL */
};

struct root_book_options {
    struct loop *loop;
    struct record_book *records;
    struct supply *supply;
    struct authority *authority;
    size_t max_roots;    /* 0: 64 */
    bool keep_manifests; /* an endpoint applies them; a reflector only counts positions */
    const struct manifest_limits *limits; /* NULL: the default; devices by the record's flag */
};

struct root_wait { /* the asker's storage */
    /* `view` stays valid until root_book_close_view(). */
    void (*done)(struct root_wait *w, struct alb_status st, const struct root_view *view);
    struct root_entry *entry; /* the book's … */
    unsigned turn;            /* … and this   */
    bool is_refused;          /* … and these  */
    struct alb_status st;
    TAILQ_ENTRY(root_wait) link;
};

struct root_book *root_book_new(const struct root_book_options *options);
/* Whoever waits is forgotten; views handed out are gone. */
struct root_book *root_book_free(struct root_book *b);
/* done comes later, from the loop, once, unless the waiter leaves. */
void root_book_open(struct root_book *b, const char *layer, const struct digest *root,
                    struct root_wait *w);
/* Open in memory: root_book_open() would ask nobody. */
bool root_book_is_open(const struct root_book *b, const char *layer, const struct digest *root);
/* Something changed that a no may have been for: a new version, a new trust file. */
void root_book_forget_refused(struct root_book *b);
void root_book_leave(struct root_book *b, struct root_wait *w);
void root_book_close_view(struct root_book *b, const struct root_view *view);

/* Key and size of a position; false when the list has no such position. */
bool root_view_key(const struct root_view *v, enum chunk_list list, uint32_t position,
                   struct chunk_key *key, struct where *where);
