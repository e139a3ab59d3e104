# SPDX-License-Identifier: Apache-2.0
# e2e/test_albtest.py – the judges are judged: each kind of difference is seen, no other is.

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from albtest import mutate, subset, tree
from albtest.procs import Daemon, DaemonError, wait_until

HERE = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"


def make_tree(root):
    (root / "d/e").mkdir(parents=True)
    (root / "d/one").write_bytes(b"first")
    (root / "d/e/large").write_bytes(bytes(range(256)) * 1024)
    os.link(root / "d/one", root / "d/e/other-name")
    os.symlink("one", root / "d/link")
    os.mkfifo(root / "fifo")
    for number in range(60):
        (root / f"f{number:02d}").write_bytes(b"%d" % number * 100)
    for path in (root / "d/e", root / "d", root):
        os.utime(path, ns=(10**18, 10**18))


@pytest.fixture
def pair(tmp_path):
    """Two trees that are the same."""
    make_tree(tmp_path / "a")
    subprocess.run(["cp", "-a", tmp_path / "a", tmp_path / "b"], check=True)
    return tmp_path / "a", tmp_path / "b"


def keeping_times(root, path, change):
    """Apply change(path) and put back the times that it moved, so that it stands alone."""
    places = [place for place in (root / path, (root / path).parent)]
    before = [(place, place.lstat().st_mtime_ns) for place in places if os.path.lexists(place)]
    change(root / path)
    for place, time_ns in before:
        if os.path.lexists(place):
            os.utime(place, ns=(time_ns, time_ns), follow_symlinks=False)


def relink(path):
    path.unlink()
    path.write_bytes(b"first")


def retarget(path):
    path.unlink()
    os.symlink("two", path)


def replace_fifo(path):
    path.unlink()
    path.write_bytes(b"")


CHANGES = {
    "f00: mtime_ns": ("f00", lambda p: None),  # its time is moved below
    "f00: sha256": ("f00", lambda p: p.write_bytes(b"1" * 100)),
    "f00: size": ("f00", lambda p: p.write_bytes(b"0" * 101)),
    "f00: mode": ("f00", lambda p: p.chmod(0o4600)),
    "f00: uid": ("f00", lambda p: os.chown(p, 12345, -1)),
    "f00: gid": ("f00", lambda p: os.chown(p, -1, 12345)),
    "f00: xattrs": ("f00", lambda p: os.setxattr(p, "user.albtest", b"1")),
    "f00: only in the first": ("f00", lambda p: p.unlink()),
    "new: only in the second": ("new", lambda p: p.mkdir()),
    "d/e: mode": ("d/e", lambda p: p.chmod(0o700)),
    "d/one: links": ("d/e/other-name", relink),
    "d/link: target": ("d/link", retarget),
    "fifo: type": ("fifo", replace_fifo),
}


def test_same_trees_are_the_same(pair):
    assert tree.compare(*pair) == []


@pytest.mark.parametrize("said", CHANGES)
def test_each_difference_is_seen(pair, said):
    path, change = CHANGES[said]
    try:
        keeping_times(pair[1], path, change)
    except PermissionError as error:
        pytest.skip(f"needs root: {error}")
    if said.endswith("mtime_ns"):
        time_ns = (pair[1] / path).lstat().st_mtime_ns + 1
        os.utime(pair[1] / path, ns=(time_ns, time_ns))
    differences = tree.compare(*pair)
    assert any(line.startswith(said) for line in differences), differences
    names = {line.split(":")[0] for line in differences}
    assert names <= {said.split(":")[0], path}, "nothing else changed"


def test_device_numbers_are_compared(pair):
    for root, minor in zip(pair, (3, 5)):
        try:
            os.mknod(root / "device", 0o020644, os.makedev(1, minor))
        except PermissionError as error:
            pytest.skip(f"needs root: {error}")
        os.utime(root / "device", ns=(0, 0))
        os.utime(root, ns=(0, 0))
    assert tree.compare(*pair) == ["device: device (1, 3) ≠ (1, 5)"]


def test_the_state_folder_is_no_part_of_a_tree(pair):
    keeping_times(pair[1], ".albedo", lambda p: p.mkdir())
    keeping_times(pair[1], "d/.albedo", lambda p: p.write_bytes(b"x"))
    assert tree.compare(*pair) == []


def test_holes_are_told_and_are_no_difference(pair, capsys, monkeypatch):
    for root in pair:
        (root / "f01").write_bytes(bytes(1 << 20))
    keeping_times(pair[1], "f01", lambda p: (os.truncate(p, 0), os.truncate(p, 1 << 20)))
    time_ns = (pair[1] / "f01").stat().st_mtime_ns
    os.utime(pair[0] / "f01", ns=(time_ns, time_ns))
    monkeypatch.setattr(sys, "argv", ["albtest.tree", *map(str, pair)])
    assert tree.main() == 0
    assert "sparse files 0 and 1" in capsys.readouterr().out


