# SPDX-License-Identifier: Apache-2.0
# e2e/test_wake.py – `albedo wake` end to end on real bridges: one machine wakes, one never answers,
# one is awake, one sleeps where nobody is; frames as captured; what they are woken for is there
# before them; and what was typed wrongly.
import os
import subprocess
import sys

import pytest

from albtest.country import Country, Org, crossing
from albtest.procs import wait_until
from albtest.site import program
from albtest.sniff import Sniffer
from albtest.spaces import within
from albtest.standin import StandIn, device, wait_online

usable, why_not = Country.available()
pytestmark = pytest.mark.skipif(not usable, reason=why_not)


@pytest.fixture(scope="module")
def land():
    with Country(endpoints=4) as land:
        yield land


def join(org, site, *words):
    """Under the names that the tests use."""
    members = org.sites[site].members
    token = org.token("endpoint", "--site", site, "--uses", str(len(members)))
    for member in members:
        member.albedo("join", "--hub", org.hub.url, "--token", token, "--name", member.name, *words)


@pytest.fixture(scope="module")
def org(land, tmp_path_factory):
    with Org(tmp_path_factory.mktemp("org"), land) as org:
        org.start_hub()
        org.admin.albedo("trust", "init")
        org.import_sites(org.directory())
        join(org, "b")  # no reflector there: straight to the hub
        members, org.sites["a"].members = org.sites["a"].members, []
        org.start_branch("a", org.sites["a"], None)
        org.sites["a"].members = members
        join(org, "a", "--upstream", org.sites["a"].reflector.url)
        wait_online(org, "reflector-a", True)
        yield org
        for box in (org.hub, org.sites["a"].reflector):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


@pytest.fixture(name="machine")
def _machine(org):
    made = []

    def make(site, k, **more):
        branch, member = org.sites[site].branch, org.sites[site].members[k]
        place = ("10.1.0.5", 7443) if site == "a" else ("10.0.0.1", org.hub.port)
        made.append(StandIn(org, member, *place, site, f"{branch.address(11 + k)}/24", **more))
        return made[-1]
    yield make
    for one in made:
        one.close()


def results(done):
    return {d["device"]: d for d in done.documents() if d.get("event") == "machine"}


def wakes(sniffer, mac):
    pattern = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16
    return [frame for _, frame in sniffer.frames if pattern in frame]


def test_one_wakes_one_is_awake_one_never_answers_and_one_is_where_nobody_is(org, machine):
    sleeper, dead, awake, alone = machine("a", 0), machine("a", 1), machine("a", 2), machine("b", 0)
    for pc in (sleeper, dead, alone):
        pc.visit()
    sleeper.sleep()
    awake.stay()
    wait_online(org, awake.member.name, True)
    router = org.sites["a"].branch.router
    with Sniffer(dead.member.host.ns) as heard, Sniffer(router.ns) as router_heard:
        done = org.admin.albedo("wake", sleeper.member.name, dead.member.name, awake.member.name,
                                alone.member.name, "--patience", "14s", "--rate", "20", code=1)
    said = results(done)
    assert {name: d["result"] for name, d in said.items()} == {
        "a-0": "woken", "a-1": "never_answered", "a-2": "already_awake",
        "b-0": "nobody_awake_there"}, done
    assert said["a-0"]["guard"] == "reflector-a" and said["a-0"]["took_ms"] < 10_000
    assert said["a-1"]["attempts"] == 3
    assert done.event("woke")["results"]["woken"] == 1
    # three orders, each three sends, each to all and to the MAC, to two ports (and over IPv6)
    frames = wakes(heard, dead.mac)
    kinds = [int.from_bytes(frame[12:14], "big") for frame in frames]
    assert kinds.count(0x0842) == kinds.count(0x0800) == 3 * 3 * 2
    assert kinds.count(0x86dd) in (0, 3 * 3 * 2)
    assert {f[6:12] for f in frames} == {frames[0][6:12]}, "all from the reflector's card"
    links = {link for link, frame in router_heard.frames
             if bytes.fromhex(dead.mac.replace(":", "")) * 16 in frame}
    assert "wan0" not in links, links
    said = results(org.admin.albedo("wake", "a-1", code=1))
    assert said["a-1"]["result"] == "refused" and "once in 300 s" in said["a-1"]["why"]


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
    for pc in (sleeper, has_it, alone):
        pc.visit()
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


def test_a_machine_that_went_to_sleep_is_woken_after_the_hub_was_started_anew(org, machine):
    pc = machine("a", 3)
    pc.visit()
    org.hub.stop()
    org.hub.start()
    wait_online(org, "reflector-a", True, 60)
    pc.sleep()
    done = org.admin.albedo("wake", "--site", "a", "a-3")
    assert results(done)["a-3"]["result"] == "woken", done


