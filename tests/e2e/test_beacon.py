# SPDX-License-Identifier: Apache-2.0
# e2e/test_beacon.py – a reflector is known on its own link and nowhere else, and says nothing that
# names it; what is forged there costs whoever believes it a certificate check.

import contextlib
import json
import re
import subprocess
import time

import pytest

from albtest.country import Country, Org
from albtest.mdns import A, PTR, SERVICE, SRV, TXT, box, packets, question, send
from albtest.procs import wait_until
from albtest.sniff import Sniffer

usable, why_not = Country.available()
pytestmark = pytest.mark.skipif(not usable, reason=why_not)


@pytest.fixture(scope="module")
def org(tmp_path_factory):
    with Country(endpoints=1) as land, Org(tmp_path_factory.mktemp("org"), land) as org:
        org.start()
        yield org
        for box in (org.hub, *(place.reflector for place in org.sites.values())):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


def ns_of(org, site):
    return org.land.branches[site].endpoints[0].ns


def boxes(seen):
    """What reflectors said, by IPv4: the endpoints ask by themselves, too."""
    return [p for p in packets(seen.frames) if p.is_response and p.to == "224.0.0.251"]


def test_a_box_is_known_on_its_own_link_and_nowhere_else(org):
    reflector = org.sites["a"].reflector
    with Sniffer(ns_of(org, "a")) as near, Sniffer(ns_of(org, "b")) as far, \
            Sniffer(ns_of(org, "a1")) as below, Sniffer(org.land.hub.ns) as above:
        reflector.stop()
        reflector.start()
        time.sleep(2.5)
    heard = boxes(near)
    while heard and heard[0].ttls() == {120}:  # its second word since the fixture started it
        heard.pop(0)
    assert [p.ttls() for p in heard] == [{0}, {120}, {120}]  # a goodbye, and two words of welcome
    for p in heard:
        assert p.ports == (5353, 5353) and p.hops == 255 and p.source == "10.1.0.5"
        instance, = p.values(PTR)
        (_, _, port, host), = p.values(SRV)
        assert instance.endswith("." + SERVICE) and port == reflector.port
        assert p.values(A) == ["10.1.0.5"] and host.startswith("albedo-")
        assert p.values(TXT)[0][0] == "proto=1"
        for secret in (reflector.name, "reflector", "example", "hub"):
            assert secret.encode() not in p.payload
    for seen in (far, below, above):
        assert "10.1.0.5" not in {p.source for p in packets(seen.frames)}


def test_whoever_asks_is_answered_at_once_but_not_more_than_once_a_second(org):
    ns = ns_of(org, "b")
    time.sleep(1.2)
    with Sniffer(ns) as one:
        send(ns, "lan0", [question(SERVICE, PTR)])
        time.sleep(0.4)
    assert len(boxes(one)) == 1
    time.sleep(1)
    with Sniffer(ns) as many:
        send(ns, "lan0", [question(SERVICE, PTR)] * 300, pause=0.01)
    assert 2 <= len(boxes(many)) <= 5
    time.sleep(2.2)  # for the last of them it may speak once more
    with Sniffer(ns) as kinds:
        send(ns, "lan0", [question("_services._dns-sd._udp.local", PTR)])
        time.sleep(0.4)
    assert SERVICE in boxes(kinds)[0].values(PTR)


def test_questions_from_another_port_are_not_answered(org):
    ns = ns_of(org, "b")
    time.sleep(1.2)
    with Sniffer(ns) as seen:
        send(ns, "lan0", [question(SERVICE, PTR)], port=15353)
        time.sleep(0.5)
    assert boxes(seen) == []


def test_a_question_whose_sender_is_not_of_the_link_is_not_answered(org):
    branch = org.land.branches["b"]
    host = branch.endpoints[0]
    time.sleep(1.2)
    host.run(["ip", "addr", "del", f"{host.addr}/24", "dev", "lan0"])
    host.run(["ip", "addr", "add", "192.0.2.9/24", "dev", "lan0"])
    with Sniffer(host.ns) as seen:
        send(host.ns, "lan0", [question(SERVICE, PTR)])
        time.sleep(0.5)
    branch.unplug(host)
    branch.plug(host)  # its way out went with the address
    assert "192.0.2.9" in {p.source for p in packets(seen.frames)}
    assert boxes(seen) == []


# ---- found by it -------------------------------------------------------------------------------

