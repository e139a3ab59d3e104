/* SPDX-License-Identifier: Apache-2.0 */
/* crash/rebuild_bytes.h – which bytes of a file last. */
#pragma once

#include <sys/stat.h>

#include "crash/rebuild.h"

/* Keep the file as SHADOW/base/INO. */
void bytes_remember(const char *shadow, const char *path, const struct stat *about);
/* Mix what `path` has with what was synced of it; nothing when it is not there or no file. */
void bytes_choose(const char *shadow, const char *path, const struct powerloss_options *options,
                  struct powerloss_losses *losses);
