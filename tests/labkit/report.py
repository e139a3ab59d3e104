# SPDX-License-Identifier: Apache-2.0
# labkit/report.py – the table for people and the JSON for the rest.
import hashlib
import json
import os
import platform
from pathlib import Path

from labkit.judge import show

ROOT = Path(__file__).resolve().parents[2]


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


def table(results):
    """One line for each row and bulk; `!!` missed the first bar, `.` held it but not the second."""
    lines = []
    title = None
    for result in results:
        if result.row.name != title:
            title = result.row.name
            lines.append(f"{title}: {result.row.title}")
        figures = "  ".join(cell(result, name) for name in result.figures or result.last)
        runs = f"{len(result.runs)} runs" + (f", {result.invalid} late" if result.invalid else "")
        verdict = result.verdict if result.bulk == "albedo" else "-"
        lines.append(f"  {result.bulk:11} {verdict:7} {figures or result.trouble}  [{runs}]")
    return "\n".join(lines)


def digest(path):
    """Enough of SHA-256 to tell two builds, or two tables of constants, apart."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else None


def document(results):
    built = Path(os.environ.get("ALB_BIN_DIR", "/nonexistent"))
    measured = {"reflector": digest(built / "albedo-reflector"),
                "constants": digest(ROOT / "shaper/law_constants.def")}
    return {"machine": platform.platform(), "digests": measured, "results": [
        {"row": r.row.name, "title": r.row.title, "bulk": r.bulk, "verdict": r.verdict,
         "median": r.figures, "runs": r.runs, "invalid": r.invalid, "trouble": r.trouble,
         "lateness": r.late,
         "missed_must": [f"{b.figure} {b}" for b in r.missed("must")],
         "missed_goal": [f"{b.figure} {b}" for b in r.missed("goal")]} for r in results]}


def write(results, out):
    (out / "lab.json").write_text(json.dumps(document(results), indent=1) + "\n")
    (out / "lab.txt").write_text(table(results) + "\n")
