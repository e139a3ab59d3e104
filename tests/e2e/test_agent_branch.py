# SPDX-License-Identifier: Apache-2.0
# e2e/test_agent_branch.py – where an endpoint is, who serves it there, and what it says of that.

import contextlib
import json
import signal
import time

import pytest

from albtest.country import Country, Org
from albtest.procs import wait_until

usable, why_not = Country.available()
pytestmark = pytest.mark.skipif(not usable, reason=why_not)

USAGE, REFUSED = 2, 3
SECONDS = 30


@pytest.fixture(scope="module")
def land():
    with Country(endpoints=1) as land:
        yield land


@pytest.fixture(scope="module")
def org(land, tmp_path_factory):
    with Org(tmp_path_factory.mktemp("org"), land) as org:
        org.start()
        yield org


@pytest.fixture(scope="module")
def newcomer(org, land):
    """Joined without a word about reflectors, at site a."""
    member = org.new_member("newcomer", land.branches["a"].endpoints[0])
    org.join(member, org.token("endpoint", "--site", "a"))
    return member


def shown(member):
    try:
        return json.loads((member.state / "agent.json").read_text())
    except FileNotFoundError:
        return {}


@contextlib.contextmanager
def agent(member, *words):
    run = member.start("agent", *words)
    try:
        wait_until(lambda: "event=agent.ready" in run.errors() or not run.daemon.is_running(),
                   SECONDS, "the agent to be ready")
        assert run.daemon.is_running(), run.errors()
        yield run
        run.daemon.process.send_signal(signal.SIGTERM)
        done = run.wait(SECONDS)
        assert done.code == 0, str(done)
        assert "Sanitizer" not in done.err
    finally:
        run.kill()


def wait_parent(member, device, within=SECONDS):
    began = time.monotonic()
    wait_until(lambda: shown(member).get("parent", {}).get("is_up")
               and shown(member)["parent"].get("device") == device, within,
               f"{device} to be the upstream")
    return time.monotonic() - began


def wait_site(member, site):
    wait_until(lambda: shown(member).get("nearby", {}).get("at") == site, SECONDS,
               f"site {site} to be known")


def chosen(document):
    return [c for c in document["choice"]["candidates"] if c["reason"] == "chosen"]


# ---- found ----

def test_who_joined_without_an_upstream_finds_the_reflector_of_its_site(org, newcomer):
    with agent(newcomer):
        wait_parent(newcomer, "reflector-a")
        wait_site(newcomer, "a")
        assert shown(newcomer)["nearby"]["by"] == "gateway"
        assert shown(newcomer)["place"]["addresses"] == ["10.1.0.11"]
        assert shown(newcomer)["place"]["gateways"] == ["52:54:00:00:01:01"]


def test_explain_upstream_says_the_same_with_and_without_an_agent(org, newcomer):
    alone = newcomer.albedo("explain", "upstream").document()
    with agent(newcomer):
        wait_parent(newcomer, "reflector-a")
        beside = newcomer.albedo("explain", "upstream").document()
        for document in (alone, beside):
            assert [c["device"] for c in chosen(document)] == ["reflector-a"]
            assert chosen(document)[0]["tier"] == "subnet"
            assert document["place"]["addresses"] == ["10.1.0.11"]
        people = newcomer.albedo("explain", "upstream", plain=True)
        assert "as the agent (process " in people.err
        assert "site        a, by gateway 52:54:00:00:01:01" in people.out
        assert "10.1.0.5:7443: same subnet" in people.out


def test_a_pull_of_a_newcomer_comes_from_its_reflector(org, newcomer, tmp_path):
    top = tmp_path / "tree"
    top.mkdir()
    (top / "motd").write_text("hello")
    org.admin.albedo("publish", "base/motd", top)
    done = newcomer.albedo("pull", "base/motd", tmp_path / "root")
    assert done.event("pulled")["fetched_from"] == "reflector"


def test_status_says_the_site_and_the_upstream(org, newcomer):
    with agent(newcomer):
        wait_parent(newcomer, "reflector-a")
        people = newcomer.albedo("status", plain=True).out
        assert "upstream   reflector reflector-a at 10.1.0.5:7443, since" in people
        assert "site       a, by gateway 52:54:00:00:01:01" in people


def test_the_hub_hears_where_the_agent_is(org, newcomer):
    with agent(newcomer):
        wait_parent(newcomer, "reflector-a")
        device = shown(newcomer)["device"]

        def online():
            devices = org.admin.albedo("devices").document()["devices"]
            return [d for d in devices if d["device"] == device and d["online"]]
        wait_until(online, SECONDS, "the hub to hear of it")
        wait_until(lambda: [(d["where"], d["through"]) for d in online()] == [("a", "reflector-a")],
                   SECONDS, "… and where it is")
    wait_until(lambda: not online(), SECONDS, "the hub to hear that it left")


# ---- another place ----

@pytest.mark.parametrize("words, device, tier", [
    (["--address", "10.2.0.77"], "reflector-b", "subnet"),
    (["--gateway", "52:54:00:00:03:01"], "reflector-a1", "site"),
])
def test_what_if_answers_for_another_place(org, newcomer, words, device, tier):
    document = newcomer.albedo("explain", "upstream", "--what-if", *words).document()
    assert [(c["device"], c["tier"]) for c in chosen(document)] == [(device, tier)]


def test_an_admin_may_ask_for_any_place(org):
    words = ["explain", "upstream", "--what-if", "--address", "10.1.0.9"]
    document = org.admin.albedo(*words).document()
    assert [c["device"] for c in chosen(document)] == ["reflector-a"]
    done = org.admin.albedo("explain", "upstream", code=REFUSED)
    assert "say --what-if --address A" in done.err


@pytest.mark.parametrize("words, told", [
    (["--what-if"], "it needs --address A, --gateway MAC, or both"),
    (["--address", "10.1.0.9"], "go with --what-if"),
    (["--what-if", "--address", "10.1.0.256"], "it is no IPv4 or IPv6 address"),
    (["--what-if", "--gateway", "52:54:00"], "it is no MAC address"),
])
def test_what_is_typed_wrongly_is_refused(org, newcomer, words, told):
    done = newcomer.albedo("explain", "upstream", *words, code=USAGE)
    assert told in done.err


def test_a_place_goes_with_upstream_only(org, newcomer):
    done = newcomer.albedo("explain", "rate", "--what-if", code=USAGE)
    assert "go with upstream" in done.err


# ---- carried ----

def test_a_carried_laptop_finds_the_reflector_where_it_is(org, land, newcomer):
    host, home, away = newcomer.host, land.branches["a"], land.branches["b"]
    with agent(newcomer):
        wait_parent(newcomer, "reflector-a")
        home.unplug(host)
        away.plug(host, "10.2.0.50")
        there = wait_parent(newcomer, "reflector-b")
        wait_site(newcomer, "b")
        away.unplug(host)
        home.plug(host)
        back = wait_parent(newcomer, "reflector-a")
        print(f"seconds to re-choose after a move: {there:.1f} there, {back:.1f} back")
