/* SPDX-License-Identifier: Apache-2.0 */
/* image/stage_impl.h – what a stage is made of; for stage*.c and apply*.c only.
 *
 * Staged objects lie flat in TOP/.albedo/stage/ROOT/ under the decimal index of their manifest
 * entry, with the metadata they are to have: a rename is all that is left to do.  image/FORMAT.md.
 */
#pragma once

#include <pthread.h>
#include <sys/stat.h>

#include "image/content.h"
#include "image/stage.h"
#include "image/stage_dirs.h"
#include "image/stage_meta.h"

#define ALBEDO_DIR ".albedo"
#define STAGE_DIR "stage"
#define KEPT_DIR "kept"
#define LOCK_FILE "lock"
#define JOURNAL_FILE "journal"
#define APPLIED_FILE "applied"
enum { STAGE_NAME_SIZE = 12, STAGE_ROOT_DIGITS = 16, PLACES_MAX = 256 };

/* A file system that the target spans: the topmost directory of it, and our folders there. */
struct place {
    char *top; /* "" or a path beneath the target; owned */
    int albedo_fd;
    int stage_fd;
};

struct places {
    struct place *items; /* [0] is the target itself */
    size_t count;
};

enum stage_file_state {
    STAGE_WHOLE,  /* to be copied from a file held here               */
    STAGE_PIECES, /* to be put together from chunks, held and fetched */
    STAGE_DONE,   /* staged, verified, with its metadata              */
};

struct stage_use { /* a slice of a file that is to be staged */
    uint32_t file;
    uint32_t position;
    uint32_t offset; /* in the chunk */
    uint32_t length;
    uint64_t file_offset;
    bool filled;
    bool local; /* the chunk is held here */
};

struct stage_file {
    uint32_t entry;
    uint16_t place;
    uint8_t state; /* enum stage_file_state */
    bool created;
    uint32_t unfilled;
    size_t first_use, use_count;
};

struct stage_unit {
    size_t first, count; /* in unit_files */
    uint64_t bytes;
};

struct stage {
    char *target;
    int target_fd;
    int lock_fd;
    const struct manifest *manifest;
    const struct holdings *holdings;
    const struct scan *scan; /* the target's, in the holdings; NULL when it is not there */
    struct digest root;
    bool over_journal;
    struct places places;
    uint32_t *parents;      /* per entry: its directory's entry        */
    uint16_t *entry_places; /* per entry: where it is staged           */
    bool *on_disk;          /* per entry: is a directory there already */
    bool *staged;           /* per entry: an object lies in the stage  */
    uint64_t *inos;         /* per entry: the staged object's inode    */
    struct stage_file *files;
    size_t file_count;
    struct stage_use *uses;
    size_t use_count;
    size_t *position_starts; /* per position, and one: into by_position */
    size_t *by_position;     /* indices of uses                         */
    struct stage_unit *units;
    size_t unit_count;
    size_t *unit_files;
    uint32_t *positions; /* the last plan's                         */
    struct stage_plan counted;
    pthread_mutex_t lock; /* of file states, uses' flags and below   */
    struct meta_losses losses;
    char error_path[MANIFEST_PATH_MAX + 1];
};

static inline const struct manifest_entry *stage_entry(const struct stage *s, uint32_t entry)
{
    return &s->manifest->entries[entry];
}

/* ---- stage.c */
/* INVALID: no directory, or "/". */
ALB_MUST_USE struct alb_status target_open(const char *target, int *out);
/* Our folder in an open directory, made when it is not there.  INVALID: it is not ours alone. */
ALB_MUST_USE struct alb_status albedo_open(int top_fd, int *out);
/* Is the .albedo behind `fd` ours alone (or root's, to read)?  INVALID. */
ALB_MUST_USE struct alb_status albedo_judge(int fd, bool may_be_roots);
/* CONFLICT: another process (or stage) holds it.  Closing the descriptor unlocks. */
ALB_MUST_USE struct alb_status target_lock(int target_fd, int *out);
ALB_MUST_USE struct alb_status stage_sync(struct stage *s);

/* ---- stage_resume.c */
/* What an earlier run left: keep what proves right. */
ALB_MUST_USE struct alb_status stage_resume(struct stage *s);

/* ---- stage_place.c */
/* Find the file systems below the target that directories of the manifest lie in, and open the
 * folders of each; what other versions left there is removed. */
ALB_MUST_USE struct alb_status places_find(struct stage *s);
/* The same for a journal's list of tops; nothing is swept. */
ALB_MUST_USE struct alb_status places_open(struct places *p, int target_fd, char *const *tops,
                                           size_t count, const struct digest *root);
void places_release(struct places *p);
/* Which place a path beneath the target lies in. */
uint16_t places_of(const struct places *p, const char *path);
/* Remove what is left of the stages. */
ALB_MUST_USE struct alb_status places_sweep(struct places *p);
const char *stage_root_name(const struct digest *root, char out[STAGE_ROOT_DIGITS + 1]);
const char *stage_name(uint32_t entry, char out[STAGE_NAME_SIZE]);

/* ---- stage_table.c */
/* Fill files, uses, positions and units. */
ALB_MUST_USE struct alb_status stage_table_make(struct stage *s);
ALB_MUST_USE struct alb_status stage_units_make(struct stage *s);
/* Zeroed; NULL when there is no memory. */
void *stage_array(size_t count, size_t size);

/* ---- stage_file.c */
ALB_MUST_USE struct alb_status stage_file_copy(struct stage *s, struct stage_file *f,
                                               struct content *c);
/* Chunks held here, into the file. */
ALB_MUST_USE struct alb_status stage_file_gather(struct stage *s, struct stage_file *f);
ALB_MUST_USE struct alb_status stage_file_put(struct stage *s, size_t use, const uint8_t *raw,
                                              size_t size);
/* All bytes are there: verify the whole, set its metadata, count it as done. */
ALB_MUST_USE struct alb_status stage_file_prove(struct stage *s, struct stage_file *f, int fd);
/* Stage the file that already lies at its path: its inode is to be replaced.  CONFLICT when its
 * bytes are no longer the entry's. */
ALB_MUST_USE struct alb_status stage_file_take(struct stage *s, uint32_t entry, int dir_fd,
                                               const char *name, struct content *c);
/* Stage a symlink, fifo, socket or device.  *made false: no privilege for it (counted). */
ALB_MUST_USE struct alb_status stage_make_special(struct stage *s, uint32_t entry, bool *made);
/* Remember the path an error is about; answers the status. */
struct alb_status stage_blame(struct stage *s, const char *path, struct alb_status st);
