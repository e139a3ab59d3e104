# SPDX-License-Identifier: Apache-2.0
# labkit/row.py – a scenario as data: what the link is, who talks when, and the bars.
"""
    title = "a CUBIC download comes and goes"
    [link]
    rate = "10mbit"          # both ways; rate_down, rate_up for one; so all keys of albedo-linkemu
    rtt = "40ms"             # half of it each way
    queue = "150ms"
    [[phase]]
    name = "idle"            # figures are taken from phases by their names (figures.py)
    seconds = 15
    settle = 5               # seconds at its beginning that do not count
    traffic = ["bulk"]       # see traffic.py; "bulk" is what is judged
    link = {rate = "4mbit"}  # from the beginning of this phase on
    [must]
    use = ">= 90"
    [goal]
    use = ">= 95"
    [known]                  # where [must] is missed and that is known: it may not get worse
    use = ">= 80"

The usual phases have a short form, in place of [[phase]]; seconds may be given, see `usual`:

    [timeline]
    foreground = "cubic"     # alone, rest, idle, both, after; without it: idle
    [soak]
    minutes = 60             # quiet and busy in turn, at random

Beside these: see the fields of Row.
"""
import dataclasses
import operator
import re
import tomllib
from pathlib import Path
from random import Random

ROWS = Path(__file__).parent / "rows"
RATES = {"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
COMPARE = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


class RowError(ValueError):
    """A scenario that says something it cannot mean; names the place."""


def number(text, units, what):
    match = re.fullmatch(r"([0-9.]+)([a-z]+)", text)
    if not match or match[2] not in units:
        raise RowError(f"{what}: '{text}' needs a number and one of {', '.join(units)}")
    return float(match[1]) * units[match[2]]


def rate_bps(text):
    return number(text, RATES, "rate")


def time_s(text):
    return number(text, TIMES, "time")


@dataclasses.dataclass
class Bar:
    """`figure` has to be at least, or at most, so much."""
    figure: str
    sign: str
    value: float

    @classmethod
    def read(cls, figure, text):
        match = re.fullmatch(r"(>=|<=|==) *(-?[0-9.]+)", text)
        if not match:
            raise RowError(f"{figure}: '{text}' is no bar such as '>= 90'")
        return cls(figure, match[1], float(match[2]))

    def holds(self, value):
        return value is not None and COMPARE[self.sign](value, self.value)

    def __str__(self):
        return f"{self.sign.replace('==', '')}{self.value:g}"


def emu_params(link):
    """What the emulator is told: each key for both ways, or for one (_down is from the hub)."""
    params = {}
    for key, value in link.items():
        if key == "rtt":
            half = f"{number(value, TIMES, 'rtt') * 5e5:.0f}us"
            params |= {"delay-ab": half, "delay-ba": half}
            continue
        match = re.fullmatch(r"(.*?)(?:_(down|up))?", key)
        name = match[1].replace("_", "-")
        ways = {"down": ["ab"], "up": ["ba"], None: ["ab", "ba"]}[match[2]]
        params |= {f"{name}-{way}": str(value) for way in ways}
    return params


@dataclasses.dataclass
class Phase:
    name: str
    seconds: float
    traffic: list = dataclasses.field(default_factory=list)
    settle: float = 0.0
    link: dict = dataclasses.field(default_factory=dict)
    admin: list = dataclasses.field(default_factory=list)  # commands of the admin at its beginning
    policy: str = ""                                       # a document that is set then
    cap: str = ""                                          # the limit from then on


@dataclasses.dataclass
class Row:
    """One scenario. `rate` is the judged direction's at the beginning, in bits per second."""
    name: str
    title: str
    link: dict
    phases: list
    must: list
    goal: list
    wide: list                # what holds in one run on any machine: for tests/run
    known: list               # what holds though [must] is known not to
    endpoints: int = 1        # how many pull, each something else
    sites: int = 1            # above 1: a hub's line, then a line to each site
    direct: bool = False      # endpoints without a reflector
    kind: str = "emulated"    # or "veth": no emulator, no bottleneck
    config: dict = dataclasses.field(default_factory=dict)  # lines by program: hub, reflector
    policy: str = ""          # a document for `albedo policy set`
    meter: str = "wan"        # "lan": what each endpoint gets is counted too
    cap: str = ""             # the limit that is checked, for figures of accuracy
    bulks: list = dataclasses.field(default_factory=lambda: ["albedo"])
    long: bool = False        # only when asked for by name
    updates: dict = dataclasses.field(default_factory=dict)  # {count, bytes}: of traffic "updates"
    ask_every: float = 0      # seconds after which the law is asked again what it takes for true
    block_udp: bool = False   # where the probes would go
    branch: dict = dataclasses.field(default_factory=dict)  # with several sites: each one's link
    capacity: str = ""        # where it is not the link's rate that bounds

    @classmethod
    def read(cls, path, minutes=None):
        """`minutes`: how long a soak takes, if not what the file says."""
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
            if minutes and "soak" not in data:
                raise RowError("no soak, such as S25: leave --minutes out")
            if minutes:
                data["soak"]["minutes"] = minutes
            return cls.make(path.stem, data)
        except (tomllib.TOMLDecodeError, TypeError, KeyError) as error:
            raise RowError(f"{path}: {error}") from None
        except RowError as error:
            raise RowError(f"{path}: {error}") from None

    @classmethod
    def make(cls, name, data):
        data = dict(data)
        phases = [Phase(**phase) for phase in data.pop("phase", [])]
        if "soak" in data:
            phases = soak(**data.pop("soak"))
        phases = phases or usual(**data.pop("timeline"))
        bars = {kind: [Bar.read(*item) for item in data.pop(kind, {}).items()]
                for kind in ("must", "goal", "wide", "known")}
        return cls(name=name, phases=phases, **bars, **data)

    def widened(self):
        """The same, held to the wide bars alone."""
        return dataclasses.replace(self, must=self.wide, goal=[])

    @property
    def rate(self):
        return rate_bps(self.capacity or self.link.get("rate_down") or self.link["rate"])

    @property
    def seconds(self):
        return sum(phase.seconds for phase in self.phases)

    def rate_in(self, wanted):
        """The judged direction's rate in the phase of that name; changes last until the next."""
        rate = self.rate
        for phase in self.phases:
            told = phase.link.get("rate_down") or phase.link.get("rate")
            rate = rate_bps(told) if told else rate
            if phase.name == wanted:
                return rate
        raise RowError(f"no phase '{wanted}'")

    def bulk_bytes(self):
        """More than the link can carry while bulk is on it."""
        if self.updates:
            return self.updates["bytes"]
        bits = sum(self.rate_in(p.name) * p.seconds for p in self.phases if "bulk" in p.traffic)
        return int(bits / 8 * 1.1) + (2 << 20)


def usual(foreground="", alone=20, idle=15, settle=5, both=20, after=15):
    """Somebody alone, the bulk alone, both, the bulk alone again."""
    if not foreground:
        return [Phase("idle", idle, ["bulk"], settle)]
    return [Phase("alone", alone, [foreground]), Phase("rest", 2),
            Phase("idle", idle, ["bulk"], settle), Phase("both", both, ["bulk", foreground]),
            Phase("after", after, ["bulk"])]


def soak(minutes, seed=1):
    """Quiet and busy in turn for as long as chance says; names are quiet0, busy0, quiet1, …"""
    random, phases, left = Random(seed), [], minutes * 60
    while left > 0:
        number = len(phases) // 2
        for name in ("quiet", "busy"):
            seconds = round(min(random.uniform(15, 90), max(left, 15)))
            more = [random.choice(["cubic", "bbr", "web"])] if name == "busy" else []
            phases.append(Phase(f"{name}{number}", seconds, ["bulk", *more]))
            left -= seconds
    return phases


def natural(name):
    return [int(word) if word.isdigit() else word for word in re.split(r"(\d+)", name)]


def all_names():
    return sorted((path.stem for path in ROWS.glob("*.toml")), key=natural)


def find(words, minutes=None):
    """Rows by name; "S7" also finds S7-bbr. A path to a file of one's own is fine too."""
    found = []
    for word in words:
        if word.endswith(".toml"):
            found.append(Row.read(Path(word), minutes))
            continue
        names = [name for name in all_names() if name == word or name.startswith(word + "-")]
        if not names:
            raise RowError(f"there is no scenario '{word}'; there are {', '.join(all_names())}")
        found += [Row.read(ROWS / f"{name}.toml", minutes) for name in names]
    return list({each.name: each for each in found}.values())


def all_rows():
    return [Row.read(ROWS / f"{name}.toml") for name in all_names()]
