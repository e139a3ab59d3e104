# SPDX-License-Identifier: Apache-2.0
# labkit/judge.py – runs a scenario until a median decides, and holds it to its bars.
"""The rule: the median of three valid runs is held to the bars; if one does not hold, two more runs
are made and the median of five decides. A run in which the emulator was late is repeated and never
counts, neither as held nor as missed; after a while the row is given up as "noisy"."""
import dataclasses
import sys

from labkit import figures
from labkit.play import play
from labkit.plot import draw
from labkit.traffic import TrafficError

REPEAT, MORE = 3, 2
LATE_MOST = 6


@dataclasses.dataclass
class Result:
    row: object
    bulk: str
    runs: list            # figures of each valid run
    invalid: int
    figures: dict         # the medians
    trouble: str = ""
    late: list = dataclasses.field(default_factory=list)  # of every run: p50, p99, max
    last: dict = dataclasses.field(default_factory=dict)  # of the last run, late or not

    def missed(self, kind):
        bars = getattr(self.row, kind)
        return [bar for bar in bars if not bar.holds(self.figures.get(bar.figure))]

    @property
    def verdict(self):
        if self.trouble:
            return "FAILED"
        if not self.runs:
            return "noisy"
        if self.missed("must"):
            return "MISSED"
        return "must" if self.missed("goal") or not self.row.goal else "goal"


class Judge:
    """Runs and remembers; `out` gets samples, plots and the report."""

    def __init__(self, out, repeat=REPEAT, late_most=LATE_MOST, why=False):
        self.out, self.repeat, self.late_most, self.why = out, repeat, late_most, why
        self.more = MORE if repeat == REPEAT else 0

    def judge(self, row, bulk):
        result = Result(row, bulk, [], 0, {})
        try:
            self._run_until(result, self.repeat)
            if self.more and result.runs and bulk == "albedo" and result.missed("must"):
                self._run_until(result, self.repeat + self.more)
        except (TrafficError, AssertionError) as error:
            result.trouble = str(error)
            print(f"{row.name} {bulk}: {error}", file=sys.stderr)
        return result

    def _run_until(self, result, wanted):
        while len(result.runs) < wanted and result.invalid < self.late_most:
            number = len(result.runs) + 1
            folder = self.out / f"{result.row.name}-{result.bulk}-{number}"
            run = play(result.row, result.bulk, folder, self.why)
            told = figures.of_run(run)
            late = [figures.lateness_ms(run, name) for name in ("p50", "p99", "max")]
            print(f"  {result.row.name} {result.bulk} run {number}: {brief(told)}  "
                  f"[late p99 {late[1]:.2f} max {late[2]:.1f} ms]"
                  f"{'' if run.valid else '  INVALID: the machine was late'}", file=sys.stderr)
            result.late.append({"valid": run.valid, "ms": late})
            draw(run, told, self.out / f"{result.row.name}-{result.bulk}.svg")
            if run.valid:
                result.runs.append(told)
            else:
                result.invalid += 1
            result.last = told
        result.figures = figures.medians(result.runs)


def brief(told):
    return ", ".join(f"{name} {show(value)}" for name, value in told.items())


def show(value):
    if value is None:
        return "never"
    return f"{value:.3f}" if 0 < abs(value) < 1 else f"{value:.1f}"
