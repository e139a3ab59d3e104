/* SPDX-License-Identifier: Apache-2.0 */
/* client/named.c – one body, one answer, one line. */
#include "client/named.h"

#include "base/alloc.h"
#include "client/link.h"

static void tell(struct output *o, const char *event, const char *name)
{
    output_say(o, "%s: %s", event, name);
    if (!o->json)
        return;
    struct json_writer *w = json_writer_new();
    json_object_begin(w, NULL);
    json_text(w, "event", event);
    json_text(w, "name", name);
    json_end(w);
    output_json(o, w);
}

static enum exit_code ask(struct link *l, const char *path, const struct buf *body,
                          const char *doing)
{
    struct link_answer answer;
    enum exit_code code = EXIT_DONE;

    link_ask(
        l,
        &(struct upstream_ask){
            .method = "POST", .path = path, .body = buf_peek(body), .body_size = buf_size(body)},
        &answer);
    if (alb_failed(answer.st))
        code = link_fail(l, &answer, doing);
    link_answer_release(&answer);
    return code;
}

enum exit_code named_ask(struct cli *cli, const char *path, const struct named_request *request,
                         const char *event, const char *name)
{
    const struct link_options options = {.at_hub = true};
    AUTO_FREE char *doing = xasprintf("%s %s", cli->command->words, name);
    struct link link;
    struct buf body;

    buf_init(&body, 4096);
    struct alb_status st = request == NULL ? ALB_STATUS_OK : named_request_encode(request, &body);
    enum exit_code code = alb_failed(st) ? output_fail_status(cli->output, st, "%s", doing)
                                         : link_begin(cli, &options, &link);
    if (code == EXIT_DONE) {
        code = ask(&link, path, &body, doing);
        link_end(&link);
    }
    if (code == EXIT_DONE)
        tell(cli->output, event, name);
    buf_release(&body);
    return code;
}
