/* SPDX-License-Identifier: Apache-2.0 */
/* emu/units.c – reads numbers with units and refuses everything else by name. */
#include "emu/units.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor;
};

struct quantity {
    const char *what;   /* as the error message calls it */
    const char *accept; /* what to type instead */
    double min, max;
    struct unit units[6]; /* ends with name == NULL */
};

static const struct quantity RATE = {
    "rate",
    "a number with bit, kbit, mbit or gbit, from 1kbit to 10gbit, such as 10mbit "
    "(to cut the link use `down`)",
    1e3,
    1e10,
    {{"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {NULL, 0}},
};

static const struct quantity TIME = {
    "time", "a number with us, ms or s, at most 10s, such as 40ms", 0,
    1e10,   {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}},
};

static const struct quantity MOMENT = {
    "moment", "seconds, or a number with ms, s or min, at most 30 days, such as 20s", 0,
    2.592e15, {{"", 1e9}, {"ms", 1e6}, {"s", 1e9}, {"min", 6e10}, {NULL, 0}},
};

static const struct quantity PACKETS = {
    "number of packets",
    "1packet to 10000packets, such as 50packets",
    1,
    1e4,
    {{"packets", 1}, {"packet", 1}, {NULL, 0}},
};

static const struct quantity SIZE = {
    "size", "bytes as a bare number or with kB, KiB, MB or MiB, at most 1GB, such as 16000", 0,
    1e9,    {{"", 1}, {"kB", 1e3}, {"KiB", 1024}, {"MB", 1e6}, {"MiB", 1048576}, {NULL, 0}},
};

static const struct quantity SHARE = {
    "share", "a percentage from 0% to 100%, such as 0.5%", 0, 1, {{"%", 0.01}, {NULL, 0}},
};

static bool quantity_parse(const struct quantity *q, const char *text, struct emu_error *err,
                           double *value)
{
    char *rest = NULL;
    /* strtod alone would take "inf", "-3" and "0x10". */
    bool plain = strspn(text, "0123456789.") > 0 && strpbrk(text, "xX") == NULL;
    double number = plain ? strtod(text, &rest) : 0;
    for (const struct unit *u = q->units; plain && rest != text && u->name != NULL; u++) {
        double scaled = number * u->factor;
        if (strcmp(rest, u->name) != 0 || scaled < q->min || scaled > q->max)
            continue;
        *value = scaled;
        return true;
    }
    return emu_fail(err, "'%s' is not a %s this link can have; give %s", text, q->what, q->accept);
}

static bool whole_parse(const struct quantity *q, const char *text, struct emu_error *err,
                        uint64_t *value)
{
    double number;
    if (!quantity_parse(q, text, err, &number))
        return false;
    *value = (uint64_t)(number + 0.5);
    return true;
}

bool units_rate_parse(const char *text, struct emu_error *err, uint64_t *rate_bits)
{
    return whole_parse(&RATE, text, err, rate_bits);
}

bool units_time_parse(const char *text, struct emu_error *err, uint64_t *time_ns)
{
    return whole_parse(&TIME, text, err, time_ns);
}

bool units_moment_parse(const char *text, struct emu_error *err, uint64_t *time_ns)
{
    return whole_parse(&MOMENT, text, err, time_ns);
}

bool units_packets_parse(const char *text, struct emu_error *err, uint32_t *packets)
{
    uint64_t whole;
    if (!whole_parse(&PACKETS, text, err, &whole))
        return false;
    *packets = (uint32_t)whole;
    return true;
}

bool units_size_parse(const char *text, struct emu_error *err, uint64_t *size_bytes)
{
    return whole_parse(&SIZE, text, err, size_bytes);
}

bool units_share_parse(const char *text, struct emu_error *err, double *share)
{
    return quantity_parse(&SHARE, text, err, share);
}
