# SPDX-License-Identifier: Apache-2.0
# e2e/test_branch.py – a hub, two sites and a sub-site on real bridges: one publish, everybody
# pulls, and each line is crossed once.

import os

import pytest

from albtest.country import Country, Org, crossing
from albtest.tree import compare

usable, why_not = Country.available()
pytestmark = pytest.mark.skipif(not usable, reason=why_not)

LAYER = "base/os"
RATIO = 1.02  # chunk bytes over a line ÷ stored size of the distinct chunks needed


@pytest.fixture(scope="module")
def land():
    with Country(endpoints=5) as land:
        yield land


@pytest.fixture(scope="module")
def org(land, tmp_path_factory):
    with Org(tmp_path_factory.mktemp("org"), land) as org:
        org.start()
        yield org
        for box in (org.hub, *(place.reflector for place in org.sites.values())):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


def make_tree(top, count=12, size=400_000):
    top.mkdir()
    for n in range(count):
        (top / f"f{n:02}").write_bytes(os.urandom(size))
    return top


def test_fifteen_endpoints_at_three_sites_pull_and_each_line_is_crossed_once(org, tmp_path):
    tree = make_tree(tmp_path / "tree")
    org.admin.albedo("publish", LAYER, tree)
    with crossing(org, "a", "b", "a1") as seen:
        org.pull_all(LAYER)
    for member in org.endpoints:
        assert compare(tree, org.folder / "targets" / member.name, skip_root=True) == []
    for name, line in seen.items():
        assert line["received"] <= RATIO * line["stored"], (name, line)
    # what the sub-site needs crosses the line of the site above it once, too: not twice
    assert seen["a"]["down"] <= 1.15 * seen["a"]["stored"], seen