def run_module(name, *args):
    return subprocess.run([PYTHON, "-m", f"albtest.{name}", *map(str, args)], cwd=HERE, text=True,
                          capture_output=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})


def test_as_a_command_it_prints_the_first_20_and_exits_1(pair):
    for path in pair[1].glob("f[0-5]*"):
        os.utime(path, ns=(0, 0))
    done = run_module("tree", *pair)
    assert done.returncode == 1
    assert "… and 40 more" in done.stdout
    assert len(done.stdout.splitlines()) == 22


def test_the_same_seed_makes_the_same_version_2(pair, tmp_path):
    counts = mutate.mutate(pair[0], tmp_path / "v2", seed=5)
    assert mutate.mutate(pair[1], tmp_path / "v2-again", seed=5) == counts
    assert tree.compare(tmp_path / "v2", tmp_path / "v2-again") == []
    assert tree.compare(*pair) == [], "the source is only read"
    mutate.mutate(pair[0], tmp_path / "v2-other", seed=6)
    assert tree.compare(tmp_path / "v2", tmp_path / "v2-other") != []


def test_version_2_has_every_kind_of_change(pair, tmp_path):
    counts = mutate.mutate(pair[0], tmp_path / "v2")
    assert all(counts[name] >= 1 for name in mutate.RECIPE), counts
    kinds = " ".join(tree.compare(pair[0], tmp_path / "v2"))
    for word in ("only in the first", "only in the second", "sha256", "size", "mode", "mtime_ns"):
        assert word in kinds


def test_a_subset_keeps_to_its_limits_and_to_itself(tmp_path):
    limits = {"max_bytes": 20_000_000, "max_files": 500}
    figures = subset.subset(tmp_path / "one", "/usr", **limits)
    assert subset.subset(tmp_path / "two", "/usr", **limits) == figures
    assert 0 < figures["bytes"] <= 20_000_000 and 0 < figures["files"] <= 500
    assert tree.compare(tmp_path / "one", tmp_path / "two", skip_root=True) == []


@pytest.mark.parametrize("name, args, said", [
    ("tree", ["/nonexistent", "/usr/lib/os-release"], "is not a directory"),
    ("mutate", ["/nonexistent", "/usr"], "/usr exists; name a path that does not"),
    ("subset", ["/usr"], "File exists"),
])
def test_wrong_paths_are_refused(name, args, said):
    done = run_module(name, *args)
    assert done.returncode != 0
    assert said in done.stderr


LISTENER = ("import socket, sys, time\ns = socket.socket()\ns.bind(('127.0.0.1', int(sys.argv[1])))"
            "\ns.listen()\nprint('listening', flush=True)\ntime.sleep(60)\n")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_a_daemon_is_waited_for_and_stopped(tmp_path):
    port = free_port()
    with Daemon([PYTHON, "-c", LISTENER, port], tmp_path / "log") as daemon:
        daemon.wait_port(port)
        daemon.wait_line("^listening$")
        assert daemon.stop() == -signal.SIGTERM


def test_a_daemon_that_ends_early_is_told_at_once_with_its_log(tmp_path):
    daemon = Daemon(["sh", "-c", "echo no such disk; exit 3"], tmp_path / "log")
    with pytest.raises(DaemonError, match="(?s)ended with 3 while waiting for .*no such disk"):
        daemon.wait_port(1, timeout=30)


def test_a_wait_has_a_deadline(tmp_path):
    with Daemon(["sleep", "60"], tmp_path / "log") as daemon:
        with pytest.raises(DaemonError, match="after 0.1 s still waiting for a log line"):
            daemon.wait_line("never", timeout=0.1)


def test_kill_takes_what_the_daemon_started_with_it(tmp_path):
    daemon = Daemon(["sh", "-c", "sleep 60 & echo $!; wait"], tmp_path / "log")
    child = daemon.wait_line(r"^(\d+)$")[1]
    daemon.kill()
    assert not daemon.is_running()

    def gone():  # or not yet collected by init
        try:
            return Path(f"/proc/{child}/stat").read_text().split()[2] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True
    wait_until(gone, 5, "the child to end")


def test_the_log_of_a_second_run_does_not_answer_for_the_first(tmp_path):
    Daemon(["echo", "ready"], tmp_path / "log").wait_line("ready")
    with Daemon(["sleep", "60"], tmp_path / "log") as daemon:
        assert daemon.log_text() == ""


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, *sys.argv[1:]]))
