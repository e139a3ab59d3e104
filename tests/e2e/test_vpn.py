# SPDX-License-Identifier: Apache-2.0
# e2e/test_vpn.py – all that a laptop sends goes into a tunnel to its office: whom it takes then.

import contextlib
import json
import os
import signal
import sys

import pytest

from albtest.country import Country, Org, ip_batch
from albtest.procs import wait_until
from albtest.tunnel import Tunnel

usable, why_not = Country.available()
pytestmark = [pytest.mark.skipif(not usable, reason=why_not),
              pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="needs /dev/net/tun")]

SECONDS = 30
CAN_CONNECT = "import socket; socket.create_connection(('10.1.0.5', 7443), 5)"


@pytest.fixture(scope="module")
def org(tmp_path_factory):
    with Country(endpoints=2) as land, Org(tmp_path_factory.mktemp("org"), land) as org:
        org.start()
        yield org


@pytest.fixture
def laptop(org, request):
    """Of site a, and at b just now; joined without a word about reflectors."""
    branch = org.land.branches["b"]
    member = org.new_member(request.node.name, branch.endpoints[0])
    org.join(member, org.token("endpoint", "--site", "a"))
    yield member
    branch.unplug(member.host)  # with all its addresses and routes
    branch.plug(member.host)


@contextlib.contextmanager
def agent(member):
    run = member.start("agent")
    try:
        yield run
        run.daemon.process.send_signal(signal.SIGTERM)
        done = run.wait(SECONDS)
        assert done.code == 0, str(done)
        assert "Sanitizer" not in done.err
    finally:
        run.kill()


@contextlib.contextmanager
def tunnel(org, laptop, own, gateway, inner, folder):
    """Everything goes through the router of site a, and comes out there as `inner`; the laptop is
    at `own` behind `gateway`."""
    host, office = laptop.host, org.land.branches["a"].router
    with Tunnel((host, own), (office, office.addr), folder):
        ip_batch(host.ns, f"route add {office.addr}/32 via {gateway}",
                 f"addr add {inner}/32 dev tun0", "route del default", "route add default dev tun0")
        ip_batch(office.ns, f"route add {inner}/32 dev tun0")
        office.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/br0/proxy_arp"])
        host.run([sys.executable, "-c", CAN_CONNECT])  # the office's reflector is within reach
        yield


def carry_home(org, laptop):
    """To a net that nobody knows: behind the router of site b, but none of its machines."""
    host, branch = laptop.host, org.land.branches["b"]
    ip_batch(branch.router.ns, "addr add 192.168.7.1/24 dev br0")
    ip_batch(org.land.hub.ns, "route add 192.168.7.0/24 via 10.200.2.2",
             "route add 10.8.0.0/24 via 10.200.1.2")
    ip_batch(host.ns, "addr add 192.168.7.5/24 dev lan0",
             "route replace default via 192.168.7.1", f"addr del {host.addr}/24 dev lan0")



def shown(member):
    with contextlib.suppress(FileNotFoundError):
        return json.loads((member.state / "agent.json").read_text())
    return {}


def settled(member, site, by):
    """What the agent shows once it is up and its place was judged."""
    def look():
        seen = shown(member)
        where = seen.get("nearby", {})
        known = (where.get("at"), where.get("by"), where.get("stale")) == (site, by, False)
        return seen if known and seen["parent"]["is_up"] else None
    return wait_until(look, SECONDS, f"it to be at {site or 'no site'}")


def stays_with(member, kind, device):
    wait_until(lambda: shown(member)["parent"].get("device") == device, SECONDS,
               f"{device} to be taken")
    choice = member.albedo("explain", "upstream").document()["choice"]
    chosen = [c for c in choice["candidates"] if c["reason"] == "chosen"]
    assert [(c["device"], c["tier"]) for c in chosen] == [(device, kind)], choice


def test_at_another_branch_it_takes_the_reflector_there_and_not_the_tunnels(org, laptop, tmp_path):
    own, gateway = laptop.host.addr, org.land.branches["b"].router.addr
    with tunnel(org, laptop, own, gateway, "10.1.0.200", tmp_path), agent(laptop):
        seen = settled(laptop, "b", "subnet")
        assert seen["place"]["has_vpn"] and seen["place"]["nature"] == "vpn", seen["place"]
        stays_with(laptop, "subnet", "reflector-b")


def test_at_home_it_takes_the_hub_and_not_the_reflector_of_its_office(org, laptop, tmp_path):
    carry_home(org, laptop)
    with tunnel(org, laptop, "192.168.7.5", "192.168.7.1", "10.8.0.5", tmp_path), agent(laptop):
        settled(laptop, "", "none")
        stays_with(laptop, "hub", "hub")
