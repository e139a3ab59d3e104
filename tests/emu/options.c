/* SPDX-License-Identifier: Apache-2.0 */
/* emu/options.c – one row per option; the command line and the file go through the same table. */
#include "emu/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu/units.h"

#define LINE_MAX_BYTES 512
#define QUEUE_DEFAULT_NS 150000000u /* the usual buffer of the test matrix: 150 ms */

/* Sets one option of side or direction `i` from `text`. */
typedef bool option_set(struct emu_options *o, int i, const char *text, struct emu_error *err);

struct option_row {
    const char *key;
    option_set *set;
    int i;
    bool in_file; /* makes sense in the file as well */
};

static option_set set_ns, set_ifname, set_addr, set_rate, set_delay, set_queue, set_loss, set_down,
    set_config, set_stats, set_seed;

static const struct option_row ROWS[] = {
    {"ns-a", set_ns, SIDE_A, false},       {"ns-b", set_ns, SIDE_B, false},
    {"if-a", set_ifname, SIDE_A, false},   {"if-b", set_ifname, SIDE_B, false},
    {"addr-a", set_addr, SIDE_A, false},   {"addr-b", set_addr, SIDE_B, false},
    {"rate-ab", set_rate, DIR_AB, true},   {"rate-ba", set_rate, DIR_BA, true},
    {"delay-ab", set_delay, DIR_AB, true}, {"delay-ba", set_delay, DIR_BA, true},
    {"queue-ab", set_queue, DIR_AB, true}, {"queue-ba", set_queue, DIR_BA, true},
    {"loss-ab", set_loss, DIR_AB, true},   {"loss-ba", set_loss, DIR_BA, true},
    {"down", set_down, 0, true},           {"config", set_config, 0, false},
    {"stats", set_stats, 0, false},        {"seed", set_seed, 0, false},
};

const char *options_usage(void)
{
    return "usage: albedo-linkemu --ns-a NAME --ns-b NAME --addr-a ADDR/LEN --addr-b ADDR/LEN\n"
           "                      --rate-ab RATE --rate-ba RATE [options]\n"
           "Joins two network namespaces by a link with a rate, a delay and a queue.\n"
           "  --if-a NAME, --if-b NAME     interface to make on each side (wan0)\n"
           "  --rate-ab, --rate-ba RATE    IP bits per second: 512kbit, 10mbit\n"
           "  --delay-ab, --delay-ba TIME  one way: 40ms (0ms)\n"
           "  --queue-ab, --queue-ba SIZE  tail-drop limit: 16000 bytes, 16kB or 150ms (150ms)\n"
           "  --loss-ab, --loss-ba SHARE   random loss: 0.5% (0%)\n"
           "  --down yes|no|ab|ba          start with the link cut (no)\n"
           "  --config FILE                `key value` lines; read again on SIGHUP or SIGUSR1\n"
           "  --stats FILE                 where the JSON goes on SIGTERM, and on SIGUSR2\n"
           "  --seed NUMBER                of the random loss (1)\n"
           "a to b is from ns-a to ns-b.  IPv4 only, MTU 1500.  Needs root and /dev/net/tun.\n";
}

static const struct option_row *row_find(const char *key)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        if (strcmp(ROWS[i].key, key) == 0)
            return &ROWS[i];
    return NULL;
}

/* Say which option the message of a setter is about. */
static bool row_set(const struct option_row *row, struct emu_options *o, const char *text,
                    struct emu_error *err)
{
    struct emu_error inner;
    if (row->set(o, row->i, text, &inner))
        return true;
    return emu_fail(err, "%s: %.400s", row->key, inner.text);
}

static bool args_read(int argc, char *const *argv, struct emu_error *err, struct emu_options *o)
{
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            o->help = true;
            return true;
        }
        const struct option_row *row =
            strncmp(argv[i], "--", 2) == 0 ? row_find(argv[i] + 2) : NULL;
        if (row == NULL)
            return emu_fail(err, "unknown option '%s'; --help lists them", argv[i]);
        if (i + 1 == argc)
            return emu_fail(err, "%s needs a value; --help shows which", argv[i]);
        if (!row_set(row, o, argv[i + 1], err))
            return false;
    }
    return true;
}

/* One line of the file, which is changed: its comment and spaces are cut off. */
static bool line_read(char *line, struct emu_options *o, struct emu_error *err)
{
    line[strcspn(line, "#\r\n")] = '\0';
    char *save = NULL;
    const char *key = strtok_r(line, " \t", &save);
    const char *value = strtok_r(NULL, " \t", &save);
    if (key == NULL)
        return true;
    const struct option_row *row = row_find(key);
    if (row == NULL || !row->in_file)
        return emu_fail(err,
                        "unknown key '%s'; use rate-ab, delay-ab, queue-ab, loss-ab, the same "
                        "with -ba, or down",
                        key);
    if (strtok_r(NULL, " \t", &save) != NULL)
        return emu_fail(err, "%s: one value expected; write units without a space", key);
    if (value == NULL && strcmp(key, "down") == 0)
        value = "yes";
    if (value == NULL)
        return emu_fail(err, "%s: a value is missing", key);
    return row_set(row, o, value, err);
}