@pytest.mark.parametrize("words, code, says", [
    (["nobody"], 4, "no device nobody is enrolled"),
    (["52:54:00:01:00:0b"], 2, "is a MAC address: machines are woken by the names"),
    (["52-54-00-01-00-0b"], 2, "is a MAC address"),
    (["--site", "b", "a-1"], 2, "a-1 is not at site b but at a"),
    (["--site", "nowhere"], 4, "nobody is at site nowhere"),
    ([], 2, "say whom"),
    (["--end", "a-1"], 2, "--end ends a job"),
    (["--job", "w0123456789abcdef"], 4, "no job w0123456789abcdef"),
    (["a-1", "--patience", "1s"], 2, "7s to 60m"),
    (["a-1", "--for", "no/such-layer"], 4, "nothing of layer no/such-layer is published"),
    (["a-1", "--for", "../etc"], 2, "--for ../etc"),
    (["a-1", "--sleep-after"], 2, "--for LAYER"),
    (["--job", "w0123456789abcdef", "--for", "base/os"], 2, "said when a job begins"),
    (["a-1", "--secureon", "/etc/hostname"], 2, "a SecureOn password is 4 or 6 bytes"),
])
def test_what_is_typed_wrongly_wakes_nobody(org, words, code, says):
    done = org.admin.albedo("wake", *words, code=code)
    assert says in done.err, done


def test_who_cannot_be_woken_is_told_why(org, machine):
    off, secured = machine("b", 1, wake=()), machine("b", 2, wake=("secureon",))
    for pc in (off, secured):
        pc.visit()
    said = results(org.admin.albedo("wake", "b-1", "b-2", "b-3", code=1))
    assert {d["result"] for d in said.values()} == {"cannot_be_woken"}, said
    assert "ethtool -s LINK wol g" in said["b-1"]["why"]
    assert "--secureon FILE" in said["b-2"]["why"]
    assert "no agent of its was here yet" in said["b-3"]["why"]


def test_nobody_but_an_admin_wakes_anybody(org):
    done = org.sites["a"].members[0].albedo("wake", "a-1", code=3)
    assert "403" in done.err or "may" in done.err or "refused" in done.err, done


def test_a_job_that_the_hub_did_not_finish_is_told_as_interrupted(org, machine):
    pc = machine("a", 2)
    pc.visit()
    pc.sleep()
    wait_online(org, "a-2", False)
    run = org.admin.start("wake", "a-2", "--patience", "60m")
    wait_until(lambda: (run.last_event() or {}).get("stage") == "sent", 30, "the first order")
    job = run.last_event()["job"]
    org.hub.kill()
    org.hub.start()
    run.kill()
    wait_online(org, "reflector-a", True)
    done = org.admin.albedo("wake", "--job", job, code=1)
    assert "was interrupted: the hub was started anew" in done.err, done


def test_an_endpoint_sends_where_no_reflector_is_and_another_when_it_hangs(org, machine):
    agents = {m.name: m.start("agent") for m in org.sites["b"].members[2:]}
    try:
        pc = machine("b", 0)
        pc.visit()
        for name in agents:
            wait_online(org, name, True)
        pc.sleep()
        with agents["b-2"].daemon.frozen():
            done = org.admin.albedo("wake", "b-0")
        said = results(done)["b-0"]
        assert said["result"] == "woken" and said["guard"] == "b-3", done
        assert 5_000 <= said["took_ms"] < 15_000
        pc.close()
        wait_online(org, "b-0", False)
        pc.sleep()
        done = org.admin.albedo("wake", "b-0")
        assert results(done)["b-0"]["guard"] == "b-2", done
    finally:
        for agent in agents.values():
            agent.kill()


# ---- sleeping again, staying awake ----

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
    ns = pc.member.host.ns
    with subprocess.Popen(within(ns, sys.executable, "-c", WAIT_FOR_FRAME, pc.mac),
                          stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout.readline() == "ready\n"
        run = org.admin.start("wake", pc.member.name, "--for", LAYER, "--sleep-after")
        assert waiting.wait(60) == 0
    agent = org.run_on(pc.member.host, [*before, program("albedo"), "agent", *words, "--state",
                                        pc.member.state, "--json"], pc.member.name, None)
    done = run.wait()
    assert done.code == 0 and results(done)[pc.member.name]["result"] == "woken", done
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


def test_where_no_reflector_is_one_machine_stays_awake_and_another_when_it_dies(
        org, machine, tmp_path):
    log = {name: tmp_path / name for name in ("b-2", "b-3")}
    agents = {m.name: m.start("agent", "--stay-command",
                              f"echo begun >> {log[m.name]}; cat; echo ended >> {log[m.name]}")
              for m in org.sites["b"].members[2:]}

    def says(name, *lines):
        return log[name].exists() and log[name].read_text().split() == list(lines)
    try:
        pc = machine("b", 0)
        pc.visit()
        for name in agents:
            wait_online(org, name, True)
        assert not any(path.exists() for path in log.values())
        org.admin.albedo("site", "set", "b", "keep_awake=yes")
        wait_until(lambda: says("b-2", "begun"), 10, "b-2 to stay awake")
        assert device(org, "b-2")["stays_awake"] and "stays_awake" not in device(org, "b-3")
        agents["b-2"].daemon.signal(9)
        wait_until(lambda: says("b-2", "begun", "ended"), 5, "what kept it awake to end with it")
        wait_until(lambda: says("b-3", "begun"), 20, "b-3 to stay awake instead")
        pc.sleep()
        done = org.admin.albedo("wake", "b-0")
        assert results(done)["b-0"]["guard"] == "b-3", done
        org.admin.albedo("site", "set", "b", "keep_awake=")
        wait_until(lambda: says("b-3", "begun", "ended"), 15, "b-3 to be let go")
    finally:
        for agent in agents.values():
            agent.kill()


def test_a_word_for_keep_awake_that_means_nothing_is_refused(org):
    done = org.admin.albedo("site", "set", "b", "keep_awake=always", code=None)
    assert done.code != 0 and "keep_awake is yes or no" in done.out + done.err, done
