/* SPDX-License-Identifier: Apache-2.0 */
/* client/explain_file.h – what is known about one path of a target, before anybody is asked. */
#pragma once

#include <sys/stat.h>

#include "client/output.h"
#include "image/apply.h"

enum file_is {
    FILE_MISSING,    /* nothing is there now                       */
    FILE_AS_APPLIED, /* type and content are those of the version  */
    FILE_ALTERED,    /* the owner has made something else of it    */
    FILE_FOREIGN,    /* the applied version never had it           */
    FILE_UNREADABLE, /* it cannot be read, so nobody can say       */
};

struct file_facts {
    char *target; /* owned; without links */
    char *path;   /* owned; within the target */
    struct applied applied;
    char layer[NAME_MAX_SIZE];          /* of `applied` */
    const struct manifest_entry *entry; /* in applied.manifest; NULL: foreign */
    const struct manifest_entry *bytes; /* the same, or what a hard link is another name of */
    enum file_is is;
    bool exists;
    struct stat now;
    bool has_content; /* a regular file that was read */
    struct digest content;
    char *link_text; /* owned; of a symlink that is there now */
    char **kept;     /* owned, each too: copies in .albedo/kept, newest knowledge first */
    size_t kept_count;
};

/* Says what is wrong.  Released in any case. */
enum exit_code file_facts_find(struct output *o, const char *file, const char *target,
                               struct file_facts *out);
void file_facts_release(struct file_facts *f);
/* The entry of a path ("": the top), NULL when there is none; `bytes` becomes it, or what a hard
 * link is another name of. */
const struct manifest_entry *file_entry_find(const struct manifest *m, const char *path,
                                             const struct manifest_entry **bytes);

/* Does what is there now have this entry's type and content? */
bool file_has(const struct file_facts *f, const struct manifest_entry *e,
              const struct manifest_entry *bytes);
/* Mode, owner or time differ; appends what to `out`, as words. */
bool file_meta_differs(const struct file_facts *f, const struct manifest_entry *e, char *out,
                       size_t size);
const char *file_type_name(enum entry_type type);
const char *file_is_name(enum file_is is);
