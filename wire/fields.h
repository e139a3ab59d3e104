/* SPDX-License-Identifier: Apache-2.0 */
/* wire/fields.h – typed fields, the way our objects can learn new words without a new format.
 *
 *     field:  u8 tag, varint length, value       tag = number (1–127) | 0x80 when critical
 *
 * Fields stand in strictly ascending order of their numbers, so an object has one spelling.  A
 * reader that meets a number it does not know refuses the object by name when the field is critical
 * and skips it when it is not.  A known field with the other critical bit is refused: bits nobody
 * checks become bits somebody uses.
 *
 * Small signed objects are whole tables of fields (struct field_table): one row for each member of
 * the struct, read and written by the same row.
 */
#pragma once

#include "base/pack.h"

enum { FIELD_CRITICAL = 0x80, FIELD_NUMBERS = 128 };

/* The refusal for each number, so that a status can stay a literal. */
#define FIELD_TEXT(what, n) what " has a field " #n " that this program does not know"
#define FIELD_TEXTS_10(what, t)                                                                    \
    FIELD_TEXT(what, t##0), FIELD_TEXT(what, t##1), FIELD_TEXT(what, t##2),                        \
        FIELD_TEXT(what, t##3), FIELD_TEXT(what, t##4), FIELD_TEXT(what, t##5),                    \
        FIELD_TEXT(what, t##6), FIELD_TEXT(what, t##7), FIELD_TEXT(what, t##8),                    \
        FIELD_TEXT(what, t##9)
#define FIELD_TEXTS(what)                                                                          \
    {                                                                                              \
        FIELD_TEXTS_10(what, ), FIELD_TEXTS_10(what, 1), FIELD_TEXTS_10(what, 2),                  \
            FIELD_TEXTS_10(what, 3), FIELD_TEXTS_10(what, 4), FIELD_TEXTS_10(what, 5),             \
            FIELD_TEXTS_10(what, 6), FIELD_TEXTS_10(what, 7), FIELD_TEXTS_10(what, 8),             \
            FIELD_TEXTS_10(what, 9), FIELD_TEXTS_10(what, 10), FIELD_TEXTS_10(what, 11),           \
            FIELD_TEXT(what, 120), FIELD_TEXT(what, 121), FIELD_TEXT(what, 122),                   \
            FIELD_TEXT(what, 123), FIELD_TEXT(what, 124), FIELD_TEXT(what, 125),                   \
            FIELD_TEXT(what, 126), FIELD_TEXT(what, 127)                                           \
    }

/* ---- reading one after another ---- */

struct fields {
    struct unpack in;    /* .error says what was wrong         */
    const uint8_t *tags; /* known tags, critical bit included  */
    size_t tag_count;
    const char *const *unknown; /* FIELD_TEXTS of this kind of object */
    unsigned last;
};
struct field {
    unsigned number;
    struct unpack value;
};

void fields_init(struct fields *f, const void *bytes, size_t size, const uint8_t *tags,
                 size_t tag_count, const char *const *unknown);
/* The next field that is known; false at the end and after an error. */
bool fields_next(struct fields *f, struct field *out);
/* The value has been read: note its error, or that bytes of it are left. */
void fields_close(struct fields *f, const struct field *field);
/* All that is left of `u` is fields, none of which is known yet: a critical one is refused. */
ALB_MUST_USE struct alb_status fields_skip(const struct unpack *u, const char *const *unknown);

/* ---- whole objects ---- */

enum field_type {
    FIELD_NUMBER,  /* uint64_t, a varint                        */
    FIELD_TIME,    /* int64_t seconds, a zigzag varint          */
    FIELD_BYTES32, /* a digest or a public key                  */
    FIELD_ID,      /* char[NAME_MAX_SIZE] that id_check accepts */
    FIELD_SITE,    /* … or that is empty                        */
    FIELD_LAYER,   /* … layer_name_check                        */
    FIELD_VERSION, /* … version_name_check                      */
    FIELD_OWN,     /* put() and get() do it                     */
};

struct field_row { /* each is critical and must be there */
    uint8_t number;
    enum field_type type;
    size_t offset; /* in the struct */
    void (*put)(struct pack *p, const void *object);
    void (*get)(struct unpack *u, void *object); /* fails by unpack_fail() */
};
struct field_table {
    const char *const *unknown; /* FIELD_TEXTS */
    const char *missing;        /* the refusal when a row is not there */
    const struct field_row *rows;
    size_t count; /* at most 32 */
};

/* INVALID for a name that breaks its rule. */
ALB_MUST_USE struct alb_status fields_encode(const struct field_table *t, const void *object,
                                             struct buf *out);
/* CORRUPT.  What get() allocated in `object` is the caller's to release, also after a failure. */
ALB_MUST_USE struct alb_status fields_decode(const struct field_table *t, const void *bytes,
                                             size_t size, void *object);
