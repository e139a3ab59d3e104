# SPDX-License-Identifier: Apache-2.0
# e2e/test_damage_hub.py – a hub's files damaged under a real process: what cannot be built anew is
# named, with what it hurts and what to do.

import shutil

import pytest

from albtest.branch import LAYER, make_tree, pull, started
from albtest.damage import damages, flip, flip_segments, flips, forgets, starts_or_says
from albtest.procs import wait_until
from albtest.tree import compare


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree", 10, 300_000)


@pytest.fixture
def site(tmp_path):
    with started(tmp_path) as site:
        yield site


def lost_at_hub(site):
    return site.admin.albedo("status").document()["parent"]["damaged"]


def test_chunks_damaged_at_the_hub_are_named_with_what_they_hurt_and_published_again(site, tree):
    hub = site.hub
    site.admin.albedo("publish", LAYER, tree)
    site.admin.albedo("publish", "base/other", tree)
    forgets(hub)
    flip_segments(hub)
    for path in (hub.data / "segments").iterdir():
        flip(path, 100)  # the root object, so that a device does not get to see the rest
    site.endpoints[0].albedo("pull", LAYER, site.folder / "target0", code=4)
    assert not list((site.folder / "target0").glob("f*"))
    hub.daemon.wait_line(r"error event=chunk\.lost .*chunk=[0-9a-f]{64}")
    for layer in (LAYER, "base/other"):
        hub.daemon.wait_line(rf"error event=chunk\.hurts chunk=[0-9a-f]{{64}} layer={layer} "
                             r"version=1 current=1 files=\d path=\S+ next=")
    damaged = wait_until(lambda: [one for one in lost_at_hub(site) if one["looked_into"]], 10,
                         "the versions to be looked into")
    names = {(one["layer"], one["version"]) for one in damaged[0]["versions"]}
    assert names == {(LAYER, "1"), ("base/other", "1")}

    hub.daemon.wait_line(r"event=store\.looked_through chunks=\d+ bad=[1-9]")
    site.admin.albedo("publish", LAYER, tree)  # all of it is known, so once is enough
    pull(site, 0, tree)
    site.endpoints[1].albedo("pull", "base/other@1", site.folder / "target1")
    assert compare(tree, site.folder / "target1", skip_root=True) == []
    assert lost_at_hub(site) == []
    hub.daemon.wait_line(r"event=chunk\.healed chunk=[0-9a-f]{64} left=0")


def test_a_hub_builds_its_index_anew_whichever_file_of_it_is_damaged(site, tree, tmp_path):
    hub = site.hub
    site.admin.albedo("publish", LAYER, tree)
    hub.stop()
    golden = tmp_path / "golden"
    shutil.copytree(hub.data, golden)
    for what, damage in list(damages(hub.data / "index")):
        print(what)  # shown when the test fails
        damage()
        hub.start()
        hub.kill()
        shutil.rmtree(hub.data)
        shutil.copytree(golden, hub.data)
    shutil.rmtree(hub.data / "index")
    site.restart_hub()
    pull(site, 0, tree)
    assert lost_at_hub(site) == []


def test_a_damaged_catalogue_at_the_hub_is_named_with_what_to_do(site, tree, tmp_path):
    hub = site.hub
    site.admin.albedo("publish", LAYER, tree)
    hub.stop()
    golden = tmp_path / "golden"
    shutil.copytree(hub.data, golden)
    refused = 0
    for what, damage in list(damages(hub.data / "catalogue")):
        print(what)  # shown when the test fails
        damage()
        if starts_or_says(hub, [f"{hub.data}/catalogue: ", "backup"]):
            # What is not RocksDB's data (IDENTITY, OPTIONS) may be what it likes.
            assert site.admin.albedo("layers").document()["layers"][0]["layer"] == LAYER
            hub.kill()
        else:
            refused += 1
        shutil.rmtree(hub.data)
        shutil.copytree(golden, hub.data)
    assert refused > 3
    site.restart_hub()
    pull(site, 0, tree)


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "tls.key", "online.key"])
def test_a_damaged_key_of_the_hub_is_named_with_what_to_do(site, name):
    site.hub.stop()
    path = site.hub.data / name
    good = path.read_bytes()
    for at, bad in flips(good, 5):
        path.write_bytes(bad)
        started = starts_or_says(site.hub, [name, "backup"])
        assert not started, f"byte {at} of {name}"
    path.unlink()
    assert not starts_or_says(site.hub, [str(path)])
    path.write_bytes(good)
    site.restart_hub()
