# SPDX-License-Identifier: Apache-2.0
# albtest/site.py – a whole small organisation of real programs: hub, admin, reflector, endpoints.
#
#     with Site(folder, endpoints=3) as site:                 all on loopback ports
#     with Lab(endpoints=3) as lab, Site(folder, lab=lab) as site:    each in its own namespace
#         site.start()                        hub, first admin, trust, reflector, endpoints joined
#         site.admin.albedo("publish", "base/os", tree)
#         done = site.endpoints[0].albedo("pull", "base/os", target)
#         done.event("pulled")["fetched_bytes"]
#         site.hub.kill(); site.hub.start(); site.reflector.status()
#
# Programs are looked for in ALB_BIN_DIR. Every command is run with --json. Everything started is
# killed on leaving the block; files stay in `folder`, which is the caller's.

import itertools
import json
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from albtest.procs import Daemon, DaemonError, wait_until

TREE_PORT = 7443
ADMIN_PORT = 7444
COMMAND_S = 120
TOKEN = re.compile(r"^alb1\.\S+$", re.MULTILINE)


class CommandError(AssertionError):
    """A command ended with another exit code than expected; the message has all it said."""


def program(name):
    """The path of one of the programs: in ALB_BIN_DIR, or in PATH."""
    built = Path(os.environ.get("ALB_BIN_DIR", "/nonexistent"), name)
    found = str(built) if built.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name} not found; set ALB_BIN_DIR to the build's bin directory")
    return found


# Below those that the kernel gives out by itself, and elsewhere for each process: a port that is
# free now must still be free when a daemon listens on it, and when it is started again.
_ports = itertools.cycle(range(12000, 32000))
for _ in range(os.getpid() * 61 % 20000):
    next(_ports)


def free_port(addr="127.0.0.1"):
    for port in itertools.islice(_ports, 20000):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((addr, port))
            except OSError:
                continue
            return port
    raise OSError("no port from 12000 to 32000 is free")


class LocalHost:
    """This machine, with the face of a laboratory's host."""
    addr = "127.0.0.1"

    def __init__(self):
        self.daemons = []

    def daemon(self, argv, log, env=None, cwd=None):
        daemon = Daemon(argv, log, env=env, cwd=cwd)
        self.daemons.append(daemon)
        return daemon


class Done:
    """A command that has ended: exit code, standard output, standard error."""

    def __init__(self, argv, code, out, err):
        self.argv, self.code, self.out, self.err = argv, code, out, err

    def documents(self):
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    def document(self):
        """The last one; commands that answer with one document have just that."""
        return self.documents()[-1]

    def event(self, name):
        for document in self.documents():
            if document.get("event") == name:
                return document
        raise CommandError(f"no event {name!r} in\n{self}")

    def errors(self):
        return [document for document in self.documents() if document.get("event") == "error"]

    def token(self):
        """The token on a line of its own."""
        return TOKEN.search(self.out)[0]

    def __str__(self):
        words = " ".join(map(str, self.argv))
        return f"{words}\nexit code {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


class Running:
    """A command under way; wait() for what became of it."""

    def __init__(self, host, argv, out, err, env):
        self.argv, self._out, self._err = argv, out, err
        # A shell parts the two streams; exec leaves the command with the shell's process id.
        self.daemon = host.daemon(
            ["sh", "-c", 'exec 2>"$0"; exec "$@"', err, *map(str, argv)], log=out, env=env)

    def output(self):
        return self._out.read_text(errors="replace") if self._out.exists() else ""

    def errors(self):
        """What it has said on standard error so far; the shell may not have made the file yet."""
        return self._err.read_text(errors="replace") if self._err.exists() else ""

    def last_event(self):
        """The newest JSON document on standard output so far, or None."""
        lines = [line for line in self.output().split("\n")[:-1] if line.startswith("{")]
        return json.loads(lines[-1]) if lines else None

    def wait(self, timeout=COMMAND_S):
        try:
            code = self.daemon.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            err = self._err.read_text(errors="replace")
            raise DaemonError(f"{' '.join(map(str, self.argv))}: still running after {timeout} s\n"
                              f"{self.output()}{err}") from None
        err = self._err.read_text(errors="replace") if self._err.exists() else ""
        return Done(self.argv, code, self.output(), err)

    def kill(self):
        self.daemon.kill()


class Member:
    """Someone with a state directory of their own: an admin, a publisher, an endpoint."""

    def __init__(self, site, name, host):
        self.site, self.name, self.host = site, name, host
        self.state = site.folder / "state" / name

    def start(self, *words, env=None, plain=False):
        """Run `albedo WORDS --state … --json` in the background; `plain` leaves --json out."""
        argv = [program("albedo"), *words, "--state", self.state]
        return self.site.run_on(self.host, argv + ([] if plain else ["--json"]), self.name, env)

    def albedo(self, *words, code=0, timeout=COMMAND_S, env=None, plain=False):
        """Run it to its end; any other exit code than `code` (None: any) is an error."""
        done = self.start(*words, env=env, plain=plain).wait(timeout)
        if code is not None and done.code != code:
            raise CommandError(f"expected exit code {code}:\n{done}")
        return done


