# SPDX-License-Identifier: Apache-2.0
# labkit/traffic.py – who puts what on the link: foreground, probes, and the bulk that is judged.
"""Kinds of traffic a phase may name:

    bulk                what is judged: a pull, one of its rivals (BULKS), or "foreign": our law
                        and plain nginx, held by its HTTP/2 credit alone (bench_scavenge)
    cubic, bbr          one endless download by the desk over that congestion control
    upload-cubic        one endless upload by the desk
    web                 30 kB, 300 kB and 2 MB in turn, a second of thought between them
    voip                50 packets of 200 bytes a second, both ways
    pages               an office of 40, each of whom opens a page a minute (labkit/pages.c)
    updates             bulk in pieces: row.updates["count"] of them, evenly over the phase

Beside them a ping of 48 bytes runs all the time, 50 times a second.
"""
import os
import shutil
import threading
import time
from pathlib import Path

from labkit.place import ROOT, TREE_PORT  # and the way to albtest

from albtest.nginx import nginx_is_up, nginx_set_up
from albtest.procs import wait_until

TRAFFIC = "albedo-traffic"
PING_PORT, VOIP_PORT, WEB_PORT = 5005, 5006, 5003
FOREGROUND = {"cubic": 5001, "bbr": 5002}
RIVALS = {"cubic": 5011, "bbr": 5012}
LEND_PORT = 5013
NGINX_PORT = 5014
PING_HZ, PING_BYTES, VOIP_BYTES = 50, 48, 172
WEB_SIZES, THINK_MS = (30_000, 300_000, 2_000_000), 1000
COMPARED = ["albedo", "curl-cubic", "curl-bbr", "curl-cap", "ledbat"]
BULKS = (*COMPARED, "foreign")
FOREIGN_BYTES = 256 << 20
CAP_SHARE = 0.5  # of the link: what an administrator might allow by hand
ENDLESS = 10 ** 12
PEOPLE, PAGE_EVERY_S, OFFICE_SEED = 40, 60, 20
LAST_PAGES_S = 10  # nobody opens a page that late in a phase


class TrafficError(RuntimeError):
    """The traffic did not do what the scenario needs; the figures would mean nothing."""


def program():
    built = Path(os.environ.get("ALB_BIN_DIR", ROOT / "build/release/bin"), TRAFFIC)
    found = str(built) if built.exists() else shutil.which(TRAFFIC)
    if found is None:
        raise TrafficError(f"{TRAFFIC} not found; build it, or set ALB_BIN_DIR")
    return found


