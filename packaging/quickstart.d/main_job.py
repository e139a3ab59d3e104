# SPDX-License-Identifier: Apache-2.0
# quickstart.d/main_job.py – the main job with real processes, and the numbers that prove it.
#
#     hub → WAN → reflector → three endpoints: publish, pull, publish a change, update, compare
#
# The laboratory (network namespaces, link emulator), the recipe of the change and the comparer are
# those of the end-to-end tests, tests/e2e/albtest. guard.py says where it all happens, and leaves
# nothing behind.
# With ALB_BIN_DIR set nothing is built. QUICKSTART_LOOPBACK=1 asks for loopback ports.

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from albtest import mutate, subset, tree  # noqa: E402
from albtest.netns import Lab, LabError  # noqa: E402
from albtest.procs import wait_until  # noqa: E402
from albtest.site import Site  # noqa: E402
from guard import guarded  # noqa: E402
from programs import BuildFailed, build  # noqa: E402
from table import Step, print_table, size  # noqa: E402

BASE = ROOT / "build/quickstart"
LAYER = "base/quickstart"
ENDPOINTS = 3
DELAY = "40ms"
PULL_S = 3600
SPACE_PER_BYTE = 7  # two trees, three targets, hub and reflector; staging shares with the targets
SHOWN = 20


class Failure(Exception):
    """The run cannot go on; the text says why to a newcomer."""


def say(text=""):
    print(text, flush=True)


# ---- what is typed ----

def arguments():
    parser = argparse.ArgumentParser(prog="packaging/quickstart")
    parser.add_argument("tree", nargs="?", metavar="TREE",
                        help="the tree to publish (default: up to 300 MB of /usr)")
    parser.add_argument("--wan", default="40mbit", metavar="RATE",
                        help="the emulated WAN's speed, such as 8mbit (default 40mbit)")
    args = parser.parse_args()
    if not re.fullmatch(r"[0-9.]+[kmg]bit", args.wan):
        parser.error(f"--wan {args.wan}: say it like 8mbit or 512kbit")
    if args.tree is not None:
        args.tree = Path(args.tree).resolve()
        if not args.tree.is_dir():
            parser.error(f"TREE {args.tree}: it is not a directory")
        if args.tree == Path("/") or BASE.is_relative_to(args.tree):
            parser.error(f"TREE {args.tree}: this checkout lies inside it; choose another")
    return args


# ---- where it runs ----

def open_lab(stack, rate):
    """A laboratory, or None after saying why there is none."""
    usable, reason = Lab.available()
    if os.environ.get("QUICKSTART_LOOPBACK") == "1":
        usable, reason = False, "as asked for"
    if usable:
        try:
            lab = stack.enter_context(Lab(endpoints=ENDPOINTS, rate=rate, delay=DELAY))
            say("     each in its own network namespace:")
            say(f"       hub ══ WAN, {rate}, {DELAY} each way ══ reflector ── "
                f"{ENDPOINTS} endpoints")
            return lab
        except LabError as error:
            reason = str(error)
    say(f"     all on loopback ports: link not shaped ({reason})")
    return None


class Wan:
    """What crossed the WAN so far, in bytes from hub to branch."""

    def __init__(self, site):
        self.site = site

    def wire(self):
        """IP bytes by the interface's own counter; None where there is no link."""
        return self.site.lab.link.bytes()["down"] if self.site.lab else None


# ---- the steps ----

def trees(folder, given):
    """(version 1, version 2) on disk."""
    first, second = given or folder / "v1", folder / "v2"
    if given is None:
        say("     copying part of this machine's /usr: up to 300 MB, 15,000 files")
        subset.subset(first)
    need = SPACE_PER_BYTE * weight(first)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise Failure(f"{folder} has {size(free)} free, and this run needs about {size(need)}; "
                      "make room, or name a smaller TREE")
    say("     changing a copy of it: renames, appends, patches, modes, deletes, new files")
    mutate.mutate(first, second)
    return first, second


def weight(top):
    total = 0
    for path, _, names in os.walk(top):
        total += sum(os.lstat(os.path.join(path, name)).st_size for name in names)
    return total


def publish(site, source, given):
    say(f"     publishing it at the hub as {LAYER}")
    devices = ["--devices"] if given and os.geteuid() == 0 else []
    done = site.admin.albedo("publish", LAYER, source, *devices, code=None, timeout=PULL_S)
    if done.code != 0:
        raise Failure(f"publishing {source} failed:\n{done.err.strip()}")
    event = done.event("published")
    say(f"       {LAYER}@{event['version']}: {event['entries']} entries, "
        f"{size(event['content_bytes'])}; {size(event['sent_bytes'])} of it were new to the hub")


