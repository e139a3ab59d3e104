# SPDX-License-Identifier: Apache-2.0
# e2e/test_cache.py – a reflector's cache: its quota under load, what stays, pins, scrubbing, and
# limits that make no sense.

import os
import shutil

import pytest

from albtest.branch import LAYER, make_tree, pull, started
from albtest.procs import wait_until
from albtest.site import program

MB = 1 << 20
QUOTA = 32 * MB


def pull_from_the_branch_alone(site, n, tree):
    """By a machine that may, into an empty target, without a hub."""
    site.hub.kill()
    shutil.rmtree(site.folder / f"target{n}")
    pull(site, n, tree)


def occupied(data):
    """What the cache's files take in blocks."""
    folders = [data / name for name in ("segments", "index", "pins")]
    return sum(file.stat().st_blocks * 512 for folder in folders if folder.exists()
               for file in folder.iterdir())


def set_options(site, lines):
    """These lines instead of those about the same options."""
    conf = site.reflector.data / "reflector.conf"
    keys = {line.split()[0] for line in lines}
    kept = [line for line in conf.read_text().splitlines() if line.split()[:1] and
            line.split()[0] not in keys]
    conf.write_text("\n".join([*kept, *lines]) + "\n")


def restart(site, *lines):
    site.reflector.stop()
    set_options(site, lines)
    site.reflector.start()


@pytest.fixture
def site(tmp_path):
    with started(tmp_path) as site:
        restart(site, 'cache_quota = "32MiB"')
        yield site


def refused(site, *lines):
    """What a start with these lines says; the cache is as before."""
    before = sorted(file.name for file in (site.reflector.data / "segments").iterdir())
    config = site.reflector.data / "reflector.conf"
    kept = config.read_text()
    site.reflector.stop()
    set_options(site, lines)
    with pytest.raises(Exception):
        site.reflector.start()
    said = site.reflector.log.read_text()
    config.write_text(kept)
    site.reflector.start()
    assert sorted(file.name for file in (site.reflector.data / "segments").iterdir()) == before
    return said


def test_the_quota_holds_while_more_than_it_comes_through(site, tmp_path):
    for n in range(4):
        tree = make_tree(tmp_path / f"tree{n}", 30, 500_000)
        site.admin.albedo("publish", LAYER, tree)
        pull(site, n % 2, tree)
        assert occupied(site.reflector.data) <= QUOTA
    cache = site.reflector_status()["cache"]
    assert cache["policy"] == "s3-fifo" and cache["quota_bytes"] == QUOTA
    assert cache["used_bytes"] <= QUOTA and cache["evicted_bytes"] > 20 * MB
    assert site.reflector_status()["store"]["state"] == "ok"


def test_a_large_pull_of_one_machine_does_not_push_out_what_all_use(site, tmp_path):
    tree = make_tree(tmp_path / "tree", 20, 400_000)
    site.admin.albedo("publish", LAYER, tree)
    for n in range(2):
        pull(site, n, tree)
    large = make_tree(tmp_path / "large", 60, 900_000)
    site.admin.albedo("publish", "app/large", large)
    site.endpoints[0].albedo("pull", "app/large", tmp_path / "large-target")
    before = site.reflector_status()["sources"]["parent"]["bytes"]
    pull(site, 2, tree)
    assert site.reflector_status()["sources"]["parent"]["bytes"] - before < MB
    assert occupied(site.reflector.data) <= QUOTA


def test_a_pinned_version_stays_and_one_that_is_not_named_any_more_goes(site, tmp_path):
    tree = make_tree(tmp_path / "tree", 20, 400_000)
    version = site.admin.albedo("publish", LAYER, tree).event("published")["version"]
    restart(site, f'cache_pins = {{ "{LAYER}@{version}" }}')
    site.reflector.daemon.wait_line(r"event=cache\.pinned version=base/os@")
    pull(site, 0, tree)
    for n in range(3):
        other = make_tree(tmp_path / f"other{n}", 40, 500_000)
        site.admin.albedo("publish", "app/other", other)
        site.endpoints[1].albedo("pull", "app/other", tmp_path / "other-target")
    cache = site.reflector_status()["cache"]
    assert cache["pins"] == 1 and cache["pinned_here_bytes"] > 8_000_000
    pull_from_the_branch_alone(site, 0, tree)
    site.restart_hub()
    said = refused(site, 'cache_floor = "900TiB"')
    assert "cache_floor" in said and "take less" in said
    restart(site, "cache_pins = none")
    site.reflector.daemon.wait_line(r"event=cache\.unpinned version=base/os@")
    assert site.reflector_status()["cache"]["pins"] == 0


