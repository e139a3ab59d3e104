/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/record_keep.h – records written behind the loop's back, in the order they were handed
 * over.
 *
 * For what is in force whether or not the disk takes it: a record that cannot be kept is told of in
 * the log (event=record.not_kept), and whoever wrote it asks for it again after a restart.  Whoever
 * handed it over may be gone when it is written; the catalogue may not.
 */
#pragma once

#include "net/loop.h"
#include "store/catalogue.h"

/* On a worker, behind the write: a program's kill point, which must be in that program alone. */
typedef void (*record_kept)(void);

/* The bytes are copied; `value` NULL removes the record; `kept` may be NULL. */
void record_keep(struct loop *loop, struct catalogue *catalogue, const char *name,
                 const void *value, size_t size, record_kept kept);
