# SPDX-License-Identifier: Apache-2.0
# e2e/test_next_one.py – a reflector that is full, slow, or lacks what is wanted: who is asked then,
# and what crosses the line.

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
        org.admin.albedo("site", "set", "a", "max_sessions=1")
        try:
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
        finally:
            org.admin.albedo("site", "set", "a", "max_sessions=")


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
