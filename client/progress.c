/* SPDX-License-Identifier: Apache-2.0 */
/* client/progress.c – figures into a bar, a line or an event,
 * no more often than someone can read. */
#include "client/progress.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "base/units.h"

#define SHOW_TERMINAL_NS (100 * NS_PER_MS)
#define SHOW_JSON_NS NS_PER_S
#define SHOW_LINES_NS (5 * NS_PER_S)
/* The rate is taken twice a second and smoothed over about four takes. */
#define RATE_EVERY_NS (NS_PER_S / 2)
#define RATE_WEIGHT 0.25

enum { BAR_WIDTH = 20, COLUMNS_DEFAULT = 100 };

void progress_begin(struct progress *p, struct output *o, const char *phase, uint64_t now_ns)
{
    *p = (struct progress){
        .output = o, .phase = phase, .begun_ns = now_ns, .shown_ns = now_ns, .rated_ns = now_ns};
}

static void take_rate(struct progress *p, const struct progress_figures *f, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns - p->rated_ns;

    if (now_ns <= p->rated_ns || passed_ns < RATE_EVERY_NS)
        return;
    uint64_t moved = f->done_bytes > p->rated_bytes ? f->done_bytes - p->rated_bytes : 0;
    double rate_bps = (double)moved * (double)NS_PER_S / (double)passed_ns;
    p->rate_bps = p->rate_bps > 0 ? p->rate_bps + RATE_WEIGHT * (rate_bps - p->rate_bps) : rate_bps;
    p->rated_ns = now_ns;
    p->rated_bytes = f->done_bytes;
}

/* ---- the text ---- */

/* A line being put together; what does not fit is left out. */
struct line {
    char *out;
    size_t size, columns;
};

static void ALB_PRINTF(2, 3) add(struct line *line, const char *format, ...)
{
    char part[128];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(part, sizeof part, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof part || line->size + (size_t)n > line->columns)
        return;
    memcpy(line->out + line->size, part, (size_t)n + 1);
    line->size += (size_t)n;
}

/* All there is to say then, as far as it fits: no letter is cut in two. */
static void add_held(struct line *line, const char *held)
{
    add(line, ": ");
    size_t size = strlen(held), room = line->columns - line->size;

    while (size > room || (size > 0 && ((unsigned char)held[size] & 0xc0) == 0x80))
        size = size > room ? room : size - 1;
    memcpy(line->out + line->size, held, size);
    line->size += size;
    line->out[line->size] = '\0';
}

static void add_bar(struct line *line, const struct progress_figures *f)
{
    char bar[BAR_WIDTH + 1];
    uint64_t done = f->done_bytes < f->total_bytes ? f->done_bytes : f->total_bytes;
    double share = (double)done / (double)f->total_bytes;

    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < (int)(share * BAR_WIDTH) ? '#' : '-';
    bar[BAR_WIDTH] = '\0';
    add(line, " [%s] %3u %%", bar, (unsigned)(share * 100));
}

static void add_rate(struct line *line, const struct progress *p, const struct progress_figures *f)
{
    char text[UNITS_TEXT_SIZE];

    if (p->rate_bps < 1)
        return;
    add(line, "  %s/s", format_size((uint64_t)p->rate_bps, text));
    if (f->total_bytes <= f->done_bytes)
        return;
    double left_s = (double)(f->total_bytes - f->done_bytes) / p->rate_bps;
    if (left_s < 86400) /* beyond a day nobody believes it */
        add(line, "  %s left", format_duration((uint64_t)left_s * NS_PER_S, text));
}

