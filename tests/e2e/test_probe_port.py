# SPDX-License-Identifier: Apache-2.0
# e2e/test_probe_port.py – the UDP port beside the tree port: silent to strangers, and no condition
# for anything.

import os
import socket

import pytest

from albtest.procs import wait_until
from albtest.site import Site

PACKET_SIZE = 68


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path, endpoints=0) as site:
        yield site
        assert "Sanitizer" not in site.hub.log.read_text()


def probes(site):
    return site.admin.albedo("status").document()["parent"]["probes"]


def test_strangers_are_counted_and_hear_nothing(site):
    site.start_hub()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", site.hub.port))
        for n in range(200):
            stranger.send(os.urandom(n))
        stranger.send(bytes([1, 1]) + os.urandom(PACKET_SIZE - 2))
        wait_until(lambda: probes(site)["strangers"] == 201, 10, "201 strangers counted")
        stranger.settimeout(0.2)
        with pytest.raises(TimeoutError):
            stranger.recv(2048)
    assert probes(site)["answered"] == 0


def test_a_udp_port_that_is_taken_costs_a_warning_and_nothing_else(site):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", site.hub.port))
        site.start_hub()
        line = next(l for l in site.hub.log.read_text().splitlines() if "probe.no_udp" in l)
        assert "level=warn" in line and "next=" in line and f"udp_port={site.hub.port}" in line
        assert site.admin.albedo("status").document()["parent"]["program"] == "albedo-hub"


def test_a_hub_that_starts_again_has_its_port_again(site):
    site.start_hub()
    site.hub.stop()
    site.hub.start()
    assert "probe.no_udp" not in site.hub.log.read_text()
