# SPDX-License-Identifier: Apache-2.0
# e2e/test_probe_path.py – a reflector measures its line by datagrams, and by PING where they do not
# pass.

import subprocess

import pytest

from albtest.netns import Lab, linkemu_path
from albtest.site import Site

RTT_MS = 40
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
