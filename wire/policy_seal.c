/* SPDX-License-Identifier: Apache-2.0 */
/* wire/policy_seal.c – one table of fields, three kinds of envelope. */
#include "wire/policy_seal.h"

#include <string.h>

#include "base/alloc.h"
#include "wire/fields.h"

enum { SEAL_FORMAT = 1 };

static const struct {
    const char *name, *kind;
} PARTS[POLICY_PARTS] = {
    [POLICY_RULES] = {"policy", "policy"},
    [POLICY_OVERRIDES] = {"override", "overrides"},
    [POLICY_STATES] = {"states", "states"},
};

const char *policy_part_name(enum policy_part part)
{
    return PARTS[part].name;
}

static void put_text(struct pack *p, const void *object)
{
    const struct policy_seal *s = object;

    pack_bytes(p, s->text, s->text_size);
}

static void get_text(struct unpack *u, void *object)
{
    struct policy_seal *s = object;

    s->text_size = unpack_left(u);
    s->text = unpack_bytes(u, s->text_size);
}

static const char *const UNKNOWN[FIELD_NUMBERS] = FIELD_TEXTS("policy");
static const struct field_row ROWS[] = {
    {1, FIELD_ID, offsetof(struct policy_seal, org), NULL, NULL},
    {2, FIELD_NUMBER, offsetof(struct policy_seal, number), NULL, NULL},
    {3, FIELD_TIME, offsetof(struct policy_seal, issued_wall_s), NULL, NULL},
    {4, FIELD_OWN, 0, put_text, get_text},
};
static const struct field_table TABLE = {UNKNOWN, "a signed policy lacks a field it must have",
                                         ROWS, ALB_COUNT(ROWS)};

static struct alb_status check(const struct policy_seal *s)
{
    if (s->number == 0)
        return alb_fail(ALB_INVALID, "policies, overrides and states are numbered from 1");
    if (s->text_size == 0 || s->text_size > POLICY_TEXT_MAX)
        return alb_fail(ALB_INVALID, "a signed policy is empty or over 1 MiB");
    return ALB_STATUS_OK;
}

struct alb_status policy_seal_encode(enum policy_part part, const struct policy_seal *s,
                                     const struct sign_secret *hub, struct buf *out)
{
    struct alb_status st = check(s);
    struct buf body;

    if (alb_failed(st))
        return st;
    buf_init(&body, SIGNED_MAX);
    st = fields_encode(&TABLE, s, &body);
    if (!alb_failed(st))
        st = signed_seal(PARTS[part].kind, SEAL_FORMAT, &body, hub, 1, out);
    buf_release(&body);
    return st;
}

struct alb_status policy_seal_decode(enum policy_part part, const void *bytes, size_t size,
                                     const struct trust *trust, struct policy_seal *out)
{
    struct policy_seal s = {.number = 0};
    struct signed_view v;

    if (trust == NULL)
        return alb_fail(ALB_REFUSED, "there is no trust file yet to judge a policy by");
    struct alb_status st =
        signed_open_by(bytes, size, PARTS[part].kind, SEAL_FORMAT, &trust->hub_key, &v);
    if (!alb_failed(st))
        st = fields_decode(&TABLE, v.body, v.body_size, &s);
    if (alb_failed(st))
        return st;
    st = check(&s);
    if (alb_failed(st))
        return (struct alb_status){ALB_CORRUPT, 0, st.what};
    if (strcmp(s.org, trust->org) != 0)
        return alb_fail(ALB_REFUSED, "the policy is another organisation's");
    *out = s;
    return ALB_STATUS_OK;
}
