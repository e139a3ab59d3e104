/* SPDX-License-Identifier: Apache-2.0 */
/* client/hold.c – the policy asked once nothing moves, and told in a line or an event. */
#include "client/hold.h"

#include <stdio.h>

/* Nothing moved for so long; and so often it is looked. */
#define STILL_NS NS_PER_S
#define LOOK_NS NS_PER_S

void hold_init(struct hold *h, const struct hold_options *options)
{
    *h = (struct hold){.options = *options, .since_ns = loop_now_ns(options->loop)};
}

const char *hold_text(const struct hold *h)
{
    return h->text[0] != '\0' ? h->text : NULL;
}

static void tell_json(const struct hold *h, const struct policy_hold *by, bool is_ours)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "event", "held");
    json_text(w, "line", is_ours ? "own" : "branch");
    json_text(w, "by", policy_source_word(by->terms.source));
    policy_terms_show(policy_book_peek(h->options.policy), &by->terms, w);
    if (by->until_s != POLICY_NEVER)
        json_signed(w, "until", by->until_s);
    json_text(w, "text", h->text);
    json_end(w);
    output_json(h->options.output, w);
}

static void tell_released(const struct hold *h)
{
    struct output *o = h->options.output;

    if (o->json) {
        struct json_writer *w = json_writer_new();
        json_object_begin(w, NULL);
        json_text(w, "event", "released");
        json_end(w);
        output_json(o, w);
    } else if (!o->err_is_terminal) {
        output_note(o, "the policy lets it go on");
    }
}

static void take(struct hold *h, const char *phase, const struct policy_hold *by, bool is_ours)
{
    struct output *o = h->options.output;
    char text[sizeof h->text];

    snprintf(text, sizeof text, "%s%s", is_ours ? "" : "the branch's line to its hub: ", by->text);
    if (strcmp(text, h->text) == 0)
        return;
    memcpy(h->text, text, sizeof text);
    if (o->json)
        tell_json(h, by, is_ours);
    else if (!o->err_is_terminal)
        output_note(o, "%s: %s", phase, text);
}

/* No policy's word: the machine's own way to the upstream is one that is paid for by the byte. */
static void take_spared(struct hold *h, const char *phase)
{
    static const char words[] =
        "the way to the upstream is metered (a modem); it goes on at another "
        "link, or with --allow-metered";
    struct output *o = h->options.output;

    if (strcmp(words, h->text) == 0)
        return;
    snprintf(h->text, sizeof h->text, "%s", words);
    if (o->json) {
        struct json_writer *w = json_writer_new();
        json_object_begin(w, NULL);
        json_text(w, "event", "held");
        json_text(w, "line", "own");
        json_text(w, "by", "metered");
        json_text(w, "text", h->text);
        json_end(w);
        output_json(o, w);
    } else if (!o->err_is_terminal) {
        output_note(o, "%s: %s", phase, words);
    }
}

static void ask(struct hold *h, const char *phase)
{
    const struct hold_options *o = &h->options;
    struct policy_hold by;

    if (line_is_spared(o->line)) {
        take_spared(h, phase);
    } else if (line_hold(o->line, o->way, o->layer, false, &by)) {
        take(h, phase, &by, true);
    } else if (o->by_reflector && line_hold(o->line, o->way, o->layer, true, &by)) {
        take(h, phase, &by, false);
    } else if (h->text[0] != '\0') {
        h->text[0] = '\0';
        tell_released(h);
    }
}

void hold_look(struct hold *h, const char *phase, uint64_t mark, bool waits)
{
    const uint64_t now_ns = loop_now_ns(h->options.loop);
    const bool has_moved = mark != h->mark || !waits;

    if (has_moved)
        h->since_ns = now_ns;
    h->mark = mark;
    if (now_ns - h->looked_ns < LOOK_NS && !(has_moved && h->text[0] != '\0'))
        return;
    if (now_ns - h->since_ns < STILL_NS && h->text[0] == '\0')
        return;
    h->looked_ns = now_ns;
    ask(h, phase);
}
