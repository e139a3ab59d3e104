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
    # What was under way at the kill comes again: chunks of up to 1 MiB.  With several endpoints so
    # does what the dead one had given to some and not yet to all: its sibling is empty.
    assert down <= 1.08 * size + 2 * MB, f"{down / size:.3f}"
    assert again_s <= RECHOOSE_S + 2, again_s
