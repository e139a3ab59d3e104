# SPDX-License-Identifier: Apache-2.0
# albtest/sniff.py – every frame that comes to or leaves a namespace's links, read with AF_PACKET.
#
#     with Sniffer(ns) as s:
#         ...
#     s.frames          [(link, bytes)], in order; whole Ethernet frames
import subprocess
import sys

from albtest.procs import expect_line
from albtest.spaces import within

# What was sent before standard input ends has been delivered: a bridge of veths has no queue.
READER = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as s:
    print("ready", flush=True)
    sys.stdin.read()
    s.setblocking(False)
    try:
        while True:
            frame, (link, *_) = s.recvfrom(4096)
            print(link, frame.hex())
    except BlockingIOError:
        pass
"""


class Sniffer:
    def __init__(self, ns):
        self.ns = ns
        self.frames = []

    def __enter__(self):
        self.process = subprocess.Popen(within(self.ns, sys.executable, "-c", READER),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        expect_line(self.process, "ready")
        return self

    def __exit__(self, *_):
        said, _ = self.process.communicate("", timeout=30)
        for line in said.splitlines():
            link, text = line.split()
            self.frames.append((link, bytes.fromhex(text)))
