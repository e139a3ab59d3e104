# SPDX-License-Identifier: Apache-2.0
# labkit/figures.py – the figures of a run, from its samples alone; phases give them their meaning.
"""
phase     figures
idle      use %            wire bytes of the bulk, of what the link could carry
          p50 p95 p99 ms   round trips above the run's shortest, less the emulator's own lateness
          lost %           of the pings
          stall s          the longest time in which less than 1 % of the link was used
alone     (fg alone)       what share, and web_* are held against
both      share %          foreground goodput, of what it had alone in the same run
          yield s          from its beginning until the bulk's 100 ms mean is below 10 % of the
                           link, and the mean of the second after it too
          ours %           of the link, from 3 s after its beginning to its end
after     recover s        from the foreground's end until the bulk is above 80 % of the link, over
                           100 ms and over the second after them
          back s           the same, above 80 % of what it had in idle (a policy may allow less)
down, up  reach_down, reach_up s   the same, after the rate changed; use_down, p95_down there
web       web_30k …        added time of the objects, p50 in %; web_p95 the worst of their p95
          harvest %        bulk, of what the objects left of the link
day       page_p50 page_p95 s         loading time of whole pages beside the updates; quiet_p50,
          quiet_p95 the same pages alone; added_p50 added_p95 added_mean ms: what each took
          more (the very same page in both), added_worst % of page_p95; done % of the updates' bytes
call      call_p95 ms      of the way down, above the shortest; call_lost %
cap       err_1s err_10s % the farthest a window's mean is from the limit
flip      flip s           from the admin's command until the bulk keeps to the new limit, + 10 %;
          over_1s %        the worst second after that, above the limit
off       off_bytes        of content that came later than one round trip and 100 ms after it was
                           forbidden
soak      stall s          the longest in a quiet time, from 5 s on; grown %: the memory of
          hub and reflector, whichever grew more, from a sixth of the time on (never where one
          was not measured), and grown_pull of the endpoint's pull; use % of all quiet times;
          base_error ms: the farthest that the law was from the empty line's round trip, the run's
          shortest
several   jain             how even the endpoints' shares are
A figure whose phase a scenario does not have is left out. None: it did not happen.
"""
import statistics

from labkit.row import rate_bps

BIN_S = 0.1
STAY_S = 1.0
YIELD_BELOW, RECOVER_ABOVE = 0.10, 0.80
SHARE_AFTER_S = 3.0


def quantile(values, share):
    """By interpolation between neighbours; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def jain(values):
    squares = sum(v * v for v in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 0.0


def reached(flow, begin, end, fits):
    """Seconds from `begin` until a 100 ms mean fits and so does the second after it; or None."""
    at = begin
    while at + STAY_S <= end + 1e-6:
        if fits(flow.bps(at, at + BIN_S)) and fits(flow.bps(at, at + STAY_S)):
            return at - begin
        at += BIN_S
    return None


def within(trips, begin, end):
    return [trip for trip in trips if begin <= trip.at < end]


def lost_percent(trips):
    return 100 * sum(trip.rtt is None for trip in trips) / len(trips) if trips else None


def lateness_ms(run, quantile_name):
    return max(run.stats[way]["lateness_us"].get(quantile_name, 0) for way in ("ab", "ba")) / 1e3


def inflation(run, begin, end):
    """p50, p95, p99 of the round trip above the run's shortest, in milliseconds."""
    shortest = min(trip.rtt for trip in run.trips if trip.rtt is not None)
    times = [1e3 * (t.rtt - shortest) for t in within(run.trips, begin, end) if t.rtt is not None]
    late = {0.50: "p50", 0.95: "p50", 0.99: "p99"}
    return [max(0.0, quantile(times, q) - lateness_ms(run, late[q])) if times else None
            for q in (0.50, 0.95, 0.99)]


def of_idle(run):
    begin, end = run.settled("idle")
    p50, p95, p99 = inflation(run, begin, end)
    rate = run.row.rate_in("idle")
    return {"use": 100 * run.flow("bulk").bps(begin, end) / rate, "p50": p50, "p95": p95,
            "p99": p99, "lost": lost_percent(within(run.trips, begin, end)),
            "stall": longest_stall(run.flow("bulk"), begin, end, rate)}


def longest_stall(flow, begin, end, rate):
    longest = now = 0.0
    for _, bps in flow.means(begin, end, BIN_S):
        now = now + BIN_S if bps < 0.01 * rate else 0.0
        longest = max(longest, now)
    return longest


