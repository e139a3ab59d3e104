/* SPDX-License-Identifier: Apache-2.0 */
/* wire/nearby_text.h – the JSON within a signed list; inside wire/. */
#pragma once

#include "wire/nearby.h"

/* What a list may say, whoever made it: bounds, names, order.  INVALID. */
ALB_MUST_USE struct alb_status nearby_check(const struct nearby *n);
/* The canonical text of a list that was checked. */
ALB_MUST_USE struct alb_status nearby_text_write(const struct nearby *n, struct buf *out);
/* INVALID.  `out` is zeroed but for its org; whatever it holds then is the caller's to release. */
ALB_MUST_USE struct alb_status nearby_text_read(const void *bytes, size_t size, struct nearby *out);
