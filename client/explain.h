/* SPDX-License-Identifier: Apache-2.0 */
/* client/explain.h – what `albedo explain` stands on: versions opened by name, and who holds what.
 *
 * Everything is asked by {layer, root, list, position} of versions this member may read, so that a
 * chunk it may not read is told exactly like one that does not exist.  One manifest is open at a
 * time.
 */
#pragma once

#include "client/link.h"
#include "transfer/root_book.h"

struct explain {
    struct output *output; /* borrowed */
    const char *what;      /* borrowed: CHUNK or FILE, as typed */
    struct link link;
    struct supply *supply;
    struct record_book *records;
    struct root_book *roots;
    struct link_answer answer;
    struct json_doc *layers; /* what /v1/layers said */
};

/* Reach the parent and learn which layers there are; says why not. */
enum exit_code explain_begin(struct cli *cli, const char *what, struct explain *out);
void explain_end(struct explain *e);

/* A version of the list of layers. */
struct explain_version {
    char layer[NAME_MAX_SIZE], version[NAME_MAX_SIZE];
    struct digest root;
    bool is_current;
};
size_t explain_layer_count(const struct explain *e);
size_t explain_version_count(const struct explain *e, size_t layer);
/* False: that entry of the list makes no sense and is passed over. */
bool explain_version_at(const struct explain *e, size_t layer, size_t version,
                        struct explain_version *out);
/* The current version of a layer by name; false when there is none for this member. */
bool explain_current(const struct explain *e, const char *layer, struct explain_version *out);

/* Its manifest, over the network as far as it is not held nearby.  Waits at most a minute.  Closed
 * by explain_close(). */
ALB_MUST_USE struct alb_status explain_open(struct explain *e, const struct explain_version *v,
                                            const struct root_view **out);
void explain_close(struct explain *e, const struct root_view *view);

/* ---- who holds what (client/explain_holders.c) ---- */

enum { HOLDERS_MAX = 4 }; /* the nearest, its parent, …: deeper trees are cut here */

enum holder_state { HOLDER_UNKNOWN, HOLDER_ABSENT, HOLDER_HELD, HOLDER_DAMAGED, HOLDER_UNREADABLE };
const char *holder_state_name(enum holder_state state);

struct holder {
    char by[16];             /* "reflector" or "hub" */
    char error[320];         /* why it did not say; "" */
    enum holder_state *says; /* owned; one for each position asked for */
    size_t held;             /* how many of them it holds */
};

struct holders {
    struct holder items[HOLDERS_MAX];
    size_t count;
    size_t positions;
    uint64_t stored_bytes; /* of the last one that was read; 0: none */
};

struct holders_ask {
    const char *layer;
    struct digest root;
    enum chunk_list list;
    const uint32_t *positions; /* ascending */
    size_t count;
    bool reads; /* at most 16 positions: their bytes are checked */
};

/* Ascending, for qsort() and bsearch() of positions. */
int explain_by_position(const void *a, const void *b);
/* Says why not; what is known then stays in `out`, which is released in any case. */
enum exit_code explain_holders(struct explain *e, const struct holders_ask *ask,
                               struct holders *out);
void holders_release(struct holders *h);
/* "the reflector", "its parent, a reflector", "the hub" */
const char *holder_title(const struct holders *h, size_t index);
/* {"by", "held", "of", "error"}, in an array that was begun */
void holders_json(const struct holders *h, struct json_writer *w);

/* ---- the two questions ---- */

/* Is it 8 to 64 hexadecimal digits? */
bool explain_is_chunk(const char *text);
/* How fast the line to the parents goes, and why (client/explain_rate.c). */
enum exit_code explain_rate(struct cli *cli, bool at_hub);
/* Who could serve this machine, or one elsewhere, who does, and why (client/explain_upstream.c). */
enum exit_code explain_upstream(struct cli *cli);
enum exit_code explain_chunk(struct cli *cli, const char *digits, bool at_hub, const char *layer);
/* `target` NULL: found by going up from `file`; `is_local`: nobody is asked. */
enum exit_code explain_file(struct cli *cli, const char *file, const char *target, bool is_local);
