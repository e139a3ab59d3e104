/* SPDX-License-Identifier: Apache-2.0 */
/* client/cmd_agent.c – `albedo agent [--follow LAYER=TARGET]…`: what was typed. */
#include <string.h>

#include "base/alloc.h"
#include "client/agent.h"
#include "client/cli.h"
#include "client/link.h"
#include "client/pull.h"
#include "image/target.h"

#define WAIT_ONCE_NS (60 * NS_PER_S)
/* Both ask logind, which lets whoever else has an inhibitor say no. */
#define SLEEP_COMMAND "systemctl suspend --check-inhibitors=yes"
#define STAY_COMMAND                                                                               \
    "exec systemd-inhibit --what=sleep:idle --who=albedo --mode=block "                            \
    "--why='it can wake the other machines of its subnet' cat"

struct typed {
    struct agent_follow *follows;
    size_t count;
};

static void typed_release(struct typed *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->follows[i].layer);
    free(t->follows);
}

/* "LAYER=TARGET"; a layer's name has no '='. */
static enum exit_code parse_follow(const struct cli *cli, const char *text, struct typed *t)
{
    const char *equals = strchr(text, '=');
    struct agent_follow *f = &t->follows[t->count];

    if (equals == NULL || equals[1] == '\0')
        return cli_usage(cli, "--follow %s: it is LAYER=TARGET, such as base/os=/srv/root", text);
    f->layer = xstrndup(text, (size_t)(equals - text));
    f->target = equals + 1;
    t->count++;
    if (strchr(f->layer, '@') != NULL)
        return cli_usage(cli,
                         "--follow %s: a layer is followed, not one version of it; leave out "
                         "the @ and what is behind it",
                         text);
    struct alb_status st = layer_name_check(f->layer);
    if (alb_failed(st))
        return cli_usage(cli, "--follow %s: LAYER %s: %s", text, f->layer, st.what);
    for (size_t i = 0; i + 1 < t->count; i++)
        if (strcmp(t->follows[i].target, f->target) == 0)
            return cli_usage(cli,
                             "--follow %s: %s is the target of %s already; one directory "
                             "holds one layer",
                             text, f->target, t->follows[i].layer);
    return EXIT_DONE;
}

static enum exit_code ready_target(const struct cli *cli, const char *target)
{
    bool made = false;
    enum exit_code code = pull_ready_target(cli->output, target, &made);

    target_leave(target, made);
    return code;
}

static enum exit_code parse(const struct cli *cli, struct typed *t)
{
    const size_t count = cli_count(cli, "follow");
    enum exit_code code = EXIT_DONE;

    t->follows = xcalloc(count + 1, sizeof *t->follows);
    for (size_t i = 0; i < count && code == EXIT_DONE; i++)
        code = parse_follow(cli, cli_text_at(cli, "follow", i), t);
    for (size_t i = 0; i < t->count && code == EXIT_DONE; i++)
        code = ready_target(cli, t->follows[i].target);
    if (code == EXIT_DONE && count == 0 && cli_flag(cli, "once"))
        code = cli_usage(cli, "--once: it needs --follow LAYER=TARGET to pull");
    return code;
}

static enum exit_code run(struct cli *cli, struct agent_options *options)
{
    struct state state;
    enum exit_code code = state_begin(cli, &state);

    if (code != EXIT_DONE)
        return code;
    options->state = &state;
    if (state.who.role != ROLE_ENDPOINT)
        code = output_fail(cli->output, ALB_REFUSED,
                           "state %s is of %s %s; an agent runs with an endpoint's: `albedo token "
                           "create --role endpoint` makes a token to join with",
                           state.dir, role_name(state.who.role), state.who.device);
    else
        code = agent_run(options);
    state_close(&state);
    return code;
}

enum exit_code cmd_agent(struct cli *cli)
{
    struct typed typed = {.count = 0};
    struct agent_options options = {.output = cli->output,
                                    .is_once = cli_flag(cli, "once"),
                                    .sleep_command = SLEEP_COMMAND,
                                    .stay_command = STAY_COMMAND,
                                    .allow_metered = cli_flag(cli, "allow-metered")};
    enum exit_code code = link_line_typed(cli, &options.line);

    if (cli_text(cli, "sleep-command") != NULL)
        options.sleep_command = cli_text(cli, "sleep-command");
    if (cli_text(cli, "stay-command") != NULL)
        options.stay_command = cli_text(cli, "stay-command");

    if (code == EXIT_DONE)
        code = parse(cli, &typed);
    options.follows = typed.follows;
    options.follow_count = typed.count;
    options.wait_ns = options.is_once ? WAIT_ONCE_NS : UINT64_MAX;
    log_install(output_log, cli->output, cli->output->verbose ? LOG_DEBUG : LOG_INFO);
    if (code == EXIT_DONE)
        code = run(cli, &options);
    typed_release(&typed);
    return code;
}
