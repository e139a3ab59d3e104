/* SPDX-License-Identifier: Apache-2.0 */
/* config/schema.h – the rows of schema.def and types.def as tables,
 * for the files of this folder. */
#pragma once

#include "config/config.h"

#define TYPE(NAME, prefix, allowed) CONFIG_TYPE_##NAME,
enum config_type_id {
#include "config/types.def"
};
#undef TYPE

struct config_type {
    const char *allowed;
    bool is_list;
    /* Takes `count` texts (1 unless is_list) into the member; INVALID tells of the last. */
    struct alb_status (*read)(const char *const *texts, size_t count, void *member);
    /* Appends the value as it is written in a file. */
    struct alb_status (*show)(const void *member, struct buf *out);
};
extern const struct config_type config_types[];

enum config_need { OPTIONAL, REQUIRED };

struct config_option {
    const char *key;
    enum config_type_id type;
    enum config_need need;
    const char *text; /* default, or the example of a REQUIRED one */
    const char *help;
    size_t offset; /* of the member */
};

struct config_schema {
    const char *program; /* "albedo-hub" */
    const struct config_option *options;
    size_t count;
    size_t size; /* of the struct */
};
extern const struct config_schema hub_schema, reflector_schema;

/* Set the members of OPTIONAL rows from their texts; with `examples` the REQUIRED ones too. */
void schema_fill(const struct config_schema *s, bool examples, void *config);
const struct config_option *schema_find(const struct config_schema *s, const char *key);
/* The known key most like `key`, or NULL when none is near. */
const char *schema_nearest(const struct config_schema *s, const char *key);

/* file.c: read `text` (named `path` in errors) over the defaults; INVALID with `error` written. */
ALB_MUST_USE struct alb_status config_parse(const struct config_schema *s, const char *path,
                                            const char *text, void *config, char *error);
ALB_MUST_USE struct alb_status config_load(const struct config_schema *s, const char *path,
                                           void *config, char *error);
/* comments.c: comments become blanks, so that what is left has its line numbers.  Returns where a
 * backslash stands outside quotes (libconfuse would print it and go on), or NULL. */
const char *comments_blank(char *text);
/* write.c */
ALB_MUST_USE struct alb_status config_write(const struct config_schema *s, const void *config,
                                            struct buf *out);
