/* SPDX-License-Identifier: Apache-2.0 */
/* fluid/sweep.h – links that nobody named: a grid of them, and where the law is at its worst. */
#pragma once

#include "fluid/trial.h"

/* Runs the whole grid and prints, for each kind of line, the medians and the worst of each figure:
 * `worst` links of each. */
void sweep_print(const struct fluid_law *law, unsigned worst);
