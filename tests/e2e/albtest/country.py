# SPDX-License-Identifier: Apache-2.0
# albtest/country.py – a hub, two sites and a sub-site in network namespaces, with real bridges.
#
#     with Country(endpoints=5) as land, Org(folder, land) as org:
#         org.start()                            everybody joined
#         org.sites["a1"].members[0].albedo(...)
#         land.branches["a"].wan.cut(); land.branches["a"].wan.restore()
#         land.branches["a"].wan.bytes()         {"down": …, "up": …}, by the router's own counters
#
#     [ hub 10.0.0.1 ] ══ wan0 [ router a ] br0 ─┬─ [ reflector 10.1.0.5 ]
#            ║                     ║             └─ [ endpoint k 10.1.0.(11 + k) ]
#            ║                     ╚══ wan0 [ router a1 ] br0 ─┬─ 10.3.0.0/24
#            ╚════ wan0 [ router b ] br0 ─┬─ 10.2.0.0/24
#
# A branch's router is the bridge its machines hang on, so that its MAC is the gateway's. Lines are
# shaped by tbf at both ends and can lose their carrier at the far one, as a cut cable does: what
# is sent then vanishes without a word.

import contextlib
import json
import subprocess

from albtest.netns import LAN_PREFIX, Lab, LabError
from albtest.site import TREE_PORT, Member, Reflector, Site

SITES = {"a": (1, None), "b": (2, None), "a1": (3, "a")}  # its net 10.N.0.0/24, and its parent
GATEWAY_MAC = "52:54:00:00:{:02x}:01"


def ip_batch(ns, *lines):
    done = subprocess.run(["ip", "-n", ns, "-batch", "-"], input="\n".join(lines) + "\n", text=True,
                          capture_output=True, check=False)
    if done.returncode != 0:
        raise LabError(f"ip -batch: {done.stderr.strip()}")


class Wan:
    """A site's way out: `wan0` of its router, and `far` at the router above or the hub."""

    def __init__(self, router, above, far, routes):
        self.router, self.above, self.far, self.routes = router, above, far, routes

    def cut(self):
        """The cable is pulled beyond the router: nobody in the branch is told."""
        self.above.run(["ip", "link", "set", self.far, "down"])

    def restore(self):
        self.above.run(["ip", "link", "set", self.far, "up"])
        for net, via in self.routes:  # a link that goes down takes its routes with it
            self.above.run(["ip", "route", "replace", net, "via", via])

    def shape(self, rate):
        """Both ways, "4mbit"; 150 ms of queue."""
        for host, link in ((self.router, "wan0"), (self.above, self.far)):
            host.run(["tc", "qdisc", "replace", "dev", link, "root", "tbf", "rate", rate,
                      "burst", "16kb", "latency", "150ms"])

    def bytes(self):
        seen = self.router.counters("wan0")
        return {"down": seen["rx_bytes"], "up": seen["tx_bytes"]}


class Branch:
    """The machines of one site."""

    def __init__(self, land, name, number):
        self.land, self.name, self.number = land, name, number
        self.net = f"10.{number}.0.0/{LAN_PREFIX}"
        self.gateway_mac = GATEWAY_MAC.format(number)
        self.router = land.make_host(f"{name}-router", self.address(1))
        self.reflector = land.make_host(f"{name}-reflector", self.address(5))
        self.sibling = land.make_host(f"{name}-sibling", self.address(6)) if land.siblings else None
        self.endpoints = [land.make_host(f"{name}-endpoint{k}", self.address(11 + k))
                          for k in range(land.count)]
        self.wan = None

    def address(self, last):
        return f"10.{self.number}.0.{last}"

    def build(self):
        ip_batch(self.router.ns,
                 f"link add br0 address {self.gateway_mac} type bridge forward_delay 0",
                 f"addr add {self.router.addr}/{LAN_PREFIX} dev br0", "link set br0 up")
        for host in (self.reflector, self.sibling, *self.endpoints):
            if host is not None:
                self.plug(host)

    def plug(self, host, addr=None):
        """`host` gets a cable to this branch, and the address it has here: as DHCP would do."""
        addr = addr or host.addr
        port = f"p{addr.rsplit('.', 1)[1]}"
        ip_batch(host.ns, f"link add lan0 type veth peer name {port} netns {self.router.ns}",
                 f"addr add {addr}/{LAN_PREFIX} dev lan0", "link set lan0 up",
                 f"route add default via {self.router.addr}")
        ip_batch(self.router.ns, f"link set {port} master br0 up")

    def unplug(self, host):
        ip_batch(host.ns, "link del lan0")


