/* SPDX-License-Identifier: Apache-2.0 */
/* crash/crash_hub.c – no acknowledged upload is lost, no published manifest names an absent chunk.
 * LINKS: hub sim_world config image net shaper transfer store_disk store wire chunk base support
 *
 * A life opens the hub's store and catalogue, checks every line of EXPECT and every record that is
 * there, then uploads, removes and publishes on until it ends or dies.
 */
#include "support/hub_crate.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/file.h"
#include "crash/chunks.h"
#include "crash/drive.h"
#include "hub/ledger.h"
#include "store/disk/segment_store.h"

enum { STEPS = 24, LAYERS = 3, GROUP_MOST = 8, SEGMENT_SIZE = 96 << 10, NOW_S = 1800000000 };

struct life {
    const char *work;
    uint64_t seed;
    struct gen gen;
    struct chunk_store *store;
    struct catalogue *catalogue;
    struct ledger ledger;
    struct sign_secret publisher;
    struct chunk_notes notes;
    struct codec *codec;
    bool good;
};

/* ---- what must be there ---------------------------------------------------------------------- */

static void note_line(void *arg, const char *line)
{
    chunk_notes_line(&((struct life *)arg)->notes, line);
}

/* Expands and checks; the raw bytes are appended to `raw`. */
static bool expand(struct life *l, const struct chunk_key *key, struct buf *raw, const char *of)
{
    struct chunk *c = NULL;
    char hex[DIGEST_HEX_SIZE];
    struct alb_status st = chunk_store_get(l->store, key, &c);

    if (!alb_failed(st))
        st = codec_verify(l->codec, key, c->bytes, c->size, raw);
    chunk_unref(c);
    return !alb_failed(st) ||
           crash_bug("%s names chunk %s: %s", of, digest_hex(&key->digest, hex), st.what);
}

static bool check_content(struct life *l, const struct buf *stream, const char *of)
{
    struct manifest m;
    bool good = true;

    if (!crash_ok(manifest_decode(buf_peek(stream), buf_size(stream), &manifest_limits_default, &m),
                  of))
        return false;
    for (size_t i = 0; i < m.content_key_count && good; i++) {
        struct buf raw;

        buf_init(&raw, CHUNK_RAW_MAX);
        good = expand(l, &m.content_keys[i], &raw, of);
        buf_release(&raw);
    }
    manifest_release(&m);
    return good;
}

/* Root object, list M, list C: all there, and what their names say. */
static bool check_version(struct life *l, const struct version_record *r, const char *of)
{
    const struct chunk_key key = {.kind = KEY_PLAIN, .digest = r->root};
    struct root root = {0};
    struct buf object, stream;

    buf_init(&object, ROOT_OBJECT_MAX);
    buf_init(&stream, 64 << 20);
    bool good = expand(l, &key, &object, of) &&
                crash_ok(root_decode(buf_peek(&object), buf_size(&object), &root), of);
    for (size_t i = 0; i < root.chunk_count && good; i++)
        good = expand(l, &root.chunks[i].key, &stream, of);
    good = good && check_content(l, &stream, of);
    root_release(&root);
    buf_release(&object);
    buf_release(&stream);
    return good;
}

/* layer LAYER SEQUENCE RECORD-HEX ROOT-HEX: by every name it was published under. */
static void check_published(void *arg, const char *line)
{
    struct life *l = arg;
    char layer[64], hex[DIGEST_HEX_SIZE], root[DIGEST_HEX_SIZE], which[DIGEST_HEX_SIZE + 8];
    uint64_t sequence;
    struct ledger_layer now;
    struct version_record r;

    if (!l->good ||
        sscanf(line, "layer %63s %" SCNu64 " %64s %64s", layer, &sequence, hex, root) != 4)
        return;
    l->good = crash_ok(ledger_layer(&l->ledger, layer, &now), layer);
    if (l->good && now.sequence < sequence)
        l->good = crash_bug("%s is at %" PRIu64 ", acknowledged was %" PRIu64, layer, now.sequence,
                            sequence);
    snprintf(which, sizeof which, "sha256:%s", hex);
    l->good = l->good && crash_ok(ledger_find(&l->ledger, layer, which, NULL, &r), line);
    snprintf(which, sizeof which, "root:%s", root);
    l->good = l->good && crash_ok(ledger_find(&l->ledger, layer, which, NULL, &r), line);
    snprintf(which, sizeof which, "v%" PRIu64, sequence);
    l->good = l->good && crash_ok(ledger_find(&l->ledger, layer, which, NULL, &r), line);
    if (l->good && r.sequence != sequence)
        l->good = crash_bug("%s: another record has its name", line);
}

/* Of every record, acknowledged or not; those that nobody published name no absent chunk either. */
static bool check_record(void *arg, const char *name, const void *value, size_t size,
                         uint64_t version)
{
    struct life *l = arg;
    struct version_record r;

    (void)version;
    l->good = crash_ok(record_decode(value, size, NULL, &r), name) && check_version(l, &r, name);
    return l->good;
}

/* Whoever swapped layer/L has published: after the repair it is there by all its names. */
static bool check_layers(struct life *l)
{
    for (unsigned i = 0; i < LAYERS && l->good; i++) {
        char layer[16], which[DIGEST_HEX_SIZE + 8], hex[DIGEST_HEX_SIZE];
        struct version_record r;
        struct ledger_layer now;
        struct head head;
        struct alb_status st;

        snprintf(layer, sizeof layer, "base/l%u", i);
        l->good = crash_ok(ledger_layer(&l->ledger, layer, &now), layer);
        if (!l->good || now.sequence == 0)
            continue;
        l->good = crash_ok(ledger_find(&l->ledger, layer, now.version, NULL, &r), now.version);
        snprintf(which, sizeof which, "root:%s", digest_hex(&r.root, hex));
        l->good = l->good && crash_ok(ledger_find(&l->ledger, layer, which, NULL, &r), which);
        st = ledger_head(&l->ledger, layer, &head);
        if (st.code == ALB_NOT_FOUND)
            continue;
        snprintf(which, sizeof which, "sha256:%s", digest_hex(&head.record, hex));
        l->good = l->good && crash_ok(st, "its head") &&
                  crash_ok(ledger_find(&l->ledger, layer, which, NULL, &r), "the head's record");
    }
    return l->good;
}

