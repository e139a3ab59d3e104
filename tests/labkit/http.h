/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/http.h – asking our own small server for so many bytes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Ask for `bytes` on the connected stream. */
void http_ask(int fd, uint64_t bytes);

/* Ask, and read head and body to their end; the connection can be used again.  False when it broke
 * off or a signal came. */
bool http_get(int fd, uint64_t bytes);
