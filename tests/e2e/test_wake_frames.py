# SPDX-License-Identifier: Apache-2.0
# e2e/test_wake_frames.py – wake frames are exact, and leave by the link they were meant for alone.
#
#     [ reflector ] lan0 ──┐                     [ reflector ] wan0 ── wan0 [ far ]
#     [ sleeper   ] lan0 ──┤ bridge
#     [ other     ] lan0 ──┘
import json
import struct
import subprocess

import pytest

from albtest.procs import wait_until
from albtest.site import program
from albtest.sniff import Sniffer
from albtest.spaces import ip, ip_batch, ip_json, spaces, within

SLEEPER = "02:5e:00:00:00:42"
ALL = b"\xff" * 6
PASSWORD = "01:23:45:67:89:ab"
UNPRIVILEGED = ["setpriv", "--reuid=65534", "--clear-groups"]


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def pattern(password=""):
    return b"\xff" * 6 + 16 * mac(SLEEPER) + mac(password)


class Branch:
    def __init__(self, bridge, hosts, far):
        self.reflector, self.sleeper, self.other = hosts
        self.far = far
        ip_batch(bridge, ["link add br0 type bridge mcast_snooping 0", "link set br0 up"])
        for n, ns in enumerate(hosts):
            ip(bridge, "link", "add", f"p{n}", "type", "veth", "peer", "name", "lan0", "netns", ns)
            ip_batch(bridge, [f"link set p{n} master br0", f"link set p{n} up"])
            ip_batch(ns, ["link set lo up", f"link set lan0 address 02:00:00:00:00:0{n + 1}",
                          "link set lan0 up", f"addr add 10.9.0.{n + 1}/24 dev lan0",
                          f"addr add fd09::{n + 1}/64 dev lan0 nodad"])
        ip(self.reflector, "link", "add", "wan0", "type", "veth", "peer", "name", "wan0",
           "netns", far)
        for ns, address in ((self.reflector, "192.0.2.1/24"), (far, "192.0.2.2/24")):
            ip_batch(ns, ["link set wan0 up", f"addr add {address} dev wan0"])
        # The tempting way out.
        ip(self.reflector, "route", "add", "default", "via", "192.0.2.2", "dev", "wan0")
        self.own = mac(ip_json(self.reflector, "link", "show", "lan0")[0]["address"])

    def told(self, *words, user=()):
        done = subprocess.run(
            within(self.reflector, *user, program("albedo-sense"), "wake", "lan0", SLEEPER, *words),
            capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wake(self, *words, user=()):
        return [said["code"] for said in self.told(*words, user=user)]


@pytest.fixture(name="branch")
def _branch():
    with spaces("bridge", "reflector", "sleeper", "other", "far") as (bridge, *hosts, far):
        branch = Branch(bridge, hosts, far)
        wait_for_addresses(branch.reflector)
        yield branch


def wait_for_addresses(ns):
    """A link-local address that is still being tried may not be sent from."""
    wait_until(lambda: "tentative" not in ip(ns, "-6", "addr", "show", "dev", "lan0"), 30,
               f"the addresses of {ns} to be usable")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def is_wake(frame):
    return mac(SLEEPER) * 16 in frame


def read(frame):
    """(kind, to, port, payload) of one frame; checks everything else about it."""
    to, kind = frame[:6], int.from_bytes(frame[12:14], "big")
    body = frame[14:]
    if kind == 0x0842:
        return "ether", to, 0, body
    if kind == 0x0800:
        assert body[0] == 0x45 and checksum(body[:20]) == 0xFFFF
        assert int.from_bytes(body[2:4], "big") == len(body)
        assert body[9] == 17 and body[12:16] == bytes([10, 9, 0, 1]), "from the link's own address"
        assert body[16:20] == b"\xff" * 4
        udp = body[20:]
    else:
        assert kind == 0x86DD and body[6] == 17 and body[7] == 1, "must not be routed on"
        assert body[8:10] == b"\xfe\x80" and body[24:40] == bytes.fromhex(
            "ff020000000000000000000000000001")
        udp = body[40:]
    assert int.from_bytes(udp[4:6], "big") == len(udp)
    return f"udp{'6' if kind == 0x86DD else ''}", to, int.from_bytes(udp[2:4], "big"), udp[8:]


def expected(password="", ether=True):
    body = pattern(password)
    by_ether = [("ether", ALL, 0, body), ("ether", mac(SLEEPER), 0, body)] if ether else []
    ipv6_all = bytes.fromhex("333300000001")
    return by_ether + [("udp", ALL, 9, body), ("udp", ALL, 7, body),
                       ("udp6", ipv6_all, 9, body), ("udp6", ipv6_all, 7, body)]


@pytest.mark.parametrize("password", ["", "c0:a8:00:01", PASSWORD])
def test_frames_are_exact_and_on_the_right_link_only(branch, password):
    with Sniffer(branch.sleeper) as sleeper, Sniffer(branch.other) as other, \
            Sniffer(branch.far) as far, Sniffer(branch.reflector) as own:
        assert branch.wake(*([password] if password else [])) == ["ok"] * 6
    for sniffer in (sleeper, other):
        frames = [frame for _, frame in sniffer.frames if is_wake(frame)]
        assert [read(frame) for frame in frames] == expected(password)
        assert all(frame[6:12] == branch.own for frame in frames)
    assert not [frame for _, frame in far.frames if is_wake(frame)]
    assert {link for link, frame in own.frames if is_wake(frame)} == {"lan0"}


def test_without_cap_net_raw_udp_still_goes(branch):
    with Sniffer(branch.sleeper) as sleeper:
        assert branch.wake(user=UNPRIVILEGED) == ["refused"] * 2 + ["ok"] * 4
    assert [read(frame) for _, frame in sleeper.frames if is_wake(frame)] == expected(ether=False)


def test_what_this_machine_forbids_is_not_said_to_need_cap_net_raw(branch):
    """By a routing rule here, as by a packet filter."""
    for words in (["add", "pref", "1", "to", "ff02::/16", "prohibit"],
                  ["add", "pref", "2", "lookup", "local"], ["del", "pref", "0"]):
        ip(branch.reflector, "-6", "rule", *words)
    told = branch.told()
    assert [said["code"] for said in told] == ["ok"] * 4 + ["refused"] * 2
    assert all("packet filter" in said["text"] for said in told[4:])


@pytest.mark.parametrize("words", [
    ["wake", "lan0", "02:5e:00:00:00"], ["wake", "lan0", "02:5e:00:00:00:4g"],
    ["wake", "lan0", SLEEPER + ":00"], ["wake", "lan0", SLEEPER, "c0:a8:00"],
    ["wake", "lan0", SLEEPER, "secret"], ["wake", "lan0"], ["sleep"], []])
def test_what_was_mistyped_is_answered_with_what_is_right(words):
    done = subprocess.run([program("albedo-sense"), *words], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2 and "usage: albedo-sense" in done.stderr and not done.stdout


def test_a_link_without_addresses_is_used_too(branch):
    ip(branch.reflector, "addr", "flush", "dev", "lan0")
    with Sniffer(branch.sleeper) as sleeper, Sniffer(branch.far) as far:
        codes = branch.wake()
    assert codes[:2] == ["ok"] * 2
    frames = [frame for _, frame in sleeper.frames if is_wake(frame)]
    assert [frame[12:14] for frame in frames[:2]] == [b"\x08\x42"] * 2
    assert not [frame for _, frame in far.frames if is_wake(frame)]


def test_a_link_that_is_down_or_gone_says_so(branch):
    ip(branch.reflector, "link", "set", "lan0", "down")
    assert "ok" not in branch.wake()
    ip(branch.reflector, "link", "del", "lan0")
    assert set(branch.wake()) == {"not found"}


def test_a_virtual_link_says_clearly_that_it_cannot_wake(branch):
    done = subprocess.run(within(branch.sleeper, program("albedo-sense"), "wol", "lan0"),
                          capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"answer": "cannot", "supported": 0, "active": 0,
                                       "text": "this link cannot wake its machine"}
