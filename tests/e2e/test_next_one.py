# SPDX-License-Identifier: Apache-2.0
# e2e/test_next_one.py – a reflector that is full, slow, or lacks what is wanted; and a hub that is
# gone when everything starts: who is asked then, and what crosses the line.

import contextlib
import json
import os
import signal

import pytest

from albtest.country import Country, Org
from albtest.procs import wait_until
from albtest.tree import compare

usable, why_not = Country.available()
pytestmark = pytest.mark.skipif(not usable, reason=why_not)

SECONDS = 30


@pytest.fixture(scope="module")
def org(tmp_path_factory):
    with Country(endpoints=2, siblings=True) as land, \
            Org(tmp_path_factory.mktemp("org"), land) as org:
        org.start()
        org.tree = make_tree(tmp_path_factory.mktemp("tree") / "tree")
        org.admin.albedo("publish", "base/os", org.tree)
        org.pull_all("base/os", org.sites["a"].members)  # everybody has a grant and a list
        yield org
        for box in (org.hub, *org.sites["a"].boxes()):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


@pytest.fixture
def place(org):
    return org.sites["a"]


def make_tree(top, count=4, size=150_000):
    top.mkdir()
    for n in range(count):
        (top / f"f{n}").write_bytes(os.urandom(size))
    return top


@contextlib.contextmanager
def at_most(org, place, sessions):
    """Each reflector of the site takes so many devices; afterwards any number again."""
    org.admin.albedo("site", "set", "a", f"max_sessions={sessions}")
    try:
        yield
    finally:
        org.admin.albedo("site", "set", "a", "max_sessions=")
        wait_until(lambda: not refusing(place.members[1]), SECONDS, "them to take anybody again")


def candidates(member):
    return member.albedo("explain", "upstream").document()["choice"]["candidates"]


def refusing(member):
    """Those that refuse it, with what they say."""
    return [c for c in candidates(member) if c["reason"] == "refused"]


@contextlib.contextmanager
def agent(member, *words):
    run = member.start("agent", *words)
    try:
        yield run
        run.daemon.process.send_signal(signal.SIGTERM)
        done = run.wait(SECONDS)
        assert done.code == 0, str(done)
        assert "Sanitizer" not in done.err
    finally:
        run.kill()


def shown(member):
    with contextlib.suppress(FileNotFoundError):
        return json.loads((member.state / "agent.json").read_text())
    return {}


def parent_of(member):
    parent = shown(member).get("parent", {})
    return parent.get("device") if parent.get("is_up") else None


def test_a_full_reflector_says_until_when_and_the_next_one_is_taken(org, place):
    first, second = place.members
    with agent(first):
        wait_until(lambda: parent_of(first), SECONDS, "the first to be served")
        with at_most(org, place, 1):
            def look():
                choice = second.albedo("explain", "upstream").document()["choice"]
                full = [c for c in choice["candidates"] if c["reason"] == "refused"]
                return (choice, full) if full else None
            choice, full = wait_until(look, SECONDS, "one to be full")
            for one in full:
                assert "max_sessions is 1" in one["words"], one
                assert 0 < one["refused_s"] <= 60, one
            assert choice["device"] and choice["device"] not in [c["device"] for c in full], choice
            second.albedo("pull", "base/os", org.folder / "targets" / "full")


@pytest.fixture
def nobody_below(org):
    """The sub-site's reflectors count as well, and go to either of the two."""
    boxes = org.sites["a1"].boxes()
    for box in boxes:
        box.stop()
    yield
    for box in boxes:
        box.start()


@pytest.mark.usefixtures("nobody_below")
def test_a_full_reflector_is_returned_to_when_it_has_room_again(org, place):
    first, second = place.members
    with agent(first):
        wait_until(lambda: parent_of(first) == "reflector-a", 2 * SECONDS, "the preferred one")
        with contextlib.ExitStack() as limit:
            limit.enter_context(at_most(org, place, 2))  # itself, and the other reflector
            wait_until(lambda: [c["device"] for c in refusing(second)] == ["reflector-a"],
                       SECONDS, "it to be full")
            running = limit.enter_context(agent(second))
            wait_until(lambda: parent_of(second) == "sibling-a", SECONDS, "the next one")
            org.admin.albedo("site", "set", "a", "max_sessions=")
            # It said "in 30 to 60 s"; then it must have been good for 30 s.
            wait_until(lambda: parent_of(second) == "reflector-a", 110, "its return")
            assert running.daemon.is_running()


def test_slow_is_not_dead_nobody_goes_over_the_line_for_it(org, place, tmp_path):
    first, second = place.members
    tree = make_tree(tmp_path / "tree")
    org.admin.albedo("publish", "base/slow", tree)
    first.albedo("pull", "base/slow", org.folder / "targets" / "fast")
    before = place.branch.wan.bytes()["down"]
    host = place.branch.reflector
    host.run(["tc", "qdisc", "replace", "dev", "lan0", "root", "tbf", "rate", "500kbit",
              "burst", "16kb", "latency", "300ms"])
    try:
        done = second.albedo("pull", "base/slow", org.folder / "targets" / "slow")
    finally:
        host.run(["tc", "qdisc", "del", "dev", "lan0", "root"])
    assert compare(tree, org.folder / "targets" / "slow", skip_root=True) == []
    assert done.event("pulled")["fetched_from"] == "reflector"
    crossed = place.branch.wan.bytes()["down"] - before
    assert crossed < 100_000, crossed


def test_one_that_lacks_what_is_wanted_is_no_error_the_next_one_is_asked(org, place, tmp_path):
    member = place.members[0]
    tree = make_tree(tmp_path / "tree")
    log = place.reflector.log
    org.admin.albedo("reflector", "suspend", "reflector-a")
    wait_until(lambda: "event=reflector.state state=suspend" in log.read_text(), 10, "it to hear")
    try:
        org.admin.albedo("publish", "base/lacks", tree)
        done = member.albedo("pull", "base/lacks", org.folder / "targets" / "lacks")
        assert done.event("pulled")["fetched_from"] == "reflector"
        assert compare(tree, org.folder / "targets" / "lacks", skip_root=True) == []
    finally:
        org.admin.albedo("reflector", "accept", "reflector-a")
        wait_until(lambda: "event=reflector.state state=accept" in log.read_text(), 10,
                   "it to hear")


def test_with_the_hub_gone_at_start_up_the_branch_starts_and_installs(org, place, tmp_path):
    member = place.members[0]
    target = org.folder / "targets" / "start-up"
    org.hub.stop()
    try:
        for box in place.boxes():
            box.stop()
        place.reflector.start()
        with agent(member, "--follow", f"base/os={target}"):
            wait_until(lambda: "current" in [f["state"] for f in shown(member).get("follows", [])],
                       SECONDS, "the layer to be installed")
            seen = shown(member)
            assert seen["parent"]["device"] == "reflector-a"  # the only one that runs
            assert 0 < seen["good_until"]["head_wall_s"], seen["good_until"]
        assert compare(org.tree, target, skip_root=True) == []
    finally:
        org.hub.start()
        place.sibling.start()
    # Nobody needs to be told that it is back.
    wait_until(lambda: org.status("a")["parent"]["up"], SECONDS, "the hub to be found again")
    tree = make_tree(tmp_path / "tree")
    org.admin.albedo("publish", "base/back", tree)
    done = member.albedo("pull", "base/back", org.folder / "targets" / "back")
    assert done.event("pulled")["fetched_from"] == "reflector"
