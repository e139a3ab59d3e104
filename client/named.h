/* SPDX-License-Identifier: Apache-2.0 */
/* client/named.h – the small orders to the hub that only name something: promote, revoke. */
#pragma once

#include "client/cli.h"
#include "wire/json.h"

/* POST `request` (NULL: nothing but the path) to the hub; "EVENT: NAME" when it did it, or why
 * not. */
enum exit_code named_ask(struct cli *cli, const char *path, const struct named_request *request,
                         const char *event, const char *name);
