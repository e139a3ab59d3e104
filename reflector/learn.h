/* SPDX-License-Identifier: Apache-2.0 */
/* reflector/learn.h – the trust files, fetched at enrolment, so that serve always starts with them.
 *
 * A session with the parent begins with a read grant, a grant is judged by the trust file, and
 * trust is followed only once the session is up: somebody has to break the circle, and enrolment is
 * the moment when the pin from the token is at hand.
 */
#pragma once

#include "config/url.h"
#include "net/tls.h"
#include "store/catalogue.h"

enum { LEARN_MESSAGE_SIZE = 512 };

/* Blocking: ask `hub` for trust files 1, 2, … until there is none, judge each, keep all in
 * `catalogue`. `message` says who said what; "" when the status says it all.  CORRUPT, REFUSED: the
 * hub's trust file 1 is not the pinned one, or a later one does not follow; CLOSED, TIMEOUT: the
 * hub cannot be reached. */
ALB_MUST_USE struct alb_status learn_trust(const struct url *hub, struct tls_context *tls,
                                           const struct digest *pin, struct catalogue *catalogue,
                                           char message[LEARN_MESSAGE_SIZE]);
