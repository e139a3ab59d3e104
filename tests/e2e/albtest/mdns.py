# SPDX-License-Identifier: Apache-2.0
# albtest/mdns.py – multicast DNS in Python: packets read, questions asked, boxes forged.
#
#     packets(sniffer.frames)     [Packet(…)] of the frames that a Sniffer saw
#     run_on_link(ns, "lan0", [packet, …])        sent to the group by IPv4; what was said meanwhile
#
# A decoder of its own, so that what the programs send is held against the RFC and not themselves.
import ipaddress
import json
import struct
import subprocess
import sys
from dataclasses import dataclass, field

from albtest.spaces import within

PORT = 5353
GROUPS = {4: "224.0.0.251", 6: "ff02::fb"}
A, PTR, TXT, AAAA, SRV = 1, 12, 16, 28, 33
SERVICE = "_albedo._tcp.local"


@dataclass
class Packet:
    link: str = ""
    source: str = ""
    to: str = ""
    ports: tuple = ()
    hops: int = 0
    payload: bytes = b""
    is_response: bool = False
    questions: list = field(default_factory=list)  # (name, type)
    records: list = field(default_factory=list)    # (name, type, flush, ttl, value)

    def values(self, kind):
        return [value for _, its, _, _, value in self.records if its == kind]

    def ttls(self):
        return {ttl for *_, ttl, _ in self.records}


def _name(data, at):
    labels, after = [], None
    while data[at] != 0:
        if data[at] >= 0xc0:
            after = after or at + 2
            at = struct.unpack_from("!H", data, at)[0] & 0x3fff
            continue
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels), after or at + 1


def _value(data, kind, at, size):
    if kind == PTR:
        return _name(data, at)[0]
    if kind == SRV:
        return (*struct.unpack_from("!HHH", data, at), _name(data, at + 6)[0])
    if kind in (A, AAAA):
        return str(ipaddress.ip_address(data[at:at + size]))
    if kind == TXT:
        strings, end = [], at + size
        while at < end:
            strings.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        return strings
    return data[at:at + size]


def decode(data, packet):
    ident, flags, questions, *counts = struct.unpack_from("!6H", data)
    assert ident == 0 and flags & 0x780f == 0, "RFC 6762 §18"
    packet.payload, packet.is_response = data, bool(flags & 0x8000)
    assert not packet.is_response or flags & 0x0400, "an answer is authoritative"
    at = 12
    for _ in range(questions):
        name, at = _name(data, at)
        kind, _ = struct.unpack_from("!HH", data, at)
        packet.questions.append((name, kind))
        at += 4
    for _ in range(sum(counts)):
        name, at = _name(data, at)
        kind, cls, ttl, size = struct.unpack_from("!HHIH", data, at)
        at += 10
        packet.records.append((name, kind, bool(cls & 0x8000), ttl, _value(data, kind, at, size)))
        at += size
    assert at == len(data)
    return packet


def _udp(frame):
    """Of an Ethernet frame: Packet without its contents, and its payload; None: no UDP."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == 17:
        ip, at = frame[14:], (frame[14] & 15) * 4
        size, hops = struct.unpack_from("!H", ip, 2)[0], ip[8]
        source, to, ip = ip[12:16], ip[16:20], ip[:size]
    elif kind == b"\x86\xdd" and frame[20] == 17:
        ip, at = frame[14:], 40
        source, to, hops = ip[8:24], ip[24:40], ip[7]
        ip = ip[:40 + struct.unpack_from("!H", ip, 4)[0]]
    else:
        return None
    text = [str(ipaddress.ip_address(address)) for address in (source, to)]
    packet = Packet(source=text[0], to=text[1], ports=struct.unpack_from("!HH", ip, at), hops=hops)
    return packet, ip[at + 8:]


def packets(frames):
    found = []
    for link, frame in frames:
        one = _udp(frame)
        if one is not None and PORT in one[0].ports:
            one[0].link = link
            found.append(decode(one[1], one[0]))
    return found


# ---- making them ---------------------------------------------------------------------------------

def name(dotted):
    return b"".join(bytes([len(label)]) + label.encode() for label in dotted.split(".")) + b"\0"


def question(dotted, kind):
    return struct.pack("!6H", 0, 0, 1, 0, 0, 0) + name(dotted) + struct.pack("!HH", kind, 1)


def _record(owner, kind, ttl, data):
    return name(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def box(instance, org, address, port, ttl=120):
    """What a reflector would say of itself; whose `org` is anybody's who has heard it."""
    host, full = f"albedo-{instance}.local", f"{instance}.{SERVICE}"
    text = b"".join(bytes([len(s)]) + s.encode() for s in ("proto=1", f"org={org}"))
    ip = ipaddress.ip_address(address)
    return struct.pack("!6H", 0, 0x8400, 0, 4, 0, 0) + b"".join((
        _record(SERVICE, PTR, ttl, name(full)),
        _record(full, SRV, ttl, struct.pack("!HHH", 0, 0, port) + name(host)),
        _record(full, TXT, ttl, text),
        _record(host, A if ip.version == 4 else AAAA, ttl, ip.packed)))


SENDER = """
import json, socket, sys, time
link, pause, port = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
             socket.inet_aton("0.0.0.0") * 2 + socket.if_nametoindex(link).to_bytes(4, "little"))
s.bind(("", port))
for line in sys.stdin:
    s.sendto(bytes.fromhex(line), ("224.0.0.251", 5353))
    time.sleep(pause)
"""


def send(ns, link, payloads, pause=0.0, port=PORT):
    """To the group, from that namespace, out of that link."""
    subprocess.run(within(ns, sys.executable, "-c", SENDER, link, str(pause), str(port)),
                   input="\n".join(one.hex() for one in payloads) + "\n", text=True, check=True,
                   timeout=60)
