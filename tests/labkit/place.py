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
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from albtest.netns import WAN_PREFIX, Lab, WanLink, _ip  # noqa: E402
from albtest.site import TREE_PORT, Reflector, Site  # noqa: E402

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
        return None  # the ping says how late the machine was, see play.py


class Ground(Lab):
    """A Lab whose last endpoint is the desk; on a cable when the scenario has no emulator."""

    def __init__(self, row):
        super().__init__(endpoints=row.endpoints + 1)
        self.row = row
        self._params |= emu_params(row.link)

    def _make_link(self):
        if self.row.kind == "veth":
            return Veth(self)
        self.queue_trace = self.dir / "queue.csv"
        told = {"queue-trace": self.queue_trace, "seed": os.getpid()}
        return WanLink(self, self._linkemu, self._params | told)

    def _build(self):
        super()._build()
        self.desk = self.endpoints.pop()
        self.meter_at = self.reflector
        self.shares_at = "lan0"
        self._use_cubic("10.1.0.0/24")
        if self.row.block_udp:
            self._block_udp()

    def _use_cubic(self, *networks):
        """What Debian takes by default, for whatever does not choose; by route, since a namespace
        may not set every default."""
        far = self.reflector.wan_addr
        self.hub.run(["ip", "route", "replace", f"{far}/32", "dev", "wan0", "congctl", "cubic"])
        for network in networks:
            self.hub.run(["ip", "route", "replace", network, "via", far, "congctl", "cubic"])

    def _block_udp(self):
        """As firewalls do: datagrams to the tree's port vanish. By routing rules, since these can
        tell ports and every machine has them; the rule has to come before the local table's."""
        for words in (["add", "pref", "10", "lookup", "local"],
                      ["add", "pref", "5", "ipproto", "udp", "dport", str(TREE_PORT), "blackhole"],
                      ["del", "pref", "0"]):
            self.hub.run(["ip", "rule", *words])


class Sites(Ground):
    """A hub behind one line, and several sites each behind one of its own:

        [ hub ] wan0 ══ row.link ══ wan0 [ reflector = core, desk ] wan1 ══ row.branch ══ [ site 1 ]
                                                                    wan2 ══ row.branch ══ [ site 2 ]
    A site is one machine, which is reflector and endpoint.
    """

    def _build_lan(self):
        """In place of a LAN: the sites' own lines."""
        self.branches = [self._branch(number) for number in range(1, self.row.sites + 1)]
        self.reflector.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])

    def _branch(self, number):
        near, far = f"10.0.{number}.1", f"10.0.{number}.2"
        host = self._host(f"site{number}", far)
        host.wan_addr = far
        folder = self.dir / host.name
        folder.mkdir()
        core = types.SimpleNamespace(ns=self.reflector.ns, addr=near)
        view = types.SimpleNamespace(dir=folder, daemons=self.daemons, hub=core, reflector=host)
        params = self._params | emu_params(self.row.branch) | {"if-a": f"wan{number}"}
        host.link = WanLink(view, self._linkemu, params)
        _ip("-n", host.ns, "route", "add", "default", "via", near)
        return host

    def _build(self):
        Lab._build(self)
        self.endpoints = self.branches
        self.desk = self.meter_at = self.reflector
        self.shares_at = "wan0"
        self._use_cubic(*[f"10.0.{number}.0/30" for number in range(1, self.row.sites + 1)])
        for host in self.branches:
            _ip("-n", self.reflector.ns, "route", "replace", f"{host.addr}/32",
                "dev", f"wan{host.name[4:]}", check=False)


class Place:
    """The ground, and the site of real programs on it when they are what is judged."""

    LAYER = "lab/bulk"

    def __init__(self, row, with_site):
        self.row, self.with_site = row, with_site
        self.ground = Sites(row) if row.sites > 1 else Ground(row)
        self.site = None

    def __enter__(self):
        try:
            self.ground.__enter__()
            # Within the Lab's own, so that the next one removes it if we are killed.
            self.folder = self.ground.dir / "place"
            self.folder.mkdir(mode=0o755)
            self.ground.dir.chmod(0o755)
            if self.with_site:
                self._settle()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *why):
        self.ground.__exit__(*why)

    def _settle(self):
        """Everything up to endpoints that may pull, and enough content to keep them busy."""
        self.site = site = Site(self.folder, lab=self.ground)
        site.start_hub()
        self._configure(site.hub)
        site.admin.albedo("trust", "init")
        (self._settle_sites if self.row.sites > 1 else self._settle_branch)(site)
        for number in range(self.row.updates.get("count", len(site.endpoints))):
            self._publish(number)
        if self.row.policy:
            self.set_policy(self.row.policy)

    def set_policy(self, text):
        document = self.folder / "policy.json"
        document.write_text(text, encoding="utf-8")
        self.site.admin.albedo("policy", "set", document)

    def _settle_branch(self, site):
        token = site.token("endpoint", "--site", "branch", "--uses", str(len(site.endpoints)))
        if not self.row.direct:
            site.start_reflector(site.reflector)
            self._configure(site.reflector)
        for endpoint in site.endpoints:
            site.join(endpoint, token, upstream=None if self.row.direct else site.reflector)

    def _settle_sites(self, site):
        for endpoint in site.endpoints:
            box = Reflector(site, f"reflector-{endpoint.host.name}", endpoint.host, TREE_PORT)
            site.start_reflector(box)
            self._configure(box)
            site.join(endpoint, site.token("endpoint", "--site", "branch"), upstream=box)

    def _configure(self, box):
        lines = self.row.config.get(box.kind, [])
        if lines:
            box.configure(*lines)

    def layer(self, number):
        return f"{self.LAYER}{number}"

    def _publish(self, number):
        """Random bytes: neither compression nor other endpoints' chunks shorten the pull."""
        count = len(self.site.endpoints)
        share = 1.0 if count == 1 else 1.5 / count
        top = self.folder / f"tree{number}"
        top.mkdir()
        left, part = int(self.row.bulk_bytes() * share), 0
        while left > 0:
            (top / f"part{part:03}").write_bytes(os.urandom(min(left, FILE_BYTES)))
            left, part = left - FILE_BYTES, part + 1
        self.site.admin.albedo("publish", self.layer(number), top, timeout=PUBLISH_S)
        shutil.rmtree(top)
