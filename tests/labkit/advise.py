# SPDX-License-Identifier: Apache-2.0
# labkit/advise.py – a line of one's own as a scenario, and what came out in an operator's words.
from labkit.row import Row, RowError, rate_bps, time_s

PHASES = [
    {"name": "alone", "seconds": 20, "traffic": ["cubic"]},
    {"name": "rest", "seconds": 3},
    {"name": "idle", "seconds": 25, "settle": 8, "traffic": ["bulk"]},
    {"name": "both", "seconds": 20, "traffic": ["bulk", "cubic"]},
    {"name": "after", "seconds": 15, "traffic": ["bulk"]},
]


def row_of(link, policy):
    """`link` is RATE,RTT,QUEUE as typed, such as 4mbit,60ms,150ms; RATE may be DOWN/UP."""
    words = link.split(",")
    if len(words) != 3:
        raise RowError(f"--link {link}: give RATE,RTT,QUEUE, such as 4mbit,60ms,150ms")
    down, _, up = words[0].partition("/")
    for text in (down, up or down):
        rate_bps(text)
    time_s(words[1])
    made = {"rate_down": down, "rate_up": up or down, "rtt": words[1], "queue": words[2]}
    return Row.make("own", {"title": link, "link": made, "phase": PHASES, "policy": policy})


def said(value, unit, never):
    return f"{value:.1f} {unit}" if value is not None else never


def advice(result):
    """Sentences, each from one figure."""
    f = result.figures or result.last
    if not f:
        return "Nothing can be said: " + (result.trouble or "no run came to its end.")
    late = "" if result.runs else "(The machine was late: these figures are a rough guide.)\n"
    return late + "\n".join([
        f"While nobody else used the line, updates took {f['use']:.0f} % of it and added "
        f"{said(f['p50'], 'ms', '?')} to half of the round trips, at most "
        f"{said(f['p95'], 'ms', '?')} to all but one in twenty.",
        f"A download by somebody else kept {f.get('share', 0):.0f} % of what it has alone.",
        "Updates gave way after " + said(f["yield"], "s", "… they did not give way in 20 s")
        + f" and then took {f['ours']:.1f} % of the line.",
        "Once it was over they were back within " + said(f["back"], "s", "… not within 15 s") + ".",
    ])
