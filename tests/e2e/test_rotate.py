# SPDX-License-Identifier: Apache-2.0
# e2e/test_rotate.py – the hub's signing key is changed under a living tree.

import json
import os

import pytest

from albtest.branch import LAYER, started
from albtest.procs import wait_until
from albtest.site import program
from albtest.tree import compare


@pytest.fixture
def site(tmp_path):
    with started(tmp_path, endpoints=2) as site:
        yield site


@pytest.fixture
def trees(tmp_path):
    made = []
    for n in range(2):
        made.append(tmp_path / f"tree{n}")
        made[n].mkdir()
        (made[n] / "file").write_bytes(os.urandom(300_000))
    return made


def rotate_key(site):
    argv = [program("albedo-hub"), "rotate-key", "--data", site.hub.data]
    done = site.run_on(site.hub.host, argv, "rotate").wait()
    assert done.code == 0, done
    return done.out.strip()


def hub_key(site):
    return site.admin.albedo("status").document()["parent"]["hub_key"]


def test_the_hubs_key_is_rotated_while_branches_go_on(site, trees, tmp_path):
    site.admin.albedo("publish", LAYER, trees[0])
    thief = site.new_member("thief")
    site.join(thief, site.token("endpoint", "--site", "branch"), upstream=site.reflector)
    device = json.loads((thief.state / "identity.json").read_text())["device"]
    site.admin.albedo("revoke", device)
    target = tmp_path / "target"
    target.mkdir()
    site.endpoints[0].albedo("pull", LAYER, target)

    old, new = hub_key(site), rotate_key(site)
    assert rotate_key(site) == new != old  # asked again it is the same
    assert hub_key(site) == old            # nothing has changed yet
    after = len(site.hub.daemon.log_text())
    site.admin.albedo("trust", "rotate-hub", new)
    site.hub.daemon.wait_line(r"event=hub\.ready", timeout=30, after=after)
    assert hub_key(site) == new
    assert not (site.hub.data / "online.next").exists()
    site.admin.albedo("trust", "rotate-hub", new)  # once more is fine

    # who saw the old key, who is new, and who is revoked
    wait_until(lambda: site.reflector_status()["trust"]["version"] == 2, 30,
               "the reflector to hear of the new key")
    site.admin.albedo("publish", LAYER, trees[1])
    site.endpoints[0].albedo("pull", LAYER, target)
    assert compare(trees[1], target, skip_root=True) == []
    fresh = site.new_member("fresh")
    site.join(fresh, site.token("endpoint", "--site", "branch"), upstream=site.reflector)
    (tmp_path / "other").mkdir()
    fresh.albedo("pull", LAYER, tmp_path / "other")
    assert compare(trees[1], tmp_path / "other", skip_root=True) == []
    done = thief.albedo("layers", code=None)
    assert done.code == 3 and "revoked" in done.out + done.err

    site.hub.stop()
    site.restart_hub()
    assert hub_key(site) == new


def test_a_hub_told_to_stop_while_it_begins_again_with_its_new_key_stops(site):
    new, after = rotate_key(site), len(site.hub.daemon.log_text())
    command = site.admin.start("trust", "rotate-hub", new)
    site.hub.daemon.wait_line(r"event=hub\.begins_again", timeout=30, after=after)
    assert site.hub.daemon.stop() == 0
    command.wait()
    site.restart_hub()
    assert hub_key(site) == new


def test_a_layer_not_published_since_is_signed_anew(site, trees, tmp_path):
    site.admin.albedo("publish", LAYER, trees[0])
    after = len(site.hub.daemon.log_text())
    site.admin.albedo("trust", "rotate-hub", rotate_key(site))
    site.hub.daemon.wait_line(r"event=hub\.ready", timeout=30, after=after)
    (tmp_path / "target").mkdir()
    site.endpoints[1].albedo("pull", LAYER, tmp_path / "target", "--wait", "30s")
    assert compare(trees[0], tmp_path / "target", skip_root=True) == []


def test_a_key_that_is_not_the_hubs_next_is_refused(site):
    done = site.admin.albedo("trust", "rotate-hub", "ab" * 32, code=None)
    assert done.code != 0 and "hub key" in done.out + done.err
    done = site.admin.albedo("trust", "rotate-hub", "xyz", code=2)
    assert "rotate-key" in done.out + done.err
    done = site.endpoints[0].albedo("trust", "rotate-hub", rotate_key(site), code=None)
    assert done.code == 3
