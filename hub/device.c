/* SPDX-License-Identifier: Apache-2.0 */
/* hub/device.c – token and device records as small JSON documents. */
#include "hub/device.h"

#include <stdio.h>
#include <string.h>

#include "hub/ledger.h"

enum { RECORD_VALUE_MAX = 16 << 10 };

static struct alb_status read_doc(struct catalogue *c, const char *kind, const char *id,
                                  struct json_doc **out, uint64_t *swap_version)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf value;

    snprintf(name, sizeof name, "%s/%s", kind, id);
    buf_init(&value, RECORD_VALUE_MAX);
    struct alb_status st = catalogue_get(c, name, &value, swap_version);
    if (!alb_failed(st))
        st = json_doc_parse(buf_peek(&value), buf_size(&value), out);
    buf_release(&value);
    return st;
}

static struct alb_status write_doc(struct catalogue *c, const char *kind, const char *id,
                                   struct json_writer *w, uint64_t expected)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct buf value;

    snprintf(name, sizeof name, "%s/%s", kind, id);
    buf_init(&value, RECORD_VALUE_MAX);
    struct alb_status st = json_writer_finish(w, &value);
    if (!alb_failed(st))
        st = ledger_write(c, name, expected, buf_peek(&value), buf_size(&value));
    buf_release(&value);
    return st;
}

static void take_text(const struct json_doc *d, const char *path, char *out, size_t size)
{
    snprintf(out, size, "%s", json_doc_text(d, path));
}

/* ---- devices --------------------------------------------------------------------------------- */

static void take_older(const struct json_doc *doc, struct device_record *out)
{
    char path[32];

    for (size_t i = 0; i < json_doc_count(doc, "older") && i < OLDER_MAX; i++) {
        struct older_certificate *o = &out->older[out->older_count++];

        snprintf(path, sizeof path, "older.%zu.serial", i);
        take_text(doc, path, o->serial, sizeof o->serial);
        snprintf(path, sizeof path, "older.%zu.expires", i);
        o->expires_wall_s = (int64_t)json_doc_number(doc, path);
    }
}

static void device_from(const struct json_doc *doc, struct device_record *out)
{
    take_text(doc, "device", out->device, sizeof out->device);
    take_text(doc, "role", out->role, sizeof out->role);
    take_text(doc, "site", out->site, sizeof out->site);
    take_text(doc, "serial", out->serial, sizeof out->serial);
    take_text(doc, "key", out->key, sizeof out->key);
    take_text(doc, "token", out->token, sizeof out->token);
    take_text(doc, "layers", out->layers, sizeof out->layers);
    out->issued_wall_s = (int64_t)json_doc_number(doc, "issued");
    out->expires_wall_s = (int64_t)json_doc_number(doc, "expires");
    out->older_count = 0;
    take_older(doc, out);
    out->is_revoked = json_doc_number(doc, "revoked") != 0;
    take_text(doc, "certificate", out->certificate, sizeof out->certificate);
}

struct alb_status device_read(struct catalogue *c, const char *device, struct device_record *out,
                              uint64_t *swap_version)
{
    struct json_doc *doc = NULL;
    struct alb_status st = read_doc(c, "device", device, &doc, swap_version);

    if (alb_failed(st))
        return st;
    device_from(doc, out);
    json_doc_free(doc);
    return ALB_STATUS_OK;
}

struct alb_status device_decode(const void *value, size_t size, struct device_record *out)
{
    struct json_doc *doc = NULL;
    struct alb_status st = json_doc_parse(value, size, &doc);

    if (alb_failed(st))
        return st;
    device_from(doc, out);
    json_doc_free(doc);
    return ALB_STATUS_OK;
}

static void put_members(const struct device_record *d, struct json_writer *w)
{
    json_text(w, "device", d->device);
    json_text(w, "role", d->role);
    json_text(w, "site", d->site);
    json_text(w, "serial", d->serial);
    json_text(w, "layers", d->layers);
    json_text(w, "token", d->token);
    json_signed(w, "issued", d->issued_wall_s);
    json_signed(w, "expires", d->expires_wall_s);
    json_array_begin(w, "older");
    for (size_t i = 0; i < d->older_count; i++) {
        json_object_begin(w, NULL);
        json_text(w, "serial", d->older[i].serial);
        json_signed(w, "expires", d->older[i].expires_wall_s);
        json_end(w);
    }
    json_end(w);
}

