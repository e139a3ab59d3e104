# SPDX-License-Identifier: Apache-2.0
# quickstart.d/guard.py – runs the job in a child and clears up after it, however it ended.
#
#     parent: makes run-PID ──── waits; a signal kills the child ──── removes what is left
#     child:  └ the job, in a session of its own; its exit code is the run's
#
# A program that is to clear up after itself can be interrupted at any instruction of doing so. Here
# nothing of the child's is worth keeping, so it is killed. What it had started becomes the parent's
# and is killed too, its namespaces carry the id of a dead process, its files lie in one folder.

import ctypes
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from albtest import netns
from albtest.procs import DaemonError, die_with, wait_until

FAILED = 1
PATIENCE_S = 30
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _open_folders(folder):
    """A tree may hold directories that even their owner may not enter; root may anyway."""
    for path, _, _ in os.walk(folder):
        try:
            os.chmod(path, os.lstat(path).st_mode | stat.S_IRWXU)
        except FileNotFoundError:
            pass  # a process that dies just now removed it


def _remove(folder):
    """True once it is gone. Large trees go side by side."""
    if os.geteuid() != 0:
        _open_folders(folder)
    parts = [*folder.glob("*/endpoint*"), *folder.glob("*"), folder]
    for group in (parts[:-1], parts[-1:]):
        running = [subprocess.Popen(["rm", "-rf", "--", part], stderr=subprocess.DEVNULL)
                   for part in group]
        for process in running:
            process.wait()
    return not folder.exists()


def _remove_stale(base):
    """What a guard that was itself killed left: the names hold the id of a dead process."""
    for path in base.glob("run-*"):
        if not Path("/proc", path.name.removeprefix("run-")).exists():
            _remove(path)


def _adopt_orphans():
    """From now on, whatever our descendants leave behind becomes our child."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _children():
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text(errors="replace").rpartition(")")[2].split()[1]
        except OSError:
            continue  # ended meanwhile
        if int(parent) == os.getpid():
            yield int(path.parent.name)


def _kill_orphans():
    """True once there are none: those of the killed come to us in turn."""
    found = list(_children())
    for pid in found:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return not found


def _wait(child):
    """(exit code or None if it was killed, the signal that we got or None)"""
    got = []

    def end(number, _frame):
        got.append(number)
        os.kill(child, signal.SIGKILL)
    for number in SIGNALS:
        signal.signal(number, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    _, status = os.waitpid(child, 0)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None, got[0] if got else None


def _child(parent, job, folder):
    die_with(parent)
    os.setsid()  # a terminal's Ctrl-C goes to the parent alone
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    tempfile.tempdir = str(folder / "tmp")  # the laboratory's files too
    code = job(folder)
    sys.stdout.flush()
    os._exit(code)


def guarded(job, base):
    """Run job(folder) → exit code, with a folder below `base` that is gone afterwards. If it
    failed, its logs are kept in base/logs. Returns the exit code for the whole."""
    folder = base / f"run-{os.getpid()}"
    logs = base / "logs"
    _remove_stale(base)
    shutil.rmtree(logs, ignore_errors=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    (folder / "tmp").mkdir(parents=True)
    sys.stdout.flush()
    parent = os.getpid()
    _adopt_orphans()
    child = os.fork()
    if child == 0:
        _child(parent, job, folder)
    code, got = _wait(child)
    wait_until(_kill_orphans, PATIENCE_S, "what the run had started to end")
    netns.remove_stale()
    if code == FAILED and got is None and (folder / "logs").exists():
        (folder / "logs").rename(logs)
        print(f"Everything is stopped; what each process said is in {logs}", file=sys.stderr)
    try:
        wait_until(lambda: _remove(folder), PATIENCE_S, f"{folder} to be removed")
    except DaemonError as error:
        print(f"packaging/quickstart: {error}", file=sys.stderr)
    if got is not None:
        print("\ninterrupted; everything is stopped and removed", file=sys.stderr)
        return 128 + got
    return FAILED if code is None else code
