/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/policy_book_show.c – the policy's part of a status: which documents are in force, which
 * overrides hold, and what of it is damaged. */
#include "transfer/policy_book_impl.h"
#include "wire/json.h"

/* A list of 256 would hide everything else. */
enum { OVERRIDES_SHOWN = 8 };

static bool is_over(const struct policy_override *o, int64_t now_s, int64_t least_s)
{
    return o->until_s <= least_s || (now_s != POLICY_NO_CLOCK && o->until_s <= now_s);
}

static void put_override(struct json_writer *w, const struct policy_override *o)
{
    char scope[128];

    json_object_begin(w, NULL);
    json_text(w, "id", o->id);
    json_text(w, "what", policy_what_word(o->what));
    json_text(w, "scope", policy_scope_text(o->scope, o->of, scope));
    json_signed(w, "since_wall_s", o->since_s);
    json_signed(w, "until_wall_s", o->until_s);
    json_text(w, "by", o->by);
    json_text(w, "why", o->why);
    json_end(w);
}

static void put_in_force(const struct policy_book *b, struct json_writer *w)
{
    const struct policy_overrides *o = policy_peek_overrides(b->policy);
    const int64_t now_s = policy_book_now_s(b), least_s = policy_book_least_s(b);
    size_t count = 0;

    json_array_begin(w, "in_force");
    for (size_t i = 0; i < o->count; i++) {
        if (is_over(&o->list[i], now_s, least_s))
            continue;
        if (count++ < OVERRIDES_SHOWN)
            put_override(w, &o->list[i]);
    }
    json_end(w);
    json_number(w, "in_force_count", count);
}

void policy_book_show(const struct policy_book *b, struct json_writer *w)
{
    json_object_begin(w, "policy");
    json_number(w, "number", policy_book_number(b, POLICY_RULES));
    json_number(w, "rules", policy_peek(b->policy)->rule_count);
    json_number(w, "overrides", policy_book_number(b, POLICY_OVERRIDES));
    put_in_force(b, w);
    json_array_begin(w, "damaged");
    for (int part = 0; part < POLICY_PARTS; part++)
        if (b->copies[part].is_damaged)
            json_text(w, NULL, policy_part_name((enum policy_part)part));
    json_end(w);
    json_bool(w, "clock_known", policy_book_now_s(b) != POLICY_NO_CLOCK);
    json_end(w);
}

const char *policy_source_word(enum policy_source source)
{
    switch (source) {
    case POLICY_BY_DEFAULT: return "default";
    case POLICY_BY_RULE: return "rule";
    case POLICY_BY_OVERRIDE: return "override";
    case POLICY_BY_STRICTEST: return "strictest";
    }
    alb_unreachable();
}

void policy_terms_show(const struct policy *p, const struct policy_terms *t, struct json_writer *w)
{
    if (!policy_has_terms(p, t))
        return;
    if (t->source == POLICY_BY_OVERRIDE)
        json_text(w, "override", policy_peek_overrides(p)->list[t->index].id);
    if (t->source != POLICY_BY_RULE && t->source != POLICY_BY_STRICTEST)
        return;
    json_number(w, "rule", t->index + 1);
    json_text(w, "name", policy_peek(p)->rules[t->index].name);
}
