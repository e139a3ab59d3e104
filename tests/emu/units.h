/* SPDX-License-Identifier: Apache-2.0 */
/* emu/units.h – what people type ("10mbit", "40ms", "16kB", "0.5%") as numbers.
 *
 * A unit is always required, except that a bare number is a queue size in bytes: a forgotten
 * unit on a rate or a delay would give a link a thousand times off that looks like a bug of the
 * program under test.  Decimals are fine ("1.5mbit").  Units are case-sensitive.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "emu/error.h"

/* bit, kbit, mbit, gbit (powers of 1000, per second); 1 kbit to 10 gbit. */
bool units_rate_parse(const char *text, struct emu_error *err, uint64_t *rate_bits);

/* us, ms, s; at most 10 s. */
bool units_time_parse(const char *text, struct emu_error *err, uint64_t *time_ns);

/* The same or min, or bare seconds; at most 30 days: a moment in a script. */
bool units_moment_parse(const char *text, struct emu_error *err, uint64_t *time_ns);

/* 1packet, 50packets; at most 10,000. */
bool units_packets_parse(const char *text, struct emu_error *err, uint32_t *packets);

/* A bare number, kB, KiB, MB or MiB; at most 1 GB. */
bool units_size_parse(const char *text, struct emu_error *err, uint64_t *size_bytes);

/* A percentage with its sign, 0% to 100%, as a share from 0 to 1. */
bool units_share_parse(const char *text, struct emu_error *err, double *share);