def goodput(run, name):
    """Bit/s of the foreground's payload in the phase of that name."""
    begin, end = run.phases[name]
    total = sum(count for kind in run.meters.values() for meter in kind
                for at, count in meter if begin - BIN_S / 2 <= at < end)
    return 8 * total / (end - begin)


def foreground_began(run, name):
    """When the foreground's first packet left; the phase's beginning if it did not say."""
    begin, end = run.phases[name]
    moments = [meter[0][0] for kind in run.meters.values() for meter in kind
               if meter and begin - 1 <= meter[0][0] < end]
    return min(moments, default=begin)


def of_both(run):
    began, end = foreground_began(run, "both"), run.phases["both"][1]
    rate, bulk = run.row.rate_in("both"), run.flow("bulk")
    figures = {"yield": reached(bulk, began, end, lambda bps: bps < YIELD_BELOW * rate),
               "ours": 100 * bulk.bps(began + SHARE_AFTER_S, end) / rate}
    alone = goodput(run, "alone") if run.has("alone") else 0
    if alone > 0:
        figures["share"] = 100 * goodput(run, "both") / alone
    return figures


def recovery(run, name, rate=None):
    begin, end = run.phases[name]
    rate = rate or run.row.rate_in(name)
    return reached(run.flow("bulk"), begin, end, lambda bps: bps > RECOVER_ABOVE * rate)


def of_changes(run):
    figures = {}
    for name in ("down", "up"):
        if run.has(name):
            begin, end = run.settled(name)
            rate = run.row.rate_in(name)
            figures[f"reach_{name}"] = recovery(run, name)
            figures[f"use_{name}"] = 100 * run.flow("bulk").bps(begin, end) / rate
            figures[f"p95_{name}"] = inflation(run, begin, end)[1]
    return figures


def size_name(size):
    return f"{size // 1_000_000}m" if size >= 1_000_000 else f"{size // 1000}k"


def added_percent(run, size, share):
    """How much longer objects of `size` took beside the bulk than alone, at that quantile."""
    took = {}
    for name in ("alone", "web"):
        begin, end = run.phases[name]
        took[name] = quantile([p.took for p in run.pages if p.bytes == size and
                               begin <= p.at < end], share)
    return 100 * (took["web"] / took["alone"] - 1) if all(took.values()) else None


def of_web(run):
    sizes = sorted({page.bytes for page in run.pages})
    figures = {f"web_{size_name(size)}": added_percent(run, size, 0.5) for size in sizes}
    worst = [added_percent(run, size, 0.95) for size in sizes]
    figures["web_p95"] = max((w for w in worst if w is not None), default=None)
    begin, end = run.settled("web")
    left = run.row.rate_in("web") - run.flow("fg").bps(begin, end)
    figures["harvest"] = 100 * run.flow("bulk").bps(begin, end) / left
    return figures


def of_day(run):
    """The same office twice: alone, and beside the day's updates."""
    quiet, busy = ({page.name: page.took for page in run.pages if begin <= page.at < end}
                   for begin, end in (run.phases["alone"], run.phases["day"]))
    both = sorted(quiet.keys() & busy.keys())
    added = [1e3 * (busy[name] - quiet[name]) for name in both]
    figures = {"pages": len(both)}
    for label, took in (("quiet", quiet), ("page", busy)):
        for share in (50, 95):
            figures[f"{label}_p{share}"] = quantile([took[name] for name in both], share / 100)
    figures |= {f"added_p{share}": quantile(added, share / 100) for share in (50, 95)}
    figures["added_mean"] = sum(added) / len(added) if added else None
    figures["added_worst"] = 100 * (figures["page_p95"] / figures["quiet_p95"] - 1)
    wanted = run.row.updates["count"] * run.row.updates["bytes"]
    figures["done"] = min(100, 100 * run.flow("bulk").bytes(*run.phases["day"]) / wanted)
    return figures


def of_call(run):
    begin, end = run.settled("call")
    answered = [t.down for t in run.calls if t.down is not None]
    times = [1e3 * (t.down - min(answered)) for t in within(run.calls, begin, end)
             if t.down is not None]
    return {"call_p95": max(0.0, quantile(times, 0.95) - lateness_ms(run, "p50")),
            "call_lost": lost_percent(within(run.calls, begin, end)),
            "use_call": 100 * run.flow("bulk").bps(begin, end) / run.row.rate_in("call")}


