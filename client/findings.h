/* SPDX-License-Identifier: Apache-2.0 */
/* client/findings.h – what is wrong with a file, told: a line each, or a member of a document. */
#pragma once

#include "client/cli.h"
#include "wire/policy.h"

/* "FILE: error: line 7 (oslo): …" for each; nothing with --json. */
void findings_say(struct output *o, const char *file, const struct policy_findings *f);
/* "errors", "warnings" and "findings" of the object being written. */
void findings_put(struct json_writer *w, const struct policy_findings *f);
/* A document with those and `event`; `file` NULL is left out.  Nothing without --json. */
void findings_tell(struct output *o, const char *event, const char *file,
                   const struct policy_findings *f);
/* FILE, or - for standard input; says why not: `what` ("a policy is at most 1 MiB") when it does
 * not fit. */
enum exit_code findings_file_read(struct cli *cli, const char *file, const char *what,
                                  struct buf *out);