static bool lines_read(FILE *file, const char *path, struct emu_options *o, struct emu_error *err)
{
    char line[LINE_MAX_BYTES];
    for (unsigned number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        struct emu_error inner;
        if (!line_read(line, o, &inner))
            return emu_fail(err, "%.120s:%u: %.300s", path, number, inner.text);
    }
    return true;
}

static bool file_read(const char *path, struct emu_options *o, struct emu_error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return emu_fail(err,
                        "cannot read the configuration %.200s (%s); create it, it may be empty",
                        path, strerrordesc_np(errno));
    bool ok = lines_read(file, path, o, err);
    (void)fclose(file); /* opened for reading: nothing can be lost */
    return ok;
}

static bool complete(const struct emu_options *o, struct emu_error *err)
{
    for (int i = 0; i < SIDES; i++) {
        if (o->side[i].ns == NULL)
            return emu_fail(err,
                            "--ns-%c is missing; give the name of a namespace made with "
                            "`ip netns add`",
                            'a' + i);
        if (o->side[i].prefix == 0)
            return emu_fail(err, "--addr-%c is missing; give an address such as 10.0.0.%d/30",
                            'a' + i, i + 1);
        if (o->link[i].rate_bits == 0)
            return emu_fail(err, "--rate-%s is missing; give a rate such as 10mbit",
                            i == DIR_AB ? "ab" : "ba");
    }
    return true;
}

bool options_read(int argc, char *const *argv, struct emu_error *err, struct emu_options *options)
{
    const struct link_params link = {.queue_ns = QUEUE_DEFAULT_NS};
    struct emu_options o = {
        .side = {{.ifname = "wan0"}, {.ifname = "wan0"}},
        .link = {link, link},
        .seed = 1,
    };
    if (!args_read(argc, argv, err, &o))
        return false;
    if (!o.help && o.config_path != NULL && !file_read(o.config_path, &o, err))
        return false;
    if (!o.help && !complete(&o, err))
        return false;
    *options = o;
    return true;
}

static bool set_ns(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    if (text[0] == '\0' || strchr(text, '/') != NULL)
        return emu_fail(err, "'%s' is not a namespace's name; `ip netns list` shows them", text);
    o->side[i].ns = text;
    return true;
}

static bool set_ifname(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    size_t length = strlen(text);
    if (length == 0 || length >= IFNAMSIZ || strpbrk(text, "/ %") != NULL)
        return emu_fail(err, "'%s' is not an interface's name; give 1 to 15 letters such as wan0",
                        text);
    memcpy(o->side[i].ifname, text, length + 1);
    return true;
}

static bool set_addr(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    char addr[INET_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t length = slash == NULL ? sizeof addr : (size_t)(slash - text);
    char *end = NULL;
    unsigned long prefix = slash == NULL ? 0 : strtoul(slash + 1, &end, 10);
    bool ok =
        length < sizeof addr && end != slash + 1 && *end == '\0' && prefix >= 1 && prefix <= 32;
    if (ok) {
        memcpy(addr, text, length);
        addr[length] = '\0';
        ok = inet_pton(AF_INET, addr, &o->side[i].addr) == 1;
    }
    if (!ok)
        return emu_fail(err,
                        "'%s' is not an IPv4 address with its prefix length; give one such "
                        "as 10.0.0.%d/30",
                        text, i + 1);
    o->side[i].prefix = (unsigned)prefix;
    return true;
}

static bool set_rate(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    return units_rate_parse(text, err, &o->link[i].rate_bits);
}

static bool set_delay(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    return units_time_parse(text, err, &o->link[i].delay_ns);
}

/* A queue is given in bytes or in time; an 's' at the end can only be time. */
static bool set_queue(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    size_t length = strlen(text);
    uint64_t bytes = 0;
    uint64_t time_ns = 0;
    bool is_time = length > 0 && text[length - 1] == 's';
    if (is_time ? !units_time_parse(text, err, &time_ns) : !units_size_parse(text, err, &bytes))
        return false;
    o->link[i].queue_bytes = bytes;
    o->link[i].queue_ns = time_ns;
    return true;
}

static bool set_loss(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    return units_share_parse(text, err, &o->link[i].loss);
}

static bool set_down(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    static const struct {
        const char *text;
        bool ab, ba;
    } choices[] = {
        {"yes", true, true}, {"no", false, false}, {"ab", true, false}, {"ba", false, true}};
    (void)i;
    for (size_t c = 0; c < sizeof choices / sizeof choices[0]; c++) {
        if (strcmp(text, choices[c].text) != 0)
            continue;
        o->link[DIR_AB].down = choices[c].ab;
        o->link[DIR_BA].down = choices[c].ba;
        return true;
    }
    return emu_fail(err, "'%s' is neither yes, no, ab nor ba", text);
}

static bool set_config(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    (void)i;
    (void)err;
    o->config_path = text;
    return true;
}

static bool set_stats(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    (void)i;
    (void)err;
    o->stats_path = text;
    return true;
}

static bool set_seed(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    (void)i;
    char *end = NULL;
    errno = 0;
    unsigned long long seed = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return emu_fail(err, "'%s' is not a whole number", text);
    o->seed = seed;
    return true;
}
