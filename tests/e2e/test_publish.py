# SPDX-License-Identifier: Apache-2.0
# e2e/test_publish.py – `albedo publish` as a process: races, outages, interruptions, trees that
# change.

import json
import os
import signal
import subprocess
import sys

import pytest

from albtest import small, tree
from albtest.procs import wait_until
from albtest.site import Site
from albtest.written import bytes_below

MB = 1 << 20
FAILED, USAGE, INTERRUPTED = 1, 2, 130
RESTLESS = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
print("writing", flush=True)
while True:
    os.pwrite(fd, b"x", 0)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), endpoints=0) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        yield site


@pytest.fixture(scope="module")
def reader(site):
    """An endpoint that asks the hub itself."""
    member = site.new_member("reader")
    site.join(member, site.token("endpoint", "--site", "branch"))
    return member


@pytest.fixture
def layer(request):
    """A name that no other test uses."""
    return "base/" + request.node.name.removeprefix("test_").replace("_", "-")[:50]


def make_files(top, count, size):
    """Bytes that do not compress and that no hub has."""
    top.mkdir()
    for number in range(count):
        (top / f"file{number}").write_bytes(os.urandom(size))
    return top


def publish(site, layer, *words, **more):
    return site.admin.albedo("publish", layer, *words, **more)


def versions(site, layer):
    """{sequence: version} of what was published."""
    for entry in site.admin.albedo("layers").document()["layers"]:
        if entry["layer"] == layer:
            return {one["sequence"]: one["version"] for one in entry["versions"]}
    return {}


def assert_pulls_as(reader, layer, wanted, target):
    reader.albedo("pull", layer, target)
    assert tree.compare_described(tree.describe(wanted), tree.describe(target)) == []


# ---- several publishers ----

def test_publishers_who_race_each_get_a_number_of_their_own(site, layer, tmp_path):
    trees = [make_files(tmp_path / f"t{n}", 5, MB) for n in range(4)]
    runs = [site.admin.start("publish", layer, top) for top in trees]
    done = [run.wait() for run in runs]
    assert [one.code for one in done] == [0] * 4, "\n".join(map(str, done))
    assert sorted(one.event("published")["sequence"] for one in done) == [1, 2, 3, 4]
    assert all(one.event("published")["sent_chunks"] <= one.event("published")["chunks"]
               for one in done)
    assert versions(site, layer) == {n: str(n) for n in range(1, 5)}


def test_rolling_back_to_what_was_published_before(site, reader, layer, tmp_path):
    first, second = (make_files(tmp_path / name, 3, 100_000) for name in "ab")
    publish(site, layer, first)
    publish(site, layer, second)
    event = publish(site, layer, "--as-version", "1", "--version", "back").event("published")
    assert (event["sequence"], event["version"], event["sent_bytes"]) == (3, "back", 0)
    assert_pulls_as(reader, layer, first, tmp_path / "target")


def test_a_version_s_name_is_taken_only_once(site, layer, tmp_path):
    top = make_files(tmp_path / "t", 2, 1000)
    publish(site, layer, top, "--version", "spring")
    for words in ((top, "--version", "spring"), ("--as-version", "spring", "--version", "spring")):
        done = publish(site, layer, *words, code=FAILED)
        assert f"{layer}@spring" in done.err and "choose another --version" in done.err
        assert len(done.errors()) == 1
    assert versions(site, layer) == {1: "spring"}


# ---- outages ----

def test_a_hub_that_is_killed_and_started_gets_the_rest(site, reader, layer, tmp_path):
    top = make_files(tmp_path / "t", 60, MB)
    before = bytes_below(site.hub.data)
    run = site.admin.start("publish", layer, top)
    wait_until(lambda: bytes_below(site.hub.data) > before + 8 * MB, 30, "chunks to arrive")
    site.hub.kill()
    assert run.daemon.is_running()
    site.hub.start()
    done = run.wait()
    assert done.code == 0, str(done)
    assert done.event("published")["sent_chunks"] > 0
    assert_pulls_as(reader, layer, top, tmp_path / "target")


def test_an_interrupted_publication_publishes_nothing_and_is_gone_on_with(site, layer, tmp_path):
    top = make_files(tmp_path / "t", 60, MB)
    before = bytes_below(site.hub.data)
    run = site.admin.start("publish", layer, top)
    wait_until(lambda: bytes_below(site.hub.data) > before + 8 * MB, 30, "chunks to arrive")
    with site.hub.frozen():  # so that it cannot end before the signal comes
        run.daemon.signal(signal.SIGINT)
        done = run.wait()
    assert done.code == INTERRUPTED, str(done)
    assert "interrupted" in done.err and len(done.errors()) == 1
    assert versions(site, layer) == {}
    event = publish(site, layer, top).event("published")
    assert 0 < event["sent_chunks"] < event["chunks"]
    assert event["sent_bytes"] < 60 * MB - 4 * MB


