# SPDX-License-Identifier: Apache-2.0
# albtest/asleep.py – an organisation of machines to be woken: site a behind a reflector, site b
# straight at the hub, and what `albedo wake` said of each.
#
#     with Country(endpoints=4) as land, sleepy(folder, land) as org, StandIns(org) as machine:
#         pc = machine("a", 0)
#         results(org.admin.albedo("wake", "a-0"))["a-0"]["result"]
#
# Guards do not send to one machine again within 300 s unless it came meanwhile, nor does the hub:
# a test whose machine is to stay unanswered needs one that no other test of its file wakes.
import contextlib

from albtest.country import Org
from albtest.procs import wait_until
from albtest.standin import StandIn, wait_online


def _join(org, site, *words):
    """Under the names that the tests use."""
    members = org.sites[site].members
    token = org.token("endpoint", "--site", site, "--uses", str(len(members)))
    runs = [member.start("join", "--hub", org.hub.url, "--token", token, "--name", member.name,
                         *words) for member in members]
    for run in runs:
        done = run.wait()
        assert done.code == 0, done


@contextlib.contextmanager
def sleepy(folder, land):
    with Org(folder, land) as org:
        org.start_hub()
        org.admin.albedo("trust", "init")
        org.import_sites(org.directory())
        _join(org, "b")  # no reflector there: straight to the hub
        members, org.sites["a"].members = org.sites["a"].members, []
        org.start_branch("a", org.sites["a"], None)
        org.sites["a"].members = members
        _join(org, "a", "--upstream", org.sites["a"].reflector.url)
        wait_online(org, "reflector-a", True)
        yield org
        for box in (org.hub, org.sites["a"].reflector):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


class StandIns:
    """Makes machines of the two sites, and ends them on leaving."""

    def __init__(self, org):
        self.org, self.made = org, []

    def __call__(self, site, k, **more):
        place = self.org.sites[site]
        above = ("10.1.0.5", 7443) if site == "a" else ("10.0.0.1", self.org.hub.port)
        self.made.append(StandIn(self.org, place.members[k], *above, site,
                                 f"{place.branch.address(11 + k)}/24", **more))
        return self.made[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.made:
            one.close()


def results(done):
    """What became of each machine."""
    return {d["device"]: d for d in done.documents() if d.get("event") == "machine"}


def wakes(sniffer, mac):
    """The frames that would wake it."""
    pattern = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16
    return [frame for _, frame in sniffer.frames if pattern in frame]


def wait_stage(run, stage, seconds=30):
    """Until `albedo wake` that goes on says that its machine is there; the document."""
    def said():
        ended = not run.daemon.is_running()  # asked first: what it said last still counts
        last = run.last_event() or {}
        assert last.get("stage") == stage or not ended, run.output() + run.errors()
        return last if last.get("stage") == stage else None
    return wait_until(said, seconds, lambda: f"stage {stage}; said was\n{run.output()}")