def worst_error(flow, begin, end, width, limit):
    """Percent by which the mean of any window of `width` s is off `limit`, windows 100 ms apart."""
    starts = int((end - begin - width) / BIN_S + 1e-6) + 1
    means = [flow.bps(begin + n * BIN_S, begin + n * BIN_S + width) for n in range(max(0, starts))]
    return max((100 * abs(mean / limit - 1) for mean in means), default=None)


def of_cap(run):
    begin, end = run.settled("cap")
    flow, limit = run.flow("bulk"), rate_bps(run.row.cap)
    return {"mean": 100 * flow.bps(begin, end) / limit,
            "err_1s": worst_error(flow, begin, end, 1.0, limit),
            "err_10s": worst_error(flow, begin, end, 10.0, limit)}


def of_flip(run):
    begin, end = run.phases["flip"]
    flow = run.flow("bulk")
    limit = rate_bps(next(p.cap for p in run.row.phases if p.name == "flip"))
    waited = reached(flow, begin, end, lambda bps: bps <= 1.1 * limit)
    if waited is None:
        return {"flip": None, "over_1s": None}
    starts = int((end - begin - waited - 1) / BIN_S + 1e-6)
    means = [flow.bps(begin + waited + n * BIN_S, begin + waited + n * BIN_S + 1)
             for n in range(starts)]
    return {"flip": waited, "over_1s": max(0.0, 100 * (max(means) / limit - 1))}


def of_off(run):
    trips = [trip.rtt for trip in run.trips if trip.rtt is not None]
    begin, end = run.made["off"] + min(trips) + 0.1, run.phases["off"][1]
    return {"off_bytes": run.flow("bulk large").bytes(begin, end)}


SOAK_SETTLE_S = 5


def of_soak(run):
    flow, rate = run.flow("bulk"), run.row.rate
    quiet = [(begin + SOAK_SETTLE_S, end) for name, (begin, end) in run.phases.items()
             if name.startswith("quiet")]
    seconds = sum(end - begin for begin, end in quiet)
    grown = [grown_percent(run, name) for name in ("hub", "reflector")]
    return {"use": 800 * sum(flow.bytes(begin, end) for begin, end in quiet) / seconds / rate,
            "stall": max(longest_stall(flow, begin, end, rate) for begin, end in quiet),
            "grown": None if None in grown else max(grown),
            "grown_pull": grown_percent(run, "pull"),
            "base_error": base_error_ms(run)}


def grown_percent(run, program):
    """Its resident bytes at the end, beside those a sixth of the time after the beginning; None
    where nobody measured them."""
    resident = [sizes[program] for sizes in run.resident.values() if program in sizes]
    return 100 * (resident[-1] / resident[len(resident) // 6] - 1) if resident else None


def base_error_ms(run):
    shortest = min(trip.rtt for trip in run.trips if trip.rtt is not None)
    return max((1e3 * abs(base - shortest) for _, base in run.bases), default=None)


def of_several(run):
    begin, end = run.settled("idle")
    names = [name for name in run.shares if name.startswith("endpoint") and " " not in name]
    return {"jain": jain([max(flow.bps(begin, end) for flow in run.shares[name])
                          for name in names])}


def of_run(run):
    """{figure: value} of all that the scenario's phases can tell."""
    figures = {}
    for name, measure in (("idle", of_idle), ("both", of_both), ("web", of_web), ("call", of_call),
                          ("day", of_day), ("cap", of_cap), ("flip", of_flip), ("off", of_off),
                          ("quiet0", of_soak)):
        if run.has(name):
            figures |= measure(run)
    if run.has("after"):
        figures["recover"] = recovery(run, "after")
        if run.has("idle"):
            had = run.flow("bulk").bps(*run.settled("idle"))
            figures["back"] = recovery(run, "after", max(had, 1.0))
    figures |= of_changes(run)
    if run.shares:
        figures |= of_several(run)
    return figures


def medians(runs):
    """The median of each figure; None counts as worse than anything, and wins by majority."""
    names = list(dict.fromkeys(name for figures in runs for name in figures))
    middle = {}
    for name in names:
        values = [figures.get(name) for figures in runs]
        there = [value for value in values if value is not None]
        most_have_it = len(there) > len(values) - len(there)
        middle[name] = statistics.median(there) if most_have_it else None
    return middle
