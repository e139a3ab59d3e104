/* SPDX-License-Identifier: Apache-2.0 */
/* emu/option_table.c – the rows, and how each value is read. */
#include "emu/option_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "emu/units.h"

#define MS 1000000u
#define VALUES_MAX 4 /* numbers in one option, with commas between */

#define WIFI_MIN_NS (20u * MS)  /* the pauses that "wifi on" means: what scans and interference */
#define WIFI_MAX_NS (100u * MS) /* cost on a busy channel */
#define WIFI_GAP_NS (1000u * MS)
#define CODEL_TARGET_NS (5u * MS) /* RFC 8289 */
#define CODEL_INTERVAL_NS (100u * MS)
#define POLICER_BURST_BYTES 64000u

/* Sets one option of side or direction `i` from `text`. */
typedef bool option_setter(struct emu_options *o, int i, const char *text, struct emu_error *err);

enum keys {
    KEYS_ONE,       /* the key stands alone */
    KEYS_SIDE,      /* …-a, …-b */
    KEYS_DIRECTION, /* …-ab, …-ba, or alone for both */
};

struct option_row {
    const char *key;
    option_setter *set;
    enum keys keys;
    enum option_place place;
};

static option_setter set_ns, set_ifname, set_addr, set_rate, set_delay, set_queue, set_loss,
    set_jitter, set_reorder, set_aqm, set_ecn, set_police, set_wifi, set_down, set_pause,
    set_rate_trace, set_script, set_config, set_stats, set_queue_trace, set_trace_every, set_nap,
    set_seed;

static const struct option_row ROWS[] = {
    {"ns", set_ns, KEYS_SIDE, OPTION_ARGS},
    {"if", set_ifname, KEYS_SIDE, OPTION_ARGS},
    {"addr", set_addr, KEYS_SIDE, OPTION_ARGS},
    {"rate", set_rate, KEYS_DIRECTION, OPTION_FILE},
    {"delay", set_delay, KEYS_DIRECTION, OPTION_FILE},
    {"queue", set_queue, KEYS_DIRECTION, OPTION_FILE},
    {"loss", set_loss, KEYS_DIRECTION, OPTION_FILE},
    {"jitter", set_jitter, KEYS_DIRECTION, OPTION_FILE},
    {"reorder", set_reorder, KEYS_DIRECTION, OPTION_FILE},
    {"aqm", set_aqm, KEYS_DIRECTION, OPTION_FILE},
    {"ecn", set_ecn, KEYS_DIRECTION, OPTION_FILE},
    {"police", set_police, KEYS_DIRECTION, OPTION_FILE},
    {"wifi", set_wifi, KEYS_DIRECTION, OPTION_FILE},
    {"down", set_down, KEYS_ONE, OPTION_FILE},
    {"pause", set_pause, KEYS_DIRECTION, OPTION_SCRIPT},
    {"rate-trace", set_rate_trace, KEYS_DIRECTION, OPTION_ARGS},
    {"script", set_script, KEYS_ONE, OPTION_ARGS},
    {"config", set_config, KEYS_ONE, OPTION_ARGS},
    {"stats", set_stats, KEYS_ONE, OPTION_ARGS},
    {"queue-trace", set_queue_trace, KEYS_ONE, OPTION_ARGS},
    {"trace-every", set_trace_every, KEYS_ONE, OPTION_ARGS},
    {"nap", set_nap, KEYS_ONE, OPTION_ARGS},
    {"seed", set_seed, KEYS_ONE, OPTION_ARGS},
};

static bool row_matches(const struct option_row *row, const char *key, struct option *option)
{
    static const struct {
        const char *suffix; /* a literal */
        enum keys keys;
        int first, last;
    } forms[] = {
        {"", KEYS_ONE, 0, 0},
        {"-a", KEYS_SIDE, SIDE_A, SIDE_A},
        {"-b", KEYS_SIDE, SIDE_B, SIDE_B},
        {"", KEYS_DIRECTION, DIR_AB, DIR_BA},
        {"-ab", KEYS_DIRECTION, DIR_AB, DIR_AB},
        {"-ba", KEYS_DIRECTION, DIR_BA, DIR_BA},
    };
    size_t length = strlen(row->key);
    if (strncmp(key, row->key, length) != 0)
        return false;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (forms[i].keys != row->keys || strcmp(key + length, forms[i].suffix) != 0)
            continue;
        *option = (struct option){row, forms[i].suffix, forms[i].first, forms[i].last};
        return true;
    }
    return false;
}

bool option_find(const char *key, struct option *option)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        if (row_matches(&ROWS[i], key, option))
            return true;
    return false;
}

enum option_place option_place(const struct option *option)
{
    return option->row->place;
}

