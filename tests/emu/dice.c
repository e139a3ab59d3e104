/* SPDX-License-Identifier: Apache-2.0 */
/* emu/dice.c – splitmix64: one addition and three mixing steps for each number, unlike rand() the
 * same everywhere, and good enough for coin tosses. */
#include "emu/dice.h"

#include <math.h>

#define TURN 6.283185307179586 /* 2 pi */

uint64_t dice_bits(struct dice *dice)
{
    dice->state += 0x9e3779b97f4a7c15u;
    uint64_t z = dice->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double dice_unit(struct dice *dice)
{
    const double span = 9007199254740992.0; /* 2^53, what a double holds exactly */
    return (double)(dice_bits(dice) >> 11) / span;
}

/* Box and Muller's way; its second number is not kept, so that the state is one integer. */
double dice_normal(struct dice *dice)
{
    double radius = sqrt(2 * dice_exponential(dice));
    return radius * cos(TURN * dice_unit(dice));
}

double dice_exponential(struct dice *dice)
{
    return -log(1 - dice_unit(dice)); /* of a number above 0 */
}
