# SPDX-License-Identifier: Apache-2.0
# e2e/test_wake_errand.py – what machines are woken for, end to end on real bridges: it is at their
# branch before them, and they sleep again when they have it.
import os
import subprocess
import sys

import pytest

from albtest.asleep import StandIns, results, sleepy, wakes
from albtest.country import Country, crossing
from albtest.procs import expect_line, wait_until
from albtest.site import program
from albtest.sniff import Sniffer
from albtest.spaces import within
from albtest.standin import device, visit, wait_online

usable, why_not = Country.available()
pytestmark = pytest.mark.skipif(not usable, reason=why_not)


@pytest.fixture(scope="module")
def org(tmp_path_factory):
    with Country(endpoints=4) as land, sleepy(tmp_path_factory.mktemp("org"), land) as org:
        yield org


@pytest.fixture(name="machine")
def _machine(org):
    with StandIns(org) as make:
        yield make


LAYER = "base/woken"


@pytest.fixture(name="version", scope="module")
def _version(org, tmp_path_factory):
    top = tmp_path_factory.mktemp("tree")
    for n in range(12):
        (top / f"blob-{n}").write_bytes(os.urandom(400_000))
    org.admin.albedo("publish", LAYER, top)
    return next(d for d in org.admin.albedo("layers").document()["layers"]
                if d["layer"] == LAYER)["current"]


def test_the_content_is_at_the_branch_before_anybody_is_woken(org, machine, version):
    sleeper, has_it = machine("a", 0), machine("a", 1, layers=[(LAYER, version)])
    alone = machine("b", 0)
    visit(sleeper, has_it, alone)
    sleeper.sleep()
    alone.sleep()
    org.land.branches["a"].wan.shape("8mbit")
    try:
        with Sniffer(sleeper.member.host.ns) as heard, crossing(org, "a") as seen:
            done = org.admin.albedo("wake", "a-0", "a-1", "b-0", "--for", LAYER, code=1)
    finally:
        org.land.branches["a"].wan.shape("1gbit")
    said = results(done)
    assert {name: d["result"] for name, d in said.items()} == {
        "a-0": "woken", "a-1": "has_it_already", "b-0": "nobody_awake_there"}, done
    told = [d for d in done.documents() if d["event"] in ("content", "waking", "machine")]
    at_a = [d for d in told if d["event"] == "content" and d["site"] == "a"]
    assert at_a[-1]["state"] == "held" and at_a[-1]["bytes_here"] == at_a[-1]["bytes"] > 4_800_000
    assert {d["state"] for d in at_a[:-1]} == {"coming"} and len(at_a) > 2, at_a
    straight = next(d for d in told if d["event"] == "content" and d["site"] == "b")
    assert straight["state"] == "straight" and "no reflector of the site" in straight["why"]
    sent = next(i for i, d in enumerate(told) if d.get("device") == "a-0" and d["guard"] != "")
    assert told.index(at_a[-1]) < sent, told
    assert wakes(heard, sleeper.mac) and not wakes(heard, has_it.mac)
    # all of it crossed once, and is not asked for again by who pulls it
    stored = seen["a"]["stored"]
    assert stored > 4_800_000 and seen["a"]["received"] <= 1.02 * stored
    puller = org.sites["a"].members[3]
    with crossing(org, "a") as seen:
        puller.albedo("pull", LAYER, org.folder / "targets" / "woken")
    assert seen["a"]["received"] == 0, seen


def test_what_a_machine_told_a_moment_ago_counts_and_not_what_is_written_of_it(
        org, machine, version):
    pc = machine("a", 0, layers=[(LAYER, version)], wake=())
    pc.visit()  # it has the layer, and a card that does not wake it
    pc.body.update(layers=[], cards=machine("a", 0).body["cards"])
    pc.visit()
    pc.sleep()
    done = org.admin.albedo("wake", "a-0", "--for", LAYER)
    assert results(done)["a-0"]["result"] == "woken", done


def wait_obeys(org, state):
    def obeys():
        boxes = org.admin.albedo("reflector", "list").document()["reflectors"]
        return next(b for b in boxes if b["device"] == "reflector-a").get("obeys") == state
    wait_until(obeys, 20, f"reflector-a to {state}")


