# SPDX-License-Identifier: Apache-2.0
# e2e/test_main_path.py – publish, pull, update, roll back, outages: the main path, real processes.
#
# One hub, reflector and three endpoints serve all tests on loopback; each test has layers of its
# own and puts back what it broke.

import os
import stat

import pytest

from albtest import mutate, small, tree
from albtest.netns import Lab, linkemu_path
from albtest.procs import wait_until
from albtest.site import Site
from albtest.written import bytes_below, bytes_staged, files_below

MB = 1 << 20
NOTHING = ("made", "replaced", "removed", "metadata_only", "kept", "fetched_bytes")

usable, why_not = Lab.available()
if usable and linkemu_path() is None:
    usable, why_not = False, "albedo-linkemu is not built"
needs_lab = pytest.mark.skipif(not usable, reason=why_not)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), endpoints=3) as site:
        site.start()
        yield site


@pytest.fixture(scope="module")
def v1(tmp_path_factory):
    return small.make(tmp_path_factory.mktemp("tree") / "v1")


@pytest.fixture(scope="module")
def v2(v1):
    mutate.mutate(v1, v1.with_name("v2"))
    return v1.with_name("v2")


@pytest.fixture
def layer(request):
    """A name that no other test uses."""
    return "base/" + request.node.name.removeprefix("test_").replace("_", "-")[:50]


def publish(site, layer, *words):
    return site.admin.albedo("publish", layer, *words).event("published")


def pull(endpoint, layer, target, *words):
    return endpoint.albedo("pull", layer, target, *words).event("pulled")


def pull_all(site, layer, folder, *words):
    runs = [endpoint.start("pull", layer, folder / endpoint.name, *words)
            for endpoint in site.endpoints]
    done = [run.wait() for run in runs]
    assert [one.code for one in done] == [0] * len(runs), "\n".join(map(str, done))
    return [one.event("pulled") for one in done]


def assert_same(wanted, *targets):
    described = tree.describe(wanted)
    for target in targets:
        assert tree.compare_described(described, tree.describe(target)) == []


def inodes(top):
    """Everything that would betray a change: inode, change time."""
    return {path: (st.st_ino, st.st_ctime_ns) for path, st in files_below(top).items()
            if ".albedo" not in path.parts}


def assert_quiet(event):
    """The pull had nothing to do."""
    assert {key: event[key] for key in NOTHING} == dict.fromkeys(NOTHING, 0)


# ---- versions ----

def test_install_update_and_roll_back_on_three_endpoints(site, layer, v1, v2, tmp_path):
    targets = [tmp_path / endpoint.name for endpoint in site.endpoints]
    before = site.reflector_status()
    publish(site, layer, v1)
    first = pull_all(site, layer, tmp_path)
    assert_same(v1, *targets)
    publish(site, layer, v2)
    second = pull_all(site, layer, tmp_path)
    assert_same(v2, *targets)
    rolled = publish(site, layer, "--as-version", "1")
    third = pull_all(site, layer, tmp_path)
    assert_same(v1, *targets)

    after = site.reflector_status()
    assert [event["sequence"] for event in (*first, *second, *third)] == [1] * 3 + [2] * 3 + [3] * 3
    assert rolled["sent_bytes"] == 0
    assert all(event["bytes_unchanged"] > 0 for event in second)
    crossed = after["chunks"]["received_bytes"] - before["chunks"]["received_bytes"]
    stored = after["store"]["live_bytes"] - before["store"]["live_bytes"]
    assert crossed <= 1.01 * stored


def test_a_named_version_is_pulled_and_an_older_one_only_when_allowed(site, layer, v1, v2,
                                                                     tmp_path):
    endpoint = site.endpoints[0]
    publish(site, layer, v1, "--version", "one")
    publish(site, layer, v2, "--version", "two")
    assert pull(endpoint, f"{layer}@one", tmp_path / "a")["version"] == "one"
    assert_same(v1, tmp_path / "a")
    assert pull(endpoint, layer, tmp_path / "a")["version"] == "two"
    refused = endpoint.albedo("pull", f"{layer}@one", tmp_path / "a", code=3)
    assert "--allow-rollback" in refused.err
    assert_same(v2, tmp_path / "a")
    pull(endpoint, f"{layer}@one", tmp_path / "a", "--allow-rollback")
    assert_same(v1, tmp_path / "a")


