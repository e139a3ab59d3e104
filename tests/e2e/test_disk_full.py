# SPDX-License-Identifier: Apache-2.0
# e2e/test_disk_full.py – full disks under hub, reflector and endpoint, on real small file systems:
# what is said, that nothing is torn, and that all goes on by itself once there is room.

import os

import pytest

from albtest.branch import LAYER, make_tree, pull, started
from albtest.disk import MB, DyingDisk, SmallDisk
from albtest.procs import wait_until
from albtest.site import Site

DONE, FULL = 0, 6
DISK_MB = 24


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree", 12, 400_000)


@pytest.fixture
def disks(tmp_path):
    """The file systems of hub and reflector, before anything is on them."""
    with SmallDisk(tmp_path / "hub", DISK_MB) as hub:
        with SmallDisk(tmp_path / "reflector", DISK_MB) as reflector:
            yield hub, reflector


@pytest.fixture
def site(tmp_path, disks):
    with started(tmp_path) as site:
        yield site


def says(done, *words):
    assert "Sanitizer" not in done.err, done
    for word in words:
        assert word in done.err, f"{word!r} was expected in\n{done}"


# ---- hub ----

def test_a_full_hub_says_so_keeps_what_it_had_and_the_same_publish_completes(site, disks, tree):
    disk = disks[0]
    site.admin.albedo("publish", LAYER, tree)
    for n in range(12):
        (tree / f"more{n}").write_bytes(os.urandom(900_000))
    disk.fill(leave=8 * MB)  # room for some of it
    done = site.admin.albedo("publish", LAYER, tree, code=FULL)
    says(done, "the hub says", "is full", "Make room", "run the same command again")
    site.hub.daemon.wait_line(rf"level=error event=store\.full dir={site.hub.data} free_bytes=")
    status = site.admin.albedo("status").document()["parent"]
    assert status["store_state"] == "full"

    disk.fill()
    says(site.admin.albedo("token", "create", "--role", "endpoint", "--site", "x", code=FULL),
         "is full", "Make room")
    assert site.endpoints[0].albedo("pull", LAYER, site.folder / "old").code == DONE
    disk.empty()
    disk.resize(2 * DISK_MB)  # or it were almost full again, which is not "has room"
    event = site.admin.albedo("publish", LAYER, tree).event("published")
    assert 0 < event["sent_chunks"] < 0.8 * event["chunks"]  # what was acknowledged is there
    site.hub.daemon.wait_line(r"event=store\.has_room_again")
    assert site.admin.albedo("status").document()["parent"]["store_state"] == "ok"
    site.token("endpoint", "--site", "x")
    pull(site, 1, tree)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_hub_started_on_a_full_disk_serves_and_takes_more_once_there_is_room(
        site, disks, tree, how):
    site.admin.albedo("publish", LAYER, tree)
    disks[0].fill()
    getattr(site.hub, how)()
    site.restart_hub()
    site.hub.daemon.wait_line(r"event=rocksdb\.read_only")
    pull(site, 0, tree)
    (tree / "f00").write_bytes(os.urandom(400_000))
    says(site.admin.albedo("publish", LAYER, tree, code=FULL), "is full", "Make room")
    disks[0].empty()
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 1, tree)
    site.hub.stop()


# ---- reflector ----

def test_a_full_reflector_passes_bytes_through_and_keeps_them_again_by_itself(site, disks, tree):
    disk = disks[1]
    site.admin.albedo("publish", LAYER, tree)
    disk.fill()
    for n in range(2):
        pull(site, n, tree)
    site.reflector.daemon.wait_line(rf"error event=store\.full dir={site.reflector.data} ")
    assert site.reflector.log.read_text().count("event=store.keeps_nothing") == 1
    status = site.reflector_status()
    assert status["store"]["state"] == "full"
    assert "No space left" in status["store"]["why"]
    assert status["chunks"]["not_kept"] > 0
    assert status["store"]["chunks"] == 0

    disk.empty()
    (tree / "new").write_bytes(os.urandom(8_000_000))
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 2, tree)
    status = site.reflector_status()
    assert status["store"]["state"] == "ok"
    assert status["store"]["live_bytes"] > 8_000_000
    site.reflector.daemon.wait_line(r"event=store\.keeps_again after_s=\d+ chunks_not_kept=[1-9]")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_reflector_started_on_a_full_disk_serves_what_it_has_and_what_it_has_not(
        site, disks, tree, how):
    disk = disks[1]
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 0, tree)
    disk.fill()
    getattr(site.reflector, how)()
    (tree / "new").write_bytes(os.urandom(3_000_000))
    site.admin.albedo("publish", LAYER, tree)
    site.reflector.start()
    pull(site, 1, tree)
    status = site.reflector_status()
    assert status["sources"]["store"]["chunks"] > 0
    assert status["store"]["state"] == "full"
    disk.empty()
    (tree / "newer").write_bytes(os.urandom(5_000_000))
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 2, tree)
    assert site.reflector_status()["store"]["state"] == "ok"
    site.hub.kill()
    (site.folder / "target2" / "newer").unlink()
    pull(site, 2, tree)  # from the branch alone
    site.reflector.stop()