def test_where_the_reflector_is_suspended_nobody_waits_for_content_and_it_is_said(
        org, machine, version):
    pc = machine("a", 2)
    pc.visit()
    pc.sleep()
    org.admin.albedo("reflector", "suspend", "reflector-a", "--why", "a test")
    try:
        wait_obeys(org, "suspend")
        done = org.admin.albedo("wake", "a-2", "--for", LAYER)
    finally:
        org.admin.albedo("reflector", "accept", "reflector-a")
        wait_obeys(org, "accept")
    content = next(d for d in done.documents() if d["event"] == "content")
    assert content["state"] == "straight" and "no reflector of the site is here" in content["why"]
    # what it holds is not fetched for the next one
    pc.close()
    wait_online(org, "a-2", False)
    pc.sleep()
    done = org.admin.albedo("wake", "a-2", "--for", LAYER)
    held = [d for d in done.documents() if d["event"] == "content"][-1]
    assert held["state"] == "held" and held["fetched_bytes"] == 0, held


# ---- sleeping again ----

WAIT_FOR_FRAME = """
import socket, sys
pattern = b"\\xff" * 6 + bytes.fromhex(sys.argv[1].replace(":", "")) * 16
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as s:
    print("ready", flush=True)
    while pattern not in s.recv(4096):
        pass
"""


def booted(seconds):
    """Words before a command, for which the machine was started that long ago."""
    with open("/proc/uptime", encoding="ascii") as uptime:
        up = int(float(uptime.read().split()[0]))
    return ["unshare", "--time", "--boottime", str(seconds - up)]


def wake_an_agent(org, pc, before, *words):
    """It sleeps, is woken by the frame, and its agent runs then; what became of the job."""
    waiting = subprocess.Popen(within(pc.member.host.ns, sys.executable, "-c", WAIT_FOR_FRAME,
                                      pc.mac), stdout=subprocess.PIPE, text=True)
    try:
        expect_line(waiting, "ready")
        run = org.admin.start("wake", pc.member.name, "--for", LAYER, "--sleep-after")
        wait_until(lambda: waiting.poll() is not None or not run.daemon.is_running(), 60,
                   lambda: f"a frame for {pc.mac}; said was\n{run.output()}{run.errors()}")
        wait_until(lambda: waiting.poll() is not None, 2,
                   lambda: f"a frame for {pc.mac}; it is over:\n{run.output()}{run.errors()}")
        assert waiting.returncode == 0
    finally:
        waiting.kill()
        waiting.communicate()
    agent = org.run_on(pc.member.host, [*before, program("albedo"), "agent", *words, "--state",
                                        pc.member.state, "--json"], pc.member.name, None)
    try:
        done = run.wait()
        assert done.code == 0 and results(done)[pc.member.name]["result"] == "woken", done
    except BaseException:
        agent.kill()
        raise
    return agent


def test_who_was_woken_sleeps_again_after_the_pull_was_told_and_not_who_was_awake(
        org, machine, version, tmp_path):
    pc, slept, target = machine("a", 1), tmp_path / "slept", tmp_path / "target"
    words = ["--follow", f"{LAYER}={target}", "--sleep-command", f"date +%s >> {slept}"]
    pc.visit()
    agent = wake_an_agent(org, pc, booted(5), *words)
    try:
        wait_until(slept.exists, 60, "it to sleep again")
        assert (target / "blob-0").exists()
        wait_online(org, "a-1", False, 10)
        assert device(org, "a-1")["pulls"]["last"]["version"] == version
        # nobody sleeps really here: it says so itself, and is back
        wait_online(org, "a-1", True, 60)
        assert "did not bring it" in agent.errors() + agent.output()
    finally:
        agent.kill()
    wait_online(org, "a-1", False)
    slept.unlink()
    # the same for one that has run for an hour: a line that was cut is no sleep
    pc.body["layers"] = []
    pc.visit()
    agent = wake_an_agent(org, pc, booted(3600), *words)
    try:
        wait_until(lambda: "it was awake before it was woken" in agent.errors() + agent.output(),
                   30, "the agent to say why it stays awake")
        assert not slept.exists()
    finally:
        agent.kill()
        wait_online(org, "a-1", False)