class Country(Lab):
    """See the top of the file. `hub` and `branches`; everything is removed on leaving."""

    def __init__(self, endpoints=5, siblings=False):
        """`siblings`: a second reflector's machine at each site."""
        super().__init__(endpoints, linkemu="none")
        self.count, self.siblings = endpoints, siblings

    def make_host(self, name, addr):
        return self._host(name, addr)

    def _build(self):
        self.hub = self._host("hub", "10.0.0.1")
        ip_batch(self.hub.ns, "addr add 10.0.0.1/32 dev lo")
        self.branches = {name: Branch(self, name, number) for name, (number, _) in SITES.items()}
        for branch in self.branches.values():
            branch.build()
        for name, (_, parent) in SITES.items():
            self._connect(self.branches[name], self.branches.get(parent))
        self.reflector, self.endpoints = self.branches["a"].reflector, []

    def _connect(self, branch, parent):
        above = parent.router if parent else self.hub
        far, near = f"10.200.{branch.number}.1", f"10.200.{branch.number}.2"
        link = f"to-{branch.name}"
        nets = [other.net for other in self.branches.values()
                if branch.name in (other.name, SITES[other.name][1])]
        branch.wan = Wan(branch.router, above, link, [(net, near) for net in nets])
        ip_batch(above.ns, f"link add {link} type veth peer name wan0 netns {branch.router.ns}",
                 f"addr add {far}/30 dev {link}", f"link set {link} up",
                 *(f"route add {net} via {near}" for net in nets))
        ip_batch(branch.router.ns, f"addr add {near}/30 dev wan0", "link set wan0 up",
                 f"route add default via {far}")
        for host in (above, branch.router):
            host.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


class Place:
    """What runs at one site."""

    def __init__(self, box, sibling, members, branch):
        self.reflector, self.members, self.branch = box, members, branch
        self.sibling = sibling  # None without siblings

    def boxes(self):
        return [box for box in (self.reflector, self.sibling) if box is not None]


class Org(Site):
    """Programs on a Country: a hub and its admin, and at each site a reflector and endpoints."""

    def __init__(self, folder, land):
        super().__init__(folder, lab=land)
        self.land = land
        self.sites = {}
        (self.folder / "targets").mkdir(exist_ok=True)
        for name, branch in land.branches.items():
            box = Reflector(self, f"reflector-{name}", branch.reflector, TREE_PORT)
            sibling = (Reflector(self, f"sibling-{name}", branch.sibling, TREE_PORT)
                       if branch.sibling else None)
            members = [Member(self, f"{name}-{k}", host) for k, host in enumerate(branch.endpoints)]
            self.sites[name] = Place(box, sibling, members, branch)
        self.reflector = self.sites["a"].reflector
        self.endpoints = [m for place in self.sites.values() for m in place.members]

    def directory(self):
        """What the hub is told of the sites."""
        return {"format": 1, "sites": [
            {"name": name, "subnets": [branch.net], "gateways": [branch.gateway_mac],
             "reflectors": [box.name for box in self.sites[name].boxes()],
             **({"parent": SITES[name][1]} if SITES[name][1] else {})}
            for name, branch in self.land.branches.items()]}

    def start(self):
        self.start_hub()
        self.admin.albedo("trust", "init")
        self.import_sites(self.directory())
        for name, place in self.sites.items():
            parent = SITES[name][1]
            self.start_branch(name, place, self.sites[parent].reflector if parent else None)

    def import_sites(self, document):
        path = self.folder / "sites.json"
        path.write_text(json.dumps(document))
        self.admin.albedo("site", "import", path, "--yes")

    def start_branch(self, name, place, parent):
        box = place.reflector
        for one in place.boxes():
            one.init("--hub", self.hub.url, "--token", self.token("reflector", "--site", name),
                     "--listen", f"0.0.0.0:{one.port}", "--name", one.name,
                     *(["--parent", parent.url] if parent else []))
            one.start()
        if not place.members:
            return
        token = self.token("endpoint", "--site", name, "--uses", str(len(place.members)))
        words = ["join", "--hub", self.hub.url, "--token", token, "--upstream", box.url]
        for run in [member.start(*words) for member in place.members]:
            done = run.wait()
            assert done.code == 0, done

    def status(self, name):
        """What the reflector of that site says of itself, once all it received is on its disk."""
        return self.reflector_status(self.sites[name].members[0])

    def pull_all(self, layer, members=None):
        """Everybody at once; the last event of each."""
        runs = [(m, m.start("pull", layer, self.folder / "targets" / m.name))
                for m in members or self.endpoints]
        done = [run.wait() for _, run in runs]
        assert [one.code for one in done] == [0] * len(runs), "\n".join(map(str, done))
        return [one.event("pulled") for one in done]

    def close(self):
        super().close()
        for place in self.sites.values():
            for box in place.boxes():
                if box.daemon is not None:
                    box.daemon.kill()


@contextlib.contextmanager
def crossing(org, *names):
    """Filled in on leaving: chunk bytes received and stored, and IP bytes down, of each site."""
    def look(name):
        status = org.status(name)
        return {"received": status["chunks"]["received_bytes"],
                "stored": status["store"]["live_bytes"],
                "down": org.land.branches[name].wan.bytes()["down"]}
    before, seen = {name: look(name) for name in names}, {}
    yield seen
    for name in names:
        after = look(name)
        seen[name] = {key: after[key] - before[name][key] for key in after}
