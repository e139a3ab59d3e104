# SPDX-License-Identifier: Apache-2.0
# tests/bench/wan.py – what path and crossing share: a site on an emulated link, and its meters.
"""A whole site of real processes in network namespaces, on the project's own link emulator.

    with wan.Bench(endpoints=1, rate="100mbit", delay="40ms") as bench:
        meter = bench.meter(bench.lab.reflector, "wan0")
        bench.site.endpoints[0].albedo("pull", ...)
        print(meter.stop().rate_bits())

Every figure is of IP bytes, by the interface's own counter. Senders use CUBIC, what Debian's kernel
takes by default, whatever this machine's default is.
"""
import os
import shutil
import sys
import tempfile

import benchkit as kit

E2E = kit.ROOT / "tests/e2e"
sys.path.insert(0, str(E2E))
sys.dont_write_bytecode = True

from albtest.netns import Lab  # noqa: E402
from albtest.site import Site  # noqa: E402

SAMPLER = """
import sys, time
path = f"/sys/class/net/{sys.argv[1]}/statistics/rx_bytes"
while True:
    print(time.monotonic_ns(), open(path).read().strip(), flush=True)
    time.sleep(0.02)
"""
PUBLISH_S = 300
PULL_S = 600


def prepare():
    """Programs where kit.main() found them; ends the bench where no namespaces can be made."""
    os.environ["ALB_BIN_DIR"] = str(kit.BIN)
    usable, reason = Lab.available()
    if not usable:
        raise SystemExit(f"cannot be measured here: {reason}")


def make_tree(top, size):
    """A stable subset of this machine's /usr, of `size` bytes at most."""
    kit.sh(sys.executable, "-B", "-m", "albtest.subset", top, "--bytes", size, "--files", 30000,
           cwd=E2E)
    return top


class Samples:
    """(ns, bytes received so far) pairs, ascending."""

    def __init__(self, rows):
        self.rows = rows

    @property
    def total(self):
        return self.rows[-1][1] - self.rows[0][1]

    def span(self, skip=64 << 10):
        """(first, last, bytes between): without the first and last `skip` bytes, which are
        greetings and farewells, so from first chunk to last."""
        base, end = self.rows[0][1], self.rows[-1][1]
        first = next(row for row in self.rows if row[1] > base + skip)
        last = next(row for row in self.rows if row[1] >= end - skip)
        return first[0], last[0], last[1] - first[1]

    def rate_bits(self):
        first, last, size = self.span()
        return size * 8e9 / max(1, last - first)


class Meter:
    """Samples an interface's own counter of received bytes every 20 ms until stopped."""

    def __init__(self, host, interface, log):
        self.daemon = host.daemon([sys.executable, "-c", SAMPLER, interface], log)
        self.daemon.wait_line(r"^\d+ \d+$")

    def stop(self):
        self.daemon.kill()
        lines = [line.split() for line in self.daemon.log_text().split("\n")[:-1]]
        return Samples([(int(at), int(count)) for at, count in lines])


class Bench:
    """The laboratory and the site in it, joined and with a published layer; removed on leaving."""

    LAYER = "bench/tree"

    def __init__(self, folder, endpoints=1, direct=False, **link):
        self.lab = Lab(endpoints=endpoints, **link)
        self.direct = direct
        self.parent = folder
        self.meters = 0

    def __enter__(self):
        self.folder = kit.pathlib.Path(tempfile.mkdtemp(dir=self.parent))
        try:
            self.lab.__enter__()
            self.use_cubic()
            self.site = Site(self.folder, lab=self.lab)
            self.set_up()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, *why):
        self.lab.__exit__(*why)
        shutil.rmtree(self.folder, ignore_errors=True)

    def use_cubic(self):
        """For what leaves the hub; by route, since a namespace may not set every default."""
        hub, far = self.lab.hub, self.lab.reflector.wan_addr
        hub.run(["ip", "route", "replace", f"{far}/32", "dev", "wan0", "congctl", "cubic"])
        hub.run(["ip", "route", "replace", "10.1.0.0/24", "via", far, "congctl", "cubic"])

    def set_up(self):
        site = self.site
        site.start_hub()
        site.admin.albedo("trust", "init")
        site.start_reflector(site.reflector)
        token = site.token("endpoint", "--site", "branch", "--uses", str(len(site.endpoints)))
        for endpoint in site.endpoints:
            site.join(endpoint, token, upstream=None if self.direct else site.reflector)

    def publish(self, tree):
        """Bytes as stored that whoever pulls it needs: content, and the manifest."""
        done = self.site.admin.albedo("publish", self.LAYER, tree, timeout=PUBLISH_S)
        told = done.event("published")
        return told["sent_bytes"] + told["manifest_stored_bytes"]

    def pull(self, endpoint):
        """A command under way; a fresh target for each."""
        return endpoint.start("pull", self.LAYER, self.folder / f"target-{endpoint.name}")

    def meter(self, host, interface):
        self.meters += 1
        return Meter(host, interface, self.folder / f"meter{self.meters}.log")
