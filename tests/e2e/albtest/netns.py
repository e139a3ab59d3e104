# SPDX-License-Identifier: Apache-2.0
# albtest/netns.py – a data centre, a WAN link and a branch on one machine, in network namespaces.
#
#     usable, reason = Lab.available()
#     with Lab(endpoints=3, rate="10mbit", delay="40ms") as lab:
#         hub = lab.hub.daemon([...], log=tmp / "hub.log")
#         lab.endpoints[0].run([...])
#         lab.link.cut(); lab.link.restore(); lab.link.change(rate_ab="4mbit")
#         lab.link.bytes()            by the interfaces' own counters
#
#     [ hub ] wan0 ══ albedo-linkemu ══ wan0 [ reflector ] lan0 ──┐
#     10.0.0.1                      10.0.0.2          10.1.0.1    bridge in a namespace of its own
#                             [ endpoint 0 ] lan0 10.1.0.11 ──────┤
#                             [ endpoint 1 ] lan0 10.1.0.12 ──────┘
#
# The reflector's host also routes, as a branch's router does, so endpoints reach the hub (over
# the WAN) for enrolment. Names carry this process's id; nothing is made outside the namespaces.
# Everything is removed and every process inside killed on leaving the block, on an exception, on
# SIGINT or SIGTERM and at exit; what a killed test left behind, the next Lab removes.

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from albtest.procs import Daemon, wait_until

PREFIX = "albt"
DIR_PREFIX = "albtest-lab-"  # then the process id, under the temporary directory
NETNS_DIR = Path("/run/netns")
WAN_PREFIX = 30
LAN_PREFIX = 24
LINKEMU = "albedo-linkemu"
LINKEMU_ARGS = ("script", "rate-trace", "queue-trace", "trace-every", "seed", "if-a")  # no file's
_labs = 0  # in this process so far


class LabError(RuntimeError):
    """The laboratory could not be built or used; says what to do."""