def test_a_held_version_is_nobodys_latest_until_promoted(site, layer, v1, v2, tmp_path):
    publish(site, layer, v1)
    assert publish(site, layer, v2, "--hold")["current"] is False
    assert pull(site.endpoints[0], layer, tmp_path / "a")["sequence"] == 1
    site.admin.albedo("promote", f"{layer}@2")
    assert pull(site.endpoints[0], layer, tmp_path / "a")["sequence"] == 2
    assert_same(v2, tmp_path / "a")
    older = site.admin.albedo("promote", f"{layer}@1", code=1)
    assert f"to go back: albedo publish {layer} --as-version 1" in older.err
    assert "again" not in older.err, "it would be refused again"


def test_publishing_the_same_tree_again_sends_nothing(site, layer, v1):
    publish(site, layer, v1)
    assert publish(site, layer, v1)["sent_bytes"] == 0


# ---- what is in the target ----

def test_a_second_pull_changes_nothing(site, layer, v1, tmp_path):
    publish(site, layer, v1)
    pull(site.endpoints[0], layer, tmp_path / "a")
    before = inodes(tmp_path / "a")
    assert_quiet(pull(site.endpoints[0], layer, tmp_path / "a"))
    assert inodes(tmp_path / "a") == before


def test_the_owners_changes_are_kept_and_foreign_files_survive(site, layer, v1, v2, tmp_path):
    target = tmp_path / "a"
    publish(site, layer, v1)
    pull(site.endpoints[0], layer, target)
    mine = target / "usr/bin/su"
    mine.write_bytes(b"my own su")
    (target / "usr/lib/foreign").write_bytes(b"nobody's")
    (target / "my").mkdir()
    (target / "my/file").write_bytes(b"mine")
    publish(site, layer, v2)
    done = site.endpoints[0].albedo("pull", layer, target, plain=True)
    kept = [path for path in (target / ".albedo/kept").rglob("su") if path.is_file()]
    assert [path.read_bytes() for path in kept] == [b"my own su"]
    assert "usr/bin/su" in done.out
    assert (target / "usr/lib/foreign").read_bytes() == b"nobody's"
    assert (target / "my/file").read_bytes() == b"mine"


def test_exact_removes_what_no_version_put_there(site, layer, v1, tmp_path):
    target = tmp_path / "a"
    publish(site, layer, v1)
    pull(site.endpoints[0], layer, target)
    (target / "foreign/deep").mkdir(parents=True)
    (target / "foreign/deep/file").write_bytes(b"x")
    os.symlink("/etc/passwd", target / "usr/link")
    pull(site.endpoints[0], layer, target, "--exact")
    assert_same(v1, target)


def test_verify_reads_every_file_again(site, layer, v1, tmp_path):
    publish(site, layer, v1)
    event = pull(site.endpoints[0], layer, tmp_path / "a", "--verify")
    files = {st.st_ino for st in files_below(v1).values() if stat.S_ISREG(st.st_mode)}
    assert event["files_verified"] >= len(files)


def test_a_seed_spares_the_network(site, layer, v1, tmp_path):
    publish(site, layer, v1)
    event = pull(site.endpoints[0], layer, tmp_path / "a", "--seed", v1)
    assert event["fetched_bytes"] == 0
    assert_same(v1, tmp_path / "a")


def test_a_damaged_file_is_mended_by_the_next_pull(site, layer, v1, tmp_path):
    target = tmp_path / "a"
    publish(site, layer, v1)
    pull(site.endpoints[0], layer, target)
    with open(target / "usr/lib/twice.so", "r+b") as file:
        file.seek(MB)
        file.write(b"damage")
    pull(site.endpoints[0], layer, target)
    assert_same(v1, target)


# ---- outages ----

def test_a_branch_without_its_hub_goes_on_with_what_it_holds(site, layer, v1, v2, tmp_path):
    publish(site, layer, v1)
    publish(site, layer, v2)
    pull(site.endpoints[0], layer, tmp_path / "a")
    pull(site.endpoints[1], f"{layer}@1", tmp_path / "b")
    site.hub.stop()
    try:
        assert pull(site.endpoints[2], f"{layer}@1", tmp_path / "c")["version"] == "1"
        assert_same(v1, tmp_path / "c")
        assert pull(site.endpoints[1], layer, tmp_path / "d")["version"] == "2"
        assert_same(v2, tmp_path / "d")
        unheld = site.endpoints[0].albedo("pull", "base/never-pulled", tmp_path / "e",
                                             "--wait", "2s", code=5)
        assert "cut off" in unheld.err
    finally:
        site.restart_hub()


