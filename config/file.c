/* SPDX-License-Identifier: Apache-2.0 */
/* config/file.c – libconfuse reads the file, the schema's types read the values. */
#include <confuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "config/schema.h"

enum { FILE_MOST = 1 << 20, LIST_ITEMS_MOST = 64 };

/* What libconfuse says of a key that its table does not have; the key follows as an argument. */
static const char UNKNOWN_KEY[] = "no such option '%s'";

/* One reading.  libconfuse's callbacks have no argument: `parsing` is theirs while a parse runs. */
struct parse {
    const struct config_schema *schema;
    const char *path;
    char *config;
    char *error;
    int *lines;    /* where each option was set; 0: not yet  */
    size_t *sizes; /* how many values of its list came so far */
    bool *closed;  /* its list's '}' came                     */
};
static _Thread_local struct parse *parsing;

static void ALB_PRINTF(3, 0) say(struct parse *p, int line, const char *format, va_list args)
{
    size_t used;

    if (p->error[0] != '\0')
        return; /* the first is the cause */
    if (line > 0)
        (void)snprintf(p->error, CONFIG_ERROR_SIZE, "%s:%d: ", p->path, line);
    else
        (void)snprintf(p->error, CONFIG_ERROR_SIZE, "%s: ", p->path);
    used = strlen(p->error);
    (void)vsnprintf(p->error + used, CONFIG_ERROR_SIZE - used, format, args);
}

static void complain(struct parse *p, int line, const char *format, ...) ALB_PRINTF(3, 4);
static void complain(struct parse *p, int line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(p, line, format, args);
    va_end(args);
}

static void ALB_PRINTF(2, 0) on_error(cfg_t *cfg, const char *format, va_list args)
{
    struct parse *p = parsing;

    if (strcmp(format, UNKNOWN_KEY) != 0) {
        say(p, cfg->line, format, args);
        return;
    }
    const char *key = va_arg(args, const char *);
    const char *nearest = schema_nearest(p->schema, key);
    if (nearest != NULL)
        complain(p, cfg->line, "there is no option \"%.200s\"; did you mean \"%s\"?", key, nearest);
    else
        complain(p, cfg->line,
                 "there is no option \"%.200s\"; see %s's example file for all of them", key,
                 p->schema->program);
}

/* Was it complete before?  A list is told item by item, and once more at its end. */
static bool is_set_again(struct parse *p, size_t row, size_t size)
{
    if (p->lines[row] == 0)
        return false;
    if (!config_types[p->schema->options[row].type].is_list)
        return true;
    return size < p->sizes[row] || (size == p->sizes[row] && p->closed[row]);
}

static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
    struct parse *p = parsing;
    const struct config_option *option = schema_find(p->schema, cfg_opt_name(opt));
    const size_t row = (size_t)(option - p->schema->options);
    const struct config_type *type = &config_types[option->type];
    const char *texts[LIST_ITEMS_MOST];
    const size_t size = cfg_opt_size(opt);

    if (is_set_again(p, row, size)) {
        complain(p, cfg->line, "%s is set twice (first on line %d)", option->key, p->lines[row]);
        return -1;
    }
    p->closed[row] = size == p->sizes[row];
    p->sizes[row] = size;
    p->lines[row] = cfg->line;
    for (size_t i = 0; i < size && i < ALB_COUNT(texts); i++)
        texts[i] = cfg_opt_getnstr(opt, (unsigned)i);
    struct alb_status st = size > ALB_COUNT(texts)
                               ? alb_fail(ALB_INVALID, "the list is too long")
                               : type->read(texts, size, p->config + option->offset);
    if (!alb_failed(st))
        return 0;
    complain(p, cfg->line, "%s: \"%.400s\": %s (%s is expected)", option->key,
             cfg_opt_getnstr(opt, (unsigned)size - 1), st.what, type->allowed);
    return -1;
}

