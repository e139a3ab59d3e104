/* SPDX-License-Identifier: Apache-2.0 */
/* net/http_fields.c – the header fields of one message, bounded, in the order they came. */
#include "net/http_impl.h"

void http_fields_init(struct http_fields *f)
{
    buf_init(&f->text, HTTP_HEADER_MAX);
}

void http_fields_release(struct http_fields *f)
{
    buf_release(&f->text);
}

struct alb_status http_fields_add(struct http_fields *f, const char *name, const char *value,
                                  size_t value_size)
{
    size_t name_size = strlen(name);
    struct alb_status st;
    uint8_t *room;

    if (name_size + value_size + 2 > buf_room(&f->text))
        return alb_fail(ALB_FULL, "more header fields than a message may have");
    st = buf_reserve(&f->text, name_size + value_size + 2, &room);
    if (alb_failed(st))
        return st;
    memcpy(room, name, name_size + 1);
    memcpy(room + name_size + 1, value, value_size);
    room[name_size + 1 + value_size] = '\0';
    buf_commit(&f->text, name_size + value_size + 2);
    return ALB_STATUS_OK;
}

const char *http_fields_find(const struct http_fields *f, const char *name)
{
    const char *at = (const char *)buf_peek(&f->text);
    const char *end = at + buf_size(&f->text);

    while (at < end) {
        const char *value = at + strlen(at) + 1;

        if (strcmp(at, name) == 0)
            return value;
        at = value + strlen(value) + 1;
    }
    return NULL;
}

nghttp2_nv http_field(const char *name, const char *value)
{
    /* nghttp2 wants writable bytes but copies them at once. */
    union {
        const char *text;
        uint8_t *bytes;
    } n = {.text = name}, v = {.text = value};

    return (nghttp2_nv){n.bytes, v.bytes, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}