def test_a_reflector_that_was_killed_still_holds_what_it_had(site, layer, v1, tmp_path):
    publish(site, layer, v1)
    pull(site.endpoints[0], layer, tmp_path / "a")
    site.reflector_status()  # all it received is on its disk
    site.reflector.kill()
    site.reflector.start()
    pull(site.endpoints[1], layer, tmp_path / "b")
    assert_same(v1, tmp_path / "b")
    assert site.reflector_status()["chunks"]["received_bytes"] == 0


def test_a_reflector_killed_in_the_middle_of_a_pull_goes_on_when_it_is_back(site, layer, tmp_path):
    source = small.make(tmp_path / "large", seed=2, large=40 * MB)
    publish(site, layer, source)
    store = site.reflector.data
    before = bytes_below(store)
    runs = [endpoint.start("pull", layer, tmp_path / endpoint.name) for endpoint in site.endpoints]
    wait_until(lambda: bytes_below(store) > before + 2 * MB, 30, "the first bytes to arrive")
    with site.hub.frozen():  # so that the pull cannot end meanwhile
        site.reflector.kill()
        is_running = [run.daemon.is_running() for run in runs]
    site.reflector.start()
    assert is_running == [True] * 3
    done = [run.wait() for run in runs]
    assert [one.code for one in done] == [0, 0, 0], "\n".join(map(str, done))
    assert_same(source, *(tmp_path / endpoint.name for endpoint in site.endpoints))


def test_an_endpoint_killed_in_the_middle_finishes_when_run_again(site, layer, tmp_path):
    source = small.make(tmp_path / "large", seed=3, large=40 * MB)
    target = tmp_path / "a"
    publish(site, layer, source)
    run = site.endpoints[0].start("pull", layer, target)
    wait_until(lambda: bytes_staged(target) > 2 * MB, 30, "bytes to arrive")
    run.kill()
    assert [path.name for path in target.iterdir()] == [".albedo"]
    event = pull(site.endpoints[0], layer, target)
    assert event["bytes_resumed"] > 0
    assert_same(source, target)


# ---- chains ----

def test_a_reflector_behind_a_reflector(site, layer, v1, v2, tmp_path):
    inner = site.new_reflector("inner", parent=site.reflector)
    endpoint = site.new_member("behind-two")
    site.join(endpoint, site.token("endpoint", "--site", "branch"), upstream=inner)
    for source in (v1, v2):
        publish(site, layer, source)
        before = site.reflector_status()
        pull(endpoint, layer, tmp_path / "a")
        assert_same(source, tmp_path / "a")
        pull(site.endpoints[0], layer, tmp_path / "b")
        after = site.reflector_status()
        crossed = after["chunks"]["received_bytes"] - before["chunks"]["received_bytes"]
        assert crossed <= 1.01 * (after["store"]["live_bytes"] - before["store"]["live_bytes"])
    inner.stop()


# ---- a shaped link that is cut ----

@needs_lab
def test_a_wan_that_is_cut_carries_each_byte_once_all_the_same(tmp_path):
    source = small.make(tmp_path / "source", large=8 * MB)
    with Lab(endpoints=3, rate="20mbit", delay="40ms") as lab, \
            Site(tmp_path / "site", lab=lab) as site:
        site.start()
        publish(site, "base/cut", source)
        before, wire = site.reflector_status(), lab.link.bytes()["down"]
        runs = [endpoint.start("pull", "base/cut", tmp_path / endpoint.name)
                for endpoint in site.endpoints]
        wait_until(lambda: lab.link.bytes()["down"] > wire + 2 * MB, 30, "2 MB over the WAN")
        lab.link.cut()
        silent = lab.link.bytes()["down"]
        assert all(run.daemon.is_running() for run in runs)
        with pytest.raises(AssertionError):  # for a while nothing crosses
            wait_until(lambda: lab.link.bytes()["down"] > silent, 3, "a byte over a cut link")
        lab.link.restore()
        done = [run.wait() for run in runs]
        assert [one.code for one in done] == [0, 0, 0], "\n".join(map(str, done))
        assert_same(source, *(tmp_path / endpoint.name for endpoint in site.endpoints))
        wire = lab.link.bytes()["down"] - wire
        after = site.reflector_status()
    needed = after["store"]["live_bytes"] - before["store"]["live_bytes"]
    crossed = after["chunks"]["received_bytes"] - before["chunks"]["received_bytes"]
    assert crossed <= 1.02 * needed
    assert wire <= 1.15 * needed  # what was in the cut link's queue was sent twice
