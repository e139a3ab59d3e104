/* SPDX-License-Identifier: Apache-2.0 */
/* support/words.h – the words of a command line that are numbers, or it ends with what is wrong. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"

static _Noreturn inline void give_up(const char *what, struct alb_status st)
{
    char text[256];

    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
            alb_status_text(st, text, sizeof text));
    exit(1);
}

static inline void must(struct alb_status st, const char *what)
{
    if (alb_failed(st))
        give_up(what, st);
}

static inline uint64_t number_of(const char *word)
{
    uint64_t value = 0;

    must(parse_u64(word, UINT64_MAX, &value), word);
    return value;
}
