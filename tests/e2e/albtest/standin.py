# SPDX-License-Identifier: Apache-2.0
# albtest/standin.py – a machine with a network card that a veth is not: it joins, announces itself
# and the card, sleeps, and is woken by the very frame that would wake it.
#
#     pc = StandIn(org, member, "10.1.0.5", 7443, site="a", address="10.1.0.11/24")
#     pc.visit()                    it is there for a moment, so that its MAC is known, and sleeps
#     pc.sleep()                    … and comes when a wake frame reaches its link
#     pc.stay()                     it is awake
#
# What it does is done by a process in the member's namespace.
import json
import subprocess
import sys
from pathlib import Path

from albtest.procs import expect_line, wait_until
from albtest.spaces import within

PROGRAM = """
import json, socket, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from albtest.rawh2 import Raw
mode, mac, addr, port, state, body = sys.argv[2:8]
pattern = b"\\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as s:
    print("ready", flush=True)
    while mode == "sleep" and pattern not in s.recv(4096):
        pass
with Raw(int(port), state=Path(state), addr=addr, timeout=3600) as raw:
    print("announced", raw.post("/v1/announce?all=1", body.encode())[0], flush=True)
    raw.until_ended()
"""


class StandIn:
    def __init__(self, org, member, addr, port, site, address, wake=("magic",),
                 layers=()):
        self.org, self.member, self.addr, self.port = org, member, addr, port
        self.mac = "52:54:00:{:02x}:{:02x}:{:02x}".format(
            *(int(n) for n in address.split("/")[0].split(".")[1:]))
        self.process = None
        self.body = {"device": member.name, "role": "endpoint", "since": 1,
                     "place": {"site": site, "by": "subnet", "addresses": [address],
                               "gateways": [], "nature": "wired", "metered": False},
                     "cards": [{"mac": self.mac, "link": "eth0",
                                "wake": None if wake is None else list(wake)}],
                     "layers": [{"layer": layer, "version": version, "sequence": 1}
                                for layer, version in layers]}

    def _run(self, mode):
        here = str(Path(__file__).resolve().parent.parent)
        return subprocess.Popen(
            within(self.member.host.ns, sys.executable, "-c", PROGRAM, here, mode, self.mac,
                   self.addr, self.port, self.member.state, json.dumps({"devices": [self.body]})),
            stdout=subprocess.PIPE, text=True)

    def visit(self):
        visit(self)

    def sleep(self):
        self.process = self._run("sleep")
        expect_line(self.process, "ready")

    def stay(self):
        self.process = self._run("stay")
        expect_line(self.process, "ready")
        expect_line(self.process, "announced 200")

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def device(org, name):
    return next(d for d in org.admin.albedo("devices").document()["devices"]
                if d["device"] == name)


def visit(*machines):
    """All of them together: it is the way up to the hub, and back, that takes seconds."""
    for one in machines:
        one.stay()
    for one in machines:
        wait_online(one.org, one.member.name, True)
    for one in machines:
        one.close()
    for one in machines:
        wait_online(one.org, one.member.name, False)


def wait_online(org, name, expected, seconds=30):
    wait_until(lambda: device(org, name)["online"] == expected, seconds,
               f"{name} to be {'here' if expected else 'gone'}")
