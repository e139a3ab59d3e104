# SPDX-License-Identifier: Apache-2.0
# e2e/test_agent.py – `albedo agent` as a process: it follows, survives, tells, ends when told to.

import json
import signal

import pytest

from albtest import tree
from albtest.procs import wait_until
from albtest.site import Site

USAGE, REFUSED, NOT_FOUND, FAILED, INTERRUPTED = 2, 3, 4, 1, 130
SECONDS = 30


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), endpoints=4) as site:
        site.start()
        yield site


def make_tree(top, text):
    top.mkdir(exist_ok=True)
    (top / "motd").write_text(text)
    return top


@pytest.fixture(scope="module")
def source(tmp_path_factory, site):
    top = make_tree(tmp_path_factory.mktemp("tree") / "v", "one")
    site.admin.albedo("publish", "base/os", top)
    return top


def ready(run):
    wait_until(lambda: "event=agent.ready" in run.errors() or not run.daemon.is_running(),
               SECONDS, "the agent to be ready")
    assert run.daemon.is_running(), run.errors()
    return run


def agent(member, *words):
    return ready(member.start("agent", *words))


def shown(member):
    """What the agent wrote into its state, or {}."""
    try:
        return json.loads((member.state / "agent.json").read_text())
    except FileNotFoundError:
        return {}


def follow_of(member):
    return (shown(member).get("follows") or [{}])[0]


def stop(run, code=0):
    run.daemon.process.send_signal(signal.SIGTERM)
    done = run.wait(SECONDS)
    assert done.code == code, str(done)
    assert "Sanitizer" not in done.err
    return done


def wait_text(target, text):
    def holds():
        try:
            return (target / "motd").read_text() == text
        except OSError:
            return False
    wait_until(holds, SECONDS, f"{target} to hold {text!r}")


def publish(site, source, text):
    make_tree(source, text)
    site.admin.albedo("publish", "base/os", source)


# ---- following ----

def test_what_is_published_is_in_the_target_seconds_later(site, source, tmp_path):
    member, target = site.endpoints[0], tmp_path / "root"
    run = agent(member, "--follow", f"base/os={target}")
    for text in ("first change", "second change"):
        publish(site, source, text)
        wait_text(target, text)
    wait_until(lambda: follow_of(member).get("state") == "current", SECONDS, "the agent to say so")
    assert tree.compare(source, target, skip_root=True) == []
    done = stop(run)
    assert [d["layer"] for d in done.documents() if d.get("event") == "pulled"][-1] == "base/os"
    assert shown(member) == {}


def test_a_version_that_is_there_is_not_pulled_again(site, source, tmp_path):
    member, target = site.endpoints[0], tmp_path / "root"
    run = agent(member, "--follow", f"base/os={target}")
    wait_until(lambda: follow_of(member).get("state") == "current", SECONDS, "the first pull")
    before = follow_of(member)["pulled_wall_s"]
    site.reflector.stop()
    site.reflector.start()
    wait_until(lambda: not shown(member)["parent"]["is_up"] or
               "upstream.up" in run.errors(), SECONDS, "the session to drop")
    wait_until(lambda: shown(member)["parent"]["is_up"], SECONDS, "the session to come back")
    wait_until(lambda: follow_of(member)["state"] == "current", SECONDS, "the agent to look")
    assert follow_of(member)["pulled_wall_s"] == before
    done = stop(run)
    assert len([d for d in done.documents() if d.get("event") == "pulled"]) == 1


def test_a_killed_agent_starts_again_and_goes_on(site, source, tmp_path):
    member, target = site.endpoints[1], tmp_path / "root"
    run = agent(member, "--follow", f"base/os={target}")
    wait_until(lambda: follow_of(member).get("state") == "current", SECONDS, "the first pull")
    run.kill()
    assert shown(member)["pid"] > 0
    assert member.albedo("status").document()["agent"]["is_running"] is False
    publish(site, source, "while it was dead")
    run = agent(member, "--follow", f"base/os={target}")
    wait_text(target, "while it was dead")
    stop(run)


def test_once_pulls_and_ends(site, source, tmp_path):
    target = tmp_path / "root"
    done = site.endpoints[0].albedo("agent", "--once", "--follow", f"base/os={target}")
    assert done.event("pulled")["layer"] == "base/os"
    assert tree.compare(source, target, skip_root=True) == []


