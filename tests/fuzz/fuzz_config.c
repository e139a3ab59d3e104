/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz/fuzz_config.c – any text as a configuration: refused with words,
 * or the same once written. */
/* LINKS: config base */
#include "fuzz/target.h"
#include "config/schema.h"

#include <stdlib.h>
#include <string.h>

const struct fuzz_bound fuzz_bound = {.fixed = 256 << 10, .per_byte = 200};

static void check_again(const struct config_schema *s, const void *config, char *error)
{
    void *again = malloc(s->size);
    struct buf first, second;
    char *text;

    if (again == NULL)
        abort();
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    if (alb_failed(config_write(s, config, &first)))
        abort();
    text = strndup((const char *)buf_peek(&first), buf_size(&first));
    if (text == NULL || alb_failed(config_parse(s, "again", text, again, error)) ||
        alb_failed(config_write(s, again, &second)))
        abort();
    if (buf_size(&first) != buf_size(&second) ||
        memcmp(buf_peek(&first), buf_peek(&second), buf_size(&first)) != 0)
        abort();
    buf_release(&first);
    buf_release(&second);
    free(text);
    free(again);
}

static void try_schema(const struct config_schema *s, const char *text)
{
    char error[CONFIG_ERROR_SIZE];
    void *config = malloc(s->size);

    if (config == NULL)
        abort();
    if (!alb_failed(config_parse(s, "fuzz", text, config, error)))
        check_again(s, config, error);
    else if (strncmp(error, "fuzz:", 5) != 0)
        abort();
    free(config);
}

void fuzz_one(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);

    if (text == NULL)
        abort();
    if (size > 0)
        memcpy(text, bytes, size);
    text[size] = '\0';
    try_schema(&hub_schema, text);
    try_schema(&reflector_schema, text);
    free(text);
}
