# SPDX-License-Identifier: Apache-2.0
# e2e/test_pull.py – `albedo pull` as a process: interrupted, twice at once, on odd targets; what it
# prints.

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from albtest import small, tree
from albtest.procs import wait_until
from albtest.site import Site, program
from albtest.written import bytes_staged

MB = 1 << 20
FAILED, REFUSED, UNREACHABLE, FULL, INTERRUPTED = 1, 3, 5, 6, 130
ERASE = "\r\033[K"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), endpoints=3) as site:
        site.start()
        yield site


@pytest.fixture(scope="module")
def source(tmp_path_factory, site):
    top = small.make(tmp_path_factory.mktemp("tree") / "v1")
    site.admin.albedo("publish", "base/os", top, "--version", "one")
    return top


@pytest.fixture(scope="module")
def large(tmp_path_factory, site):
    """A tree that takes a moment."""
    top = small.make(tmp_path_factory.mktemp("tree") / "large", seed=5, large=40 * MB)
    site.admin.albedo("publish", "base/large", top)
    return top


@pytest.fixture
def endpoint(site):
    return site.endpoints[0]


@pytest.fixture
def cold(site):
    """A reflector that holds nothing, and an endpoint behind it: a pull comes from the hub."""
    name = f"cold{site._runs}"
    box = site.new_reflector(name, parent=site.reflector)
    member = site.new_member(f"behind-{name}")
    site.join(member, site.token("endpoint", "--site", "branch"), upstream=box)
    yield member
    box.kill()


def started(endpoint, layer, target, *words, **more):
    """A pull that is under way: some bytes are in the stage."""
    run = endpoint.start("pull", layer, target, *words, **more)
    wait_until(lambda: not run.daemon.is_running() or bytes_staged(target) > 2 * MB, 30, "bytes")
    return run


def assert_same(wanted, target):
    assert tree.compare_described(tree.describe(wanted), tree.describe(target)) == []


# ---- interrupted ----

def test_an_interrupted_pull_changes_nothing_and_is_gone_on_with(site, large, cold, tmp_path):
    target = tmp_path / "a"
    target.mkdir()
    (target / "mine").write_bytes(b"mine")
    run = started(cold, "base/large", target)
    with site.reflector.frozen():  # so that it cannot end before the signal comes
        run.daemon.signal(signal.SIGINT)
        done = run.wait()
    assert done.code == INTERRUPTED, str(done)
    assert "interrupted; nothing in" in done.err
    assert [(e["code"], e["exit"]) for e in done.errors()] == [("interrupted", INTERRUPTED)]
    assert sorted(os.listdir(target)) == [".albedo", "mine"]
    again = cold.albedo("pull", "base/large", target).event("pulled")
    assert again["bytes_resumed"] > 0
    assert (target / "mine").read_bytes() == b"mine"
    (target / "mine").unlink()
    os.utime(target, ns=(large.stat().st_atime_ns, large.stat().st_mtime_ns))
    assert_same(large, target)


def test_whoever_interrupts_twice_does_not_wait(source, endpoint, tmp_path):
    target = tmp_path / "a"
    target.mkdir()
    with open(target / "huge", "wb") as huge:
        huge.truncate(16 << 30)  # reading it, which is one piece of work, takes many seconds
    run = endpoint.start("pull", "base/os", target)
    wait_until(lambda: '"looking"' in run.output(), 30, "it to read the target")
    run.daemon.signal(signal.SIGINT)

    def is_over():
        run.daemon.signal(signal.SIGINT)
        return not run.daemon.is_running()
    wait_until(is_over, 5, "the end")
    done = run.wait()
    assert done.code == INTERRUPTED, str(done)
    assert "stopped at once" in done.err
    (target / "huge").unlink()
    endpoint.albedo("pull", "base/os", target)
    assert_same(source, target)


def test_a_pull_that_waits_for_its_upstream_can_be_interrupted(site, source, endpoint, tmp_path):
    site.reflector.stop()
    try:
        run = endpoint.start("pull", "base/os", tmp_path / "a")
        wait_until(lambda: '"asking"' in run.output(), 30, "it to ask")
        run.daemon.signal(signal.SIGINT)
        assert run.wait(10).code == INTERRUPTED
    finally:
        site.reflector.start()


