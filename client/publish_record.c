/* SPDX-License-Identifier: Apache-2.0 */
/* client/publish_record.c – who may publish, what came before, and the signed version record. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "client/publish.h"
#include "wire/signed.h"

enum exit_code publish_key(struct link *l, const char *layer, struct sign_secret *out)
{
    struct output *o = l->output;
    struct sign_public pub;
    char hex[2 * SIGN_PUBLIC_SIZE + 1];

    enum exit_code code = link_refresh_trust(l, "publishing");
    if (code != EXIT_DONE)
        return code;
    struct alb_status st = state_key_read(l->state, "publisher.key", out);
    if (st.code == ALB_NOT_FOUND && authority_trust(l->authority) == NULL)
        return output_fail(o, ALB_REFUSED,
                           "publishing %s: there is no trust file yet, so nobody may publish; "
                           "an admin runs: albedo trust init",
                           layer);
    if (st.code == ALB_NOT_FOUND)
        return output_fail(o, ALB_REFUSED,
                           "publishing %s: this state holds no publishing key; join "
                           "with a publisher's token (albedo token create --role publisher)",
                           layer);
    if (alb_failed(st))
        return output_fail_status(o, st, "publishing %s: the publishing key", layer);
    const struct trust *trust = authority_trust(l->authority);
    if (trust == NULL) {
        wipe(out, sizeof *out);
        return output_fail(o, ALB_REFUSED,
                           "publishing %s: there is no trust file yet; an admin runs "
                           "`albedo trust init` first",
                           layer);
    }
    sign_public_of(out, &pub);
    if (trust_allows(trust, layer, &pub))
        return EXIT_DONE;
    wipe(out, sizeof *out);
    bytes_hex(pub.bytes, sizeof pub.bytes, hex);
    return output_fail(o, ALB_REFUSED,
                       "publishing %s: trust file %" PRIu64 " does not let this key "
                       "sign that layer; an admin can run: albedo trust delegate %s %s",
                       layer, trust->version, layer, hex);
}

/* What the hub's list of layers says about layer number `at`. */
static void read_past(const struct json_doc *doc, size_t at, const char *version,
                      struct publish_past *out)
{
    AUTO_FREE char *versions = xasprintf("layers.%zu.versions", at);

    for (size_t i = 0; i < json_doc_count(doc, versions); i++) {
        AUTO_FREE char *name = xasprintf("%s.%zu.version", versions, i);
        AUTO_FREE char *sequence = xasprintf("%s.%zu.sequence", versions, i);
        if (json_doc_number(doc, sequence) > out->newest_sequence)
            out->newest_sequence = json_doc_number(doc, sequence);
        if (version != NULL && strcmp(json_doc_text(doc, name), version) == 0)
            out->is_taken = true;
    }
}

static void find_past(const struct json_doc *doc, const struct publish_options *options,
                      struct publish_past *out)
{
    for (size_t i = 0; i < json_doc_count(doc, "layers"); i++) {
        AUTO_FREE char *path = xasprintf("layers.%zu.layer", i);
        if (strcmp(json_doc_text(doc, path), options->layer) == 0)
            read_past(doc, i, options->version, out);
    }
}

static enum exit_code old_record(struct link *l, const struct publish_options *options,
                                 struct version_record *out)
{
    AUTO_FREE char *path = xasprintf("/v1/record/%s@%s", options->layer, options->as_version);
    struct link_answer answer;
    enum exit_code code = EXIT_DONE;

    link_ask(l, &(struct upstream_ask){.method = "GET", .path = path, .expect_bytes = SIGNED_MAX},
             &answer);
    if (!alb_failed(answer.st))
        answer.st = record_decode(buf_peek(&answer.body), buf_size(&answer.body),
                                  authority_trust(l->authority), out);
    if (!alb_failed(answer.st) &&
        (strcmp(out->layer, options->layer) != 0 || strcmp(out->version, options->as_version) != 0))
        answer.st = alb_fail(ALB_CORRUPT, "the hub answered with another version's record");
    if (answer.st.code == ALB_NOT_FOUND)
        code = output_fail(l->output, ALB_NOT_FOUND,
                           "publishing %s: there is no version %s to go back to; `albedo layers` "
                           "lists what there is",
                           options->layer, options->as_version);
    else if (alb_failed(answer.st))
        code = link_fail(l, &answer, "looking up the version to go back to");
    link_answer_release(&answer);
    return code;
}

enum exit_code publish_past(struct link *l, const struct publish_options *options,
                            struct publish_past *out)
{
    struct link_answer answer;
    struct json_doc *doc = NULL;

    *out = (struct publish_past){.newest_sequence = 0};
    enum exit_code code =
        link_get_json(l, "/v1/layers", "asking the hub for its layers", &answer, &doc);
    if (code == EXIT_DONE)
        find_past(doc, options, out);
    json_doc_free(doc);
    link_answer_release(&answer);
    if (code != EXIT_DONE || options->as_version == NULL)
        return code;
    out->has_old = true;
    return old_record(l, options, &out->old);
}

enum exit_code publish_name_is_free(struct link *l, const struct publish_options *options,
                                    const struct publish_past *past)
{
    if (!past->is_taken)
        return EXIT_DONE;
    return output_fail(l->output, ALB_CONFLICT,
                       "publishing %s@%s: it was published before; choose another --version "
                       "(`albedo layers` lists those that are taken)",
                       options->layer, options->version);
}

enum exit_code publish_sign(struct link *l, const struct publish_options *options,
                            const struct publish_past *past, const struct sign_secret *key,
                            struct version_record *record, struct buf *signed_bytes)
{
    snprintf(record->org, sizeof record->org, "%s", l->state->who.org);
    snprintf(record->layer, sizeof record->layer, "%s", options->layer);
    record->sequence = past->newest_sequence + 1;
    if (options->version != NULL)
        snprintf(record->version, sizeof record->version, "%s", options->version);
    else
        snprintf(record->version, sizeof record->version, "%" PRIu64, record->sequence);
    record->made_wall_s = loop_wall_s(l->loop);
    sign_public_of(key, &record->publisher);
    struct alb_status st = record_encode(record, key, signed_bytes);
    if (alb_failed(st))
        return output_fail_status(l->output, st, "signing %s@%s", record->layer, record->version);
    return EXIT_DONE;
}
