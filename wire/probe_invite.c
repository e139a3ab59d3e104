/* SPDX-License-Identifier: Apache-2.0 */
/* wire/probe_invite.c – the answer to POST /v1/probe: {"id": 32 hexadecimal digits, "port"}. */
#include <string.h>

#include "base/key.h"
#include "wire/json.h"
#include "wire/probe.h"

struct alb_status probe_invite_encode(const struct probe_invite *i, struct buf *out)
{
    struct json_writer *w = json_writer_new();
    char hex[2 * PROBE_ID_SIZE + 1];

    bytes_hex(i->id, PROBE_ID_SIZE, hex);
    json_object_begin(w, NULL);
    json_text(w, "id", hex);
    json_number(w, "port", i->port);
    json_end(w);
    return json_writer_finish(w, out);
}

static struct alb_status take(const struct json_doc *doc, struct probe_invite *out)
{
    const char *hex = json_doc_text(doc, "id");
    const uint64_t port = json_doc_number(doc, "port");
    struct probe_invite i = {.port = 0};

    if (strlen(hex) != (size_t)2 * PROBE_ID_SIZE ||
        alb_failed(bytes_parse_hex(hex, i.id, PROBE_ID_SIZE)))
        return alb_fail(ALB_INVALID, "an invitation to probe: \"id\" is not 32 hexadecimal digits");
    if (port == 0 || port > UINT16_MAX)
        return alb_fail(ALB_INVALID, "an invitation to probe: \"port\" is not 1 to 65535");
    i.port = (uint16_t)port;
    *out = i;
    return ALB_STATUS_OK;
}

struct alb_status probe_invite_decode(const void *bytes, size_t size, struct probe_invite *out)
{
    struct json_doc *doc = NULL;
    struct alb_status st = json_doc_parse(bytes, size, &doc);

    if (!alb_failed(st))
        st = take(doc, out);
    json_doc_free(doc);
    return st;
}
