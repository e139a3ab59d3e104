# SPDX-License-Identifier: Apache-2.0
# labkit/report.py – the tables for people (text and Markdown), and the JSON for the rest.
import json
import os
import platform
from pathlib import Path

from labkit import kept
from labkit.judge import REPEAT, Result, show
from labkit.row import Row, RowError, find, natural

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"albedo": "Albedo", "curl-cubic": "curl, CUBIC", "curl-bbr": "curl, BBR",
         "curl-cap": "curl, capped at half", "ledbat": "LEDBAT++-like",
         "foreign": "our law, plain nginx"}


def bars_of(row, figure):
    return [str(bar) for kind in ("must", "goal") for bar in getattr(row, kind)
            if bar.figure == figure]


def cell(result, name):
    """`95.2 (>=90 >=95)`, with a mark at what was missed."""
    if result.bulk != "albedo" or not result.runs:
        return f"{name} {show((result.figures or result.last)[name])}"
    value = show(result.figures[name])
    missed = {bar.figure for bar in result.missed("must")}
    below = {bar.figure for bar in result.missed("goal")} - missed
    mark = " !!" if name in missed else " ." if name in below else ""
    bars = " ".join(bars_of(result.row, name))
    return f"{name} {value}{mark}" + (f" ({bars})" if bars else "")


def trouble_of(result):
    return result.trouble.splitlines()[0] if result.trouble else ""


def runs_of(result):
    late = f", {result.invalid} invalid" if result.invalid else ""
    return f"{len(result.runs)} run{'' if len(result.runs) == 1 else 's'}{late}"


def line(result):
    figures = "  ".join(cell(result, name) for name in result.figures or result.last)
    verdict = result.verdict if result.bulk == "albedo" else "-"
    cure = f"(until it is played again: tests/lab {result.row.name})" if result.trouble else ""
    told = "  ".join(filter(None, [trouble_of(result), cure, figures]))
    return f"  {result.bulk:11} {verdict:7} {told or 'not played'}  [{runs_of(result)}]"


def table(results):
    """One line for each row and bulk; `!!` missed the first bar, `.` held it but not the second."""
    lines = []
    title = None
    for result in results:
        if result.row.name != title:
            title = result.row.name
            lines.append(f"{title}: {result.row.title}")
        lines.append(line(result))
    return "\n".join(lines)


def summary(results):
    """How many rows came out which way."""
    ours = [result.verdict for result in results if result.bulk == "albedo"]
    words = {"goal": "hold the goal", "must": "hold what they must",
             "known": "miss it as is known", "MISSED": "miss it",
             "FAILED": "failed", "noisy": "have only invalid runs", "-": "were not played"}
    return f"{len(ours)} rows: " + ", ".join(
        f"{ours.count(verdict)} {said}" for verdict, said in words.items() if verdict in ours)


def markdown(results):
    """The judged figures of each row beside their bars, as a table for a note."""
    lines = ["| row | what | figures (must, goal) | also | verdict | runs |",
             "|---|---|---|---|---|---|"]
    for result in results:
        barred = [bar.figure for bar in result.row.must + result.row.goal]
        names = list(result.figures or result.last)
        missed = {bar.figure for bar in result.missed("must")} if result.runs else set()
        judged = [cell(result, name).replace(" !!", "") for name in names if name in barred]
        marked = [f"**{text}**" if text.split()[0] in missed else text for text in judged]
        also = [cell(result, name) for name in names if name not in barred]
        whose = "" if result.bulk == "albedo" else f" ({NAMES[result.bulk]})"
        verdict = result.verdict if result.bulk == "albedo" else "–"
        lines.append(f"| {result.row.name}{whose} | {result.row.title} | "
                     f"{trouble_of(result)}{'<br>'.join(marked)} | {', '.join(also)} | {verdict} | "
                     f"{runs_of(result)} |".replace("<=", "≤ ").replace(">=", "≥ "))
    return "\n".join(lines)


def comparison(results):
    """What the user gains: ours and the rivals side by side, a table for each row."""
    parts = []
    for name in dict.fromkeys(result.row.name for result in results):
        of_row = [result for result in results if result.row.name == name]
        if len(of_row) < 2:
            continue
        figures = list(dict.fromkeys(n for r in of_row for n in r.figures or r.last))
        lines = [f"**{name}**: {of_row[0].row.title}", "",
                 "| bulk | " + " | ".join(figures) + " | runs |",
                 "|---" * (len(figures) + 2) + "|"]
        for result in of_row:
            told = result.figures or result.last
            cells = [show(told[n]) if n in told else "" for n in figures]
            lines.append(f"| {NAMES[result.bulk]} | {' | '.join(cells)} | {runs_of(result)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def constants():
    path = ROOT / "shaper/law_constants.def"
    return kept.digest(path.read_bytes()) if path.exists() else None


def document(results):
    """Everything as JSON; programs are told by their digests, of the run that came last."""
    return {"machine": platform.platform(), "processors": os.cpu_count(),
            "constants": constants(), "results": [
        {"row": r.row.name, "title": r.row.title, "bulk": r.bulk, "verdict": r.verdict,
         "median": r.figures, "runs": r.runs, "invalid": r.invalid, "trouble": r.trouble,
         "lateness": r.late,
         "missed_must": [f"{b.figure} {b}" for b in r.missed("must")],
         "missed_goal": [f"{b.figure} {b}" for b in r.missed("goal")]} for r in results]}


def write(results, out):
    (out / "lab.json").write_text(json.dumps(document(results), indent=1) + "\n")
    (out / "lab.txt").write_text(table(results) + "\n" + summary(results) + "\n")
    text = markdown(results) + "\n\n" + comparison(results)
    (out / "lab.md").write_text(text.strip() + "\n")


def row_named(name, title):
    try:
        return next(row for row in find([name]) if row.name == name)
    except (RowError, StopIteration):  # a line or a file of one's own
        return Row.make(name, {"title": title, "link": {}, "timeline": {}})


def from_folder(out):
    """Results of all that is kept in `out`, judged by the bars of today; where runs of several
    builds are there, those of the last."""
    runs, results = kept.read(out), []
    order = list(NAMES)
    pairs = {(run["row"], run["bulk"]) for run in runs}
    for row_name, bulk in sorted(pairs, key=lambda p: (natural(p[0]), order.index(p[1]))):
        mine = [run for run in runs if (run["row"], run["bulk"]) == (row_name, bulk)]
        last = [run for run in mine if all(run[key] == mine[-1][key]
                                           for key in ("scenario", "programs"))]
        row = row_named(row_name, last[-1].get("title", ""))
        repeat = max(REPEAT, last[-1].get("repeat", REPEAT))
        results.append(Result.of(row, bulk, last, repeat))
    return results