def test_a_revocation_is_in_force_at_a_full_reflector_at_once(site, disks, tree):
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 0, tree)
    disks[1].fill()
    device = site.endpoints[1].albedo("status").document()["self"]["device"]
    site.admin.albedo("revoke", device)
    site.reflector.daemon.wait_line(r"event=trust\.not_kept name=revoked ")
    site.endpoints[1].albedo("pull", LAYER, site.folder / "no", code=3)
    pull(site, 2, tree)


def test_a_full_disk_under_the_log_ends_nobody(tmp_path, tree):
    with SmallDisk(tmp_path / "logs", 1) as disk, Site(tmp_path, endpoints=1) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        site.reflector.log = tmp_path / "reflector.log"
        site.start_reflector(site.reflector)
        site.join(site.endpoints[0], site.token("endpoint", "--site", "branch"), site.reflector)
        disk.fill()
        site.logs = tmp_path  # of commands; the hub's stays on the disk
        site.admin.albedo("publish", LAYER, tree)
        pull(site, 0, tree)
        assert site.hub.daemon.is_running()
        disk.empty()
        before = len(site.hub.daemon.log_text())
        site.token("endpoint", "--site", "branch")
        site.hub.daemon.wait_line("event=audit .*what=token", after=before)
        site.hub.stop()


def test_a_disk_that_dies_under_a_reflector_or_hub_ends_nobody(tmp_path, tree):
    with DyingDisk(tmp_path / "hub", 64) as above, DyingDisk(tmp_path / "reflector", 64) as below:
        with Site(tmp_path, endpoints=2) as site:
            site.start()
            site.admin.albedo("publish", LAYER, tree)
            below.die()
            for n in range(2):
                pull(site, n, tree)
            status = site.reflector_status()
            assert status["store"]["state"] == "failing"
            assert "Input/output error" in status["store"]["why"]
            above.die()
            (tree / "f00").write_bytes(os.urandom(400_000))
            says(site.admin.albedo("publish", LAYER, tree, code=1), "Input/output error")
            assert site.hub.daemon.is_running() and site.reflector.daemon.is_running()


# ---- endpoint ----

def test_a_full_target_names_what_is_missing_and_the_next_pull_goes_on(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    with SmallDisk(tmp_path / "target0", 4) as disk:
        done = site.endpoints[0].albedo("pull", LAYER, tmp_path / "target0", code=FULL)
        says(done, str(tmp_path / "target0"), "make room", "run the same command again")
        says(done, f"on the file system at {tmp_path}/target0: this version needs ", " are free")
        assert [f.name for f in (tmp_path / "target0").iterdir()] == [".albedo"]
        disk.resize(DISK_MB)
        event = pull(site, 0, tree)
        assert event["bytes_resumed"] > 0


def test_a_full_state_directory_does_not_stop_a_pull(site, tree):
    endpoint = site.endpoints[0]
    site.admin.albedo("publish", LAYER, tree)
    copy = site.folder / "copy"
    endpoint.state.rename(copy)
    with SmallDisk(endpoint.state, 1) as disk:
        for file in copy.rglob("*"):
            there = endpoint.state / file.relative_to(copy)
            if file.is_dir():
                there.mkdir()
            else:
                there.write_bytes(file.read_bytes())
                there.chmod(file.stat().st_mode)
        endpoint.state.chmod(0o700)
        disk.fill()
        pull(site, 0, tree)


# ---- what the reserve is for ----

def test_chunks_stop_before_the_disk_is_full_so_that_records_still_fit(site, disks, tree):
    site.admin.albedo("publish", LAYER, tree)
    (tree / "f00").write_bytes(os.urandom(400_000))
    disks[0].fill(leave=2 * MB)
    site.admin.albedo("publish", LAYER, tree, code=FULL)
    site.token("endpoint", "--site", "x")
    wait_until(lambda: disks[0].free > MB, 5, "the reserve to be there")
