/* SPDX-License-Identifier: Apache-2.0 */
/* store/disk/pins.c – pins in memory and in their files: written, read, judged. */
#include "store/disk/pins.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pack.h"
#include "store/cache.h"
#include "store/disk/blocks.h"
#include "store/disk/crc32c.h"
#include "store/disk/le.h"

static const char magic[8] = {'A', 'L', 'B', 'P', 'I', 'N', '0', '1'};
enum { MAGIC_VERSION = 6, HEAD_SIZE = 12, KEY_BYTES = 1 + DIGEST_SIZE };
enum { KEYS_MOST = 8 << 20, FILE_MOST = KEYS_MOST * KEY_BYTES + 1024 };

/* ---- the file ---- */

static struct alb_status decode_body(struct unpack *u, struct pin_image *out)
{
    char name[PIN_NAME_MAX + 1];
    unpack_string(u, name, sizeof name);
    uint64_t bytes = unpack_u64(u);
    uint64_t count = unpack_u64(u);
    if (u->error == NULL && (name[0] == '\0' || count != unpack_left(u) / KEY_BYTES))
        unpack_fail(u, "pin: its name or its count of keys is wrong");
    struct alb_status st = unpack_check(u);
    if (alb_failed(st))
        return st;
    AUTO_FREE struct chunk_key *keys = try_alloc((size_t)count * sizeof(*keys) + 1);
    if (keys == NULL)
        return alb_fail(ALB_FULL, "pin: memory for its keys");
    for (size_t i = 0; i < count; i++)
        unpack_key(u, &keys[i]);
    st = unpack_finish(u);
    if (alb_failed(st))
        return st;
    *out = (struct pin_image){xstrdup(name), take_ptr(&keys), (size_t)count, bytes};
    return ALB_STATUS_OK;
}

struct alb_status pin_decode(const void *bytes, size_t size, struct pin_image *out)
{
    struct unpack u;
    unpack_init(&u, bytes, size);
    const uint8_t *head = unpack_bytes(&u, sizeof magic);
    if (head == NULL || memcmp(head, magic, MAGIC_VERSION) != 0)
        return alb_fail(ALB_CORRUPT, "pin: does not begin like one");
    if (memcmp(head, magic, sizeof magic) != 0)
        return alb_fail(ALB_INVALID, "pin: its format version is not 01; a newer program wrote it, "
                                     "so use that one");
    uint32_t crc = unpack_u32(&u);
    if (size < HEAD_SIZE || crc != crc32c_extend(0, head + HEAD_SIZE, size - HEAD_SIZE))
        return alb_fail(ALB_CORRUPT, "pin: its check value is wrong");
    return decode_body(&u, out);
}

void pin_image_release(struct pin_image *i)
{
    free(i->name);
    free(i->keys);
    *i = (struct pin_image){.name = NULL};
}

static struct alb_status encode(const char *name, const struct chunk_key *keys, size_t count,
                                uint64_t bytes, struct buf *out)
{
    struct pack p;
    pack_init(&p, out);
    pack_bytes(&p, magic, sizeof magic);
    pack_u32(&p, 0);
    pack_string(&p, name);
    pack_u64(&p, bytes);
    pack_u64(&p, count);
    for (size_t i = 0; i < count; i++)
        pack_key(&p, &keys[i]);
    struct alb_status st = pack_finish(&p);
    if (alb_failed(st))
        return st;
    uint8_t *at = out->bytes + out->head;
    uint32_t crc = crc32c_extend(0, at + HEAD_SIZE, buf_size(out) - HEAD_SIZE);
    le_put(at + sizeof magic, crc, sizeof crc);
    return st;
}

/* Names may hold anything; files are called by a hash of them. */
static char *path_of(const struct pins *p, const char *name)
{
    struct chunk_key key = map_text_key(name);
    char hex[DIGEST_HEX_SIZE];
    return xasprintf("%s/%.16s.pin", p->dir, digest_hex(&key.digest, hex));
}

static uint64_t blocks_of(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 ? blocks_bytes(&about) : 0;
}

static struct alb_status read_image(const char *path, struct pin_image *out)
{
    struct buf bytes;
    buf_init(&bytes, FILE_MOST);
    struct alb_status st = file_read(path, &bytes);
    if (!alb_failed(st))
        st = pin_decode(buf_peek(&bytes), buf_size(&bytes), out);
    buf_release(&bytes);
    return st;
}

/* ---- in memory ---- */

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void forget(struct pins *p, size_t at)
{
    free(p->items[at].name);
    free(p->items[at].hashes);
    p->items[at] = p->items[--p->count];
}

static void remember(struct pins *p, const char *path, const char *name,
                     const struct chunk_key *keys, size_t count, uint64_t bytes)
{
    struct pin pin = {xstrdup(name), xcalloc(count + 1, sizeof(uint64_t)), count, bytes,
                      blocks_of(path)};
    for (size_t i = 0; i < count; i++)
        pin.hashes[i] = chunk_key_hash(&keys[i]);
    qsort(pin.hashes, count, sizeof(uint64_t), compare_hashes);
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].name, name) == 0)
            forget(p, i);
    p->items = xrealloc(p->items, (p->count + 1) * sizeof(*p->items));
    p->items[p->count++] = pin;
}