const char *progress_text(const struct progress *p, const struct progress_figures *f,
                          size_t columns, char *out)
{
    char a[UNITS_TEXT_SIZE], b[UNITS_TEXT_SIZE], c[UNITS_TEXT_SIZE];
    struct line line = {out, 0, columns < PROGRESS_TEXT_SIZE ? columns : PROGRESS_TEXT_SIZE - 1};

    out[0] = '\0';
    add(&line, "%s", p->phase);
    if (f->held != NULL) {
        add_held(&line, f->held);
        return out;
    }
    if (f->total_bytes > 0) {
        add_bar(&line, f);
        add(&line, "  %s of %s", format_size(f->done_bytes, a), format_size(f->total_bytes, b));
    } else if (f->done_bytes > 0) {
        add(&line, "  %s", format_size(f->done_bytes, a));
    }
    if (f->total_items > 0)
        add(&line, "  %" PRIu64 " of %" PRIu64 " files", f->done_items, f->total_items);
    else if (f->done_items > 0)
        add(&line, "  %" PRIu64 " files", f->done_items);
    if (f->has_sources)
        add(&line, "  WAN %s, branch %s, here %s", format_size(f->wan_bytes, a),
            format_size(f->branch_bytes, b), format_size(f->local_bytes, c));
    add_rate(&line, p, f);
    return out;
}

/* ---- showing it ---- */

static void show_json(struct progress *p, const struct progress_figures *f, uint64_t now_ns,
                      bool is_end)
{
    struct json_writer *w = json_writer_new();

    json_object_begin(w, NULL);
    json_text(w, "event", is_end ? "phase_done" : "progress");
    json_text(w, "phase", p->phase);
    json_number(w, "ms", (now_ns - p->begun_ns) / NS_PER_MS);
    json_number(w, "done_bytes", f->done_bytes);
    json_number(w, "total_bytes", f->total_bytes);
    json_number(w, "done_items", f->done_items);
    json_number(w, "total_items", f->total_items);
    json_number(w, "rate_bps", (uint64_t)p->rate_bps);
    if (f->held != NULL)
        json_text(w, "held", f->held);
    if (f->has_sources) {
        json_number(w, "wan_bytes", f->wan_bytes);
        json_number(w, "branch_bytes", f->branch_bytes);
        json_number(w, "local_bytes", f->local_bytes);
    }
    json_end(w);
    output_json(p->output, w);
}

/* One column less than there are, or some terminals wrap. */
static size_t terminal_columns(const struct output *o)
{
    struct winsize size;

    if (ioctl(fileno(o->err), TIOCGWINSZ, &size) != 0 || size.ws_col < 2)
        return COLUMNS_DEFAULT;
    return size.ws_col - 1U;
}

static void show(struct progress *p, const struct progress_figures *f, uint64_t now_ns, bool is_end)
{
    struct output *o = p->output;
    char text[PROGRESS_TEXT_SIZE];

    const bool is_empty = f->done_bytes + f->total_bytes + f->done_items + f->total_items == 0;

    p->shown_ns = now_ns;
    if (o->json)
        show_json(p, f, now_ns, is_end);
    else if (o->err_is_terminal && !is_end)
        output_bar(o, progress_text(p, f, terminal_columns(o), text));
    else if (is_end && is_empty)
        output_bar(o, NULL); /* a phase that had nothing to do leaves no line */
    else
        output_note(o, "%s", progress_text(p, f, PROGRESS_TEXT_SIZE - 1, text));
}

static uint64_t interval_ns(const struct output *o)
{
    if (o->json)
        return SHOW_JSON_NS;
    return o->err_is_terminal ? SHOW_TERMINAL_NS : SHOW_LINES_NS;
}

void progress_show(struct progress *p, const struct progress_figures *f, uint64_t now_ns)
{
    const struct output *o = p->output;
    const bool is_told = f->held != NULL && !o->json && !o->err_is_terminal;

    take_rate(p, f, now_ns);
    if (!is_told && now_ns - p->shown_ns >= interval_ns(p->output))
        show(p, f, now_ns, false);
}

void progress_end(struct progress *p, const struct progress_figures *f, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns > p->begun_ns ? now_ns - p->begun_ns : 1;

    p->rate_bps = (double)f->done_bytes * (double)NS_PER_S / (double)passed_ns;
    show(p, f, now_ns, true);
}
