/* SPDX-License-Identifier: Apache-2.0 */
/* sim/sim_run.c – plays scenario files: `sim_run FILE.scn …`; exit 0 when every expectation is met.
 *
 * ALB_LOG=debug|info|warn prints the programs' own log lines to standard error.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "sim/cast.h"

static void print_line(void *arg, enum log_level level, const char *line)
{
    (void)arg;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static unsigned play(const char *path)
{
    char error[SCENARIO_ERROR_SIZE];
    struct scenario *scenario = NULL;

    if (alb_failed(scenario_read(path, &scenario, error))) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    struct cast *cast = cast_new();
    unsigned unmet = scenario_play(scenario, &cast_ops, cast, stdout);
    cast_free(cast);
    scenario_free(scenario);
    return unmet;
}

int main(int argc, char **argv)
{
    const char *wish = getenv("ALB_LOG");
    enum log_level level = LOG_WARN;
    unsigned unmet = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: sim_run FILE.scn …\n");
        return 2;
    }
    if (wish != NULL && alb_failed(log_level_parse(wish, &level))) {
        fprintf(stderr, "ALB_LOG: '%s' is no log level (debug, info, warn, error)\n", wish);
        return 2;
    }
    if (wish != NULL)
        log_install(print_line, NULL, level);
    for (int i = 1; i < argc; i++)
        unmet += play(argv[i]);
    return unmet == 0 ? 0 : 1;
}
