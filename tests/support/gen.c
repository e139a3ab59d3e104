/* SPDX-License-Identifier: Apache-2.0 */
/* support/gen.c – the seeded generator of test input. */
#include "support/gen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

void gen_init(struct gen *g, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++)
        g->s[i] = splitmix(&seed);
}

static uint64_t seed_from_env(void)
{
    const char *text = getenv("ALB_SEED");
    uint64_t seed = 1;

    if (text == NULL || *text == '\0')
        return seed;
    if (strcmp(text, "fresh") == 0) {
        if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
            abort();
        return seed;
    }

    char *end = NULL;
    errno = 0;
    seed = strtoull(text, &end, 0);
    if (errno != 0 || *end != '\0') {
        fprintf(stderr, "ALB_SEED=%s: give a number, or \"fresh\"\n", text);
        exit(2); /* NOLINT(concurrency-mt-unsafe): before any thread */
    }
    return seed;
}

uint64_t gen_init_from_env(struct gen *g)
{
    uint64_t seed = seed_from_env();

    printf("ALB_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    gen_init(g, seed);
    return seed;
}

struct gen gen_fork(struct gen *g)
{
    struct gen child;

    gen_init(&child, gen_u64(g));
    return child;
}

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

uint64_t gen_u64(struct gen *g)
{
    uint64_t *s = g->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t gen_below(struct gen *g, uint64_t n)
{
    if (n == 0)
        abort();
    /* Draws from the last, incomplete block of n would favour small values. */
    uint64_t unfair = (0 - n) % n;
    uint64_t draw = gen_u64(g);

    while (draw < unfair)
        draw = gen_u64(g);
    return draw % n;
}

uint64_t gen_range(struct gen *g, uint64_t low, uint64_t high)
{
    uint64_t count = high - low + 1;

    return count == 0 ? gen_u64(g) : low + gen_below(g, count);
}

uint64_t gen_skewed(struct gen *g, uint64_t max)
{
    unsigned bits = 0;

    while (bits < 64 && (max >> bits) != 0)
        bits++;
    unsigned length = (unsigned)gen_range(g, 0, bits);
    uint64_t top = length >= bits ? max : ((uint64_t)1 << length) - 1;

    return gen_range(g, 0, top);
}

bool gen_chance(struct gen *g, unsigned num, unsigned den)
{
    return gen_below(g, den) < num;
}

void gen_bytes(struct gen *g, void *out, size_t size)
{
    uint8_t *at = out;

    while (size > 0) {
        uint64_t draw = gen_u64(g);
        size_t part = size < sizeof(draw) ? size : sizeof(draw);

        memcpy(at, &draw, part);
        at += part;
        size -= part;
    }
}

void gen_text(struct gen *g, void *out, size_t size)
{
    static const char words[][9] = {"layer ",  "branch ", "chunk\n", "return ", "if (",   "0x7f, ",
                                    "static ", "link ",   "{\n",     "}\n",     "upper ", "lower "};
    uint8_t *at = out;

    while (size > 0) {
        const char *word = words[gen_below(g, sizeof(words) / sizeof(words[0]))];
        size_t part = strlen(word) < size ? strlen(word) : size;

        memcpy(at, word, part); /* NOLINT: the text has a size, not an end */
        at += part;
        size -= part;
    }
}

void gen_name(struct gen *g, char *out, size_t max)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    size_t length = gen_range(g, 1, max);

    do {
        for (size_t i = 0; i < length; i++)
            out[i] = letters[gen_below(g, sizeof(letters) - 1)];
        out[length] = '\0';
    } while (strcmp(out, ".") == 0 || strcmp(out, "..") == 0);
}
