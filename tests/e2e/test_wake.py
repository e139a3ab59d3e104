# SPDX-License-Identifier: Apache-2.0
# e2e/test_wake.py – `albedo wake` end to end on real bridges: one machine wakes, one never answers,
# one is awake, one sleeps where nobody is; frames as captured; guards that hang, a hub that is
# started anew; one that stays awake where no reflector is; and what was typed wrongly.
# What they are woken for: test_wake_errand.py.
import pytest

from albtest.asleep import StandIns, results, sleepy, wait_stage, wakes
from albtest.country import Country
from albtest.procs import wait_until
from albtest.sniff import Sniffer
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


def test_one_wakes_one_is_awake_one_never_answers_and_one_is_where_nobody_is(org, machine):
    sleeper, dead, awake, alone = machine("a", 0), machine("a", 1), machine("a", 2), machine("b", 0)
    visit(sleeper, dead, alone)
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


def test_a_machine_that_went_to_sleep_is_woken_after_the_hub_was_started_anew(org, machine):
    pc = machine("a", 3)
    pc.visit()
    org.hub.stop()
    org.hub.start()
    wait_online(org, "reflector-a", True, 60)
    pc.sleep()
    done = org.admin.albedo("wake", "--site", "a", "a-3")
    assert results(done)["a-3"]["result"] == "woken", done


def test_who_was_woken_and_slept_at_once_is_not_refused_by_its_guard_when_the_hub_forgot(
        org, machine):
    pc = machine("a", 3)
    pc.visit()
    for _ in range(2):
        pc.sleep()
        done = org.admin.albedo("wake", "a-3")
        assert results(done)["a-3"]["result"] == "woken", done
        pc.close()
        wait_online(org, "a-3", False)
        org.hub.stop()  # that it went is written within a minute, and now never
        org.hub.start()
        wait_online(org, "reflector-a", True, 60)


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
    visit(off, secured)
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
    job = wait_stage(run, "sent")["job"]
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
