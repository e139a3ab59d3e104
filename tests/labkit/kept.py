# SPDX-License-Identifier: Apache-2.0
# labkit/kept.py – what has been played: a line for each run, so that a killed matrix goes on.
"""OUT/runs.jsonl has a line for each run that ended, whichever way:

    row, bulk     what was played
    scenario      of the row as it was then, but for title and bars
    programs      of what was measured, ours or the rival's, and of what measured it
    valid, late, others, figures, trouble, seconds, at
    repeat        how many valid runs were asked for

A run counts for later figures only if scenario and programs are still the same. A line with
"forget" takes back all that was kept of its row and bulk.
"""
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
from pathlib import Path

FILE, LOCK = "runs.jsonl", "lock"
OURS = ("albedo", "albedo-hub", "albedo-reflector")
MEASURING = ("albedo-linkemu", "albedo-traffic")
HERE = Path(__file__).resolve().parent
TELLING = ("figures.py", "place.py", "play.py", "samples.py", "traffic.py")
TELLS_NOTHING = ("title", "must", "goal", "wide", "known", "bulks", "long")


def digest(*parts):
    """Enough of SHA-256 to tell two builds, or two scenarios, apart."""
    told = hashlib.sha256()
    for part in parts:
        told.update(part)
    return told.hexdigest()[:16]


def scenario_of(row):
    told = {name: value for name, value in dataclasses.asdict(row).items()
            if name not in TELLS_NOTHING}
    return digest(json.dumps(told, sort_keys=True).encode())


def programs_of(bulk):
    """What a figure of `bulk` is a figure of."""
    built = Path(os.environ["ALB_BIN_DIR"])
    names = [*MEASURING, *(OURS if bulk == "albedo" else ())]
    paths = [HERE / name for name in TELLING] + [built / name for name in names]
    if bulk == "foreign":
        paths.append(built.parent / "tests/bench_scavenge")
    there = tuple((path, path.stat().st_mtime_ns) for path in paths if path.exists())
    return digest_of_files(there)


@functools.cache
def digest_of_files(paths):
    return digest(*(path.read_bytes() for path, _ in paths))


def read(out):
    """Every run kept in `out`, in the order they were played; none before a "forget"."""
    path, runs = out / FILE, []
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text[:text.rfind("\n") + 1].splitlines():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue  # half a line, of one that was killed, and another after it
        if told.get("forget"):
            runs = [run for run in runs if not same(run, told)]
        else:
            runs.append(told)
    return runs


def same(one, other):
    return (one["row"], one["bulk"]) == (other["row"], other["bulk"])


class InUse(RuntimeError):
    """Somebody else plays into that folder."""


def claim(out):
    """Play into `out` alone: hold on to the file that is returned; when we end, it is free."""
    lock = open(out / LOCK, "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(f"another tests/lab plays into {out}: wait, or name another --out") from None
    return lock


class Kept:
    """The runs in one folder, those of now beside those of before."""

    def __init__(self, out):
        self.out = out
        self.runs = read(out)

    @staticmethod
    def stamp(row, bulk):
        return {"row": row.name, "bulk": bulk, "scenario": scenario_of(row),
                "programs": programs_of(bulk)}

    def of(self, row, bulk):
        """The runs that count for what is asked now."""
        stamp = self.stamp(row, bulk)
        return [run for run in self.runs if stamp.items() <= run.items()]

    def others(self, row, bulk):
        """How many there are that do not: of other programs, or of a scenario that has changed."""
        stamp = {"row": row.name, "bulk": bulk}
        return sum(stamp.items() <= run.items() for run in self.runs) - len(self.of(row, bulk))

    def add(self, row, bulk, told):
        self._append(self.stamp(row, bulk) | {"title": row.title} | told)

    def forget(self, row, bulk):
        """How many runs were kept."""
        told = {"row": row.name, "bulk": bulk, "forget": True}
        count = sum(same(run, told) for run in self.runs)
        if count:
            self._append(told)
            self.runs = read(self.out)
        return count

    def _append(self, told):
        path = self.out / FILE
        whole = not path.exists() or path.read_bytes().endswith(b"\n")
        with open(path, "a", encoding="utf-8") as file:
            file.write(("" if whole else "\n") + json.dumps(told) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.runs.append(told)
