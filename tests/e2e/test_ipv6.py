# SPDX-License-Identifier: Apache-2.0
# e2e/test_ipv6.py – a branch without one IPv4 address: joined, found by its beacon, pulled.
#
#     [ hub fd06::1 ] lan0 ──┐
#     [ box fd06::5 ] lan0 ──┤ bridge
#     [ endpoint fd06::11 ] ─┘

import json
import os
import time

import pytest

from albtest.country import ip_batch
from albtest.mdns import A, AAAA, packets
from albtest.netns import Lab
from albtest.procs import wait_until
from albtest.site import ADMIN_PORT, Site
from albtest.sniff import Sniffer
from albtest.tree import compare

usable, why_not = Lab.available()
pytestmark = pytest.mark.skipif(not usable, reason=why_not)


class SixLab(Lab):
    def __init__(self):
        super().__init__(1, linkemu="none")

    def _build(self):
        bridge = self._host("bridge", "")
        ip_batch(bridge.ns, "link add br0 type bridge forward_delay 0 mcast_snooping 0",
                 "link set br0 up")
        hosts = [self._host(name, f"[fd06::{last}]")
                 for name, last in (("hub", 1), ("reflector", 5), ("endpoint", 11))]
        for n, host in enumerate(hosts):
            host.run(["sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6"])
            ip_batch(host.ns, f"link add lan0 type veth peer name p{n} netns {bridge.ns}",
                     f"addr add {host.addr.strip('[]')}/64 dev lan0 nodad", "link set lan0 up")
            ip_batch(bridge.ns, f"link set p{n} master br0 up")
        self.hub, self.reflector, self.endpoints = hosts[0], hosts[1], hosts[2:]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with SixLab() as lab, Site(tmp_path_factory.mktemp("six"), lab=lab) as site:
        site.admin_port = ADMIN_PORT
        done = site.hub.init("--listen", f"[::]:{site.hub.port}", "--admin-listen",
                             f"[::1]:{ADMIN_PORT}")
        site.hub.start()
        site.join(site.admin, done.token())
        site.admin.albedo("trust", "init")
        path = site.folder / "sites.json"
        path.write_text(json.dumps({"format": 1, "sites": [
            {"name": "branch", "subnets": ["fd06::/64"]}]}))
        site.admin.albedo("site", "import", path, "--yes")
        box = site.reflector
        box.init("--hub", site.hub.url, "--token", site.token("reflector", "--site", "branch"),
                 "--listen", f"[::]:{box.port}", "--name", box.name)
        yield site
        for box in (site.hub, site.reflector):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


def test_a_branch_without_ipv4_does_all_that_others_do(site, tmp_path):
    member = site.endpoints[0]
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "data").write_bytes(os.urandom(3_000_000))
    with Sniffer(member.host.ns) as seen:
        site.reflector.start()
        time.sleep(1.5)
    said = [p for p in packets(seen.frames) if p.is_response]
    assert said and {p.to for p in said} == {"ff02::fb"} and {p.hops for p in said} == {255}
    assert said[0].values(AAAA) == ["fd06::5"] and said[0].values(A) == []
    site.join(member, site.token("endpoint", "--site", "branch"))
    site.admin.albedo("publish", "base/six", tree)
    with_agent = member.start("agent")
    try:
        def parent():
            path = member.state / "agent.json"
            return json.loads(path.read_text()).get("parent", {}) if path.exists() else {}
        wait_until(lambda: parent().get("device") == site.reflector.name, 30, "the reflector")
        assert parent()["place"] == f"[fd06::5]:{site.reflector.port}"
    finally:
        with_agent.kill()
    done = member.albedo("pull", "base/six", tmp_path / "target")
    assert done.event("pulled")["fetched_from"] == "reflector"
    assert compare(tree, tmp_path / "target", skip_root=True) == []
