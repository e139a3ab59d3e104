# SPDX-License-Identifier: Apache-2.0
# albtest/procs.py – start a daemon, wait until it is truly ready, stop it or kill it.
#
#     with Daemon([hub, "serve", "--config", conf], log=tmp / "hub.log") as hub:
#         hub.wait_port(8443)
#         hub.wait_line(r"event=hub\.ready")
#
# Nothing here sleeps for a fixed time and hopes: each wait polls for its condition, fails early
# when the process has ended, and names the last lines of the log when it gives up.

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

POLL_S = 0.01
PR_SET_PDEATHSIG = 1
TCP_LISTEN = 0x0A
_libc = ctypes.CDLL(None, use_errno=True)


class DaemonError(AssertionError):
    """A daemon did not do what the test waited for; the message ends with its log."""


def die_with(parent):
    """In a child just forked: it gets SIGKILL when process `parent` dies, however that dies."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked


@contextlib.contextmanager
def environment(more):
    """What is started meanwhile has `more` in its environment; this process goes on as it is."""
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def asan_options(more):
    """An environment in which a sanitizer is told `more` beside what it is told already."""
    told = os.environ.get("ASAN_OPTIONS", "")
    return {"ASAN_OPTIONS": ":".join(filter(None, [told, more]))}


def wait_until(condition, timeout, what):
    """Poll until condition() is true and return its value; raise DaemonError after timeout s.

    `what` was waited for: a text, or what gives one when it is needed.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            what = what() if callable(what) else what
            raise DaemonError(f"after {timeout:g} s still waiting: {what}")
        time.sleep(POLL_S)


def expect_line(process, line, timeout=30):
    """The next line on the standard output of a Popen is this one; late, it is killed for it."""
    late = threading.Timer(timeout, process.kill)
    late.start()
    said = process.stdout.readline()
    late.cancel()
    if said != line + "\n":
        raise DaemonError(f"{process.args}: said {said!r} within {timeout:g} s and not {line!r}")



def listening_ports(pid):
    """TCP ports in state LISTEN in the network namespace of process `pid`.

    Read from /proc, so that no connection is made that the daemon would count or log.
    """
    ports = set()
    for table in ("tcp", "tcp6"):
        try:
            rows = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue  # ended, or a kernel without IPv6
        for row in rows:
            fields = row.split()
            if int(fields[3], 16) == TCP_LISTEN:
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


class Daemon:
    """One long-running process whose output goes to a file."""

    def __init__(self, argv, log, ns=None, env=None, cwd=None):
        """Start `argv` at once, in network namespace `ns` if given. `log` is appended to."""
        self.argv = [str(arg) for arg in argv]
        self.log = Path(log)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        prefix = ["ip", "netns", "exec", ns] if ns else []
        # The parent-death signal follows the thread that forks, not the process: asked for by a
        # helper thread it would kill the daemon as soon as that thread ends.
        in_main = threading.current_thread() is threading.main_thread()
        parent = os.getpid()
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                prefix + self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                env=None if env is None else {**os.environ, **env}, start_new_session=True,
                preexec_fn=(lambda: die_with(parent)) if in_main else None)

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def log_text(self):
        """What this run (not an earlier one with the same file) has written so far."""
        with open(self.log, "rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def wait_line(self, pattern, timeout=10.0, after=0):
        """Wait for a line that matches `pattern`; return the match.

        `after` skips that many characters of log_text(): take len(log_text()) before doing
        what is to produce the line.
        """
        regex = re.compile(pattern, re.MULTILINE)
        return self._wait(lambda: regex.search(self.log_text(), after), timeout,
                          f"a log line like {pattern!r}")

    def wait_port(self, port, timeout=10.0):
        """Wait until something listens on TCP `port` where this daemon lives."""
        self._wait(lambda: port in listening_ports(self.pid), timeout, f"port {port}")

    def wait_exit(self, timeout=10.0):
        """Wait for the process to end by itself; return its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DaemonError(self._describe(f"still running after {timeout:g} s")) from None

    def signal(self, number):
        if self.is_running():
            self.process.send_signal(number)

    @contextlib.contextmanager
    def frozen(self):
        """It does nothing meanwhile, and its kernel goes on: SIGSTOP and SIGCONT."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def stop(self, timeout=10.0):
        """SIGTERM and wait; return the exit code. One that does not go is killed, and told."""
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DaemonError(self._describe(f"ignored SIGTERM for {timeout:g} s")) from None
        self._kill_group()
        return code

    def kill(self):
        """SIGKILL, as a power cut would; whatever it had started goes too."""
        if self.is_running():
            self.process.kill()
        self._kill_group()
        self.process.wait()

    def _kill_group(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _wait(self, condition, timeout, what):
        deadline = time.monotonic() + timeout
        while True:
            ended = not self.is_running()  # asked first: what it wrote last still counts
            value = condition()
            if value:
                return value
            if ended:
                code = self.process.returncode
                raise DaemonError(self._describe(f"ended with {code} while waiting for {what}"))
            if time.monotonic() >= deadline:
                raise DaemonError(self._describe(f"after {timeout:g} s still waiting for {what}"))
            time.sleep(POLL_S)

    def _describe(self, what):
        tail = "\n".join(self.log_text().splitlines()[-20:])
        return f"{self.argv[0]}: {what}\n--- last lines of {self.log}\n{tail}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.is_running():
            self.kill()
