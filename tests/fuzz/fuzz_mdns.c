/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_mdns.c – any bytes as a packet of multicast DNS: read to its end, and again. */
/* LINKS: net base */
#include <string.h>

#include "base/status.h"
#include "fuzz/target.h"
#include "net/mdns.h"

/* The reader allocates nothing. */
const struct fuzz_bound fuzz_bound = {.fixed = 16 << 10, .per_byte = 1};

static void check_name(const struct mdns_name *n)
{
    size_t at = 0;

    alb_assert(n->size > 0 && n->bytes[n->size - 1] == 0);
    while (n->bytes[at] != 0) {
        alb_assert(n->bytes[at] <= MDNS_LABEL_MOST);
        at += (size_t)n->bytes[at] + 1;
        alb_assert(at < n->size);
    }
    alb_assert(at + 1 == n->size && mdns_name_is_same(n, n) && !mdns_name_is_child(n, n));
}

static bool is_within(const struct mdns_record *r, const uint8_t *bytes, size_t size)
{
    return r->text >= bytes && r->text + r->text_size <= bytes + size;
}

static void check_record(const struct mdns_record *r, const uint8_t *bytes, size_t size)
{
    char value[32];

    check_name(&r->name);
    if (r->type == MDNS_PTR || r->type == MDNS_SRV)
        check_name(&r->target);
    if (r->type == MDNS_A || r->type == MDNS_AAAA)
        alb_assert(r->ip.size == (r->type == MDNS_A ? 4 : 16));
    if (r->type != MDNS_TXT)
        return;
    alb_assert(is_within(r, bytes, size));
    if (mdns_text_find(r, "org", value, sizeof(value)))
        alb_assert(strlen(value) < sizeof(value));
}

/* What was read, written and read again is the same. */
static void check_again(const struct mdns_record *r)
{
    struct mdns_writer w;
    struct mdns_reader again;
    struct mdns_record back;

    mdns_write_begin(&w, true);
    mdns_write_record(&w, r);
    if (!mdns_write_end(&w))
        return;
    alb_assert(mdns_read_begin(&again, w.bytes, w.size) && mdns_read_record(&again, &back));
    alb_assert(back.type == r->type && back.ttl_s == r->ttl_s && back.flushes == r->flushes);
    alb_assert(mdns_name_is_same(&back.name, &r->name) && back.port == r->port);
    alb_assert(back.target.size == r->target.size && back.text_size == r->text_size);
    alb_assert(r->text_size == 0 || memcmp(back.text, r->text, r->text_size) == 0);
    alb_assert(!mdns_read_record(&again, &back) && mdns_read_failed(&again) == NULL);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct mdns_reader r;
    struct mdns_question q;
    struct mdns_record record;
    unsigned questions = 0, records = 0;

    if (!mdns_read_begin(&r, bytes, size))
        return;
    while (mdns_read_question(&r, &q)) {
        check_name(&q.name);
        questions++;
    }
    while (mdns_read_record(&r, &record)) {
        check_record(&record, bytes, size);
        check_again(&record);
        records++;
    }
    alb_assert(questions <= MDNS_QUESTIONS_MOST && records <= MDNS_RECORDS_MOST);
    alb_assert(!mdns_read_question(&r, &q) && !mdns_read_record(&r, &record));
}
