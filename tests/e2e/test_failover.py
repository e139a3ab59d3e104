# SPDX-License-Identifier: Apache-2.0
# e2e/test_failover.py – a site's reflector dies in mid-pull: its sibling takes the pulls over,
# and nothing that came already comes again.

import os
import time

import pytest

from albtest.country import Country, Org
from albtest.procs import wait_until
from albtest.tree import compare

usable, why_not = Country.available()
pytestmark = pytest.mark.skipif(not usable, reason=why_not)

LAYER, FIRST = "base/os", "base/first"
MB = 1 << 20
RECHOOSE_S = 3  # a connection that breaks is no silence


@pytest.fixture(scope="module")
def org(tmp_path_factory):
    with Country(endpoints=3, siblings=True) as land, \
            Org(tmp_path_factory.mktemp("org"), land) as org:
        org.start()
        first = tmp_path_factory.mktemp("tree") / "first"
        first.mkdir()
        (first / "motd").write_text("first")
        org.admin.albedo("publish", FIRST, first)
        org.pull_all(FIRST, org.sites["a"].members)  # everybody has a grant and a list
        yield org


def make_tree(top, size):
    top.mkdir()
    for n in range(size // MB):
        (top / f"f{n:02}").write_bytes(os.urandom(MB))
    return top


def fetched(run):
    seen = run.last_event() or {}
    return seen.get("done_bytes", 0) if seen.get("phase") == "fetching" else 0


def test_a_reflector_killed_in_mid_pull_costs_neither_the_pull_nor_its_bytes(org, tmp_path):
    place, size = org.sites["a"], 16 * MB
    tree = make_tree(tmp_path / "tree", size)
    org.admin.albedo("publish", LAYER, tree)
    place.branch.wan.shape("16mbit")
    before = place.branch.wan.bytes()["down"]
    targets = {m: org.folder / "targets" / f"{m.name}-os" for m in place.members[:1]}
    runs = {m: m.start("pull", LAYER, target) for m, target in targets.items()}
    wait_until(lambda: place.branch.wan.bytes()["down"] - before > size / 3, 60, "a third")
    place.reflector.kill()
    killed = time.monotonic()
    at_kill = place.branch.wan.bytes()["down"]
    wait_until(lambda: place.branch.wan.bytes()["down"] - at_kill > 200_000, 30, "more to come")
    again_s = time.monotonic() - killed
    done = {m: run.wait() for m, run in runs.items()}
    for member, one in done.items():
        assert one.code == 0, str(one)
        assert one.event("pulled")["fetched_from"] == "reflector"
        assert compare(tree, targets[member], skip_root=True) == []
    down = place.branch.wan.bytes()["down"] - before
    print(f"bytes again after {again_s:.1f} s; wire ratio {down / size:.3f}")
    # What was under way at the kill comes again: chunks of up to 1 MiB.
    assert down <= 1.08 * size + 2 * MB, f"{down / size:.3f}"
    assert again_s <= RECHOOSE_S + 2, again_s


def parent_of(member):
    """What the reflector that it goes to says of itself."""
    return member.albedo("status").document()["parent"]


def test_a_reflector_killed_under_three_pulls_has_left_what_it_fetched_with_its_sibling(
        org, tmp_path):
    place, size = org.sites["a"], 32 * MB
    if not place.reflector.daemon.is_running():
        place.reflector.start()
    tree = make_tree(tmp_path / "three", size)
    org.admin.albedo("publish", "base/three", tree)
    wait_until(lambda: [s["up"] for s in parent_of(place.members[0])["siblings"]] == [True], 60,
               "a sibling")
    place.branch.wan.shape("16mbit")
    before = place.branch.wan.bytes()["down"]
    targets = {m: org.folder / "targets" / f"{m.name}-three" for m in place.members}
    runs = {m: m.start("pull", "base/three", target) for m, target in targets.items()}
    wait_until(lambda: place.branch.wan.bytes()["down"] - before > size / 3, 60, "a third")
    dead = parent_of(place.members[0])["device"]
    victim = place.reflector if place.reflector.name == dead else place.sibling
    victim.kill()
    done = {m: run.wait() for m, run in runs.items()}
    for member, one in done.items():
        assert one.code == 0, str(one)
        assert compare(tree, targets[member], skip_root=True) == []
    down = place.branch.wan.bytes()["down"] - before
    print(f"killed {dead}; wire ratio {down / size:.3f}")
    victim.start()
    # What the victim fetched in its last moments, and what was under way, comes again.
    assert down <= 1.05 * size + 2 * MB, f"{down / size:.3f}"
