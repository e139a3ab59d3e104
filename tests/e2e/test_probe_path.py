# SPDX-License-Identifier: Apache-2.0
# e2e/test_probe_path.py – a reflector measures its line by datagrams, by PING where they do not
# pass, and by its own alone where somebody sends others.

import subprocess
import sys
import time

import pytest

from albtest.netns import Lab, linkemu_path
from albtest.procs import wait_until
from albtest.site import Site
from albtest.sniff import Sniffer

RTT_MS = 40
HUB_PORT, PACKET_SIZE, REQUEST, REPLY = 7443, 68, 1, 2
UDP_TO_HUB = ["ipproto", "udp", "dport", "7443", "blackhole"]

usable, why_not = Lab.available()
if usable and linkemu_path() is None:
    usable, why_not = False, "albedo-linkemu is not built"
pytestmark = pytest.mark.skipif(not usable, reason=why_not)


@pytest.fixture
def site(tmp_path):
    with Lab(endpoints=1, rate="10mbit", delay=f"{RTT_MS // 2}ms") as lab, \
            Site(tmp_path, lab=lab) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        yield site
        for box in (site.hub, site.reflector):
            assert "Sanitizer" not in box.log.read_text()


def rule(site, verb):
    """As a firewall that drops datagrams to the hub would."""
    host = site.lab.reflector
    subprocess.run(["ip", "-n", host.ns, "rule", verb, "prio", "1", *UDP_TO_HUB], check=True)


def wait_for(site, way, after=0):
    """The log's place behind the line that says so."""
    return site.reflector.daemon.wait_line(rf"event=probe\.mode by={way}", 30, after).end()


def test_the_line_is_measured_by_datagrams(site):
    site.start_reflector(site.reflector)
    wait_for(site, "udp")
    probes = site.admin.albedo("status").document()["parent"]["probes"]
    assert probes["paths"] == 1 and probes["answered"] > 0
    assert probes["strangers"] == probes["repeated"] == probes["too_many"] == 0


def test_where_udp_is_blocked_pings_do_until_it_is_not(site):
    rule(site, "add")
    site.start_reflector(site.reflector)
    wait_for(site, "ping why=\"UDP to the parent is not answered")
    rule(site, "del")
    wait_for(site, "udp")


def test_udp_that_is_blocked_in_mid_run_gives_way_to_pings(site):
    site.start_reflector(site.reflector)
    there = wait_for(site, "udp")
    rule(site, "add")
    wait_for(site, "ping", there)


# ---- somebody on the way ------------------------------------------------------------------------

# As they were on the wire, addresses and all.
SENDER = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
    for line in sys.stdin:
        s.sendto(bytes.fromhex(line), ("wan0", 0x0800))
"""


def overheard(sniffer, kind):
    """Packets of the hub's port; they are the last of a frame, whatever the link."""
    port = HUB_PORT.to_bytes(2, "big")
    at = {REQUEST: slice(2, 4), REPLY: slice(0, 2)}[kind]
    return [frame for _, frame in sniffer.frames
            if frame[-PACKET_SIZE:][:2] == bytes([1, kind])
            and frame[-PACKET_SIZE - 8:-PACKET_SIZE][at] == port]


def altered(frame):
    """The same with another MAC, and no checksum, which IPv4 lets pass."""
    udp = -PACKET_SIZE - 8
    head = frame[:udp] + frame[udp:udp + 6] + bytes(2)
    return head + frame[-PACKET_SIZE:-1] + bytes([frame[-1] ^ 1])


def send(host, frames):
    host.run([sys.executable, "-c", SENDER], input="\n".join(f.hex() for f in frames))


def probes_of(site):
    line = site.endpoints[0].albedo("explain", "rate").document()["line"]
    return line["probe"]


def test_probes_and_answers_that_somebody_sends_again_or_forges_change_nothing(site):
    site.start_reflector(site.reflector)
    site.join(site.endpoints[0], site.token("endpoint", "--site", "branch"),
              upstream=site.reflector)
    wait_for(site, "udp")
    with Sniffer(site.lab.reflector.ns) as requests, Sniffer(site.lab.hub.ns) as replies:
        time.sleep(4)  # one a second goes
    asked, answered = overheard(requests, REQUEST), overheard(replies, REPLY)
    assert len(asked) >= 2 and len(answered) >= 2

    def at_hub():
        return site.admin.albedo("status").document()["parent"]["probes"]
    before = at_hub()
    send(site.lab.reflector, [*asked * 3, *map(altered, asked)])
    wait_until(lambda: at_hub()["repeated"] == before["repeated"] + 3 * len(asked), 10,
               "all that was sent again to be seen and not answered")
    wait_until(lambda: at_hub()["strangers"] == before["strangers"] + len(asked), 10,
               "all that was forged to be seen and not answered")

    send(site.lab.hub, [*answered * 20, *map(altered, answered)])
    time.sleep(1)
    probe = probes_of(site)
    assert probe["by"] == "udp" and probe["answered"] <= probe["sent"], probe
    assert RTT_MS - 1 <= probe["rtt_ms"] < RTT_MS + 40, probe
    assert "event=probe.mode by=ping" not in site.reflector.log.read_text()
