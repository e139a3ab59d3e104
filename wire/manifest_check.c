/* SPDX-License-Identifier: Apache-2.0 */
/* wire/manifest_check.c – the rules an entry must keep by itself, for writer and reader alike. */
#include "wire/manifest_format.h"

/* SHA-256 of no bytes. */
static const struct digest EMPTY = {{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                     0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                     0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                     0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}};

enum slice_form slice_form_of(const struct slice_place *before, const struct slice *s)
{
    if (s->offset == 0)
        return SLICE_FRONT;
    if (s->offset == before->end && chunk_key_equal(&s->key, &before->key))
        return SLICE_CONTINUES;
    return SLICE_PART;
}

bool slices_are_implied(const struct manifest_entry *e)
{
    const struct slice *s = e->slices;

    return e->slice_count == 1 && s->offset == 0 && s->length == e->size &&
           s->key.kind == KEY_PLAIN && digest_equal(&s->key.digest, &e->content);
}

static const char *slice_fault(const struct slice *s)
{
    if (s->length == 0)
        return "a slice is empty";
    if (s->offset > CHUNK_BYTES_MOST || s->length > CHUNK_BYTES_MOST - s->offset)
        return "a slice reaches beyond the largest chunk";
    switch (s->key.kind) {
    case KEY_PLAIN:
    case KEY_CASYNC_SHA256:
    case KEY_CASYNC_SHA512: return NULL;
    case KEY_SEALED: return "a sealed chunk is named without its seal";
    default: return "a slice names an unknown kind of chunk";
    }
}

static const char *content_fault(const struct manifest_entry *e)
{
    uint64_t sum = 0;

    if (e->size > FILE_BYTES_MOST)
        return "a file's size is absurd";
    if (e->size == 0 && !digest_equal(&e->content, &EMPTY))
        return "an empty file has another digest than nothing has";
    for (size_t i = 0; i < e->slice_count; i++) {
        const char *fault = slice_fault(&e->slices[i]);

        if (fault != NULL)
            return fault;
        sum += e->slices[i].length;
    }
    return sum == e->size ? NULL : "a file's slices do not add up to its size";
}

static const char *holes_fault(const struct manifest_entry *e)
{
    uint64_t end = 0;

    for (size_t i = 0; i < e->hole_count; i++) {
        const struct hole *h = &e->holes[i];

        if (h->length == 0 || (i > 0 && h->offset <= end))
            return "holes are empty, touch each other or are not in ascending order";
        if (h->offset > e->size || h->length > e->size - h->offset)
            return "a hole reaches beyond its file";
        end = h->offset + h->length;
    }
    return NULL;
}

static const char *xattrs_fault(const struct manifest_entry *e)
{
    if (e->xattr_count > MANIFEST_XATTRS_MAX)
        return "an entry has more than 256 extended attributes";
    for (size_t i = 0; i < e->xattr_count; i++) {
        const struct xattr *x = &e->xattrs[i];

        if (x->name[0] == '\0' || strnlen(x->name, MANIFEST_NAME_MAX + 1) > MANIFEST_NAME_MAX)
            return "the name of an extended attribute is empty or longer than 255 bytes";
        if (x->size > MANIFEST_XATTR_MAX)
            return "the value of an extended attribute is larger than 64 KiB";
        if (i > 0 && strcmp(e->xattrs[i - 1].name, x->name) >= 0)
            return "extended attributes are not in ascending order";
    }
    return NULL;
}

static const char *target_fault(const struct manifest_entry *e)
{
    const char *target = e->target;

    if (e->type != ENTRY_SYMLINK && e->type != ENTRY_HARDLINK)
        return target == NULL ? NULL : "an entry that is no link has a target";
    if (target == NULL || target[0] == '\0')
        return "a link has no target";
    if (e->type == ENTRY_HARDLINK) {
        struct alb_status st = path_check(target);

        return alb_failed(st) ? st.what : NULL;
    }
    if (strnlen(target, MANIFEST_PATH_MAX + 1) > MANIFEST_PATH_MAX)
        return "the target of a symbolic link is longer than 4095 bytes";
    return NULL;
}

static const char *meta_fault(const struct manifest_entry *e)
{
    if (e->mode > MODE_MOST)
        return "a mode has more than the bits 07777";
    if (e->mtime_ns > NS_MOST)
        return "a time has more than 999999999 nanoseconds";
    return NULL;
}

/* What only some types have. */
static const char *type_fault(const struct manifest_entry *e)
{
    if (e->type < ENTRY_DIRECTORY || e->type > ENTRY_BLOCK_DEVICE)
        return "an entry's type is not known to this program";
    if (!entry_is_device(e->type) && (e->dev_major != 0 || e->dev_minor != 0))
        return "an entry that is no device has device numbers";
    if (e->type != ENTRY_FILE && (e->size != 0 || e->slice_count != 0 || e->hole_count != 0))
        return "an entry that is no regular file has content";
    if (e->type == ENTRY_HARDLINK && e->xattr_count != 0)
        return "a hard link has metadata of its own";
    return NULL;
}

const char *entry_fault(const struct manifest_entry *e)
{
    const char *fault = type_fault(e);

    if (fault == NULL)
        fault = meta_fault(e);
    if (fault == NULL)
        fault = target_fault(e);
    if (fault == NULL && e->type == ENTRY_FILE)
        fault = content_fault(e);
    if (fault == NULL)
        fault = holes_fault(e);
    return fault != NULL ? fault : xattrs_fault(e);
}
