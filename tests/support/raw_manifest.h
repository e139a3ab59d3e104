/* SPDX-License-Identifier: Apache-2.0 */
/* support/raw_manifest.h – manifests spelled by hand, the wrong ones above all. */
#pragma once

#include "support/wire_fixture.h"

#include "base/pack.h"
#include "wire/manifest.h"

/* A stream spelled by hand. */
struct raw {
    struct buf names, meta, content, tail;
};

static inline void raw_init(struct raw *r)
{
    buf_init(&r->names, 1 << 20);
    buf_init(&r->meta, 1 << 20);
    buf_init(&r->content, 1 << 20);
    buf_init(&r->tail, 1 << 20);
}

static inline void put(struct buf *b, const char *bytes, size_t size)
{
    assert_ok(buf_append(b, bytes, size));
}
#define PUT(b, literal) put(b, literal, sizeof(literal) - 1)

static inline void put_text(struct buf *b, const char *text)
{
    struct pack p;

    pack_init(&p, b);
    pack_string(&p, text);
    assert_ok(pack_finish(&p));
}

static inline void meta(struct raw *r)
{
    PUT(&r->meta, "\x90\x0d\0\0\0\0"); /* mode 0644 above two flags, uid, gid, mtime */
}

static inline void block(struct raw *r, const char *path)
{
    PUT(&r->names, "\1");
    put_text(&r->names, path);
}

static inline void name(struct raw *r, enum entry_type type, const char *text)
{
    uint8_t byte = (uint8_t)(type + 1);

    assert_ok(buf_append(&r->names, &byte, 1));
    put_text(&r->names, text);
    if (type != ENTRY_HARDLINK)
        meta(r);
}

/* Size and digest of a file that is one whole chunk of `size` < 64 bytes, digest filled with
 * `fill`. */
static inline void content(struct raw *r, uint8_t size, uint8_t fill, bool fields)
{
    uint8_t bytes[33];

    memset(bytes, fill, sizeof bytes);
    bytes[0] = (uint8_t)(size << 1 | fields);
    assert_ok(buf_append(&r->content, bytes, sizeof bytes));
}

static inline void file(struct raw *r, const char *text)
{
    name(r, ENTRY_FILE, text);
    content(r, 9, 7, false);
}

static inline struct alb_status decode_bytes(const struct buf *b,
                                             const struct manifest_limits *limits)
{
    struct manifest m;
    struct alb_status st = manifest_decode(buf_peek(b), buf_size(b), limits, &m);

    if (!alb_failed(st))
        manifest_release(&m);
    return st;
}

static inline struct alb_status decode(struct raw *r, const struct manifest_limits *limits)
{
    struct alb_status st;
    struct buf b;
    struct pack p;

    buf_init(&b, 1 << 22);
    pack_init(&p, &b);
    pack_bytes(&p, "ALBMAN\1\1\2\3", 10);
    pack_run(&p, buf_peek(&r->names), buf_size(&r->names));
    pack_run(&p, buf_peek(&r->meta), buf_size(&r->meta));
    pack_run(&p, buf_peek(&r->content), buf_size(&r->content));
    pack_bytes(&p, buf_peek(&r->tail), buf_size(&r->tail));
    assert_ok(pack_finish(&p));
    st = decode_bytes(&b, limits);
    buf_release(&b);
    buf_release(&r->names);
    buf_release(&r->meta);
    buf_release(&r->content);
    buf_release(&r->tail);
    return st;
}

/* A case spells its part into a stream that has the root's metadata and its block already. */
struct raw_case {
    void (*spell)(struct raw *r);
    const char *says;
};

static inline void raw_check(const struct raw_case *c)
{
    struct raw r;

    raw_init(&r);
    meta(&r);
    block(&r, "");
    c->spell(&r);
    assert_says(decode(&r, &manifest_limits_default), c->says[0] == '\0' ? ALB_OK : ALB_CORRUPT,
                c->says);
}
