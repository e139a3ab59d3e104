/* SPDX-License-Identifier: Apache-2.0 */
/* net/mdns.h – the packets of multicast DNS, as far as DNS-SD needs them, from and to bytes.
 *
 * Of RFC 6762 and 6763: questions of any type, and records of type PTR, SRV, TXT, A and AAAA; other
 * records are stepped over.  Names may be compressed in what is read; they are not in what is
 * written, which stays far below one frame anyway.
 *
 *     mdns_read_begin(&r, bytes, size)         false: not for us (no mDNS, or broken)
 *     while (mdns_read_question(&r, &q)) …
 *     while (mdns_read_record(&r, &record)) …  of all three sections, one after the other
 *     mdns_read_failed(&r)                     what was broken, or NULL
 *
 * What is read was sent by strangers.  Nothing is allocated; a compressed name only ever points
 * backwards, so it ends; of one packet, MDNS_QUESTIONS_MOST and MDNS_RECORDS_MOST are looked at,
 * whatever its header promises.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/net_picture.h"

enum {
    MDNS_PORT = 5353,
    MDNS_PACKET_MOST = 9000, /* with all headers, RFC 6762 §17 */
    MDNS_WRITE_MOST = 1200,  /* of ours: in one frame of any link */
    MDNS_LABEL_MOST = 63,
    MDNS_NAME_MOST = 255,
    MDNS_QUESTIONS_MOST = 32,
    MDNS_RECORDS_MOST = 128,
};

/* As on the wire without compression: label after label, each behind its length, and a zero. */
struct mdns_name {
    uint8_t bytes[MDNS_NAME_MOST];
    uint8_t size; /* 0: none */
};

/* "_albedo._tcp.local": dots part labels, so none can be in one.  False: too long, an empty label.
 */
bool mdns_name_of(const char *dotted, struct mdns_name *out);
/* `label` before `rest`: an instance of a service. */
bool mdns_name_under(const char *label, const struct mdns_name *rest, struct mdns_name *out);
/* ASCII letters of either case are the same. */
bool mdns_name_is_same(const struct mdns_name *a, const struct mdns_name *b);
/* Does `name` end in `rest` with one label more? */
bool mdns_name_is_child(const struct mdns_name *name, const struct mdns_name *rest);

enum mdns_type {
    MDNS_A = 1,
    MDNS_PTR = 12,
    MDNS_TXT = 16,
    MDNS_AAAA = 28,
    MDNS_SRV = 33,
    MDNS_ANY = 255, /* in questions */
};

struct mdns_question {
    struct mdns_name name;
    uint16_t type;      /* any; of class IN or ANY */
    bool wants_unicast; /* the QU bit */
};

struct mdns_record {
    struct mdns_name name;
    uint16_t type;  /* one of enum mdns_type, but ANY */
    bool flushes;   /* the cache-flush bit: nobody else has a record of that name and type */
    uint32_t ttl_s; /* 0: goodbye */
    struct mdns_name target; /* of PTR and SRV */
    uint16_t priority, weight, port;
    struct net_ip ip;    /* of A and AAAA */
    const uint8_t *text; /* of TXT: strings behind their lengths; borrowed from the packet */
    size_t text_size;
};

struct mdns_reader {
    const uint8_t *bytes;
    size_t size, at;
    bool is_response;
    bool is_cut;                 /* the TC bit: known answers go on in another packet */
    unsigned questions, records; /* still to be read */
    const char *error;           /* a literal */
};

/* False: shorter than a header, or one that is to be ignored in silence (RFC 6762 §18: another
 * opcode, a response code). */
bool mdns_read_begin(struct mdns_reader *r, const void *bytes, size_t size);
/* False: that was all, or the rest is broken.  Those of another class are stepped over. */
bool mdns_read_question(struct mdns_reader *r, struct mdns_question *out);
/* Steps over questions not read yet. */
bool mdns_read_record(struct mdns_reader *r, struct mdns_record *out);
const char *mdns_read_failed(const struct mdns_reader *r);
/* The value of "key=value" in a TXT record, key in any case, first one counts; false: not there, or
 * longer than `out_size` holds with its end.  Values with a zero inside are not taken. */
bool mdns_text_find(const struct mdns_record *txt, const char *key, char *out, size_t out_size);

struct mdns_writer {
    uint8_t bytes[MDNS_WRITE_MOST];
    size_t size;
    bool is_full;
};

void mdns_write_begin(struct mdns_writer *w, bool is_response);
/* Questions before records. */
void mdns_write_question(struct mdns_writer *w, const struct mdns_name *name, enum mdns_type type);
void mdns_write_record(struct mdns_writer *w, const struct mdns_record *record);
/* For mdns_record: `strings` joined as TXT wants them, each at most 255 long.  Returns the size, 0:
 * no room. */
size_t mdns_text_join(const char *const *strings, size_t count, uint8_t *out, size_t out_size);
/* False: something did not fit; nothing is to be sent. */
bool mdns_write_end(const struct mdns_writer *w);
