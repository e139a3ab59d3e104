/* SPDX-License-Identifier: Apache-2.0 */
/* client/renewing.h – the state's own certificate, renewed in passing.
 *
 * Endpoints run no daemon that could do it in time: whichever command succeeds in the last third of
 * the certificate's life renews it before it ends, through whom it usually asks.
 */
#pragma once

#include "client/cli.h"

/* After a command: nothing, or one question of a few seconds.  Failing is for the log; there will
 * be another command. */
void renewing_look(const struct cli *c);