def test_an_interruption_at_any_moment_leaves_old_or_new(source, large, endpoint, tmp_path):
    target = tmp_path / "a"
    endpoint.albedo("pull", "base/os", target)
    codes = set()
    for moment in range(0, 400, 40):
        run = endpoint.start("pull", "base/large", target, "--replace-layer")
        time.sleep(moment / 1000)  # the moment is the test's input; nothing waits for it
        run.daemon.signal(signal.SIGINT)
        codes.add(run.wait().code)
        held = (target / ".albedo/applied").exists() and describes(target, source, large)
        assert held
        endpoint.albedo("pull", "base/os", target, "--replace-layer", "--allow-rollback")
    assert codes <= {0, INTERRUPTED, -signal.SIGINT}  # the last: before it listened to it
    assert INTERRUPTED in codes


def describes(target, *sources):
    here = tree.describe(target)
    return any(tree.compare_described(tree.describe(one), here) == [] for one in sources)


# ---- several ----

def test_a_second_pull_on_the_same_target_is_refused(site, large, cold, tmp_path):
    target = tmp_path / "a"
    first = started(cold, "base/large", target)
    with first.daemon.frozen():
        done = site.endpoints[0].albedo("pull", "base/large", target, code=FAILED)
    assert "another pull works on" in done.err and str(target) in done.err
    assert len(done.errors()) == 1
    assert first.wait().code == 0
    assert_same(large, target)


def test_two_pulls_of_one_state_into_two_targets(source, endpoint, tmp_path):
    runs = [endpoint.start("pull", "base/os", tmp_path / name) for name in "ab"]
    assert [run.wait().code for run in runs] == [0, 0]
    for name in "ab":
        assert_same(source, tmp_path / name)


# ---- targets ----

