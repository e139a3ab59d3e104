/* SPDX-License-Identifier: Apache-2.0 */
/* client/uploader.h – a built version's journey to the hub: only what the hub lacks travels.
 *
 *     OPEN (layer, root object, manifest chunks) → SEND what is lacking
 *       → COMMIT the signed record → FINISHED
 *
 *     OPEN ← anywhere, when the hub knows the upload no more (started anew, or the upload lapsed)
 *
 * Chunks are read and compressed anew by workers, sent in bodies of 64 KiB to 4 MiB, as many bytes
 * as the line takes within seconds, `max_bodies` at once; an answer means durable.  After a cut
 * what was answered stays answered: running it again sends the rest. When something fails, what is
 * under way on workers ends first: after done() nothing uses the source.
 */
#pragma once

#include "chunk/chunk.h"
#include "transfer/upstream.h"
#include "wire/root.h"

struct uploader;

/* Where chunk bytes come from: called on workers, several at once; `helper` is one of those made by
 * helper_new, used by one call at a time. */
struct upload_source {
    struct alb_status (*read)(void *arg, void *helper, uint32_t position, struct chunk **out);
    void *(*helper_new)(void);
    void (*helper_free)(void *helper);
    uint32_t (*raw_size)(void *arg, uint32_t position); /* expanded, for progress */
    void *arg;
};

struct uploader_options {
    struct loop *loop;
    struct upstream *upstream;
    const char *layer;
    const void *root_object;
    size_t root_object_size;
    struct chunk *const *manifest_chunks; /* list M, borrowed */
    size_t manifest_chunk_count;
    size_t content_chunk_count; /* length of list C */
    const void *record;         /* signed version record, copied */
    size_t record_size;
    bool hold;
    struct upload_source source;
    unsigned readers;    /* 0: 2 */
    unsigned max_bodies; /* 0: 3 */
    /* From the loop, once.  `message`: the hub's words, or "". */
    void (*done)(void *arg, struct alb_status st, const char *message);
    void *arg;
};

struct uploader_progress {
    size_t lacking, sent;                       /* chunks */
    uint64_t lacking_raw_bytes, sent_raw_bytes; /* expanded */
    uint64_t sent_bytes;                        /* stored bytes acknowledged as durable */
    unsigned openings;
    bool is_committing; /* whether the version is published cannot be said until done() */
};

struct uploader *uploader_start(const struct uploader_options *options);
/* End as soon as nothing is under way; done() tells CLOSED, unless it was about to tell something
 * else. */
void uploader_give_up(struct uploader *u);
/* At once; done is not called.  Reads under way go on using the source: it must outlive the loop's
 * jobs, so whoever cannot promise that gives up first and waits for done(). */
struct uploader *uploader_free(struct uploader *u);
void uploader_progress(const struct uploader *u, struct uploader_progress *out);
