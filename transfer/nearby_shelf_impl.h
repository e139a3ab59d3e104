/* SPDX-License-Identifier: Apache-2.0 */
/* transfer/nearby_shelf_impl.h – what the shelf's own files share. */
#pragma once

#include "transfer/nearby_shelf.h"

/* nearby_places.c; blocks. */
void nearby_places_load(struct nearby_shelf *s);