def test_what_became_of_a_pull_is_told_once(site, source, tmp_path):
    member, target = site.new_member("teller"), tmp_path / "root"
    site.join(member, site.token("endpoint", "--site", "branch"), upstream=site.reflector)
    run = agent(member, "--follow", f"base/os={target}")
    wait_until(lambda: shown(member).get("reports", {}).get("delivered") == 1, SECONDS,
               "the report")
    stop(run)
    run = agent(member, "--follow", f"base/os={target}")  # it is there: nothing to tell
    wait_until(lambda: follow_of(member).get("state") == "current", SECONDS, "the look")
    assert shown(member)["reports"] == {"kept": 0, "delivered": 0, "dropped": 0}
    stop(run)


# ---- beside others ----

def test_a_second_agent_on_a_state_is_refused_by_the_number_of_the_first(site):
    member = site.endpoints[0]
    run = agent(member)
    done = member.albedo("agent", code=FAILED)
    assert f"an agent runs on it already (process {run.daemon.pid})" in done.err
    stop(run)
    stop(agent(member))


def test_a_pull_beside_an_agent_works_as_ever(site, source, tmp_path):
    member = site.endpoints[2]
    run = agent(member)
    member.albedo("pull", "base/os", tmp_path / "root")
    status = member.albedo("status").document()["agent"]
    assert status["is_running"] is True
    assert status["pid"] == run.daemon.pid
    stop(run)
    assert member.albedo("status").document()["agent"]["is_running"] is False


# ---- without a hub ----

def test_an_agent_started_while_everything_is_down_pulls_when_it_is_back(site, source, tmp_path):
    member, target = site.endpoints[3], tmp_path / "root"
    site.reflector.stop()
    try:
        run = agent(member, "--follow", f"base/os={target}")
        wait_until(lambda: shown(member).get("parent", {}).get("why_down"), SECONDS,
                   "the agent to say why")
        assert shown(member)["cut_off_since_wall_s"] > 0
        assert not target.exists() or not (target / "motd").exists()
    finally:
        site.reflector.start()
    wait_text(target, (source / "motd").read_text())
    wait_until(lambda: shown(member)["cut_off_since_wall_s"] == 0, SECONDS, "the agent to say so")
    stop(run)


def test_an_agent_stops_while_a_pull_waits_for_the_line(site, tmp_path):
    member = site.new_member("never")
    site.join(member, site.token("endpoint", "--site", "branch"), upstream=site.reflector)
    site.reflector.stop()
    try:
        run = agent(member, "--follow", f"base/os={tmp_path / 'root'}")
        wait_until(lambda: follow_of(member).get("state") == "pulling", SECONDS, "it to wait")
        stop(run)
    finally:
        site.reflector.start()


def test_what_fails_is_told_and_tried_again(site, tmp_path):
    member, target = site.endpoints[0], tmp_path / "root"
    run = agent(member, "--follow", f"no/such-layer={target}")
    wait_until(lambda: follow_of(member).get("state") == "waiting", SECONDS, "the failure")
    assert "there is no such layer" in follow_of(member)["why"]
    assert follow_of(member)["retry_wall_s"] > 0
    assert "event=agent.pull_failed layer=no/such-layer" in run.errors()
    top = make_tree(tmp_path / "tree", "late")
    site.admin.albedo("publish", "no/such-layer", top)
    wait_text(target, "late")
    stop(run)


# ---- typed wrongly ----

@pytest.mark.parametrize("typed, code, words", [
    (["--follow", "base/os"], USAGE, "it is LAYER=TARGET"),
    (["--follow", "base/os="], USAGE, "it is LAYER=TARGET"),
    (["--follow", "base//os=/tmp"], USAGE, "LAYER base//os"),
    (["--follow", "base/os@7=/tmp"], USAGE, "not one version of it"),
    (["--follow", "a=/tmp/x-agent", "--follow", "b=/tmp/x-agent"], USAGE, "is the target of a"),
    (["--follow", "a=/no/such/directory"], NOT_FOUND, "the directory it would be in is not there"),
    (["--follow", "a=/"], USAGE, "the running system cannot be replaced"),
    (["--follow", "a=/etc/passwd"], USAGE, "it is not a directory"),
    (["--once"], USAGE, "it needs --follow"),
    (["--line", "cable"], USAGE, "it is wan or lan"),
])
def test_what_is_typed_wrongly_is_refused_at_once(site, typed, code, words):
    done = site.endpoints[0].albedo("agent", *typed, code=code)
    assert words in done.err


def test_an_agent_is_for_endpoints(site):
    done = site.admin.albedo("agent", code=REFUSED)
    assert "an agent runs with an endpoint's" in done.err
