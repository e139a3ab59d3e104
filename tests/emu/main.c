/* SPDX-License-Identifier: Apache-2.0 */
/* emu/main.c – albedo-linkemu: a WAN link between two network namespaces, for tests on one machine.
 *
 *     ns-a  [ wan0 ] ── ab: rate, queue, delay ──> [ wan0 ]  ns-b
 *                    <── ba: rate, queue, delay ──
 *
 * One thread sleeps until a packet arrives, one is due, the script or the queue trace wants its
 * turn, or a signal asks for something: SIGHUP reads configuration and script again, SIGUSR1 does
 * too and sets the script's clock to zero, SIGUSR2 writes the statistics, SIGTERM or SIGINT writes
 * them and ends.  Signals are read from a descriptor, since ppoll() under constant load returns
 * without ever delivering one.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "emu/options.h"
#include "emu/pace.h"
#include "emu/queue_trace.h"
#include "emu/script.h"
#include "emu/stats.h"
#include "emu/tun.h"
#include "emu/wire.h"

#define NS_PER_S 1000000000u

struct emulator {
    int argc;
    char *const *argv;
    struct emu_options options; /* as the script has changed them */
    struct script script;
    uint64_t script_from_ns; /* its clock's zero */
    struct queue_trace trace;
    struct pace pace;
    struct wire wire[DIRS];
    struct tun tun[SIDES];
    int signals;
    bool stop;
};

static bool emulator_open(struct emulator *emu, struct emu_error *err);
static bool emulator_run(struct emulator *emu, struct emu_error *err);
static void emulator_close(struct emulator *emu);

/* Half a megabyte of histograms does not belong on the stack. */
static struct emulator emulator = {.tun = {{-1, -1, ""}, {-1, -1, ""}}, .signals = -1};

int main(int argc, char **argv)
{
    struct emulator *emu = &emulator;
    struct emu_error err;
    emu->argc = argc;
    emu->argv = argv;
    bool ok = options_read(argc, argv, &err, &emu->options);
    if (ok && emu->options.help)
        return fputs(options_usage(), stdout) < 0;
    ok = ok && emulator_open(emu, &err) && emulator_run(emu, &err);
    ok = ok && queue_trace_close(&emu->trace, &err);
    emulator_close(emu);
    if (ok)
        return 0;
    (void)fprintf(stderr, "albedo-linkemu: %s\n", err.text);
    return 1;
}

static bool signals_open(struct emulator *emu, struct emu_error *err)
{
    static const int wanted[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        sigaddset(&set, wanted[i]);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) == 0)
        emu->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (emu->signals < 0)
        return emu_fail(err, "cannot receive signals (%s)", strerrordesc_np(errno));
    return true;
}

/* Everything that makes release times sharper.  None is required: where a right is missing, the
 * run's own lateness figures tell.  Real-time priority is safe because the loop sleeps. */
static void noise_reduce(void)
{
    struct sched_param priority = {.sched_priority = 10}; /* above the traffic of tests */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    (void)mlockall(MCL_CURRENT | MCL_FUTURE);
    (void)sched_setscheduler(0, SCHED_FIFO, &priority);
}

/* The script's next turn, if it is time for it. */
static void script_step(struct emulator *emu, uint64_t now_ns)
{
    if (!script_run(&emu->script, now_ns - emu->script_from_ns, &emu->options))
        return;
    for (int i = 0; i < DIRS; i++) {
        link_change(&emu->wire[i].link, &emu->options.link[i], now_ns);
        if (emu->options.pause_ns[i] > 0)
            link_pause(&emu->wire[i].link, emu->options.pause_ns[i], now_ns);
        emu->options.pause_ns[i] = 0;
    }
}

static bool wires_open(struct emulator *emu, uint64_t now_ns, struct emu_error *err)
{
    const struct emu_options *o = &emu->options;
    for (int i = 0; i < DIRS; i++) {
        struct wire *wire = &emu->wire[i];
        uint64_t seed = o->seed + (uint64_t)i;
        if (!wire_init(wire, &o->link[i], seed, o->seed, now_ns, err))
            return false;
        wire->from_fd = emu->tun[i == DIR_AB ? SIDE_A : SIDE_B].fd;
        wire->to_fd = emu->tun[i == DIR_AB ? SIDE_B : SIDE_A].fd;
    }
    return true;
}

static bool emulator_open(struct emulator *emu, struct emu_error *err)
{
    /* First of all, so that a signal during the set-up is not lost and does not kill. */
    uint64_t now_ns = wire_now_ns();
    if (!signals_open(emu, err) || !script_read(&emu->options, err, &emu->script) ||
        !queue_trace_open(&emu->trace, emu->options.queue_trace_path, emu->options.trace_every_ns,
                          now_ns, err))
        return false;
    for (int i = 0; i < SIDES; i++)
        if (!tun_open(&emu->options.side[i], err, &emu->tun[i]))
            return false;
    now_ns = wire_now_ns(); /* time passes when interfaces are made */
    if (!wires_open(emu, now_ns, err))
        return false;
    emu->script_from_ns = now_ns;
    emu->pace.nap_ns = emu->options.nap_ns;
    script_step(emu, now_ns);
    noise_reduce();
    return true;
}

