# SPDX-License-Identifier: Apache-2.0
# labkit/machine.py – what of the machine a run had for itself.
"""The emulator and the probes run under SCHED_FIFO where that is allowed, so that they are on time
beside compilers; what they measure is not. So a run also tells how much of the processors others
took, and one in which they took too much is a run of the machine, not of what was to be judged."""
import os
import resource

OTHERS_MOST = 15  # percent of all processors
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def may_be_realtime():
    """Whether a process of ours may have real-time priority."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, *before)
    except PermissionError:
        return False
    return True


def words():
    told = "SCHED_FIFO" if may_be_realtime() else "no SCHED_FIFO (needs root or CAP_SYS_NICE)"
    load = os.getloadavg()[0]
    hint = ""
    if load > 0.5 * os.cpu_count():
        hint = "\nothers are at work here: runs will be invalid, as long as they are"
    return f"{os.cpu_count()} processors, load {load:.1f}, emulator and probes: {told}{hint}"


def busy_s():
    """Processor seconds that programs took so far, and that another machine took from this one."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, _, _, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + stolen) / TICKS_PER_S


def own_s():
    """Of this process and of its children that have ended."""
    told = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in told)


class Others:
    """How busy others kept the machine from here on; asked when all we started has ended."""

    def __init__(self):
        self.at, self.busy, self.own = os.times().elapsed, busy_s(), own_s()

    def percent(self):
        taken = (busy_s() - self.busy) - (own_s() - self.own)
        spent = (os.times().elapsed - self.at) * os.cpu_count()
        return max(0.0, 100 * taken / spent)
