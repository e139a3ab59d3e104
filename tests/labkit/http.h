/* SPDX-License-Identifier: Apache-2.0 */
/* labkit/http.h – asking our own small server for so many bytes. */
#pragma once

#include <stdbool.h>

/* Ask for `bytes` on the connected stream. */
void http_ask(int fd, unsigned long long bytes);

/* Ask, and read head and body to their end; the connection can be used again.  False when it broke
 * off or a signal came. */
bool http_get(int fd, unsigned long long bytes);
