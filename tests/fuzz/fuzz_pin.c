/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_pin.c – a pin file from a damaged disk. */
/* LINKS: store_disk store wire chunk base */
#include "base/alloc.h"
#include "fuzz/target.h"
#include "store/disk/crc32c.h"
#include "store/disk/pins.h"

const struct fuzz_bound fuzz_bound = {.fixed = 64 << 10, .per_byte = 4};

enum { HEAD = 12 };

void fuzz_one(const uint8_t *bytes, size_t size)
{
    struct pin_image image;
    AUTO_FREE uint8_t *copy = xalloc(size + 1);
    memcpy(copy, bytes, size);
    /* With the right check value, or nothing behind it would ever be looked at. */
    if (size > HEAD) {
        uint32_t crc = crc32c_extend(0, copy + HEAD, size - HEAD);
        for (unsigned i = 0; i < 4; i++)
            copy[8 + i] = (uint8_t)(crc >> (8 * i));
    }
    for (unsigned n = 0; n < 2; n++)
        if (!alb_failed(pin_decode(n == 0 ? copy : bytes, size, &image))) {
            alb_assert(image.name[0] != '\0' && image.count <= size / 33);
            pin_image_release(&image);
        }
}
