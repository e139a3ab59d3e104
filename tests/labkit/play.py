# SPDX-License-Identifier: Apache-2.0
# labkit/play.py – one run of a scenario: the phases in turn, then the samples.
import dataclasses
import json
import os
import shutil
import time
from pathlib import Path

from labkit import samples
from labkit.place import Place
from labkit.row import Row, emu_params
from labkit.traffic import FOREGROUND, PING_HZ, Traffic, Why

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
QUIET_S = 2.0  # before the first phase: the ping on the empty link


@dataclasses.dataclass
class Run:
    """What one run left: when each phase was, and all samples."""
    row: Row
    bulk: str
    out: Path
    phases: dict          # name: (begin, end), seconds of the monotonic clock
    resident: dict        # name: {program: bytes} at its end
    made: dict            # name: when the changes it begins with were in force for the admin
    stats: dict           # the emulator's own
    span: tuple           # begin and end of everything
    flows: dict           # at the branch's end of the link: {kind: (received, sent)}
    trips: list
    shares: dict          # at the LAN, by endpoint
    meters: dict          # foreground downloads: {kind: [samples of each]}
    pages: list
    calls: list           # VoIP round trips
    queue: list           # (time, milliseconds) towards the branch, by the emulator itself
    bases: list = dataclasses.field(default_factory=list)  # (time, what the law takes for it)

    @property
    def valid(self):
        return self.stats["valid"]

    def has(self, name):
        return name in self.phases

    def settled(self, name):
        """The part of a phase that counts."""
        begin, end = self.phases[name]
        settle = next(p.settle for p in self.row.phases if p.name == name)
        return begin + settle, end

    def flow(self, kind, way=0):
        return self.flows.get(kind, (samples.Flow(samples.TAP_BIN_S),) * 2)[way]


def machine_lateness(trips):
    """As the emulator tells of itself, where there is none: how late a ping left, which wants to be
    sent at even times and has the same priority."""
    late = [trip.at - trips[0].at - number / PING_HZ for number, trip in enumerate(trips)]
    values = sorted(1e6 * (each - min(late)) for each in late)
    told = {"p50": values[len(values) // 2], "p99": values[int(0.99 * (len(values) - 1))],
            "max": values[-1]}
    way = {"lateness_us": told}
    return {"ab": way, "ba": way, "valid": told["p99"] <= 1000 and told["max"] <= 25000}


def wait_for(moment):
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)


def lasting(row, index, kind):
    """Seconds for which `kind` goes on from phase `index` on without a break."""
    seconds = 0
    for phase in row.phases[index:]:
        if kind not in phase.traffic:
            break
        seconds += phase.seconds
    return seconds


def enter(place, traffic, row, index):
    """The changes that a phase begins with."""
    phase = row.phases[index]
    before = row.phases[index - 1].traffic if index > 0 else []
    for kind in before:
        if kind not in phase.traffic:
            traffic.end(kind)
    if phase.link:
        params = {k.replace("-", "_"): v for k, v in emu_params(phase.link).items()}
        place.ground.link.change(**params)
    for kind in phase.traffic:
        if kind not in before:
            traffic.begin(kind, lasting(row, index, kind))
    if phase.policy and place.site is not None:
        place.set_policy(phase.policy)
    for words in phase.admin if place.site is not None else ():
        place.site.admin.albedo(*words.split())


def play_phases(place, traffic, row):
    """What is known of each phase: {name: (begin, end)}, {name: when its changes had been made},
    {name: resident bytes of our programs at its end}; and the span of all."""
    began = time.monotonic()
    wait_for(began + QUIET_S)
    at, told = began + QUIET_S, {"phases": {}, "made": {}, "resident": {}}
    for index, phase in enumerate(row.phases):
        enter(place, traffic, row, index)
        told["made"][phase.name] = time.monotonic()
        told["phases"][phase.name] = (at, at + phase.seconds)
        at += phase.seconds
        wait_for(at)
        told["resident"][phase.name] = resident_bytes(place, traffic)
    traffic.end_all()
    return told | {"span": (began, at)}


def resident_bytes(place, traffic):
    """{program: bytes} of those of ours that run all the time, and of the first pull."""
    if place.site is None:
        return {}
    running = {"hub": place.site.hub.daemon, "reflector": place.site.reflector.daemon}
    pulls = traffic.running.get("bulk", [])
    running |= {"pull": pulls[0].daemon} if pulls else {}
    return {name: PAGE_BYTES * int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1])
            for name, daemon in running.items() if daemon is not None and daemon.is_running()}


def play(row, bulk, out, why=False):
    """Play `row` once; samples stay in `out`."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with Place(row, with_site=bulk == "albedo") as place:
        traffic = Traffic(place, bulk, out)
        traffic.serve()
        traffic.measure(row.seconds + QUIET_S)
        every_s = 1.0 if why else row.ask_every
        asked = Why(place, out, every_s) if every_s and place.site is not None else None
        try:
            told = play_phases(place, traffic, row)
        finally:
            if asked is not None:
                asked.stop()
        traffic.stop_measuring()
        stats = place.ground.link.stats()
        if row.kind == "emulated":
            shutil.copy(place.ground.queue_trace, out / "queue.csv")
        if place.site is not None:
            shutil.copytree(place.site.logs, out / "logs")
    told |= {"row": row.name, "bulk": bulk, "link": stats}
    (out / "run.json").write_text(json.dumps(told, indent=1))
    return collect(row, bulk, out)


def collect(row, bulk, out):
    """A run from what is in its folder."""
    told = json.loads((out / "run.json").read_text())
    trips = samples.read_trips(out / "ping.csv")
    return Run(row=row, bulk=bulk, out=out, phases=told["phases"], made=told["made"],
               resident=told["resident"],
               stats=told["link"] or machine_lateness(trips), span=told["span"],
               flows=samples.read_tap(out / "tap.csv"), trips=trips,
               shares=samples.read_tap(out / "tap-lan.csv"),
               meters={kind: [samples.read_meter(path) for path in files(out, kind)]
                       for kind in [*FOREGROUND, "upload-cubic"]},
               pages=[page for kind in ("web", "pages") for path in files(out, kind)
                      for page in samples.read_pages(path)],
               calls=[t for path in files(out, "voip") for t in samples.read_trips(path)],
               queue=samples.read_queue(out / "queue.csv"),
               bases=samples.read_law(out / "law.csv"))


def files(out, kind):
    return sorted(out.glob(f"{kind}-*.csv"))