def _ip(*words, check=True):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise LabError(f"ip {' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done


def linkemu_path():
    """Where the emulator is: ALBEDO_LINKEMU, ALB_BIN_DIR, or PATH; None if nowhere."""
    named = os.environ.get("ALBEDO_LINKEMU")
    built = Path(os.environ.get("ALB_BIN_DIR", "/nonexistent"), LINKEMU)
    if named:
        return named
    return str(built) if built.exists() else shutil.which(LINKEMU)


def _pids(ns):
    return [int(word) for word in _ip("netns", "pids", ns, check=False).stdout.split()]


def _remove(ns):
    """Kill what runs in namespace `ns`, one of ours, and delete it."""
    def emptied():
        for pid in _pids(ns):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not _pids(ns)
    if (NETNS_DIR / ns).exists():
        wait_until(emptied, 10, f"processes in namespace {ns} to end")
        _ip("netns", "delete", ns, check=False)


def _is_gone(pid):
    return not Path("/proc", pid).exists()


def remove_stale():
    """Remove what killed Labs left: the names hold the id of a process that is gone."""
    found = NETNS_DIR.iterdir() if NETNS_DIR.exists() else ()
    for path in sorted(found):
        match = re.fullmatch(PREFIX + r"(\d+)x\d+-.*", path.name)
        if match and _is_gone(match[1]):
            _remove(path.name)
    for path in Path(tempfile.gettempdir()).glob(f"{DIR_PREFIX}*"):
        match = re.fullmatch(DIR_PREFIX + r"(\d+)-.*", path.name)
        if match and _is_gone(match[1]):
            shutil.rmtree(path, ignore_errors=True)


def _try_everything(ns):
    """Make in a trial namespace one of each thing a Lab is made of; raise LabError if one fails."""
    try:
        _ip("netns", "add", ns)
        _ip("-n", ns, "link", "add", "br0", "type", "bridge")
        _ip("-n", ns, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        if not Path("/dev/net/tun").exists():
            raise LabError("/dev/net/tun is missing (container: --device /dev/net/tun)")
        _ip("-n", ns, "tuntap", "add", "dev", "t0", "mode", "tun")
    finally:
        _remove(ns)


class Host:
    """One machine of the laboratory: a network namespace and its addresses."""

    def __init__(self, lab, name, ns, addr):
        self.lab = lab
        self.name = name
        self.ns = ns
        self.addr = addr  # the one others reach it by; the reflector's is on the LAN

    def run(self, argv, check=True, timeout=60, **options):
        """Run a command to its end on this host; like subprocess.run with captured text."""
        options = {"capture_output": True, "text": True} | options
        argv = ["ip", "netns", "exec", self.ns, *map(str, argv)]
        return subprocess.run(argv, check=check, timeout=timeout, **options)

    def daemon(self, argv, log, env=None, cwd=None):
        """Start a Daemon on this host. It is killed with the laboratory at the latest."""
        daemon = Daemon(argv, log, ns=self.ns, env=env, cwd=cwd)
        self.lab.daemons.append(daemon)
        return daemon

    def counters(self, interface):
        """rx_ and tx_ bytes, packets and dropped of an interface, as the kernel counts them."""
        kinds = ("bytes", "packets", "dropped")
        names = [f"{way}_{kind}" for way in ("rx", "tx") for kind in kinds]
        # exec gives each namespace its own /sys
        files = [f"/sys/class/net/{interface}/statistics/{name}" for name in names]
        values = self.run(["cat", *files]).stdout.split()
        return dict(zip(names, map(int, values)))


class WanLink:
    """The emulated link: a is the hub's side, b the reflector's; ab is downwards."""

    def __init__(self, lab, binary, params):
        self.lab = lab
        self.params = params
        self.is_cut = False
        self.config = lab.dir / "linkemu.conf"
        self.stats_file = lab.dir / "linkemu.json"
        self._write()
        self.daemon = Daemon(
            [binary, "--ns-a", lab.hub.ns, "--ns-b", lab.reflector.ns,
             "--addr-a", f"{lab.hub.addr}/{WAN_PREFIX}",
             "--addr-b", f"{lab.reflector.wan_addr}/{WAN_PREFIX}",
             "--rate-ab", params["rate-ab"], "--rate-ba", params["rate-ba"],
             "--config", self.config, "--stats", self.stats_file, *self._args()],
            log=lab.dir / "linkemu.log")
        lab.daemons.append(self.daemon)
        self.daemon.wait_line(r"event=linkemu\.ready")

    def cut(self):
        """Pull the cable: everything on the link and everything sent from now on is lost."""
        self.is_cut = True
        self._reload()

    def restore(self):
        self.is_cut = False
        self._reload()

    def change(self, **params):
        """New values, such as change(rate_ab="4mbit", loss_ba="0.5%"), in force on return."""
        self.params |= {key.replace("_", "-"): value for key, value in params.items()}
        self._reload()

    def stats(self):
        """The emulator's own figures so far: delivered, dropped and lateness by direction."""
        self._ask(signal.SIGUSR2, r"event=linkemu\.stats")
        return json.loads(self.stats_file.read_text())

    def bytes(self):
        """IP bytes delivered so far over the WAN, by the counters of the receiving interfaces."""
        hub, reflector = self.lab.hub, self.lab.reflector
        return {"down": reflector.counters("wan0")["rx_bytes"],
                "up": hub.counters("wan0")["rx_bytes"]}

    @staticmethod
    def _is_arg(key):
        return key.startswith(LINKEMU_ARGS)

    def _args(self):
        return [word for key, value in self.params.items() if self._is_arg(key)
                for word in (f"--{key}", value)]

    def _write(self):
        lines = [f"{key} {value}\n" for key, value in self.params.items()
                 if not self._is_arg(key)]
        part = self.config.with_suffix(".part")
        part.write_text("".join(lines) + ("down yes\n" if self.is_cut else ""))
        part.replace(self.config)

    def _reload(self):
        self._write()
        answer = self._ask(signal.SIGHUP, r"event=linkemu\.(reloaded|refused.*)")
        if answer[1] != "reloaded":
            raise LabError(f"the emulator refused the change: {answer[1]}")

    def _ask(self, number, pattern):
        seen = len(self.daemon.log_text())
        self.daemon.signal(number)
        return self.daemon.wait_line(pattern, after=seen)


class Lab:
    """A hub and a branch with a reflector and `endpoints` machines, as a context manager."""

    _known = None  # the answer of available(), asked once

    @classmethod
    def available(cls):
        """(True, "") if a Lab can be built here, or (False, why not)."""
        if cls._known is None:
            cls._known = cls._find_out()
        return cls._known

    @classmethod
    def _find_out(cls):
        if os.geteuid() != 0:
            return False, "network namespaces need root"
        for tool in ("ip", "cat"):
            if shutil.which(tool) is None:
                return False, f"the command {tool} is missing (package iproute2)"
        try:
            _try_everything(f"{PREFIX}{os.getpid()}x0-trial")
        except LabError as error:
            return False, f"no network namespaces, bridges or TUN here: {error}"
        return True, ""

    def __init__(self, endpoints=1, rate="10mbit", delay="40ms", queue="150ms", linkemu=None,
                 **link):
        """`rate`, `delay` (one way) and `queue` hold for both directions; single ones can be
        given as rate_ab="2mbit", loss_ba="0.5%" and so on (ab is from hub to branch). All
        options of albedo-linkemu that describe a link, and those of LINKEMU_ARGS."""
        self._count = endpoints
        self._linkemu = linkemu or linkemu_path()
        self._params = {f"{key}-{way}": value for way in ("ab", "ba")
                        for key, value in (("rate", rate), ("delay", delay), ("queue", queue))}
        self._params |= {key.replace("_", "-"): value for key, value in link.items()}
        self._handlers = {}
        self._closing = False
        self.daemons, self.hosts = [], []
        self.dir = None

    def __enter__(self):
        usable, reason = self.available()
        if not usable:
            raise LabError(reason)
        if self._linkemu is None:
            raise LabError(f"{LINKEMU} not found; set ALB_BIN_DIR to the build's bin directory")
        self.dir = Path(tempfile.mkdtemp(prefix=f"{DIR_PREFIX}{os.getpid()}-"))
        atexit.register(self.close)
        self._catch_signals()
        try:
            remove_stale()
            self._number = self._next_number()
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Kill and remove everything. Safe to call again; a signal meanwhile waits its turn."""
        if self._closing:
            return
        self._closing = True
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            for daemon in self.daemons:
                daemon.kill()
            for host in self.hosts:
                _remove(host.ns)
            if self.dir is not None:
                shutil.rmtree(self.dir, ignore_errors=True)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            atexit.unregister(self.close)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def _catch_signals(self):
        """SIGTERM becomes an exception, so that `with` blocks unwind; SIGINT already is one."""
        if threading.current_thread() is not threading.main_thread():
            return
        def leave(number, _frame):
            raise SystemExit(128 + number)
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, leave)

    @staticmethod
    def _next_number():
        global _labs
        _labs += 1
        return _labs

    def _host(self, name, addr):
        host = Host(self, name, f"{PREFIX}{os.getpid()}x{self._number}-{name}", addr)
        self.hosts.append(host)  # before it is made, so that close() knows of it
        _ip("netns", "add", host.ns)
        _ip("-n", host.ns, "link", "set", "lo", "up")
        host.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"], check=False)
        return host

    def _build(self):
        self.hub = self._host("hub", "10.0.0.1")
        self.reflector = self._host("reflector", "10.1.0.1")
        self.reflector.wan_addr = "10.0.0.2"
        self.endpoints = [self._host(f"endpoint{i}", f"10.1.0.{11 + i}")
                          for i in range(self._count)]
        self._build_lan()
        self.link = self._make_link()
        _ip("-n", self.hub.ns, "route", "add", f"10.1.0.0/{LAN_PREFIX}", "via", "10.0.0.2")

    def _make_link(self):
        return WanLink(self, self._linkemu, self._params)

    def _build_lan(self):
        switch = self._host("switch", None)
        _ip("-n", switch.ns, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch.ns, "link", "set", "br0", "up")
        for number, host in enumerate([self.reflector, *self.endpoints]):
            port = f"port{number}"
            _ip("link", "add", "lan0", "netns", host.ns, "type", "veth",
                "peer", "name", port, "netns", switch.ns)
            _ip("-n", switch.ns, "link", "set", port, "master", "br0", "up")
            _ip("-n", host.ns, "addr", "add", f"{host.addr}/{LAN_PREFIX}", "dev", "lan0")
            _ip("-n", host.ns, "link", "set", "lan0", "up")
            if host is not self.reflector:
                _ip("-n", host.ns, "route", "add", "default", "via", self.reflector.addr)
        self.reflector.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