static bool check_all(struct life *l)
{
    expect_read(l->work, note_line, l);
    l->good = chunk_notes_check(&l->notes, l->store, l->codec) &&
              crash_ok(ledger_repair(&l->ledger), "repairing the ledger");
    if (l->good)
        expect_read(l->work, check_published, l);
    if (l->good)
        l->good = crash_ok(catalogue_list(l->catalogue, "record/", check_record, l), "listing") &&
                  l->good;
    return l->good && check_layers(l);
}

/* ---- going on -------------------------------------------------------------------------------- */

static bool publish_chunks(struct life *l, const struct crate *c)
{
    struct chunk *object = crate_chunk(l->codec, buf_peek(&c->object), buf_size(&c->object));
    struct chunk *last[] = {c->manifest, object};
    struct alb_status st = ALB_STATUS_OK;

    for (size_t i = 0; i < c->file_count && !alb_failed(st); i += GROUP_MOST) {
        size_t n = c->file_count - i < GROUP_MOST ? c->file_count - i : GROUP_MOST;

        st = chunk_store_put_many(l->store, c->files + i, n, NULL);
    }
    if (!alb_failed(st))
        st = chunk_store_put_many(l->store, last, 2, NULL);
    chunk_unref(object);
    return crash_ok(st, "storing a version");
}

static bool publish_record(struct life *l, struct crate *c)
{
    char why[LEDGER_WHY_SIZE], hex[DIGEST_HEX_SIZE], root[DIGEST_HEX_SIZE];
    struct version_record *r = &c->record;
    struct digest digest;
    struct ledger_layer now;
    struct buf bytes;

    if (!crash_ok(ledger_layer(&l->ledger, r->layer, &now), r->layer))
        return false;
    r->sequence = now.sequence + 1;
    snprintf(r->version, sizeof r->version, "v%" PRIu64, r->sequence);
    buf_init(&bytes, SIGNED_MAX);
    bool good = crash_ok(record_encode(r, &l->publisher, &bytes), "a record");
    sha256(buf_peek(&bytes), buf_size(&bytes), &digest);
    good = good && crash_ok(ledger_commit(&l->ledger, r, buf_peek(&bytes), buf_size(&bytes), why),
                            "commit");
    buf_release(&bytes);
    if (good)
        expect_say(l->work, "layer %s %" PRIu64 " %s %s", r->layer, r->sequence,
                   digest_hex(&digest, hex), digest_hex(&r->root, root));
    if (good && gen_chance(&l->gen, 2, 3))
        good = crash_ok(ledger_select(&l->ledger, r->layer, &digest, NOW_S), "select");
    return good;
}

static bool publish(struct life *l)
{
    char layer[16];
    struct crate c;

    snprintf(layer, sizeof layer, "base/l%u", (unsigned)gen_below(&l->gen, LAYERS));
    crate_make(&c, layer, (unsigned)gen_below(&l->gen, 1u << 30),
               (unsigned)gen_range(&l->gen, 1, 20), false);
    bool good = publish_chunks(l, &c) && publish_record(l, &c);
    crate_release(&c);
    return good;
}

static bool step(struct life *l, unsigned n)
{
    uint64_t first = l->seed % (UINT64_C(1) << 40) * 1000 + n * GROUP_MOST;

    switch (gen_below(&l->gen, 8)) {
    case 0:
    case 1:
    case 2: return publish(l);
    case 3: return chunk_notes_remove(&l->notes, l->work, l->store, &l->gen);
    default:
        return chunks_put(l->work, l->store, l->codec, first,
                          (unsigned)gen_range(&l->gen, 1, GROUP_MOST));
    }
}

static bool open_doors(struct life *l)
{
    AUTO_FREE char *dir = path_join(l->work, "dir");
    AUTO_FREE char *catalogue = path_join(dir, "catalogue");
    const struct segment_store_options options = {.dir = dir, .segment_bytes = SEGMENT_SIZE};

    return crash_ok(segment_store_open(&options, &l->store), "opening the store") &&
           crash_ok(disk_catalogue_open(catalogue, &l->catalogue), "opening the catalogue");
}

static bool live(const char *work, uint64_t seed)
{
    struct life l = {.work = work, .seed = seed, .codec = codec_new()};
    struct sign_public publisher;

    gen_init(&l.gen, seed);
    stage_key(2, &l.ledger.key, &l.ledger.self.hub_key);
    stage_key(3, &l.publisher, &publisher);
    snprintf(l.ledger.self.org, sizeof l.ledger.self.org, "acme");
    bool good = open_doors(&l);
    l.ledger.catalogue = l.catalogue;
    good = good && check_all(&l);
    for (unsigned n = 0; n < STEPS && good; n++)
        good = step(&l, n);
    chunk_store_close(l.store);
    catalogue_close(l.catalogue);
    chunk_notes_release(&l.notes);
    codec_free(l.codec);
    return good;
}

int main(int argc, char **argv)
{
    static const struct crash_actor actor = {.name = "crash_hub", .live = live};

    return crash_main(&actor, argc, argv);
}
