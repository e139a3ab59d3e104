/* SPDX-License-Identifier: Apache-2.0 */
/* sim/cast_holder.c – a parent in a hundred lines. */
#include "sim/cast_holder.h"

#include <stdio.h>

#include "base/alloc.h"
#include "wire/signed.h"

static void must(struct alb_status st)
{
    char text[256];

    if (alb_failed(st))
        fprintf(stderr, "cast_holder: %s\n", alb_status_text(st, text, sizeof text));
    alb_assert(!alb_failed(st));
}

static void make_trust(struct cast_holder *h)
{
    struct trust_delegation all = {.prefix = ""};
    struct trust trust = {.org = "acme", .version = 1, .threshold = 1, .root_count = 1};

    cast_key(1, &h->root_key, &trust.roots[0]);
    cast_key(2, &h->hub_key, &trust.hub_key);
    cast_key(3, &h->publisher_key, &all.key);
    trust.delegations = &all;
    trust.delegation_count = 1;
    trust.issued_wall_s = loop_wall_s(h->loop);
    buf_init(&h->trust_bytes, SIGNED_MAX);
    must(trust_encode(&trust, &h->root_key, 1, &h->trust_bytes));
    sha256(buf_peek(&h->trust_bytes), buf_size(&h->trust_bytes), &h->trust_pin);
    must(authority_add_trust(h->authority, buf_peek(&h->trust_bytes), buf_size(&h->trust_bytes)));
}

static void give_grant(void *arg, struct serve_request *rq)
{
    struct cast_holder *h = arg;
    struct grant grant = {.org = "acme", .prefix_count = 1};
    struct buf bytes;

    snprintf(grant.device, sizeof grant.device, "%s", rq->session->who.device);
    snprintf(grant.prefixes[0], sizeof grant.prefixes[0], "%s", h->grant_prefix);
    grant.issued_wall_s = loop_wall_s(h->loop);
    grant.expires_wall_s = grant.issued_wall_s + GRANT_LIFETIME_S;
    buf_init(&bytes, SIGNED_MAX);
    struct alb_status st = grant_encode(&grant, &h->hub_key, &bytes);
    if (alb_failed(st)) /* a test that fails allocations comes by here */
        serve_refuse_status(rq, st);
    else
        serve_answer(rq, "application/octet-stream", buf_peek(&bytes), buf_size(&bytes));
    buf_release(&bytes);
}

void cast_holder_start(struct cast_holder *h, struct loop *loop)
{
    const struct listen_options listen = {.address = "0.0.0.0", .port = CAST_PORT};

    *h = (struct cast_holder){.loop = loop, .grant_prefix = ""};
    h->store = ram_chunk_store_new(&(struct ram_options){0});
    h->catalogue = ram_catalogue_new(&(struct ram_options){0});
    must(authority_open(&(struct authority_options){.loop = loop, .catalogue = h->catalogue},
                        &h->authority));
    make_trust(h);
    h->keeper = keeper_new(loop, h->store, 64 << 20);
    h->supply =
        supply_new(&(struct supply_options){.loop = loop, .store = h->store, .keeper = h->keeper});
    h->records = record_book_new(&(struct record_book_options){
        .loop = loop, .catalogue = h->catalogue, .authority = h->authority});
    h->roots = root_book_new(&(struct root_book_options){
        .loop = loop, .records = h->records, .supply = h->supply, .authority = h->authority});
    h->feed = feed_new(loop);
    h->serve = serve_new(&(struct serve_options){.loop = loop,
                                                 .port = PORT_TREE,
                                                 .authority = h->authority,
                                                 .records = h->records,
                                                 .roots = h->roots,
                                                 .supply = h->supply,
                                                 .feed = h->feed});
    serve_install_common(h->serve);
    serve_set(h->serve, ROUTE_GRANT, give_grant, h);
    must(loop_listen(loop, &listen, serve_accept, h->serve, &h->listener));
}

struct cast_order cast_holder_order(struct cast_holder *h, const char *layer, uint64_t sequence,
                                    uint64_t size)
{
    return (struct cast_order){.org = "acme",
                               .layer = layer,
                               .sequence = sequence,
                               .size = size,
                               .seed = sequence,
                               .wall_s = loop_wall_s(h->loop),
                               .publisher = &h->publisher_key};
}

static void put_record(struct cast_holder *h, const char *layer, const char *which,
                       const struct buf *bytes)
{
    char name[CATALOGUE_NAME_MAX + 1];

    snprintf(name, sizeof name, "record/%s@%s", layer, which);
    must(catalogue_swap(h->catalogue, name, CATALOGUE_ANY, buf_peek(bytes), buf_size(bytes), NULL));
}

static void put_head(struct cast_holder *h, const struct cast_version *v, uint64_t sequence)
{
    char name[CATALOGUE_NAME_MAX + 1];
    struct head head = {.org = "acme", .sequence = sequence};
    struct buf bytes;

    snprintf(head.layer, sizeof head.layer, "%s", v->record.layer);
    sha256(buf_peek(&v->record_bytes), buf_size(&v->record_bytes), &head.record);
    head.issued_wall_s = loop_wall_s(h->loop);
    head.expires_wall_s = head.issued_wall_s + HEAD_LIFETIME_S;
    buf_init(&bytes, SIGNED_MAX);
    must(head_encode(&head, &h->hub_key, &bytes));
    snprintf(name, sizeof name, "head/%s", head.layer);
    must(catalogue_swap(h->catalogue, name, CATALOGUE_ANY, buf_peek(&bytes), buf_size(&bytes),
                        NULL));
    buf_release(&bytes);
    snprintf(name, sizeof name, "head %s", head.layer);
    feed_say(h->feed, name);
}

void cast_holder_publish(struct cast_holder *h, const struct cast_version *v,
                         uint64_t head_sequence)
{
    char hex[DIGEST_HEX_SIZE], which[DIGEST_HEX_SIZE + 8];
    struct digest digest;

    must(chunk_store_put_many(h->store, v->chunks, v->count, NULL));
    put_record(h, v->record.layer, v->record.version, &v->record_bytes);
    snprintf(which, sizeof which, "root:%s", digest_hex(&v->record.root, hex));
    put_record(h, v->record.layer, which, &v->record_bytes);
    sha256(buf_peek(&v->record_bytes), buf_size(&v->record_bytes), &digest);
    snprintf(which, sizeof which, "sha256:%s", digest_hex(&digest, hex));
    put_record(h, v->record.layer, which, &v->record_bytes);
    put_head(h, v, head_sequence);
}

void cast_holder_stop(struct cast_holder *h)
{
    if (h->listener != NULL)
        h->listener = listener_free(h->listener);
    h->serve = serve_free(h->serve);
    h->roots = root_book_free(h->roots);
    h->records = record_book_free(h->records);
    h->supply = supply_free(h->supply);
    h->keeper = keeper_free(h->keeper);
    h->authority = authority_close(h->authority);
    h->feed = feed_free(h->feed);
}

void cast_holder_release(struct cast_holder *h)
{
    chunk_store_close(h->store);
    catalogue_close(h->catalogue);
    buf_release(&h->trust_bytes);
}
