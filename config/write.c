/* SPDX-License-Identifier: Apache-2.0 */
/* config/write.c – a file that explains itself: each option's help, what is allowed,
 * its default. */
#include <string.h>

#include "base/alloc.h"
#include "config/schema.h"

/* The help, each of its lines as a comment. */
static struct alb_status write_help(const struct config_option *option, struct buf *out)
{
    struct alb_status st = buf_append(out, "\n", 1);

    for (const char *line = option->help; *line != '\0' && !alb_failed(st);) {
        size_t size = strcspn(line, "\n");
        st = buf_printf(out, "# %.*s\n", (int)size, line);
        line += size + (line[size] == '\n' ? 1 : 0);
    }
    if (alb_failed(st))
        return st;
    return buf_printf(out, "# (%s%s)\n", config_types[option->type].allowed,
                      option->need == REQUIRED ? "; must be set" : "");
}

static struct alb_status write_option(const struct config_option *option, const void *member,
                                      const void *default_member, struct buf *out)
{
    const struct config_type *type = &config_types[option->type];
    struct buf value, usual;

    buf_init(&value, out->limit);
    buf_init(&usual, out->limit);
    struct alb_status st = write_help(option, out);
    if (!alb_failed(st))
        st = type->show(member, &value);
    if (!alb_failed(st))
        st = type->show(default_member, &usual);
    if (!alb_failed(st)) {
        const bool is_usual = option->need == OPTIONAL && buf_size(&value) == buf_size(&usual) &&
                              memcmp(buf_peek(&value), buf_peek(&usual), buf_size(&value)) == 0;
        st = buf_printf(out, "%s%s = %.*s\n", is_usual ? "#" : "", option->key,
                        (int)buf_size(&value), (const char *)buf_peek(&value));
    }
    buf_release(&value);
    buf_release(&usual);
    return st;
}

struct alb_status config_write(const struct config_schema *s, const void *config, struct buf *out)
{
    AUTO_FREE char *defaults = xalloc(s->size);
    struct alb_status st =
        buf_printf(out,
                   "# Configuration of %s.  A line that begins with '#' is a comment; an option\n"
                   "# behind one stands at its default.  Restart the program after a change.\n",
                   s->program);

    schema_fill(s, false, defaults);
    for (size_t i = 0; i < s->count && !alb_failed(st); i++) {
        const size_t offset = s->options[i].offset;
        st = write_option(&s->options[i], (const char *)config + offset, defaults + offset, out);
    }
    return st;
}

static struct alb_status write_example(const struct config_schema *s, struct buf *out)
{
    AUTO_FREE char *config = xalloc(s->size);

    schema_fill(s, true, config);
    return config_write(s, config, out);
}

void hub_config_defaults(struct hub_config *out)
{
    schema_fill(&hub_schema, false, out);
}

void reflector_config_defaults(struct reflector_config *out)
{
    schema_fill(&reflector_schema, false, out);
}

struct alb_status hub_config_write(const struct hub_config *c, struct buf *out)
{
    return config_write(&hub_schema, c, out);
}

struct alb_status reflector_config_write(const struct reflector_config *c, struct buf *out)
{
    return config_write(&reflector_schema, c, out);
}

struct alb_status hub_config_example(struct buf *out)
{
    return write_example(&hub_schema, out);
}

struct alb_status reflector_config_example(struct buf *out)
{
    return write_example(&reflector_schema, out);
}