@pytest.mark.parametrize("typed", ["b", "b/", "./b/.", "link", "link/"])
def test_a_target_may_be_typed_in_any_way(source, endpoint, tmp_path, typed):
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to("b")
    done = subprocess.run([program("albedo"), "pull", "base/os", typed, "--state", endpoint.state],
                          cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert_same(source, tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["b", "link"]


@contextlib.contextmanager
def mounted(where, *words):
    done = subprocess.run(["mount", *words, where], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount: {done.stderr}")
    try:
        yield where
    finally:
        subprocess.run(["umount", where], check=True)


def test_a_target_that_cannot_be_written_is_named(source, endpoint, tmp_path):
    target = tmp_path / "ro"
    target.mkdir()
    with mounted(target, "-t", "tmpfs", "-o", "ro", "none"):
        done = endpoint.albedo("pull", "base/os", target, code=None)
    assert done.code == FAILED
    assert str(target) in done.err and "Read-only file system" in done.err
    assert len(done.errors()) == 1


def test_a_file_system_mounted_inside_is_filled_and_stays_mounted(source, endpoint, tmp_path):
    target = tmp_path / "a"
    (target / "usr/share").mkdir(parents=True)
    with mounted(target / "usr/share", "-t", "tmpfs", "none"):
        endpoint.albedo("pull", "base/os", target)
        assert os.path.ismount(target / "usr/share")
        assert_same(source, target)


def test_a_state_without_room_says_so_and_goes_on_when_there_is_some(site, source, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    with mounted(state, "-t", "tmpfs", "-o", "size=256k", "none"):
        member = site.new_member("crowded")
        member.state = state
        site.join(member, site.token("endpoint", "--site", "branch"), upstream=site.reflector)
        with contextlib.suppress(OSError), open(state / "ballast", "wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(1024))
        done = member.albedo("pull", "base/os", tmp_path / "a")
        assert "grant.not_kept" in done.err and "No space left" in done.err
        (state / "ballast").unlink()
        member.albedo("pull", "base/os", tmp_path / "a")
    assert_same(source, tmp_path / "a")


# ---- what holds it up ----

def test_an_upstream_that_comes_late_is_waited_for(site, source, endpoint, tmp_path):
    site.reflector.stop()
    run = endpoint.start("pull", "base/os", tmp_path / "a", "--wait", "60s")
    wait_until(lambda: '"asking"' in run.output(), 30, "it to ask")
    site.reflector.start()
    assert run.wait().code == 0
    assert_same(source, tmp_path / "a")


def test_an_upstream_out_of_reach_is_given_up_after_wait(site, source, endpoint, tmp_path):
    site.reflector.stop()
    try:
        done = endpoint.albedo("pull", "base/os", tmp_path / "a", "--wait", "1s", code=UNREACHABLE)
    finally:
        site.reflector.start()
    assert site.reflector.url.removeprefix("https://") in done.err and "--wait" in done.err
    assert len(done.errors()) == 1


def test_a_revoked_device_is_told_so_at_once(site, source, tmp_path):
    member = site.new_member("leaver")
    site.join(member, site.token("endpoint", "--site", "branch", "--name", "leaver"),
              upstream=site.reflector)
    member.albedo("pull", "base/os", tmp_path / "a")
    site.admin.albedo("revoke", "leaver")

    def refused():
        done = member.albedo("pull", "base/os", tmp_path / "b", code=None)
        return done if done.code != 0 else None
    done = wait_until(refused, 10, "the reflector to hear of it")
    assert done.code == REFUSED, str(done)
    assert "leaver" in done.err


def test_a_device_without_a_grant_is_told_that_the_branch_is_cut_off(site, source, tmp_path):
    member = site.new_member("newcomer")
    site.join(member, site.token("endpoint", "--site", "branch"), upstream=site.reflector)
    site.hub.stop()
    try:
        done = member.albedo("pull", "base/os", tmp_path / "a", "--wait", "1s", code=UNREACHABLE)
    finally:
        site.hub.start()
    assert "cannot let anybody in now" in done.err


def test_an_older_version_is_refused_with_both_numbers(site, source, endpoint, tmp_path):
    site.admin.albedo("publish", "base/back", source)
    site.admin.albedo("publish", "base/back", source)
    endpoint.albedo("pull", "base/back", tmp_path / "a")
    done = endpoint.albedo("pull", "base/back@1", tmp_path / "a", code=REFUSED)
    assert "number 1" in done.err and "number 2" in done.err and "--allow-rollback" in done.err


# ---- what is printed ----

def test_json_is_one_event_a_line_and_ends_with_what_was_pulled(source, endpoint, tmp_path):
    done = endpoint.albedo("pull", "base/os", tmp_path / "a", "--verify", "--seed", source)
    events = [json.loads(line) for line in done.out.splitlines()]
    assert {event["event"] for event in events} <= {"progress", "phase_done", "pulled"}
    assert events[-1]["event"] == "pulled"
    phases = [event["phase"] for event in events if event["event"] == "phase_done"]
    assert phases[0] == "finishing" and phases[-1] == "verifying" and "fetching" in phases
    assert events[-1]["bytes_local"] > 0 and events[-1]["files_verified"] > 0


def test_verify_after_seeds_finds_damage_that_came_in_between(source, endpoint, tmp_path):
    endpoint.albedo("pull", "base/os", tmp_path / "a", "--verify", "--seed", source, "--seed",
                    source / "usr")
    assert_same(source, tmp_path / "a")


def test_lines_of_a_pipe_have_no_terminal_codes(source, endpoint, tmp_path):
    done = endpoint.albedo("pull", "base/os", tmp_path / "a", plain=True)
    assert "\r" not in done.err + done.out and "\033" not in done.err + done.out
    assert re.search(r"^fetching \[#+\] 100 %", done.err, re.MULTILINE)
    assert f"{tmp_path / 'a'} now holds base/os@one" in done.out


def run_on_terminal(argv):
    """Exit code and all that a terminal of 80 columns was sent."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(argv[0], list(map(str, argv)))
    sent, ended = b"", None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([fd], [], [], 1)[0]:
            try:
                part = os.read(fd, 65536)
            except OSError:
                part = b""  # Linux says it this way when the other side is closed
            if part == b"":
                ended = os.waitpid(pid, 0)[1]
                break
            sent += part
    os.close(fd)
    assert ended is not None, sent.decode(errors="replace")
    return os.waitstatus_to_exitcode(ended), sent.decode(errors="replace")


def shown(sent):
    """The lines that stay: what follows the last erasure in each."""
    return [line.rsplit(ERASE, 1)[-1] for line in sent.replace("\r\n", "\n").split("\n")]


def test_on_a_terminal_the_bar_is_redrawn_and_leaves_nothing(large, endpoint, tmp_path):
    code, sent = run_on_terminal([program("albedo"), "pull", "base/large", tmp_path / "a",
                                  "--state", endpoint.state])
    assert code == 0, sent
    assert sent.count(ERASE) > 1
    lines = shown(sent)
    assert lines[-1] == ""
    bars = [line for line in lines if "[" in line and "%" in line]
    assert bars[-1].startswith("fetching") and all("] 100 %" in bar for bar in bars), bars
    assert "now holds base/large@1" in "\n".join(lines)
    assert "\033" not in "".join(lines)


def test_on_a_terminal_an_error_stands_on_a_line_of_its_own(site, endpoint, tmp_path):
    code, sent = run_on_terminal([program("albedo"), "pull", "base/none", tmp_path / "a",
                                  "--state", endpoint.state])
    assert code == 4
    assert [line for line in shown(sent) if line] == [
        "albedo: pulling base/none: there is no such layer or version for this device; "
        "`albedo layers` lists what there is"]