bool option_set(const struct option *option, const char *text, struct emu_options *options,
                struct emu_error *err)
{
    struct emu_error inner;
    for (int i = option->first; i <= option->last; i++)
        if (!option->row->set(options, i, text, &inner))
            return emu_fail(err, "%s%s: %.400s", option->row->key, option->suffix, inner.text);
    return true;
}

/* A choice among words: which one, or -1 and a message. */
static int word_find(const char *text, const char *const words[], struct emu_error *err,
                     const char *accept)
{
    for (int i = 0; words[i] != NULL; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    (void)emu_fail(err, "'%.60s' is not %s", text, accept);
    return -1;
}

/* Texts between the commas of one value; their storage is inside. */
struct values {
    char text[128];
    const char *value[VALUES_MAX];
    int count; /* 0: too many, or too long */
};

static void values_split(const char *text, struct values *values)
{
    size_t length = strlen(text);
    values->count = 0;
    if (length >= sizeof values->text)
        return;
    memcpy(values->text, text, length + 1);
    char *rest = values->text;
    for (char *value; (value = strsep(&rest, ",")) != NULL;) {
        if (values->count == VALUES_MAX) {
            values->count = 0;
            return;
        }
        values->value[values->count++] = value;
    }
}

/* "codel:5ms,100ms" after "codel": the part behind the colon, "" when there is none, or NULL when
 * `text` is another word. */
static const char *word_after(const char *text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(text, word, length) != 0)
        return NULL;
    if (text[length] == '\0')
        return "";
    return text[length] == ':' && text[length + 1] != '\0' ? text + length + 1 : NULL;
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
    return units_time_parse(text, err, &o->link[i].air.delay_ns);
}

/* A queue is given in packets, in time (what else ends in an 's'), or in bytes. */
static bool set_queue(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    size_t length = strlen(text);
    uint64_t bytes = 0, time_ns = 0;
    uint32_t packets = 0;
    bool is_packets = strstr(text, "packet") != NULL;
    bool is_time = !is_packets && length > 0 && text[length - 1] == 's';
    bool ok = is_packets ? units_packets_parse(text, err, &packets)
              : is_time  ? units_time_parse(text, err, &time_ns)
                         : units_size_parse(text, err, &bytes);
    if (!ok)
        return false;
    o->link[i].limit_bytes = bytes;
    o->link[i].limit_ns = time_ns;
    o->link[i].limit_packets = packets;
    return true;
}

static bool bursts_parse(const char *text, struct emu_error *err, struct loss_params *loss)
{
    struct values v;
    struct loss_params p = {.bad = 1};
    double *const wanted[VALUES_MAX] = {&p.to_bad, &p.to_good, &p.bad, &p.good};
    values_split(text, &v);
    if (v.count < 2)
        return emu_fail(err,
                        "'ge:%.60s' needs two to four shares: to the bad state, back, lost in "
                        "the bad one (100%%), lost in the good one (0%%): ge:0.5%%,20%%",
                        text);
    for (int i = 0; i < v.count; i++)
        if (!units_share_parse(v.value[i], err, wanted[i]))
            return false;
    *loss = p;
    return true;
}

static bool set_loss(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    const char *bursts = word_after(text, "ge");
    if (bursts != NULL)
        return bursts_parse(bursts, err, &o->link[i].loss);
    double share;
    if (!units_share_parse(text, err, &share))
        return false;
    o->link[i].loss = (struct loss_params){.good = share};
    return true;
}

static bool set_jitter(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    const char *normal = word_after(text, "normal");
    const char *uniform = word_after(text, "uniform");
    const char *time = normal != NULL ? normal : uniform != NULL ? uniform : text;
    if (!units_time_parse(time, err, &o->link[i].air.jitter_ns))
        return false;
    o->link[i].air.jitter = normal != NULL ? AIR_NORMAL : AIR_UNIFORM;
    return true;
}

static bool set_reorder(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    static const char *const words[] = {"no", "yes", NULL};
    int word = word_find(text, words, err, "yes or no");
    if (word >= 0)
        o->link[i].air.reorder = word == 1;
    return word >= 0;
}

static bool codel_parse(const char *text, struct emu_error *err, struct codel_params *codel)
{
    struct values v;
    struct codel_params p = {CODEL_TARGET_NS, CODEL_INTERVAL_NS};
    values_split(text, &v);
    if (text[0] != '\0' && v.count != 2)
        return emu_fail(err, "CoDel takes a target and an interval: codel:5ms,100ms");
    if (text[0] != '\0' && (!units_time_parse(v.value[0], err, &p.target_ns) ||
                            !units_time_parse(v.value[1], err, &p.interval_ns)))
        return false;
    if (p.target_ns == 0 || p.interval_ns == 0)
        return emu_fail(err, "a target and an interval of CoDel are above 0; for none use fifo");
    *codel = p;
    return true;
}