static struct alb_status load(struct pins *p, const char *name)
{
    AUTO_FREE char *path = path_join(p->dir, name);
    struct pin_image image;
    struct alb_status st = read_image(path, &image);
    if (st.code == ALB_CORRUPT) {
        AUTO_FREE char *aside = xasprintf("%s.bad", path);
        log_status(LOG_ERROR, "pin.damaged", st,
                   "file=%s kept_as=%s next=\"what it protected may be dropped; pin it again\"",
                   path, aside);
        return rename(path, aside) == 0 ? ALB_STATUS_OK
                                        : alb_fail_sys("store: setting a damaged pin aside");
    }
    if (alb_failed(st))
        return st;
    remember(p, path, image.name, image.keys, image.count, image.bytes);
    pin_image_release(&image);
    return ALB_STATUS_OK;
}

struct alb_status pins_open(struct pins *p, const char *dir)
{
    struct alb_status st = ALB_STATUS_OK;
    const struct dirent *entry;
    *p = (struct pins){.dir = xstrdup(dir)};
    DIR *folder = opendir(dir);
    if (folder == NULL)
        return errno == ENOENT ? st : alb_fail_sys("store: listing the pins");
    while (!alb_failed(st) && (entry = readdir(folder)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (length > 4 && strcmp(entry->d_name + length - 4, ".pin") == 0)
            st = load(p, entry->d_name);
    }
    (void)closedir(folder);
    return st;
}

void pins_release(struct pins *p)
{
    while (p->count > 0)
        forget(p, p->count - 1);
    free(p->items);
    free(p->dir);
    *p = (struct pins){.dir = NULL};
}

struct alb_status pins_put(struct pins *p, const char *name, const struct chunk_key *keys,
                           size_t count, uint64_t bytes)
{
    struct buf image;
    if (name[0] == '\0' || strlen(name) > PIN_NAME_MAX)
        return alb_fail(ALB_INVALID, "store: a pin's name has 1 to 255 bytes");
    if ((p->count >= PINS_MAX && pins_find(p, name) == NULL) || count > KEYS_MOST)
        return alb_fail(ALB_FULL, "store: there are at most 64 pins of 8 million chunks");
    AUTO_FREE char *path = path_of(p, name);
    buf_init(&image, FILE_MOST);
    struct alb_status st = file_make_dir(p->dir, 0700);
    if (!alb_failed(st))
        st = encode(name, keys, count, bytes, &image);
    if (!alb_failed(st))
        st = file_replace(path, buf_peek(&image), buf_size(&image), 0600);
    buf_release(&image);
    if (!alb_failed(st))
        remember(p, path, name, keys, count, bytes);
    return st;
}

struct alb_status pins_remove(struct pins *p, const char *name)
{
    AUTO_FREE char *path = path_of(p, name);
    const struct pin *pin = pins_find(p, name);
    if (pin == NULL)
        return alb_fail(ALB_NOT_FOUND, "store: there is no pin of this name");
    if (unlink(path) != 0 && errno != ENOENT)
        return alb_fail_sys("store: removing a pin");
    struct alb_status st = file_sync_dir(p->dir);
    forget(p, (size_t)(pin - p->items));
    return st;
}

struct alb_status pins_remove_all(struct pins *p)
{
    while (p->count > 0)
        forget(p, p->count - 1);
    return file_remove_all(p->dir);
}

const struct pin *pins_find(const struct pins *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].name, name) == 0)
            return &p->items[i];
    return NULL;
}

bool pins_hold_besides(const struct pins *p, uint64_t hash, const struct pin *except)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct pin *pin = &p->items[i];
        if (pin != except && pin->count > 0 &&
            bsearch(&hash, pin->hashes, pin->count, sizeof hash, compare_hashes) != NULL)
            return true;
    }
    return false;
}

bool pins_hold(const struct pins *p, uint64_t hash)
{
    return pins_hold_besides(p, hash, NULL);
}

uint64_t pins_reserved_bytes(const struct pins *p)
{
    uint64_t total = 0;
    for (size_t i = 0; i < p->count; i++)
        total += p->items[i].bytes;
    return total;
}

uint64_t pins_disk_bytes(const struct pins *p)
{
    uint64_t total = 0;
    for (size_t i = 0; i < p->count; i++)
        total += p->items[i].disk_bytes;
    return total;
}

struct alb_status pins_read_keys(const struct pins *p, const struct pin *pin,
                                 struct chunk_key **keys, size_t *count)
{
    AUTO_FREE char *path = path_of(p, pin->name);
    struct pin_image image;
    struct alb_status st = read_image(path, &image);
    if (alb_failed(st))
        return st;
    *keys = take_ptr(&image.keys);
    *count = image.count;
    pin_image_release(&image);
    return st;
}
