/* SPDX-License-Identifier: Apache-2.0 */
/* client/file_catalogue.h – the catalogue door as plain files, one for each record.
 *
 * An endpoint keeps a few dozen records and no database.  A file is named by its record ('/' and
 * other bytes as %XX; a digest where that is too long), holds the name and a random version
 * before the value, and is replaced atomically.  Swaps lock the directory, so that several `albedo`
 * may share it.  CORRUPT when a file is not one of ours.
 */
#pragma once

#include "store/catalogue.h"

/* Makes the directory (0700) when it is not there. */
ALB_MUST_USE struct alb_status file_catalogue_open(const char *dir, struct catalogue **out);
