# SPDX-License-Identifier: Apache-2.0
# labkit/judge.py – runs a scenario until a median decides, and holds it to its bars.
"""The rule: the median of three valid runs is held to the bars; if one does not hold, two more runs
are made and the median of five decides. A run in which the emulator was late, or others had the
processors, never counts, neither as held nor as missed: it is repeated a few times, and a row that
has no other is "noisy".

All rows are played once, then all twice and so on, those that missed first, so that a table can be
had at any moment; what is kept from before (kept.py) is not played again."""
import dataclasses
import sys
import time

from labkit import figures, machine
from labkit.play import play
from labkit.plot import draw

REPEAT, MORE = 3, 2
TRIES = 3          # of a run, before the round goes on without it
AROUND_S = 9       # to build the place and to take it down
PUBLISHED_BPS = 240e6


@dataclasses.dataclass
class Result:
    row: object
    bulk: str
    runs: list            # figures of each valid run that counts
    invalid: int
    figures: dict         # the medians
    trouble: str = ""
    late: list = dataclasses.field(default_factory=list)  # of every run: p50, p99, max
    last: dict = dataclasses.field(default_factory=dict)  # of the last run, late or not
    wants_five: bool = False  # the median of the first runs missed: no fourth alone decides

    @classmethod
    def of(cls, row, bulk, kept, repeat=REPEAT):
        """From runs as kept.py keeps them."""
        valid = [run["figures"] for run in kept if run["valid"] and not run["trouble"]]
        told = cls(row, bulk, valid[:repeat], 0, {})
        told.figures = figures.medians(told.runs)
        told.wants_five = bool(told.runs and told.missed("must"))
        if told.wants_five and len(valid) >= repeat + MORE:
            told.runs = valid[:repeat + MORE]
            told.figures = figures.medians(told.runs)
        told.invalid = sum(not run["valid"] for run in kept)
        told.trouble = next((run["trouble"] for run in kept if run["trouble"]), "")
        told.late = [{key: run[key] for key in ("valid", "late", "others")} for run in kept]
        told.last = next((run["figures"] for run in reversed(kept) if run["figures"]), {})
        return told

    def missed(self, kind):
        bars = getattr(self.row, kind)
        return [bar for bar in bars if not bar.holds(self.figures.get(bar.figure))]

    def is_known(self):
        """Whether all that is missed is known to be, and no worse than it was."""
        worse = {bar.figure for bar in self.missed("known")}
        known = {bar.figure for bar in self.row.known}
        return known - worse >= {bar.figure for bar in self.missed("must")}

    @property
    def verdict(self):
        if self.trouble:
            return "FAILED"
        if not self.runs:
            return "noisy" if self.invalid else "-"
        if self.missed("must"):
            return "known" if self.is_known() else "MISSED"
        return "must" if self.missed("goal") or not self.row.goal else "goal"


def estimate_s(row, kept=()):
    """Of one run: as long as the last one took, or by what the scenario says."""
    before = [run["seconds"] for run in kept]
    around = AROUND_S + 8 * row.bulk_bytes() * max(1, row.updates.get("count", 0)) / PUBLISHED_BPS
    return before[-1] if before else row.seconds + around


class Judge:
    """Plays what is asked, `pairs` of row and bulk, and remembers in `kept`."""

    def __init__(self, kept, pairs, repeat=REPEAT, tries=TRIES, until=None, why=False):
        self.kept, self.pairs = kept, pairs
        self.repeat, self.tries, self.until, self.why = repeat, tries, until, why
        self.more = MORE if repeat == REPEAT else 0
        self.others_most = machine.OTHERS_MOST
        self.left_out = 0  # runs that would have ended after `until`

    def repeat_of(self, row):
        return 1 if row.long else self.repeat

    def result(self, row, bulk):
        return Result.of(row, bulk, self.kept.of(row, bulk), max(REPEAT, self.repeat))

    def results(self):
        return [self.result(*pair) for pair in self.pairs]

    def lacks(self, row, bulk, number):
        """Whether a run is wanted so that there are `number` valid ones."""
        told, first = self.result(row, bulk), self.repeat_of(row)
        if number <= first:
            return len(told.runs) < number
        may = self.more and first > 1 and bulk == "albedo" and number <= first + self.more
        return bool(may and told.wants_five and len(told.runs) < number)

    def wanted(self):
        """(runs that are to be made if each is valid and none misses, seconds for them)."""
        count = seconds = 0
        for row, bulk in self.pairs:
            missing = sum(self.lacks(row, bulk, n + 1) for n in range(self.repeat_of(row)))
            count += missing
            seconds += missing * estimate_s(row, self.kept.of(row, bulk))
        return count, seconds

    def judge_all(self, after):
        """Round by round; `after` is called with the result of each pair that was played."""
        for number in range(1, self.repeat + self.more + 1):
            for row, bulk in sorted(self.pairs, key=self.is_settled):
                if self.lacks(row, bulk, number) and self.round_of(row, bulk):
                    after(self.result(row, bulk))

    def is_settled(self, pair):
        """Rows of which more wants to be known come first, should time be short."""
        return self.result(pair[0], "albedo").verdict not in ("noisy", "FAILED", "MISSED")

    def round_of(self, row, bulk):
        """Until one run is valid, or fails, or tries or time are used up; True if any was made."""
        for number in range(1 if row.long else self.tries):
            needs = estimate_s(row, self.kept.of(row, bulk))
            if self.until and time.monotonic() + needs > self.until:
                self.left_out += 1
                return number > 0
            told = self.run(row, bulk)
            if told["valid"]:
                break
        return True

    def run(self, row, bulk):
        """One run, whichever way it ends; what it told is kept."""
        number = len(self.result(row, bulk).runs) + 1
        began, others = time.monotonic(), machine.Others()
        told = {"valid": True, "late": {}, "figures": {}, "trouble": ""}
        run = None
        try:
            run = play(row, bulk, self.kept.out / f"{row.name}-{bulk}-{number}", self.why)
            told |= {"valid": run.valid, "figures": figures.of_run(run), "late": {
                name: figures.lateness_ms(run, name) for name in ("p50", "p99", "max")}}
        except Exception as error:  # whatever it was, the other rows are still to be played
            told["trouble"] = f"{type(error).__name__}: {error}"
        told["others"] = round(others.percent(), 1)
        told["valid"] &= told["others"] <= self.others_most
        if not told["valid"]:
            told["trouble"] = ""
        told |= {"seconds": round(time.monotonic() - began, 1), "at": time.strftime("%F %T"),
                 "repeat": self.repeat}
        self.kept.add(row, bulk, told)
        print(f"  {row.name} {bulk} run {number}: {line_of(told)}", file=sys.stderr, flush=True)
        plot = self.kept.out / f"{row.name}-{bulk}.svg"
        if run is not None and (told["valid"] or not plot.exists()):
            draw(run, told["figures"], plot)
        return told


def line_of(told):
    late = told["late"]
    busy = f"late p99 {late['p99']:.2f} max {late['max']:.1f} ms, " if late else ""
    ending = "" if told["valid"] else "  INVALID: the machine was late or busy with other things"
    return (told["trouble"] or brief(told["figures"]) or "broke off") + \
        f"  [{busy}others {told['others']:.0f} %]{ending}"


def brief(told):
    return ", ".join(f"{name} {show(value)}" for name, value in told.items())


def show(value):
    if value is None:
        return "never"
    return f"{value:.3f}" if 0 < abs(value) < 1 else f"{value:.1f}"
