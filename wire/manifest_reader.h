/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_reader.h – the state of a manifest being decoded, shared by the files that do it.
 *
 * The three sections are read side by side, an entry at a time.  Any of them may meet the error;
 * the first one found is the refusal.
 */
#pragma once

#include "base/pack.h"
#include "wire/manifest_arena.h"
#include "wire/manifest_format.h"
#include "wire/manifest_keys.h"

struct manifest_reader {
    struct unpack names, meta, content;
    const char *error; /* of the reader's own rules */
    const struct manifest_limits *limits;
    struct manifest m; /* what becomes the result */
    size_t capacity;   /* of m.entries            */
    struct key_list keys;
    const char *directory; /* path of the current block; NULL before the first */
    size_t directory_size;
    const char *last_name; /* in the current block; NULL when it is empty yet */
    struct slice_place place;
};

/* Memory from the manifest's arena, or NULL: arena_status() keeps why, `u` is made to fail. */
void *reader_take(struct manifest_reader *r, struct unpack *u, size_t size, size_t align);
/* `size` bytes as a terminated text of the arena. */
char *reader_copy_text(struct manifest_reader *r, struct unpack *u, const void *bytes, size_t size);

/* Typed fields (manifest_fields.c): total length, then the fields. */
void read_name_fields(struct manifest_reader *r);
void read_meta_fields(struct manifest_reader *r, struct manifest_entry *e);
void read_content_fields(struct manifest_reader *r, struct manifest_entry *e);
/* Fields of the manifest itself, to the end of `u`. */
void read_last_fields(struct unpack *u);
