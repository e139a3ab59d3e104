/* SPDX-License-Identifier: Apache-2.0 */
/* sim/cast.h – who plays the scenarios: real hubs, reflectors and endpoints over RAM stores. */
#pragma once

#include "sim/scenario.h"

struct cast;

extern const struct scenario_ops cast_ops; /* their `arg` is a struct cast */
struct cast *cast_new(void);
struct cast *cast_free(struct cast *c);