# ---- trees ----

def test_a_file_that_changes_before_it_is_sent_is_named(site, layer, tmp_path):
    for count in (8, 24, 72):  # as many as it takes to stop the hub before everything is sent
        top = make_files(tmp_path / f"t{count}", count, 2 * MB)
        before = versions(site, layer)
        run = site.admin.start("publish", layer, top)
        wait_until(lambda: '"scanning"' in run.output() or not run.daemon.is_running(), 30,
                   "a scan")
        with site.hub.frozen():
            wait_until(lambda: '"finishing"' in run.output(), 60, "it to have read the tree")
            for file in top.iterdir():
                file.write_bytes(os.urandom(2 * MB))
        done = run.wait()
        if done.code != 0:
            break
    assert done.code == FAILED, str(done)
    assert "file" in done.err and "changed between reading and sending" in done.err
    assert versions(site, layer) == before


def test_a_file_that_never_rests_is_named_with_what_to_do(site, layer, tmp_path):
    top = make_files(tmp_path / "t", 1, 64 * MB)
    with subprocess.Popen([sys.executable, "-c", RESTLESS, top / "file0"],
                          stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        done = publish(site, layer, top, code=FAILED, plain=True)
        writer.kill()
    assert "file0 keeps changing while it is read; nothing was published" in done.err, done
    assert "or leave it out with --exclude" in done.err, done
    assert versions(site, layer) == {}
    publish(site, layer, top, "--exclude", "file0")


def test_what_is_excluded_is_left_out_however_it_is_typed(site, reader, layer, tmp_path):
    top = make_files(tmp_path / "t", 3, 1000)
    (top / "sub/deep").mkdir(parents=True)
    (top / "sub/deep/file").write_bytes(b"x")
    done = publish(site, layer, top, "--exclude", "./sub/deep/", "--exclude", "file1", "--exclude",
                   "nowhere", plain=True)
    assert "--exclude nowhere: there is no such path" in done.err
    reader.albedo("pull", layer, tmp_path / "target")
    assert sorted(os.listdir(tmp_path / "target")) == [".albedo", "file0", "file2", "sub"]
    assert os.listdir(tmp_path / "target/sub") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes are root's")
def test_devices_are_refused_by_name_and_taken_when_allowed(site, reader, layer, tmp_path):
    top = make_files(tmp_path / "t", 1, 1000)
    try:
        os.mknod(top / "null", 0o600 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no device nodes here")
    done = publish(site, layer, top, code=FAILED, plain=True)
    assert "  null: a device" in done.err and "--exclude" in done.err
    assert versions(site, layer) == {}
    publish(site, layer, top, "--devices")
    assert_pulls_as(reader, layer, top, tmp_path / "target")


def test_a_tree_may_be_empty(site, reader, layer, tmp_path):
    (tmp_path / "t").mkdir()
    event = publish(site, layer, tmp_path / "t").event("published")
    assert (event["entries"], event["chunks"]) == (1, 0)
    assert_pulls_as(reader, layer, tmp_path / "t", tmp_path / "target")


def test_over_a_wan_it_measures_the_path_and_gets_there(site, reader, layer, tmp_path):
    top = make_files(tmp_path / "top", 4, MB)
    publish(site, layer, top, "--line", "wan")
    assert_pulls_as(reader, layer, top, tmp_path / "got")


def test_a_line_is_wan_or_lan(site, layer, tmp_path):
    done = publish(site, layer, tmp_path, "--line", "man", code=USAGE)
    assert "--line man" in done.err and "wan or lan" in done.err


def test_either_a_tree_or_an_old_version(site, layer, tmp_path):
    for words in ((), (tmp_path, "--as-version", "1")):
        assert "either a TREE" in publish(site, layer, *words, code=USAGE).err


# ---- what is printed ----

def test_json_is_one_event_a_line_and_ends_with_what_was_published(site, layer, tmp_path):
    done = publish(site, layer, small.make(tmp_path / "t"), "--hold")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert {event["event"] for event in events} <= {"progress", "phase_done", "published"}
    phases = [event["phase"] for event in events if event["event"] == "phase_done"]
    assert phases == ["scanning", "reading", "finishing", "sending"]
    last = events[-1]
    assert last["event"] == "published" and last["current"] is False and last["left_out"] == 0
    assert last["sent_chunks"] == last["chunks"] > 0


def test_lines_of_a_pipe_have_no_terminal_codes(site, layer, tmp_path):
    done = publish(site, layer, make_files(tmp_path / "t", 3, 1000), plain=True)
    assert "\r" not in done.err + done.out and "\033" not in done.err + done.out
    assert f"published {layer}@1: 4 entries" in done.out
