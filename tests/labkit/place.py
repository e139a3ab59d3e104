# SPDX-License-Identifier: Apache-2.0
# labkit/place.py – where a scenario is played: hub, link, branch, and a desk in the branch.
#
#     [ hub ] wan0 ══ albedo-linkemu ══ wan0 [ reflector ] lan0 ─┬─ [ endpoint 0 … ]  pull
#                                                                └─ [ desk ]  foreground, probes
#
# The hub's machine also runs the servers that the desk talks to: all of it crosses the same link.
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from albtest.netns import WAN_PREFIX, Lab, _ip  # noqa: E402
from albtest.site import Site  # noqa: E402

from labkit.row import emu_params  # noqa: E402

PUBLISH_S = 900
FILE_BYTES = 8 << 20


class Veth:
    """In place of the emulator: a cable without a bottleneck, for limits that are ours alone."""

    def __init__(self, lab):
        hub, branch = lab.hub.ns, lab.reflector.ns
        _ip("link", "add", "wan0", "netns", hub, "type", "veth", "peer", "name", "wan0",
            "netns", branch)
        for ns, addr in ((hub, lab.hub.addr), (branch, lab.reflector.wan_addr)):
            _ip("-n", ns, "addr", "add", f"{addr}/{WAN_PREFIX}", "dev", "wan0")
            # Packets as they would be on a wire, each with headers of its own.
            _ip("-n", ns, "link", "set", "wan0", "up", "gso_max_segs", "1")

    def stats(self):
        late = {"lateness_us": {"p50": 0, "p99": 0, "max": 0}}
        return {"ab": late, "ba": late, "valid": True}


class Ground(Lab):
    """A Lab whose last endpoint is the desk; on a cable when the scenario has no emulator."""

    def __init__(self, row):
        params = emu_params(row.link)
        super().__init__(endpoints=row.endpoints + 1)
        self._params |= params
        self._kind = row.kind

    def _build(self):
        if self._kind == "emulated":
            super()._build()
        else:
            self._build_on_cable()
        self.desk = self.endpoints.pop()
        self._use_cubic()

    def _build_on_cable(self):
        import albtest.netns as netns
        real, netns.WanLink = netns.WanLink, lambda lab, *_: Veth(lab)
        try:
            super()._build()
        finally:
            netns.WanLink = real

    def _use_cubic(self):
        """What Debian takes by default, for whatever does not choose; by route, since a namespace
        may not set every default."""
        far = self.reflector.wan_addr
        self.hub.run(["ip", "route", "replace", f"{far}/32", "dev", "wan0", "congctl", "cubic"])
        self.hub.run(["ip", "route", "replace", "10.1.0.0/24", "via", far, "congctl", "cubic"])


class Place:
    """The ground, and the site of real programs on it when they are what is judged."""

    LAYER = "lab/bulk"

    def __init__(self, row, with_site):
        self.row, self.with_site = row, with_site
        self.ground = Ground(row)
        self.site = None

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="albedo-lab-"))
        try:
            self.ground.__enter__()
            if self.with_site:
                self._settle()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *why):
        self.ground.__exit__(*why)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _settle(self):
        """Everything up to endpoints that may pull, and enough content to keep them busy."""
        self.site = site = Site(self.folder, lab=self.ground)
        site.start_hub()
        self._configure(site.hub)
        site.admin.albedo("trust", "init")
        site.start_reflector(site.reflector)
        self._configure(site.reflector)
        token = site.token("endpoint", "--site", "branch", "--uses", str(len(site.endpoints)))
        for endpoint in site.endpoints:
            site.join(endpoint, token, upstream=None if self.row.direct else site.reflector)
        for number in range(len(site.endpoints)):
            self._publish(number)
        if self.row.policy:
            document = self.folder / "policy.json"
            document.write_text(self.row.policy, encoding="utf-8")
            site.admin.albedo("policy", "set", document)

    def _configure(self, box):
        lines = self.row.config.get(box.kind, [])
        if lines:
            box.stop()
            with open(box.data / f"{box.kind}.conf", "a", encoding="utf-8") as conf:
                conf.write("".join(f"{line}\n" for line in lines))
            box.start()

    def layer(self, number):
        return f"{self.LAYER}{number}"

    def _publish(self, number):
        """Random bytes: neither compression nor other endpoints' chunks shorten the pull."""
        share = 1.0 if len(self.site.endpoints) == 1 else 1.5 / len(self.site.endpoints)
        top = self.folder / f"tree{number}"
        top.mkdir()
        left, part = int(self.row.bulk_bytes() * share), 0
        while left > 0:
            (top / f"part{part:03}").write_bytes(os.urandom(min(left, FILE_BYTES)))
            left, part = left - FILE_BYTES, part + 1
        self.site.admin.albedo("publish", self.layer(number), top, timeout=PUBLISH_S)
        shutil.rmtree(top)
