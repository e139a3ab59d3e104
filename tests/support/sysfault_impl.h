/* SPDX-License-Identifier: Apache-2.0 */
/* support/sysfault_impl.h – between the armed fault (sysfault.c) and the calls that meet it. */
#pragma once

#include <stddef.h>

#include "support/sysfault.h"

/* True, with errno set, when this call of `kind` has to fail. */
bool sysfault_hits(enum sysfault kind, int error);
/* As much of `size` as this call may move. */
size_t sysfault_portion(enum sysfault kind, size_t size);
/* True; asking for it brings the calls into the program, whoever else refers to them. */
bool sysfault_calls_are_ours(void);
