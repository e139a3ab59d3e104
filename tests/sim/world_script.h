/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world_script.h – a stream whose other side is a script: it says given bytes, then hangs up.
 *
 * For fuzzing what stands on streams.  The script speaks in pieces of 1 to 600 bytes, a millisecond
 * apart, and reads whatever it is told, now and then only after a while.
 */
#pragma once

#include "net/stream.h"

/* `bytes` are borrowed until stream_free(); the loop is a node of a world. */
struct stream *world_script_stream(struct loop *loop, const uint8_t *bytes, size_t size);