static cfg_opt_t *table_new(const struct config_schema *s)
{
    cfg_opt_t *table = xcalloc(s->count + 1, sizeof *table);

    for (size_t i = 0; i < s->count; i++) {
        cfg_opt_t text = CFG_STR(s->options[i].key, NULL, CFGF_NODEFAULT);
        cfg_opt_t list = CFG_STR_LIST(s->options[i].key, NULL, CFGF_NODEFAULT);
        table[i] = config_types[s->options[i].type].is_list ? list : text;
    }
    table[s->count] = (cfg_opt_t)CFG_END();
    return table;
}

static void parse_text(struct parse *p, const char *text)
{
    AUTO_FREE cfg_opt_t *table = table_new(p->schema);
    cfg_t *cfg = cfg_init(table, CFGF_NONE);

    alb_assert(cfg != NULL);
    cfg_set_error_function(cfg, on_error);
    for (size_t i = 0; i < p->schema->count; i++)
        cfg_set_validate_func(cfg, p->schema->options[i].key, on_value);
    parsing = p;
    if (cfg_parse_buf(cfg, text) != CFG_SUCCESS)
        complain(p, cfg->line, "this is no setting (use: key = value)");
    parsing = NULL;
    cfg_free(cfg);
}

static int line_of(const char *text, const char *at)
{
    int line = 1;

    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static void check_required(struct parse *p)
{
    for (size_t i = 0; i < p->schema->count; i++) {
        const struct config_option *option = &p->schema->options[i];

        if (option->need == REQUIRED && p->lines[i] == 0)
            complain(p, 0, "%s is not set (%s, as in %s = \"%s\")", option->key,
                     config_types[option->type].allowed, option->key, option->text);
    }
}

struct alb_status config_parse(const struct config_schema *s, const char *path, const char *text,
                               void *config, char *error)
{
    AUTO_FREE char *filled = xalloc(s->size);
    AUTO_FREE char *bare = xstrdup(text);
    AUTO_FREE int *lines = xcalloc(s->count, sizeof *lines);
    AUTO_FREE size_t *sizes = xcalloc(s->count, sizeof *sizes);
    AUTO_FREE bool *closed = xcalloc(s->count, sizeof *closed);
    struct parse p = {.schema = s,
                      .path = path,
                      .config = filled,
                      .error = error,
                      .lines = lines,
                      .sizes = sizes,
                      .closed = closed};

    error[0] = '\0';
    schema_fill(s, false, filled);
    const char *stray = comments_blank(bare);
    if (stray != NULL)
        complain(&p, line_of(bare, stray), "a backslash stands outside quotes");
    else
        parse_text(&p, bare);
    check_required(&p);
    if (error[0] != '\0')
        return alb_fail(ALB_INVALID, "the configuration is not right");
    memcpy(config, filled, s->size);
    return ALB_STATUS_OK;
}

struct alb_status config_load(const struct config_schema *s, const char *path, void *config,
                              char *error)
{
    struct buf bytes;
    char why[256];

    buf_init(&bytes, FILE_MOST);
    struct alb_status st = file_read(path, &bytes);
    if (!alb_failed(st) && memchr(buf_peek(&bytes), '\0', buf_size(&bytes)) != NULL)
        st = alb_fail(ALB_INVALID, "it holds a zero byte, so it is no text file");
    if (alb_failed(st)) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%s: %s", path,
                       alb_status_text(st, why, sizeof why));
    } else {
        AUTO_FREE char *text = xstrndup((const char *)buf_peek(&bytes), buf_size(&bytes));
        st = config_parse(s, path, text, config, error);
    }
    buf_release(&bytes);
    return st;
}

struct alb_status hub_config_load(const char *path, struct hub_config *out, char *error)
{
    return config_load(&hub_schema, path, out, error);
}

struct alb_status reflector_config_load(const char *path, struct reflector_config *out, char *error)
{
    return config_load(&reflector_schema, path, out, error);
}
