# SPDX-License-Identifier: Apache-2.0
# tests/bench/benchkit.py – what benches share: programs timed, daemons on loopback, rows, a table.
"""A bench is an executable here: tests/bench/NAME [TREE…] [--repeat N] [--json FILE] [--bin DIR].

Its last lines are

    if __name__ == "__main__":
        kit.main(__doc__, measure, trees=2)

where measure(typed) returns a list of Row: typed.trees (pathlib.Paths), typed.repeat, typed.folder
(a scratch folder, removed at the end). Measure ours and the peer in turn, in one run: seconds are
noisy where others work too, ratios less so. A peer that is not installed is left out with
missing(); it is not an error.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from albtest.site import free_port  # noqa: E402

BIN = ROOT / "build" / "release" / "bin"  # kit.main() changes it when --bin says so


# ---- programs ------------------------------------------------------------------------------------


def sh(*words, **more):
    """Run to its end; its standard output. Says what it said when it fails."""
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, **more)
    if done.returncode != 0:
        give_up(words, done.returncode, done.stderr)
    return done.stdout


def give_up(words, code, said):
    raise SystemExit(f"{' '.join(str(w) for w in words)}: exit {code}: {said.strip()}")


@dataclasses.dataclass
class Ran:
    """One program's run: seconds of wall and CPU (its children's too), peak RSS in bytes."""

    text: str
    wall: float
    cpu: float
    rss: int


def run(*words, **more):
    """Run to its end, measured by what the kernel accounted to it."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.monotonic()
        child = subprocess.Popen([str(w) for w in words], stdout=out, stderr=err, **more)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            give_up(words, child.returncode, err.read())
        return Ran(out.read(), wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def cpu_of(pid):
    """CPU seconds a living process has used, all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid, which):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no {which} of process {pid}")


def rss(pid):
    """Resident bytes of a living process now."""
    return resident(pid, "VmRSS")


def rss_peak(pid):
    """Most resident bytes it ever had."""
    return resident(pid, "VmHWM")


def size_of(folder):
    """Sum of file sizes beneath."""
    return sum(f.lstat().st_size for f in pathlib.Path(folder).rglob("*") if f.is_file())


def missing(*tools):
    """Those that are not installed; what goes without them is left out, and said."""
    return [t for t in tools if shutil.which(t) is None]


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def warm(tree):
    """Read every file once, so that whoever comes first does not pay for the disk."""
    sh("bash", "-c", 'find "$0" -xdev -type f -print0 | xargs -0 cat >/dev/null', tree)


# ---- ours, on loopback ---------------------------------------------------------------------------


class Tree:
    """A hub, a reflector and an endpoint on loopback, in `folder`.

    States `admin` and `end`; all at site `bench`.
    """

    def __init__(self, folder, with_reflector=True):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.daemons = []
        self.hub_port, self.reflector_port = free_port(), free_port()
        self.hub_url = f"https://127.0.0.1:{self.hub_port}"
        self.reflector_url = f"https://127.0.0.1:{self.reflector_port}"
        out = sh(BIN / "albedo-hub", "init", "--data", self.dir / "hub", "--org", "bench",
                 "--listen", f"127.0.0.1:{self.hub_port}",
                 "--admin-listen", f"127.0.0.1:{free_port()}")
        self.hub = self.start("albedo-hub", "hub/hub.conf", self.hub_port)
        self.albedo("admin", "join", "--hub", self.hub_url, "--token", out.split()[-1])
        self.albedo("admin", "trust", "init")
        self.reflector = None
        if with_reflector:
            self.add_reflector()

    def token(self, role):
        words = ("admin", "token", "create", "--role", role, "--site", "bench")
        return self.albedo(*words).split()[-1]

    def add_reflector(self):
        sh(BIN / "albedo-reflector", "init", "--data", self.dir / "box", "--hub", self.hub_url,
           "--token", self.token("reflector"), "--listen", f"127.0.0.1:{self.reflector_port}")
        self.reflector = self.start("albedo-reflector", "box/reflector.conf", self.reflector_port)
        self.add_endpoint("end")

    def add_endpoint(self, state):
        self.albedo(state, "join", "--hub", self.hub_url, "--token", self.token("endpoint"),
                    "--upstream", self.reflector_url)

    def start(self, program, config, port, before=()):
        """`before`: words in front of the program, such as taskset -c 0."""
        log = open(self.dir / f"{program}.log", "a")
        daemon = subprocess.Popen([*before, BIN / program, "serve", "--config", self.dir / config],
                                  stdout=log, stderr=log)
        self.daemons.append(daemon)
        wait_for(daemon, port, log.name)
        return daemon

    def words(self, state, *words):
        return [BIN / "albedo", *words, "--state", self.dir / state]

    def albedo(self, state, *words):
        return sh(*self.words(state, *words))

    def run(self, state, *words):
        return run(*self.words(state, *words))

    def stop(self):
        for daemon in self.daemons:
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
        self.daemons = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait_for(daemon, port, log):
    """Until the process listens there."""
    deadline = time.monotonic() + 20
    while not answers(port):
        if time.monotonic() > deadline or daemon.poll() is not None:
            raise SystemExit(f"{daemon.args[0]} did not start: see {log}")
        time.sleep(0.05)


# ---- rows ----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Row:
    """One line of the table. `met` is None where there is no bar: then it is told, not judged."""

    what: str
    ours: float
    peer: float | None  # the same measure of whom `what` names
    unit: str
    ratio: float | None  # ours / peer
    bar: str  # "<= 0.50 x", ">= 0.80 x", "<= 256 MiB", or ""
    met: bool | None


def row(what, ours, unit, peer=None, at_most=None, at_least=None):
    """A row judged by its ratio where there is a peer, by its own figure where there is none."""
    ratio = None if peer is None else ours / peer
    judged, by = (ours, unit) if peer is None else (ratio, "x")
    bar, met = "", None
    if at_most is not None:
        bar, met = f"<= {at_most:g} {by}", judged <= at_most
    elif at_least is not None:
        bar, met = f">= {at_least:g} {by}", judged >= at_least
    return Row(what, ours, peer, unit, ratio, bar, met)


def figure(value, unit):
    if value is None:
        return ""
    return f"{value:.0f} {unit}" if abs(value) >= 1000 else f"{value:.3g} {unit}"


def print_table(rows, out=sys.stdout):
    said = [("what", "ours", "peer", "ratio", "bar", "")]
    for r in rows:
        said.append((r.what, figure(r.ours, r.unit), figure(r.peer, r.unit),
                     "" if r.ratio is None else f"{r.ratio:.3f}", r.bar,
                     "" if r.met is None else "met" if r.met else "MISSED"))
    widths = [max(len(line[i]) for line in said) for i in range(6)]
    for line in said:
        cells = [text.ljust(w) if i in (0, 4, 5) else text.rjust(w)
                 for i, (text, w) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip(), file=out)


def write_json(path, rows):
    told = json.dumps([dataclasses.asdict(r) for r in rows], indent=1)
    pathlib.Path(path).write_text(told + "\n")


def read_json(path):
    return [Row(**r) for r in json.loads(pathlib.Path(path).read_text())]


# ---- main ----------------------------------------------------------------------------------------


def build_release():
    """build/release of this checkout, as it is now."""
    sh("cmake", "--preset", "release", cwd=ROOT)
    sh("cmake", "--build", "--preset", "release", cwd=ROOT)


def main(doc, measure, trees=0, repeat=3, sizes=None):
    """`sizes`: {"sessions": 2000} is an option --sessions N, and typed.sessions."""
    global BIN
    ask = argparse.ArgumentParser(usage=doc.replace("%", "%%"))
    if trees:
        ask.add_argument("trees", nargs="*", type=pathlib.Path, metavar="TREE")
    ask.add_argument("--repeat", type=int, default=repeat, help="runs of each; the best counts")
    ask.add_argument("--json", metavar="FILE", help="write the rows there too")
    ask.add_argument("--bin", type=pathlib.Path,
                     help="programs to measure (default: builds build/release)")
    for word, size in (sizes or {}).items():
        ask.add_argument(f"--{word}", type=int, default=size)
    typed = ask.parse_args()
    given = typed.trees if trees else []
    if len(given) > trees or (trees and not given):
        ask.error(f"give {'one to ' if trees > 1 else ''}{trees} TREE")
    typed.trees = [t.resolve() for t in given]
    if typed.bin is None:
        build_release()
    else:
        BIN = typed.bin.resolve()
    (ROOT / "build").mkdir(exist_ok=True)
    typed.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / "build"))
    try:
        rows = measure(typed)
    finally:
        shutil.rmtree(typed.folder, ignore_errors=True)
    print_table(rows)
    if typed.json:
        write_json(typed.json, rows)