static bool set_aqm(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    struct queue_params *queue = &o->link[i].queue;
    struct codel_params codel = {0};
    const char *single = word_after(text, "codel");
    const char *fair = word_after(text, "fq_codel");
    const char *after = single != NULL ? single : fair;
    if (after != NULL && !codel_parse(after, err, &codel))
        return false;
    if (after == NULL && strcmp(text, "fifo") != 0 && strcmp(text, "fq") != 0)
        return emu_fail(err, "'%.60s' is neither fifo, codel, fq nor fq_codel", text);
    queue->fair = fair != NULL || strcmp(text, "fq") == 0;
    queue->codel = codel;
    return true;
}

static bool set_ecn(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    static const char *const words[] = {"off", "mark", "clear", NULL};
    static const enum queue_ecn modes[] = {QUEUE_ECN_OFF, QUEUE_ECN_MARK, QUEUE_ECN_CLEAR};
    int word = word_find(text, words, err, "off, mark or clear");
    if (word >= 0)
        o->link[i].queue.ecn = modes[word];
    return word >= 0;
}

static bool set_police(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    struct values v;
    struct policer_params p = {.burst_bytes = POLICER_BURST_BYTES};
    values_split(text, &v);
    if (v.count < 1 || v.count > 2)
        return emu_fail(err,
                        "'%.60s' is not a policer; give no, a rate, or a rate and a burst: "
                        "10mbit,64kB",
                        text);
    if (strcmp(text, "no") != 0 && !units_rate_parse(v.value[0], err, &p.rate_bits))
        return false;
    if (v.count == 2 && !units_size_parse(v.value[1], err, &p.burst_bytes))
        return false;
    if (p.burst_bytes < PACKET_MTU)
        return emu_fail(err, "a burst below %u bytes lets no full packet pass", PACKET_MTU);
    o->link[i].policer = p;
    return true;
}

static bool wifi_parse(const char *text, struct emu_error *err, struct air_params *air)
{
    struct values v;
    values_split(text, &v);
    if (v.count != 3)
        return emu_fail(err,
                        "'%.60s' is not no, yes, or shortest pause, longest and the mean time "
                        "between them, as in 20ms,100ms,1s",
                        text);
    if (!units_time_parse(v.value[0], err, &air->pause_min_ns) ||
        !units_time_parse(v.value[1], err, &air->pause_max_ns) ||
        !units_time_parse(v.value[2], err, &air->pause_gap_ns))
        return false;
    if (air->pause_min_ns > air->pause_max_ns || air->pause_gap_ns == 0)
        return emu_fail(err, "the longest pause is shorter than the shortest, or no time is "
                             "between them");
    return true;
}

static bool set_wifi(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    struct air_params wanted = {0};
    if (strcmp(text, "yes") == 0)
        wanted = (struct air_params){
            .pause_min_ns = WIFI_MIN_NS, .pause_max_ns = WIFI_MAX_NS, .pause_gap_ns = WIFI_GAP_NS};
    else if (strcmp(text, "no") != 0 && !wifi_parse(text, err, &wanted))
        return false;
    struct air_params *air = &o->link[i].air;
    air->pause_min_ns = wanted.pause_min_ns;
    air->pause_max_ns = wanted.pause_max_ns;
    air->pause_gap_ns = wanted.pause_gap_ns;
    return true;
}

static bool set_down(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    static const char *const words[] = {"no", "ab", "ba", "yes", NULL};
    (void)i;
    int word = word_find(text, words, err, "a cut: it is neither yes, no, ab nor ba");
    if (word < 0)
        return false;
    o->link[DIR_AB].down = (word & 1) != 0;
    o->link[DIR_BA].down = (word & 2) != 0;
    return true;
}

static bool set_pause(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    return units_time_parse(text, err, &o->pause_ns[i]);
}

static bool set_rate_trace(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    (void)err;
    o->rate_trace[i] = text;
    return true;
}

static bool set_script(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    (void)i;
    (void)err;
    o->script_path = text;
    return true;
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

static bool set_queue_trace(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    (void)i;
    (void)err;
    o->queue_trace_path = text;
    return true;
}

static bool set_trace_every(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    (void)i;
    uint64_t every_ns;
    if (!units_time_parse(text, err, &every_ns))
        return false;
    if (every_ns < MS)
        return emu_fail(err, "'%s' is too often; give 1ms or more", text);
    o->trace_every_ns = every_ns;
    return true;
}

static bool set_nap(struct emu_options *o, int i, const char *text, struct emu_error *err)
{
    (void)i;
    uint64_t nap_ns;
    if (!units_time_parse(text, err, &nap_ns))
        return false;
    if (nap_ns > MS)
        return emu_fail(err, "'%s' would make every run too late to count; give 1ms or less", text);
    o->nap_ns = nap_ns;
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
