/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/doors.h – chunk store and catalogue of a reflector, opened so that damage costs only
 * time.
 *
 * Everything behind them can be had from the parent again, trust included (reflector.conf pins the
 * first trust file).  So what is damaged beyond repair is set aside as NAME.damaged-N for whoever
 * wants to know why, the log says so, and the reflector begins anew.  What another process holds
 * or a newer program wrote is left alone.
 */
#pragma once

#include "config/config.h"
#include "store/catalogue.h"
#include "store/chunk_store.h"

struct reflector_doors {
    struct chunk_store *store;
    struct catalogue *catalogue;
};

/* 0, or an exit code after saying on standard error what is wrong; then nothing is open.  Blocking:
 * reads the whole catalogue. */
int reflector_doors_open(const struct reflector_config *c, struct reflector_doors *out);
/* What cache_quota comes to on this disk now; 0: no limit.  Blocking. */
uint64_t reflector_cache_quota(const struct reflector_config *c);
/* Is it one that the configuration pins? */
bool reflector_pins_name(const struct config_pins *pins, const char *name);
/* The catalogue may be NULL, the store too. */
void reflector_doors_close(struct reflector_doors *d);
