# SPDX-License-Identifier: Apache-2.0
# labkit/plot.py – a run as SVG: rate, queue and round trips over time, phases marked.
from html import escape

WIDTH, LEFT, RIGHT, TOP, PANEL, GAP = 1000, 70, 20, 58, 150, 34
COLOURS = {"bulk": "#0969a8", "foreground": "#d1601f", "other": "#8a8a8a",
           "queue": "#5b4a9c", "round trip": "#2e7d4f"}
INK, FAINT, SHADE = "#333333", "#d9d9d9", "#f5f5f2"
STEP_S = 0.1
POINTS_MOST = 6000  # of a line: more than there are dots on any screen


class Panel:
    """One pair of axes: time to the right, a value from zero upwards."""

    def __init__(self, number, title, begin, end, top_value):
        self.y0 = TOP + number * (PANEL + GAP)
        self.title, self.begin, self.end = title, begin, end
        self.top = nice(top_value)

    def x(self, at):
        return LEFT + (at - self.begin) / (self.end - self.begin) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return self.y0 + PANEL * (1 - min(value, self.top) / self.top)

    def line(self, points, colour):
        """Points are (time, value); a value of None parts the line."""
        parts, part = [], []
        for at, value in [*points, (None, None)]:
            if value is None:
                parts, part = parts + [part] * bool(part), []
            else:
                part.append(f"{self.x(at):.1f},{self.y(value):.1f}")
        return "".join(f'<polyline points="{" ".join(part)}" fill="none" stroke="{colour}" '
                       f'stroke-width="1.3"/>' for part in parts)

    def axes(self):
        drawn = [text(LEFT, self.y0 - 8, self.title, bold=True)]
        for tick in range(5):
            value = self.top * tick / 4
            y = self.y(value)
            drawn += [f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                      f'stroke="{FAINT}" stroke-width="1"/>',
                      text(LEFT - 8, y + 4, f"{value:g}", anchor="end")]
        return "".join(drawn)


def nice(value):
    """The next round number above: 1, 2, 2.5 or 5 times a power of ten."""
    step = 1e-3
    while True:
        for factor in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8):
            if step * factor >= value:
                return step * factor
        step *= 10


def text(x, y, words, anchor="start", bold=False, colour=INK):
    weight = ' font-weight="600"' if bold else ""
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>'
            f'{escape(words)}</text>')


def phases(run, panels):
    """A band behind every second phase, and its name above the first panel."""
    drawn = []
    for number, (name, (begin, end)) in enumerate(run.phases.items()):
        x0, x1 = panels[0].x(begin), panels[0].x(end)
        if number % 2 == 0:
            height = panels[-1].y0 + PANEL - panels[0].y0
            drawn.append(f'<rect x="{x0:.1f}" y="{panels[0].y0}" width="{x1 - x0:.1f}" '
                         f'height="{height}" fill="{SHADE}"/>')
        drawn.append(text((x0 + x1) / 2, panels[0].y0 + 14, name, anchor="middle", colour="#777"))
    return "".join(drawn)


def seconds(panel):
    """The time axis below the last panel."""
    span = panel.end - panel.begin
    step = next(s for s in (1, 2, 5, 10, 20, 60, 120, 300, 600, 3600) if span / s <= 16)
    marks = range(0, int(span) + 1, step)
    y = panel.y0 + PANEL + 18
    return "".join(text(panel.x(panel.begin + at), y, f"{at}", anchor="middle") for at in marks) \
        + text(WIDTH - RIGHT, y + 16, "seconds", anchor="end")


def legend(names):
    drawn, x = [], WIDTH - RIGHT - 110 * len(names)
    for name in names:
        drawn += [f'<rect x="{x}" y="{TOP - 15}" width="14" height="4" fill="{COLOURS[name]}"/>',
                  text(x + 20, TOP - 9, name)]
        x += 110
    return "".join(drawn)


def rates(run, begin, end):
    """{name: points in Mbit/s}, at the branch's end of the link, downwards."""
    found = {}
    for name, kind in (("bulk", "bulk"), ("foreground", "fg"), ("other", "other")):
        step_s = max(STEP_S, round((end - begin) / POINTS_MOST, 2))
        points = [(at, bps / 1e6) for at, bps in run.flow(kind).means(begin, end, step_s)]
        if any(value > 0.05 for _, value in points):
            found[name] = points
    return found


def thinned(points):
    """The highest of neighbours, where a line has very many points; one that is lost stays lost."""
    of_each = max(1, len(points) // POINTS_MOST)
    groups = [points[n:n + of_each] for n in range(0, len(points), of_each)]
    return [(group[0][0], None if any(value is None for _, value in group)
             else max(value for _, value in group)) for group in groups]


def draw(run, figures, path):
    begin, end = run.span
    trips = [trip for trip in run.trips if begin <= trip.at < end]
    queue = [(at, value) for at, value in run.queue if begin <= at < end]
    round_trips = [(t.at, t.rtt and 1e3 * t.rtt) for t in trips]
    flows = rates(run, begin, end)
    highest = run.row.rate / 1e6
    panels = [Panel(0, "rate, Mbit/s", begin, end, highest * 1.05),
              Panel(1, "queue towards the branch, ms", begin, end, most(queue)),
              Panel(2, "round trip of a ping, ms", begin, end, most(round_trips))]
    bodies = ["".join(panels[0].line(points, COLOURS[name]) for name, points in flows.items()),
              panels[1].line(thinned(queue), COLOURS["queue"]),
              panels[2].line(thinned(round_trips), COLOURS["round trip"])]
    height = panels[-1].y0 + PANEL + 44
    told = "  ".join(f"{name} {value:.3g}" if value is not None else f"{name} never"
                     for name, value in figures.items())
    head = text(LEFT, 20, f"{run.row.name}, {run.bulk}: {run.row.title}", bold=True) + \
        text(LEFT, 38, told[:150], colour="#777")
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'{head}{phases(run, panels)}{legend(list(flows))}'
        f'{"".join(panel.axes() + body for panel, body in zip(panels, bodies))}'
        f'{seconds(panels[-1])}</svg>\n', encoding="utf-8")


def most(points):
    return max([value for _, value in points if value is not None], default=1.0) or 1.0
