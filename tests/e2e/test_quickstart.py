# SPDX-License-Identifier: Apache-2.0
# e2e/test_quickstart.py – the README's first command on a small tree: its table, its leavings.

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from albtest.netns import Lab
from albtest.procs import Daemon

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "packaging/quickstart.d/main_job.py"
BASE = ROOT / "build/quickstart"
PYTHON = "/usr/bin/python3"
FILES = 40

usable, why_not = Lab.available()
places = pytest.mark.parametrize("env", [
    pytest.param({"QUICKSTART_LOOPBACK": "1"}, id="loopback"),
    pytest.param({}, id="namespaces", marks=pytest.mark.skipif(not usable, reason=why_not))])


@pytest.fixture
def small_tree(tmp_path):
    """Compressible, so that the table has something to show."""
    top = tmp_path / "tree"
    (top / "sub").mkdir(parents=True)
    for number in range(FILES):
        (top / "sub" / f"f{number}").write_bytes(os.urandom(4096) * (1 + number))
    os.symlink("sub/f1", top / "link")
    return top


def quickstart(tree, tmp_path, env, *words):
    return Daemon([PYTHON, SCRIPT, *words, tree], log=tmp_path / "quickstart.log",
                  env=env | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"})


def leavings(pid):
    """What a run with this process id may have left: folders, namespaces, processes."""
    found = [str(path) for path in BASE.glob(f"run-{pid}*")]
    for path in Path("/run/netns").glob("albt*"):  # named by whoever made them
        maker = path.name.removeprefix("albt").split("x")[0]
        if not Path("/proc", maker).exists():
            found.append(path.name)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"run-{pid}/" in line:
            found.append(line)
    return found


@places
def test_the_table_says_that_each_byte_crossed_once(small_tree, tmp_path, env):
    run = quickstart(small_tree, tmp_path, env)
    assert run.wait_exit(60) == 0, run.log_text()
    text = run.log_text()
    ratios = re.search(r"^crossing ratio.*?([0-9.]+)\s+([0-9.]+)$", text, re.MULTILINE)
    assert all(0.99 <= float(ratio) <= 1.01 for ratio in ratios.groups()), text
    assert ("link not shaped" in text) == bool(env)
    assert ("time, over a WAN of 40mbit" in text) == (not env)
    assert leavings(run.pid) == []


@places
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["main job", "joining by a token", "pulling it"])
def test_an_interrupted_run_leaves_nothing_behind(small_tree, tmp_path, env, number, moment):
    run = quickstart(small_tree, tmp_path, env)
    run.wait_line(moment)
    run.signal(number)
    assert run.wait_exit(20) == 128 + number, run.log_text()
    assert "Traceback" not in run.log_text()
    assert leavings(run.pid) == []


def test_the_next_run_removes_what_a_killed_one_left(small_tree, tmp_path):
    env = {"QUICKSTART_LOOPBACK": "1"}
    killed = quickstart(small_tree, tmp_path, env)
    killed.wait_line("pulling it")
    killed.process.kill()
    killed.process.wait()
    run = quickstart(small_tree, tmp_path, env)
    assert run.wait_exit(60) == 0, run.log_text()
    assert leavings(killed.pid) == []


def test_a_failure_ends_badly_and_keeps_the_logs(small_tree, tmp_path):
    os.mkfifo(small_tree / "pipe")
    broken = tmp_path / "bin"
    shutil.copytree(os.environ["ALB_BIN_DIR"], broken, symlinks=True)
    (broken / "albedo-reflector").write_text("#!/bin/sh\necho 'no reflector today' >&2; exit 1\n")
    run = quickstart(small_tree, tmp_path, {"QUICKSTART_LOOPBACK": "1", "ALB_BIN_DIR": str(broken)})
    assert run.wait_exit(60) == 1
    assert "no reflector today" in run.log_text()
    assert "Traceback" not in run.log_text()
    assert str(BASE / "logs") in run.log_text()
    assert any((BASE / "logs").iterdir())
    assert leavings(run.pid) == []
    shutil.rmtree(BASE / "logs")


@pytest.mark.parametrize("words, text", [
    (["/nonexistent"], "it is not a directory"),
    (["/"], "this checkout lies inside it"),
    (["--wan", "fast"], "say it like 8mbit")])
def test_what_is_typed_wrongly_is_told_at_once(words, text):
    done = subprocess.run([PYTHON, SCRIPT, *words], capture_output=True, text=True, timeout=20,
                          check=False)
    assert done.returncode == 2
    assert text in done.stderr