class Traffic:
    """All that is started in one run; files of samples go to `out`."""

    def __init__(self, place, bulk, out):
        self.place, self.bulk, self.out = place, bulk, out
        self.ground = place.ground
        self.tool = program()
        self.running = {}  # kind: (daemons or commands)

    # ---- servers and meters, for the whole run ----

    def serve(self):
        hub = self.ground.hub
        for name, port in [*FOREGROUND.items(), *RIVALS.items()]:
            self._daemon(hub, f"serve-{port}", "serve", port, name).wait_line("^ready")
        self._daemon(hub, "serve-web", "serve", WEB_PORT, "cubic").wait_line("^ready")
        self._daemon(hub, "lend", "lend", LEND_PORT).wait_line("^ready")
        if self.bulk == "foreign":
            self._serve_nginx(hub)
        for port in (PING_PORT, VOIP_PORT):
            self._daemon(hub, f"echo-{port}", "echo", port).wait_line("^ready")

    def _serve_nginx(self, hub):
        """A server that is not ours, for our law: bench_scavenge asks it."""
        folder = self.place.folder
        (folder / "large").write_bytes(os.urandom(1 << 20) * (FOREIGN_BYTES >> 20))
        words = nginx_set_up(folder, f"{NGINX_PORT} http2")
        hub.daemon(words, self.out / "nginx.log")
        wait_until(lambda: nginx_is_up(folder), 10, "nginx to start; packaging/deps test has it")

    def measure(self, seconds):
        """The tap at the branch's end of the link, and the ping."""
        kinds = [f"{kind}=0:{port}" for kind, port in self._ports()]
        tap = self._daemon(self.ground.meter_at, "tap", "tap", "wan0", *kinds)
        tap.wait_line("^bin_us")
        ping = self._daemon(self.ground.desk, "ping", "ping", self.ground.hub.addr, PING_PORT,
                            PING_HZ, int(seconds) + 1, PING_BYTES)
        self.meters = [tap, ping]
        if self.place.row.meter == "lan":
            self.meters += [self._shares()]

    def _ports(self):
        yield "bulk", TREE_PORT
        for port in [*RIVALS.values(), LEND_PORT, NGINX_PORT]:
            yield "bulk", port
        for port in [*FOREGROUND.values(), WEB_PORT, VOIP_PORT]:
            yield "fg", port
        yield "ping", PING_PORT

    def _shares(self):
        """What each endpoint gets, on the LAN."""
        kinds = [f"endpoint{n}={host.addr}:0" for n, host in enumerate(self.ground.endpoints)]
        tap = self._daemon(self.ground.meter_at, "tap-lan", "tap", self.ground.shares_at, *kinds)
        tap.wait_line("^bin_us")
        return tap

    def stop_measuring(self):
        for meter in self.meters:
            meter.stop()

    # ---- by phase ----

    def begin(self, kind, seconds):
        """Start `kind` for `seconds`; it ends by itself or by end()."""
        number = sum(1 for path in self.out.glob(f"{kind}-*.csv"))
        self.running[kind] = self._start(kind, f"{kind}-{number}", int(seconds))

    def _start(self, kind, name, seconds):
        hub, desk = self.ground.hub.addr, self.ground.desk
        if kind == "bulk":
            return self._start_bulk(seconds)
        if kind in FOREGROUND:
            return [self._daemon(desk, name, "fetch", hub, FOREGROUND[kind], seconds)]
        if kind == "upload-cubic":
            return [self._daemon(desk, name, "push", hub, FOREGROUND["cubic"], seconds, "cubic")]
        if kind == "web":
            return [self._daemon(desk, name, "web", hub, WEB_PORT, seconds, THINK_MS, *WEB_SIZES)]
        if kind == "voip":
            return [self._daemon(desk, name, "ping", hub, VOIP_PORT, 50, seconds, VOIP_BYTES)]
        if kind == "pages":
            return [self._daemon(desk, name, "pages", hub, WEB_PORT, seconds - LAST_PAGES_S,
                                 PEOPLE, PAGE_EVERY_S, OFFICE_SEED)]
        if kind == "updates":
            return [Updates(self, seconds)]
        raise TrafficError(f"there is no traffic of kind '{kind}'")

    def _start_bulk(self, seconds):
        hosts = self.ground.endpoints
        if self.bulk == "albedo":
            return [self.pull(member, n) for n, member in enumerate(self.place.site.endpoints)]
        return [self.rival(host, n, seconds + 5, ENDLESS) for n, host in enumerate(hosts)]

    def pull(self, member, number):
        return member.start("pull", self.place.layer(number), self.place.folder / f"target{number}")

    def rival(self, host, number, seconds, size):
        """One of the others in our place: `size` bytes, or until it is ended."""
        hub = self.ground.hub.addr
        if self.bulk == "ledbat":
            return self._daemon(host, f"bulk-{number}", "ledbat", hub, LEND_PORT, seconds, size)
        if self.bulk == "foreign":
            tool = Path(self.tool).parents[1] / "tests/bench_scavenge"
            words = [tool, hub, NGINX_PORT, "/large", seconds]
            return host.daemon(words, self.out / f"bulk-{number}.log")
        words = ["curl", "-sS", "-o", "/dev/null"]
        if self.bulk == "curl-cap":
            words += ["--limit-rate", f"{self.place.row.rate * CAP_SHARE / 8:.0f}"]
        port = RIVALS["bbr" if self.bulk == "curl-bbr" else "cubic"]
        words += [f"http://{hub}:{port}/{size}"]
        return host.daemon(words, self.out / f"bulk-{number}.log")

    def update(self, number, seconds):
        """One piece of the day's updates."""
        if self.bulk == "albedo":
            return self.pull(self.place.site.endpoints[0], number)
        host = self.ground.endpoints[0]
        return self.rival(host, number, seconds, self.place.row.updates["bytes"])

    def end(self, kind):
        """What has not ended by itself is ended; bulk that has was too little, or broke off."""
        for daemon in self.running.pop(kind):
            if kind == "updates":
                daemon.end()
            elif kind == "bulk":
                self._end_bulk(daemon)
            elif daemon.stop() != 0:
                raise TrafficError(f"{kind} failed: {daemon.log_text()}")

    def _end_bulk(self, command):
        daemon = getattr(command, "daemon", command)
        if not daemon.is_running():
            raise TrafficError(f"the bulk ended before its phase did: {daemon.log_text()[-600:]}")
        daemon.kill()

    def end_all(self):
        for kind in list(self.running):
            self.end(kind)

    def _daemon(self, host, name, *words):
        path = self.out / f"{name}.csv"
        path.unlink(missing_ok=True)
        return host.daemon([self.tool, *words], path)


class Why:
    """Asks the reflector again and again what it allows and why: `why.txt` among the samples is for
    people, `law.csv` has what the law takes for the empty line's round trip."""

    def __init__(self, place, folder, every_s):
        self.member, self.folder, self.every_s = place.site.endpoints[0], folder, every_s
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        began = time.monotonic()
        with open(self.folder / "why.txt", "w", encoding="utf-8") as text, \
                open(self.folder / "law.csv", "w", encoding="ascii") as table:
            table.write("at_us,base_us\n")
            while not self.ended.wait(self.every_s):
                at = time.monotonic()
                done = self.member.albedo("explain", "rate", code=None)
                down = done.document().get("line", {}).get("down", {}) if done.code == 0 else {}
                law = down.get("law", {})
                said = [law.get("text") or done.err.strip(),
                        f"allowed {down.get('limit_bps', '-')}",
                        f"policy {down.get('policy', {}).get('text', '-')}"]
                text.write(f"{at - began:6.1f} s  {'; '.join(said)}\n")
                if law.get("base_rtt_ms"):
                    table.write(f"{at * 1e6:.0f},{law['base_rtt_ms'] * 1e3:.0f}\n")

    def stop(self):
        self.ended.set()
        self.thread.join()


class Updates:
    """Pieces of bulk that begin evenly over the time, each whenever its moment comes."""

    def __init__(self, traffic, seconds):
        self.traffic, self.seconds = traffic, seconds
        self.count = traffic.place.row.updates["count"]
        self.commands = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        for number in range(self.count):
            self.commands.append(self.traffic.update(number, self.seconds))
            if self.ended.wait(self.seconds / self.count):
                return

    def end(self):
        """Those that are not done say so in the figures: fewer bytes."""
        self.ended.set()
        self.thread.join()
        for command in self.commands:
            daemon = getattr(command, "daemon", command)
            if daemon.is_running():
                daemon.kill()
            elif daemon.process.returncode != 0:
                raise TrafficError(f"an update failed: {daemon.log_text()[-600:]}")
