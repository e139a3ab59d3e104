# SPDX-License-Identifier: Apache-2.0
# e2e/test_beacon.py – a reflector is known on its own link and nowhere else, and says nothing that
# names it; what is forged there costs whoever believes it a certificate check.

import time

import pytest

from albtest.country import Country, Org
from albtest.mdns import A, PTR, SERVICE, SRV, TXT, packets, question, send
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
    box = org.sites["a"].reflector
    with Sniffer(ns_of(org, "a")) as near, Sniffer(ns_of(org, "b")) as far, \
            Sniffer(ns_of(org, "a1")) as below, Sniffer(org.land.hub.ns) as above:
        box.stop()
        box.start()
        time.sleep(2.5)
    heard = boxes(near)
    assert [p.ttls() for p in heard] == [{0}, {120}, {120}]  # a goodbye, and two words of welcome
    for p in heard:
        assert p.ports == (5353, 5353) and p.hops == 255 and p.source == "10.1.0.5"
        instance, = p.values(PTR)
        (_, _, port, host), = p.values(SRV)
        assert instance.endswith("." + SERVICE) and port == box.port
        assert p.values(A) == ["10.1.0.5"] and host.startswith("albedo-")
        assert p.values(TXT)[0][0] == "proto=1"
        for secret in (box.name, "reflector", "example", "hub"):
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
    host = org.land.branches["b"].endpoints[0]
    time.sleep(1.2)
    host.run(["ip", "addr", "del", f"{host.addr}/24", "dev", "lan0"])
    host.run(["ip", "addr", "add", "192.0.2.9/24", "dev", "lan0"])
    with Sniffer(host.ns) as seen:
        send(host.ns, "lan0", [question(SERVICE, PTR)])
        time.sleep(0.5)
    host.run(["ip", "addr", "del", "192.0.2.9/24", "dev", "lan0"])
    host.run(["ip", "addr", "add", f"{host.addr}/24", "dev", "lan0"])
    assert "192.0.2.9" in {p.source for p in packets(seen.frames)}
    assert boxes(seen) == []


def test_switched_off_it_says_nothing(org):
    box = org.sites["b"].reflector
    with Sniffer(ns_of(org, "b")) as seen:
        box.configure("beacon = off")
        time.sleep(1.5)
        send(ns_of(org, "b"), "lan0", [question(SERVICE, PTR)])
        time.sleep(0.4)
    assert [p.ttls() for p in boxes(seen)] == [{0}]