def shown(member):
    try:
        return json.loads((member.state / "agent.json").read_text())
    except FileNotFoundError:
        return {}


CARRIED = "10.1.0.60"


@contextlib.contextmanager
def laptop(org, name):
    """At site b; to be carried to site a, whose line is cut: nobody says who serves there."""
    here, there = org.land.branches["b"], org.land.branches["a"]
    member = org.new_member(name, here.endpoints[0])
    org.join(member, org.token("endpoint", "--site", "b"))
    run = member.start("agent")
    try:
        wait_until(lambda: is_served(member, "reflector-b"), 30, "the box of site b")
        there.wan.cut()
        yield member, run
        assert "Sanitizer" not in run.errors()
    finally:
        run.kill()
        here.unplug(member.host)
        here.plug(member.host)
        there.wan.restore()


def carry(org, member):
    org.land.branches["b"].unplug(member.host)
    org.land.branches["a"].plug(member.host, CARRIED)
    return time.monotonic()


def is_served(member, device):
    parent = shown(member).get("parent", {})
    return parent.get("is_up") and parent.get("device") == device


def test_a_carried_laptop_finds_the_box_on_its_new_link_without_the_hub(org):
    with laptop(org, "carried") as (member, run):
        began = carry(org, member)
        wait_until(lambda: is_served(member, "reflector-a"), 30, "the box to be found")
        print(f"served after {time.monotonic() - began:.1f} s")
        assert "event=beacons.heard places=1 first=10.1.0.5" in run.errors()


def org_tag(org):
    ns = ns_of(org, "a")
    time.sleep(1.2)
    with Sniffer(ns) as seen:
        send(ns, "lan0", [question(SERVICE, PTR)])
        time.sleep(0.4)
    return boxes(seen)[0].values(TXT)[0][1].removeprefix("org=")


@contextlib.contextmanager
def liar(host, port, folder):
    """A TLS server with a certificate of its own making."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=x",
                    "-keyout", folder / "k", "-out", folder / "c"], check=True, capture_output=True)
    server = host.daemon(["openssl", "s_server", "-accept", str(port), "-key", folder / "k",
                          "-cert", folder / "c", "-Verify", "1", "-msg"], log=folder / "liar")
    try:
        yield
    finally:
        server.kill()


def test_forged_boxes_cost_a_certificate_check_and_nothing_more(org, tmp_path):
    """A thousand of them: another machine with a certificate of its own, wrong ports, nobody."""
    router = org.land.branches["a"].router
    tag = org_tag(org)
    forged = [box("f" * 12, tag, "10.1.0.1", 7443), box("e" * 12, tag, "10.1.0.5", 9),
              box("d" * 12, tag, "192.0.2.7", 7443), box("c" * 12, tag, "10.2.0.5", 7443)]
    forged += [box(f"{n:012x}", tag, f"10.1.0.{100 + n % 100}", 1024 + n) for n in range(996)]
    with liar(router, 7443, tmp_path):
        with laptop(org, "deceived") as (member, _), Sniffer(router.ns) as seen:
            carry(org, member)
            send(router.ns, "br0", forged[:4] * 15, pause=0.03)  # heard as soon as it looks there
            for at in range(0, len(forged), 100):
                send(router.ns, "br0", forged[at:at + 100], pause=0.002)
            wait_until(lambda: is_served(member, "reflector-a"), 60, "the real box to be found")
    asked = {(f[30:34], f[36:38]) for _, f in seen.frames
             if f[12:14] == b"\x08\x00" and f[23] == 6 and f[47] & 0x12 == 2
             and f[26:30] == bytes([10, 1, 0, 60])}
    assert not {to for to, _ in asked} & {bytes([192, 0, 2, 7]), bytes([10, 2, 0, 5])}
    assert len(asked) <= 20, asked
    said = (tmp_path / "liar").read_text(errors="replace")
    assert set(re.findall(r"<<< .*Handshake .*, (\w+)", said)) <= {"ClientHello"}, said


def test_switched_off_it_says_nothing(org):
    with Sniffer(ns_of(org, "b")) as seen:
        org.sites["b"].reflector.configure("beacon = off")
        time.sleep(1.5)
        send(ns_of(org, "b"), "lan0", [question(SERVICE, PTR)])
        time.sleep(0.4)
    assert [p.ttls() for p in boxes(seen)] == [{0}]
