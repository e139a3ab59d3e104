/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_format.h – what the manifest's writer and reader share: numbers, forms and rules.
 *
 * Only manifest_*.c include it.  FORMAT.md spells the stream out.
 */
#pragma once

#include "wire/manifest.h"

#define MANIFEST_MAGIC "ALBMAN"

enum {
    MANIFEST_MAGIC_SIZE = 6,
    MARK_BLOCK = 0x01,  /* begins a block of names; no entry's type byte is 1 */
    TYPE_ADD = 1,       /* type byte = entry type + 1 …                       */
    TYPE_FIELDS = 0x80, /* … | this when typed fields follow                 */
    META_USER = 1,      /* mode << META_BITS | these                         */
    META_FIELDS = 2,
    META_BITS = 2,
    CONTENT_FIELDS = 1, /* size << CONTENT_BITS | this */
    CONTENT_BITS = 1,
    MODE_MOST = 07777,
    NS_MOST = 999999999,
    CHUNK_BYTES_MOST = 4 << 20, /* no slice reaches beyond; chunk/codec.h says the same */
    SLICE_FORM_BITS = 2,
};
#define FILE_BYTES_MOST (UINT64_C(1) << 62)

/* Typed fields of an entry's metadata and of a file's content; the names have none yet. */
enum meta_field { META_XATTRS = 1 };
enum content_field {
    CONTENT_SLICES = 1,
    CONTENT_HOLES = 2, /* not critical: the bytes are the same without */
};

enum slice_form {
    SLICE_FRONT = 0,     /* key; begins at offset 0 of its chunk                */
    SLICE_PART = 1,      /* key, offset                                         */
    SLICE_CONTINUES = 2, /* goes on in the chunk of the slice before, at its end */
    SLICE_SEALED = 3,    /* scheme, body; reserved                              */
};

/* Where the slice before it ended, in the whole stream. */
struct slice_place {
    struct chunk_key key;
    uint32_t end; /* 0: none yet */
};

/* The one form a slice is spelled in. */
enum slice_form slice_form_of(const struct slice_place *before, const struct slice *s);
/* One whole plain chunk whose name is the content's digest: not spelled out. */
bool slices_are_implied(const struct manifest_entry *e);
static inline bool entry_is_device(enum entry_type type)
{
    return type == ENTRY_CHAR_DEVICE || type == ENTRY_BLOCK_DEVICE;
}
/* Which rule the entry breaks by itself, whatever is around it: a literal, or NULL. */
const char *entry_fault(const struct manifest_entry *e);

/* ---- paths (manifest_path.c) ---- */

/* Which rule the component breaks: a literal, or NULL. */
const char *component_fault(const char *name, size_t size);
/* Directories component by component: '/' is lower than every byte of a name. */
int directory_compare(const char *a, size_t a_size, const char *b, size_t b_size);
/* Length of the directory part of `path`; the name begins at *name. */
size_t path_split(const char *path, const char **name);
const struct manifest_entry *entries_find(const struct manifest_entry *entries, size_t count,
                                          const char *path);
