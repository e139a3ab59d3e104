# SPDX-License-Identifier: Apache-2.0
# e2e/test_cut_off.py – the WAN is gone: what the branch goes on doing, and what it tells later.

import os
import time

import pytest

from albtest.country import Country, Org, crossing
from albtest.procs import wait_until
from albtest.tree import compare

usable, why_not = Country.available()
pytestmark = pytest.mark.skipif(not usable, reason=why_not)
LARGEST_CHUNK = 1 << 20


@pytest.fixture(scope="module")
def land():
    with Country(endpoints=3) as land:
        yield land


@pytest.fixture(scope="module")
def org(land, tmp_path_factory):
    with Org(tmp_path_factory.mktemp("org"), land) as org:
        org.start()
        tree = make_tree(tmp_path_factory.mktemp("tree") / "tree")
        org.admin.albedo("publish", "base/told", tree)
        yield org
        for box in (org.hub, *(place.reflector for place in org.sites.values())):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


@pytest.fixture
def cut(org):
    """Site a, and with it the sub-site behind it, has no WAN until the test restores it."""
    wan = org.land.branches["a"].wan
    yield wan
    wan.restore()
    wait_until(lambda: org.status("a")["parent"]["up"], 30, "the line to be back")


def make_tree(top, count=6, size=300_000):
    top.mkdir()
    for n in range(count):
        (top / f"f{n}").write_bytes(os.urandom(size))
    return top


def pulls(org):
    """What the hub has counted, by device."""
    rows = org.admin.albedo("devices").document()["devices"]
    return {row["device"]: row["pulls"] for row in rows if "pulls" in row}


def device(member):
    return member.albedo("status").document()["self"]["device"]


def pull(org, member, layer, code=0):
    return member.albedo("pull", layer, org.folder / "targets" / f"{member.name}-{layer[5:]}",
                         code=code)


def test_what_became_of_a_pull_is_told_to_the_hub_and_counted_once(org):
    one = org.sites["a1"].members[0]
    name = device(one)
    done = pull(org, one, "base/told").event("pulled")
    # two reflectors lie between: each keeps it a moment for those that may follow
    seen = wait_until(lambda: pulls(org).get(name), 20, "the hub to hear of it")
    assert (seen["applied"], seen["failed"]) == (1, 0)
    assert seen["last"]["layer"] == "base/told"
    assert seen["last"]["version"] == done["version"]
    assert seen["last"]["bytes"] == done["fetched_bytes"]
    pull(org, one, "base/told")  # nothing new: nothing is said
    pull(org, one, "base/nowhere", code=4)
    seen = wait_until(lambda: pulls(org)[name]["failed"] and pulls(org)[name], 20, "the failure")
    assert (seen["applied"], seen["failed"], seen["last"]["outcome"]) == (1, 1, "failed")


def test_a_branch_without_its_wan_installs_what_it_holds_and_tells_later(org, cut, tmp_path):
    tree = make_tree(tmp_path / "tree")
    org.admin.albedo("publish", "base/cut", tree)
    first, second, third = org.sites["a"].members
    pull(org, first, "base/cut")
    names = [device(member) for member in (first, second, third)]
    wait_until(lambda: pulls(org).get(names[0]), 20, "the hub to hear of the first")
    for member in (second, third):
        pull(org, member, "base/told")
    wait_until(lambda: all(name in pulls(org) for name in names), 20, "the others' grants")
    cut.cut()
    wait_until(lambda: not org.status("a")["parent"]["up"], 60, "the reflector to notice")
    for member in (second, third):
        pull(org, member, "base/cut")
        assert compare(tree, org.folder / "targets" / f"{member.name}-cut", skip_root=True) == []
    assert second.albedo("layers").document()["stale"] is True
    seen = org.status("a")["cut_off"]
    assert abs(time.time() - seen["since_wall_s"]) < 120, seen
    assert seen["can_go_on_until_wall_s"] > time.time() + 86400, seen
    told = org.status("a")["told"]
    assert told["kept"] == 2 and told["oldest_wall_s"] > 0, told
    org.sites["a"].reflector.kill()  # and the power fails, too
    org.sites["a"].reflector.start()
    assert org.status("a")["told"]["kept"] == 2
    cut.restore()
    wait_until(lambda: all(pulls(org)[name]["applied"] == 2 for name in names[1:]), 90,
               "the hub to hear of what was done meanwhile")
    assert org.status("a")["cut_off"]["since_wall_s"] == 0
    assert wait_until(lambda: org.status("a")["told"]["kept"] == 0, 20, "nothing to be kept")


def test_a_rollout_goes_on_where_it_was_when_the_line_comes_back(org, cut, tmp_path):
    size = 12 << 20
    tree = make_tree(tmp_path / "tree", count=12, size=1 << 20)
    org.admin.albedo("publish", "base/mid", tree)
    place = org.sites["a"]
    cut.shape("8mbit")
    before = cut.bytes()["down"]
    with crossing(org, "a") as seen:
        runs = [(m, m.start("pull", "base/mid", org.folder / "targets" / f"{m.name}-mid"))
                for m in place.members]
        wait_until(lambda: cut.bytes()["down"] - before > size / 3, 60, "a third")
        cut.cut()
        wait_until(lambda: not org.status("a")["parent"]["up"], 40, "the reflector to notice")
        at_cut = cut.bytes()["down"]
        time.sleep(5)  # not a race: a while without a line is what is tried
        assert all(run.daemon.is_running() for _, run in runs)
        assert cut.bytes()["down"] == at_cut
        cut.restore()
        done = [run.wait() for _, run in runs]
    assert [one.code for one in done] == [0] * len(runs), "\n".join(map(str, done))
    for member, one in zip(place.members, done):
        assert compare(tree, org.folder / "targets" / f"{member.name}-mid", skip_root=True) == []
        assert one.event("pulled")["fetched_from"] == "reflector"
    print(f"crossing ratio {seen['a']['received'] / seen['a']['stored']:.4f}")
    # A chunk that was cut in two comes again, whole: of a large one that is more than 2 % of this.
    assert seen["a"]["received"] <= seen["a"]["stored"] + LARGEST_CHUNK, seen


def test_a_sub_site_goes_on_while_the_site_above_is_cut_off(org, cut, tmp_path):
    tree = make_tree(tmp_path / "tree")
    org.admin.albedo("publish", "base/sub", tree)
    pull(org, org.sites["a"].members[0], "base/sub")  # the site holds it, the sub-site does not
    below = org.sites["a1"].members
    for member in below[:2]:
        pull(org, member, "base/told")
    cut.cut()
    wait_until(lambda: not org.status("a")["parent"]["up"], 60, "the reflector to notice")
    with crossing(org, "a1") as seen:
        for member in below[:2]:
            pull(org, member, "base/sub")
            target = org.folder / "targets" / f"{member.name}-sub"
            assert compare(tree, target, skip_root=True) == []
    assert seen["a1"]["received"] <= 1.02 * seen["a1"]["stored"], seen