def show_progress(runs, begun):
    """One line, redrawn on a terminal, else told now and then; true once all have ended."""
    events = [run.last_event() or {} for run in runs]
    branch = sum(event.get("branch_bytes", event.get("fetched_bytes", 0)) for event in events)
    text = f"       {time.monotonic() - begun:4.0f} s  {size(branch)} received by the endpoints"
    is_over = not any(run.daemon.is_running() for run in runs)
    if sys.stderr.isatty():
        print(f"\r{text}\033[K" if not is_over else "\r\033[K", end="", file=sys.stderr, flush=True)
    elif int(time.monotonic() - begun) // 15 > show_progress.told:
        show_progress.told = int(time.monotonic() - begun) // 15
        say(text)
    return is_over


def pull(site, folder, name):
    """All three at once; a Step with all the figures."""
    say(f"     pulling it on {ENDPOINTS} endpoints at once")
    wan = Wan(site)
    before, wire = site.reflector_status(), wan.wire()
    begun = time.monotonic()
    show_progress.told = 0
    runs = [endpoint.start("pull", LAYER, folder / endpoint.name) for endpoint in site.endpoints]
    wait_until(lambda: show_progress(runs, begun), PULL_S, "the endpoints to finish")
    seconds = time.monotonic() - begun
    wire = wan.wire() - wire if site.lab else None
    pulled = []
    for endpoint, run in zip(site.endpoints, runs):
        done = run.wait()
        if done.code != 0:
            raise Failure(f"the pull of {endpoint.name} ended with {done.code}:\n"
                          f"{done.err.strip()}")
        pulled.append(done.event("pulled"))
    return Step(name, seconds, wire, before, site.reflector_status(), pulled)


def judged(top, as_root):
    """What the independent comparer says of a tree, without what only root can set."""
    described = tree.describe(top)
    for entry in described.values() if not as_root else ():
        entry.uid = entry.gid = 0
        entry.mode &= 0o1777  # nor set-user-ID for another user
        entry.xattrs = {key: value for key, value in entry.xattrs.items()
                        if key.startswith("user.")}
    return described


def compare(site, source, folder):
    as_root = os.geteuid() == 0
    wanted = judged(source, as_root)
    for endpoint in site.endpoints:
        found = judged(folder / endpoint.name, as_root)
        differences = tree.compare_described(wanted, found, skip_root=True)
        if differences:
            lines = "\n".join(differences[:SHOWN])
            raise Failure(f"{endpoint.name} differs from {source} in {len(differences)} places:\n"
                          f"{lines}")
    files = sum(entry.type == "file" for entry in wanted.values())
    owners = "" if as_root else ", but for owners: those need root"
    say(f"     compared by an independent tool: {files} files × {ENDPOINTS} endpoints, every byte "
        f"and all metadata the same{owners}")


def main_job(folder, args):
    begun = time.monotonic()
    with ExitStack() as stack:
        lab = open_lab(stack, args.wan)
        site = stack.enter_context(Site(folder, endpoints=ENDPOINTS, lab=lab))
        first, second = trees(folder, args.tree)
        say("     starting a hub, a reflector and three endpoints, each joining by a token")
        site.start()
        targets = folder / "targets"
        targets.mkdir()
        steps = []
        for name, source in (("first install", first), ("update", second)):
            publish(site, source, args.tree)
            steps.append(pull(site, targets, name))
            compare(site, source, targets)
    say()
    print_table(steps, args.wan if lab else None)
    say(f"\nThe main job took {time.monotonic() - begun:.0f} s.")


def job(folder, args):
    """The exit code; what is expected to fail is told without a traceback."""
    try:
        if "ALB_BIN_DIR" not in os.environ:  # the tests have built them
            say("2/3  building the programs into build/release")
            os.environ["ALB_BIN_DIR"] = str(build(ROOT, BASE / "build.log"))
        say("3/3  the main job, with real processes")
        main_job(folder, args)
    except (Failure, BuildFailed, AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"\npackaging/quickstart: {error}", file=sys.stderr)
        return 1
    return 0


def main():
    args = arguments()
    return guarded(lambda folder: job(folder, args), BASE)


if __name__ == "__main__":
    sys.exit(main())
