# SPDX-License-Identifier: Apache-2.0
# albtest/traffic.py – small sources and sinks of UDP for proving what a link does.
#
#     python3 -m albtest.traffic sink PORT                     count until 0.5 s of silence
#     python3 -m albtest.traffic flood HOST PORT RATE_BITS S   send IP packets of 1,400 bytes
#     python3 -m albtest.traffic flood2 HOST PORT RATE_BITS S  the same, to two ports in turn
#     python3 -m albtest.traffic burst HOST PORT COUNT         as many as fast as they go
#     python3 -m albtest.traffic echo PORT                     send everything back
#     python3 -m albtest.traffic ping HOST PORT COUNT HZ       round trips of 48-byte packets
#
# Each prints one JSON object on a line; sink and echo print "ready" first. All end by themselves.
# They ask for real-time priority, so that a busy machine disturbs the link's figures less.

import itertools
import json
import os
import socket
import sys
import time

IP_UDP_HEADERS = 28
PACKET = 1400
SILENCE_S = 0.5
FIRST_S = 20.0   # how long sink and echo wait for anything at all
PING_BYTES = 48
LOST_S = 2.0
SO_RCVBUFFORCE = 33  # <asm/socket.h>; beyond the limit of those who are not root


def _socket(port=None):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    if port is not None:
        sock.bind(("0.0.0.0", port))
        print("ready", flush=True)
    return sock


def sink(port):
    """Measure arrivals in steady state: the first second is left out."""
    sock = _socket(port)
    sock.settimeout(FIRST_S)
    packets, arrivals = 0, []  # (time, IP bytes so far)
    total = 0
    try:
        while True:
            data = sock.recv(65536)
            sock.settimeout(SILENCE_S)
            packets += 1
            total += len(data) + IP_UDP_HEADERS
            arrivals.append((time.monotonic(), total))
    except TimeoutError:
        pass
    steady = [a for a in arrivals if a[0] >= arrivals[0][0] + 1.0]
    rate = 0.0
    if len(steady) > 1:
        rate = (steady[-1][1] - steady[0][1]) * 8 / (steady[-1][0] - steady[0][0])
    seconds = steady[-1][0] - steady[0][0] if steady else 0.0
    print(json.dumps({"packets": packets, "bytes": total, "rate_bits": rate, "seconds": seconds}))


def flood(host, port, rate_bits, seconds, ports=1):
    """Evenly spaced sends; after a pause of the machine it catches up."""
    sock = _socket()  # not connected: nobody listening there is no error
    payload = bytes(PACKET - IP_UDP_HEADERS)
    gap = PACKET * 8 / rate_bits
    turns = itertools.cycle(range(port, port + ports))
    start = time.monotonic()
    sent = 0
    while (now := time.monotonic()) < start + seconds:
        if now < start + sent * gap:
            time.sleep(start + sent * gap - now)
            continue
        sock.sendto(payload, (host, next(turns)))
        sent += 1
    print(json.dumps({"packets": sent, "bytes": sent * PACKET}))


def flood2(host, port, rate_bits, seconds):
    """One process feeds both flows, or the scheduler would be measured and not the link."""
    flood(host, port, rate_bits, seconds, ports=2)


def burst(host, port, count):
    sock = _socket()
    payload = bytes(PACKET - IP_UDP_HEADERS)
    start = time.monotonic()
    for _ in range(count):
        sock.sendto(payload, (host, port))
    print(json.dumps({"packets": count, "seconds": time.monotonic() - start}))


def echo(port):
    sock = _socket(port)
    sock.settimeout(FIRST_S)
    packets = 0
    try:
        while True:
            data, sender = sock.recvfrom(65536)
            sock.settimeout(LOST_S + SILENCE_S)
            sock.sendto(data, sender)
            packets += 1
    except TimeoutError:
        pass
    print(json.dumps({"packets": packets}))


def ping(host, port, count, hz):
    sock = _socket()
    sock.connect((host, port))
    sock.settimeout(LOST_S)
    trips, lost = [], 0
    for number in range(count):
        began = time.monotonic()
        sock.send(number.to_bytes(8, "big").ljust(PING_BYTES - IP_UDP_HEADERS, b"\0"))
        try:
            while int.from_bytes(sock.recv(65536)[:8], "big") != number:
                pass
            trips.append((time.monotonic() - began) * 1000)
        except TimeoutError:
            lost += 1
        time.sleep(max(0.0, began + 1 / hz - time.monotonic()))
    trips.sort()
    summary = {"count": count, "lost": lost}
    if trips:
        summary |= {"min_ms": trips[0], "mean_ms": sum(trips) / len(trips),
                    "p50_ms": trips[len(trips) // 2], "p99_ms": trips[int(len(trips) * 0.99)],
                    "max_ms": trips[-1]}
    print(json.dumps(summary))


COMMANDS = {"sink": (sink, int), "flood": (flood, str, int, float, float),
            "flood2": (flood2, str, int, float, float), "burst": (burst, str, int, int),
            "echo": (echo, int), "ping": (ping, str, int, int, float)}


def main():
    words = sys.argv[1:]
    if not words or words[0] not in COMMANDS or len(words) != len(COMMANDS[words[0]]):
        print("usage: see the top of albtest/traffic.py", file=sys.stderr)
        return 2
    function, *types = COMMANDS[words[0]]
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    function(*(kind(word) for kind, word in zip(types, words[1:])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