/* What the script did so far is done again to the new options, but for its pauses. */
static void reload(struct emulator *emu, bool from_zero)
{
    struct emu_error err;
    struct emu_options options;
    struct script script;
    if (!options_read(emu->argc, emu->argv, &err, &options) ||
        !script_read(&options, &err, &script)) {
        (void)fprintf(stderr, "event=linkemu.refused kept=old reason=\"%s\"\n", err.text);
        return;
    }
    uint64_t now_ns = wire_now_ns();
    if (from_zero)
        emu->script_from_ns = now_ns;
    else
        (void)script_run(&script, now_ns - emu->script_from_ns, &options);
    options.pause_ns[DIR_AB] = options.pause_ns[DIR_BA] = 0;
    script_release(&emu->script);
    emu->script = script;
    emu->options = options;
    for (int i = 0; i < DIRS; i++)
        link_change(&emu->wire[i].link, &options.link[i], now_ns);
    script_step(emu, now_ns);
    (void)fprintf(stderr, "event=linkemu.reloaded down=%d%d\n", options.link[DIR_AB].down,
                  options.link[DIR_BA].down);
}

static bool signal_take(struct emulator *emu, struct emu_error *err)
{
    struct signalfd_siginfo info;
    if (read(emu->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return true;
    if (info.ssi_signo == SIGHUP || info.ssi_signo == SIGUSR1) {
        reload(emu, info.ssi_signo == SIGUSR1);
        return true;
    }
    emu->stop = info.ssi_signo != SIGUSR2;
    queue_trace_flush(&emu->trace);
    emu->wire[DIR_AB].counts.unseen = tun_unseen(&emu->tun[SIDE_A]);
    emu->wire[DIR_BA].counts.unseen = tun_unseen(&emu->tun[SIDE_B]);
    if (!stats_write(&emu->wire[DIR_AB], &emu->wire[DIR_BA], emu->options.stats_path, err))
        return false;
    (void)fprintf(stderr, "event=linkemu.%s\n", emu->stop ? "stopped" : "stats");
    return true;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How long nothing will be due: zero if something is, NULL if nothing is to come. */
static const struct timespec *pause_for(struct emulator *emu, struct timespec *pause)
{
    uint64_t due_ns = queue_trace_next_ns(&emu->trace);
    for (int i = 0; i < DIRS; i++)
        due_ns = earlier(due_ns, link_due_ns(&emu->wire[i].link));
    uint64_t event_ns = script_next_ns(&emu->script);
    if (event_ns != UINT64_MAX)
        due_ns = earlier(due_ns, emu->script_from_ns + event_ns);
    if (due_ns == UINT64_MAX)
        return NULL;
    uint64_t now_ns = wire_now_ns();
    uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    pause->tv_sec = (time_t)(left_ns / NS_PER_S);
    pause->tv_nsec = (long)(left_ns % NS_PER_S);
    return pause;
}

/* Wait for something to do; `waits` tells what came from outside. */
static bool wait(struct emulator *emu, struct pollfd waits[3], struct emu_error *err)
{
    struct timespec pause = {0};
    uint64_t nap_ns = pace_nap_until_ns(&emu->pace);
    if (nap_ns > 0) {
        struct timespec until = {(time_t)(nap_ns / NS_PER_S), (long)(nap_ns % NS_PER_S)};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    int ready = ppoll(waits, 3, nap_ns > 0 ? &pause : pause_for(emu, &pause), NULL);
    if (ready < 0 && errno != EINTR)
        return emu_fail(err, "cannot wait for packets (%s)", strerrordesc_np(errno));
    return true;
}

static bool emulator_step(struct emulator *emu, struct emu_error *err)
{
    uint32_t packets = 0;
    struct pollfd waits[] = {
        {.fd = emu->wire[DIR_AB].from_fd, .events = POLLIN},
        {.fd = emu->wire[DIR_BA].from_fd, .events = POLLIN},
        {.fd = emu->signals, .events = POLLIN},
    };
    if (!wait(emu, waits, err))
        return false;
    uint64_t now_ns = wire_now_ns();
    for (int i = 0; i < DIRS; i++)
        if (waits[i].revents != 0 && !wire_take_in(&emu->wire[i], err, &packets))
            return false;
    if (waits[2].revents != 0 && !signal_take(emu, err))
        return false;
    for (int i = 0; i < DIRS; i++)
        packets += wire_give_out(&emu->wire[i]);
    pace_served(&emu->pace, packets, now_ns);
    now_ns = wire_now_ns();
    script_step(emu, now_ns);
    queue_trace_run(&emu->trace, emu->wire, now_ns);
    return true;
}

static bool emulator_run(struct emulator *emu, struct emu_error *err)
{
    (void)fprintf(stderr, "event=linkemu.ready if-a=%s if-b=%s\n", emu->options.side[SIDE_A].ifname,
                  emu->options.side[SIDE_B].ifname);
    while (!emu->stop)
        if (!emulator_step(emu, err))
            return false;
    return true;
}

static void emulator_close(struct emulator *emu)
{
    script_release(&emu->script);
    for (int i = 0; i < DIRS; i++)
        wire_release(&emu->wire[i]);
    for (int i = 0; i < SIDES; i++)
        tun_close(&emu->tun[i]);
    if (emu->signals >= 0)
        close(emu->signals);
}