def test_a_cache_of_which_nothing_is_said_takes_nine_tenths_of_what_is_free(site, tmp_path):
    def quota():
        return site.reflector_status()["cache"]["quota_bytes"]

    def room():
        about = os.statvfs(site.reflector.data)
        return about.f_bavail * about.f_frsize + occupied(site.reflector.data)

    tree = make_tree(tmp_path / "tree", 20, 400_000)
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 0, tree)
    restart(site, "cache_quota = auto")
    assert 0.8 * room() < quota() < 0.95 * room()
    restart(site, 'cache_floor = "1MiB"')  # then that is the limit
    assert quota() == 0
    restart(site, "cache_quota = none")
    assert quota() == 0


def would_lose(site, code=0):
    argv = [program("albedo-reflector"), "would-lose", "--config",
            site.reflector.data / "reflector.conf"]
    done = site.run_on(site.reflector.host, argv, "would-lose").wait()
    assert done.code == code, done
    return done


def test_what_would_be_lost_is_told_before_it_is(site, tmp_path):
    tree = make_tree(tmp_path / "tree", 20, 400_000)
    version = site.admin.albedo("publish", LAYER, tree).event("published")["version"]
    restart(site, 'cache_quota = "64MiB"', f'cache_pins = {{ "{LAYER}@{version}" }}')
    site.reflector.daemon.wait_line(r"event=cache\.pinned")
    pull(site, 0, tree)
    assert "is running on this directory" in would_lose(site, code=1).err
    site.reflector.stop()
    assert f"pinned   {LAYER}@{version}: stays" in would_lose(site).out
    set_options(site, ["cache_pins = none"])
    said = would_lose(site).out
    assert f"unpinned {LAYER}@{version}: " in said and "chunks of 8.0 MB" in said
    assert "0 B of what is asked for least would go" in said
    set_options(site, [f'cache_pins = {{ "{LAYER}@{version}" }}', 'cache_quota = "9MB"'])
    assert "serve would not start" in would_lose(site, code=2).err
    set_options(site, ['cache_quota = "64MiB"'])
    site.reflector.start()
    pull_from_the_branch_alone(site, 0, tree)


def test_limits_that_make_no_sense_are_refused_and_nothing_is_lost(site, tmp_path):
    tree = make_tree(tmp_path / "tree", 70, 400_000)
    version = site.admin.albedo("publish", LAYER, tree).event("published")["version"]
    restart(site, 'cache_quota = "64MiB"', f'cache_pins = {{ "{LAYER}@{version}" }}')
    site.reflector.daemon.wait_line(r"event=cache\.pinned")
    pull(site, 0, tree)
    assert "at least 33.6 MB" in refused(site, 'cache_quota = "1MiB"')
    assert "too little for what cache_pins names" in refused(site, 'cache_quota = "32MiB"')
    assert "cache_policy" in refused(site, "cache_policy = arc")
    assert "LAYER@VERSION" in refused(site, 'cache_pins = { "base/os" }')
    pull_from_the_branch_alone(site, 0, tree)


def test_a_byte_that_the_disk_turned_is_found_by_scrubbing_and_healed_from_above(site, tmp_path):
    tree = make_tree(tmp_path / "tree", 20, 400_000)
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 0, tree)
    site.reflector.stop()
    file = max((site.reflector.data / "segments").iterdir(), key=lambda f: f.stat().st_size)
    bytes_there = bytearray(file.read_bytes())
    bytes_there[len(bytes_there) // 2] ^= 0x10
    file.write_bytes(bytes_there)
    site.reflector.start()
    wait_until(lambda: site.reflector_status()["cache"]["healed_chunks"] == 1, 30, "a chunk healed")
    status = site.reflector_status()
    assert status["cache"]["scrubbed_bad"] == 1 and status["cache"]["not_healed"] == 0
    assert status["sources"]["parent"]["chunks"] == 1
    assert 0 < status["cache"]["healed_bytes"] < MB
    restart(site)  # what was healed is on the disk
    site.hub.kill()
    shutil.rmtree(site.folder / "target0")
    pull(site, 0, tree)  # nobody had to find out the hard way
    assert site.reflector_status()["chunks"]["damaged"] == 0
