/* SPDX-License-Identifier: Apache-2.0 */
/* hub/upload.h – content on its way in: opened by a root, filled by position, committed by a
 * record.
 *
 *   POST /v1/upload          wire/batch.h's upload_open → upload_answer: the upload's id, and which
 *                            positions of list C are still missing
 *   POST /v1/upload-put/ID   HIT items of list C → kept and durable when answered
 *   POST /v1/upload-end/ID   the signed version record (?hold=1: not current yet)
 *
 * Root object and manifest are decoded here before anything is taken.  Opening the same root again
 * answers what is missing by then; so does opening it after the hub was started anew, since what
 * was acknowledged is in the store.  An upload lapses 24 h after it was last used.
 */
#pragma once

#include <sys/queue.h>

#include "net/identity.h"
#include "net/loop.h"
#include "transfer/serve.h"
#include "wire/batch.h"

enum {
    UPLOADS_MAX = 64,
    UPLOADS_PER_DEVICE_MAX = 4,
    UPLOAD_MANIFEST_MAX = 256 << 20, /* bytes of the manifest stream */
    UPLOAD_ENTRIES_MAX = 4 << 20,
};
#define UPLOAD_LIFETIME_NS (24 * 3600 * NS_PER_S)

struct hub;
struct hub_task;

struct upload {
    struct hub *hub;
    char id[UPLOAD_ID_SIZE];
    char device[ID_SIZE]; /* whose it is */
    char layer[NAME_MAX_SIZE];
    struct digest root_digest;
    uint64_t root_bytes;
    struct root root;
    struct chunk_key *keys; /* list C, owned */
    uint32_t *raw_bytes;    /* … and each one's raw size */
    size_t key_count;
    bool *held; /* durable here */
    size_t missing;
    bool has_devices;
    uint64_t lapses_ns;
    unsigned users; /* tasks that look at it */
    bool is_over;   /* out of the list; freed with its last user */
    TAILQ_ENTRY(upload) link;
};
TAILQ_HEAD(upload_list, upload);

struct uploads {
    struct upload_list list;
    size_t count;
};

void uploads_init(struct uploads *all);
void uploads_release(struct uploads *all);
/* Drop those that nobody used for a day. */
void uploads_lapse(struct hub *h);

/* This identity's upload ID, with one more user; NULL. */
struct upload *upload_use(struct hub *h, const struct identity *who, const char *id);
void upload_leave(struct upload *u); /* NULL is fine */
/* No longer to be found. */
void upload_finish(struct upload *u);
/* Frees one that never was in the list. */
struct upload *upload_free(struct upload *u);

void hub_handle_upload(void *hub, struct serve_request *rq);
void hub_handle_upload_put(void *hub, struct serve_request *rq);

/* ---- chunks of a task on their way to the store ---------------------------------------------- */

struct upload_keep {
    struct hub_task *task;
    struct chunk **chunks; /* owned, one reference each */
    size_t count;
    size_t waiting;
    void (*kept)(struct hub_task *t); /* all told: t->st says whether all are durable */
};

void upload_keep_start(struct upload_keep *k);
void upload_keep_release(struct upload_keep *k);