class Box:
    """A daemon with a directory of its own, that can be killed and started again."""

    def __init__(self, site, name, host, port):
        self.site, self.name, self.host, self.port = site, name, host, port
        self.data = site.folder / name
        self.log = site.logs / f"{name}.log"
        self.daemon = None

    @property
    def url(self):
        return f"https://{self.host.addr}:{self.port}"

    def start(self, env=None):
        argv = [program(self.program), "serve", "--config", self.data / f"{self.kind}.conf"]
        self.daemon = self.host.daemon(argv, log=self.log, env=env)
        self.daemon.wait_line(rf"event={self.kind}\.ready", timeout=20)

    def init(self, *words):
        """`PROGRAM init --data … WORDS`, to its end."""
        argv = [program(self.program), "init", "--data", self.data, *words]
        done = self.site.run_on(self.host, argv, self.name).wait()
        if done.code != 0:
            raise CommandError(str(done))
        return done

    def stop(self):
        code = self.daemon.stop()
        if code != 0:
            raise CommandError(f"{self.name} stopped with {code}; see {self.log}")

    def configure(self, *lines):
        """Restart it with these lines at the end of its configuration."""
        self.stop()
        with open(self.data / f"{self.kind}.conf", "a", encoding="utf-8") as conf:
            conf.write("".join(f"{line}\n" for line in lines))
        self.start()

    def kill(self):
        self.daemon.kill()

    def frozen(self):
        return self.daemon.frozen()


class Hub(Box):
    kind, program = "hub", "albedo-hub"


class Reflector(Box):
    kind, program = "reflector", "albedo-reflector"


class Site:
    """See the top of the file."""

    def __init__(self, folder, endpoints=3, lab=None):
        self.folder = Path(folder)
        self.logs = self.folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        (self.folder / "state").mkdir(exist_ok=True)
        self.lab = lab
        self.local = LocalHost()
        self._runs = 0
        hub_host = lab.hub if lab else self.local
        self.hub = Hub(self, "hub", hub_host, self._port())
        self.admin = Member(self, "admin", hub_host)
        self.reflector = Reflector(self, "reflector", lab.reflector if lab else self.local,
                                   self._port())
        hosts = lab.endpoints if lab else [self.local] * endpoints
        self.endpoints = [Member(self, f"endpoint{n}", host) for n, host in enumerate(hosts)]

    def _port(self):
        return TREE_PORT if self.lab else free_port()

    def run_on(self, host, argv, name, env=None):
        self._runs += 1
        stem = self.logs / f"{self._runs:03d}-{name}"
        return Running(host, argv, stem.with_suffix(".out"), stem.with_suffix(".err"), env)

    # ---- setting up ----

    def start(self):
        """Everything up to endpoints that may pull."""
        self.start_hub()
        self.admin.albedo("trust", "init")
        self.start_reflector(self.reflector)
        token = self.token("endpoint", "--site", "branch", "--uses", str(len(self.endpoints)))
        for endpoint in self.endpoints:
            self.join(endpoint, token, upstream=self.reflector)

    def start_hub(self):
        """A hub and its first admin, without trust yet."""
        self.admin_port = ADMIN_PORT if self.lab else free_port()
        any_or_own = "0.0.0.0" if self.lab else "127.0.0.1"
        done = self.hub.init("--listen", f"{any_or_own}:{self.hub.port}",
                             "--admin-listen", f"127.0.0.1:{self.admin_port}")
        self.hub.start()
        self.join(self.admin, done.token())

    def start_reflector(self, box, parent=None):
        any_or_own = "0.0.0.0" if self.lab else "127.0.0.1"
        words = ["--hub", self.hub.url, "--token", self.token("reflector", "--site", "branch"),
                 "--listen", f"{any_or_own}:{box.port}", "--name", box.name]
        box.init(*words, *(["--parent", parent.url] if parent else []))
        box.start()

    def new_reflector(self, name, parent):
        """One more, behind `parent`; started."""
        box = Reflector(self, name, self.reflector.host, free_port())
        self.start_reflector(box, parent)
        return box

    def new_member(self, name, host=None):
        return Member(self, name, host or self.hub.host)

    def token(self, role, *words):
        done = self.admin.albedo("token", "create", "--role", role, *words, plain=True)
        return done.token()

    def join(self, member, token, upstream=None, code=0):
        words = ["--upstream", upstream.url] if upstream else []
        return member.albedo("join", "--hub", self.hub.url, "--token", token, *words, code=code)

    # ---- looking ----

    def reflector_status(self, member=None):
        """The reflector's own figures, once everything it received is on its disk."""
        def settled():
            status = (member or self.endpoints[0]).albedo("status").document()["parent"]
            return status if status["queue"]["to_store_bytes"] == 0 else None
        return wait_until(settled, 20, "the reflector to store what it received")

    def root(self):
        """Of the newest version of the first layer."""
        return self.admin.albedo("layers").document()["layers"][0]["versions"][-1]["root"]

    def restart_hub(self):
        """After site.hub.stop() or kill(); on return the reflector is connected again."""
        self.hub.start()
        wait_until(lambda: self.reflector_status()["parent"]["up"], 30,
                   "the reflector to find its hub again")

    def close(self):
        hosts = [self.local, *(self.lab.hosts if self.lab else [])]
        for host in hosts:
            for daemon in getattr(host, "daemons", []):
                daemon.kill()
        for box in (self.hub, self.reflector):
            if box.daemon is not None:
                box.daemon.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
