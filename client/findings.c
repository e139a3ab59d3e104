/* SPDX-License-Identifier: Apache-2.0 */
/* client/findings.c – files that people give, and telling them all that is wrong there. */
#include "client/findings.h"

#include "base/file.h"

void findings_say(struct output *o, const char *file, const struct policy_findings *f)
{
    for (size_t i = 0; i < f->count; i++)
        output_say(o, "%s: %s: %s", file, f->list[i].is_error ? "error" : "warning",
                   f->list[i].text);
}

void findings_put(struct json_writer *w, const struct policy_findings *f)
{
    json_number(w, "errors", f->errors);
    json_number(w, "warnings", f->warnings);
    json_array_begin(w, "findings");
    for (size_t i = 0; i < f->count; i++) {
        json_object_begin(w, NULL);
        json_text(w, "severity", f->list[i].is_error ? "error" : "warning");
        json_text(w, "text", f->list[i].text);
        json_end(w);
    }
    json_end(w);
}

void findings_tell(struct output *o, const char *event, const char *file,
                   const struct policy_findings *f)
{
    struct json_writer *w;

    if (!o->json)
        return;
    w = json_writer_new();
    json_object_begin(w, NULL);
    json_text(w, "event", event);
    if (file != NULL)
        json_text(w, "file", file);
    findings_put(w, f);
    json_end(w);
    output_json(o, w);
}

enum exit_code findings_file_read(struct cli *cli, const char *file, const char *what,
                                  struct buf *out)
{
    const bool is_input = strcmp(file, "-") == 0;
    const struct alb_status st = file_read(is_input ? "/dev/stdin" : file, out);

    if (!alb_failed(st))
        return EXIT_DONE;
    if (st.code == ALB_FULL)
        return output_fail(cli->output, ALB_INVALID, "%s: %s", file, what);
    return output_fail_status(cli->output, st, "%s", file);
}