void device_show(const struct device_record *d, struct json_writer *w)
{
    put_members(d, w);
    json_bool(w, "revoked", d->is_revoked);
}

struct alb_status device_write(struct catalogue *c, const struct device_record *d,
                               uint64_t expected)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    put_members(d, w);
    json_text(w, "key", d->key);
    json_number(w, "revoked", d->is_revoked);
    json_text(w, "certificate", d->certificate);
    json_end(w);
    return write_doc(c, "device", d->device, w, expected);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static void token_from(const struct json_doc *doc, struct token_record *out)
{
    take_text(doc, "hash", out->hash, sizeof out->hash);
    take_text(doc, "role", out->role, sizeof out->role);
    take_text(doc, "site", out->site, sizeof out->site);
    take_text(doc, "name", out->name, sizeof out->name);
    take_text(doc, "layers", out->layers, sizeof out->layers);
    out->uses = json_doc_number(doc, "uses");
    take_text(doc, "last_key", out->last_key, sizeof out->last_key);
    take_text(doc, "last_device", out->last_device, sizeof out->last_device);
    take_text(doc, "withdrawn", out->withdrawn, sizeof out->withdrawn);
    out->expires_wall_s = (int64_t)json_doc_number(doc, "expires");
}

struct alb_status token_record_decode(const void *value, size_t size, struct token_record *out)
{
    struct json_doc *doc = NULL;
    struct alb_status st = json_doc_parse(value, size, &doc);

    if (alb_failed(st))
        return st;
    out->id[0] = '\0';
    token_from(doc, out);
    json_doc_free(doc);
    return ALB_STATUS_OK;
}

struct alb_status token_record_read(struct catalogue *c, const char *id, struct token_record *out,
                                    uint64_t *swap_version)
{
    struct json_doc *doc = NULL;
    struct alb_status st = read_doc(c, "token", id, &doc, swap_version);

    if (alb_failed(st))
        return st;
    snprintf(out->id, sizeof out->id, "%s", id);
    token_from(doc, out);
    json_doc_free(doc);
    return ALB_STATUS_OK;
}

struct alb_status token_record_write(struct catalogue *c, const struct token_record *t,
                                     uint64_t expected)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "hash", t->hash);
    json_text(w, "role", t->role);
    json_text(w, "site", t->site);
    json_text(w, "name", t->name);
    json_text(w, "layers", t->layers);
    json_number(w, "uses", t->uses);
    json_text(w, "last_key", t->last_key);
    json_text(w, "last_device", t->last_device);
    json_text(w, "withdrawn", t->withdrawn);
    json_signed(w, "expires", t->expires_wall_s);
    json_end(w);
    return write_doc(c, "token", t->id, w, expected);
}

/* ---- lists of layers ------------------------------------------------------------------------- */

static bool is_listed(char (*list)[NAME_MAX_SIZE], size_t count, const char *text)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return false;
}

struct alb_status layers_split(const char *text, size_t max, char (*out)[NAME_MAX_SIZE],
                               size_t *count)
{
    size_t found = 0;

    text += strspn(text, " ,");
    while (*text != '\0') {
        size_t length = strcspn(text, " ,");
        if (found == max)
            return alb_fail(ALB_INVALID, "too many layer prefixes");
        snprintf(out[found], NAME_MAX_SIZE, "%.*s", (int)length, text);
        struct alb_status st = length < NAME_MAX_SIZE
                                   ? layer_name_check(out[found])
                                   : alb_fail(ALB_INVALID, "a layer prefix is too long");
        if (alb_failed(st))
            return st;
        if (!is_listed(out, found, out[found]))
            found++;
        text += length;
        text += strspn(text, " ,");
    }
    if (found == 0)
        out[found++][0] = '\0';
    *count = found;
    return ALB_STATUS_OK;
}
