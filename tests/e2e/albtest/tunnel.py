# SPDX-License-Identifier: Apache-2.0
# albtest/tunnel.py – a VPN between two hosts of a laboratory: a tun device at each end, their
# packets in UDP; no secrets.
#
#     with Tunnel((laptop, "192.168.7.5"), (office, "10.1.0.1"), folder):    by these addresses;
#         a device `tun0` at each end, up, without addresses
#         ip_batch(laptop.ns, "addr add 10.8.0.5/32 dev tun0", "route replace default dev tun0")

import fcntl
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
DEVICE, PORT, MTU = "tun0", 51000, 1400


class Tunnel:
    def __init__(self, near, far, folder):
        self.ends = [(*near, far[1], folder / "near.log"), (*far, near[1], folder / "far.log")]
        self.daemons = []

    def __enter__(self):
        for host, own, other, log in self.ends:
            daemon = host.daemon([sys.executable, __file__, own, other], log=log)
            self.daemons.append(daemon)
            daemon.wait_line("tunnel is up", timeout=10)
            host.run(["ip", "link", "set", DEVICE, "up", "mtu", MTU])
        return self

    def __exit__(self, *_):
        for daemon in self.daemons:
            daemon.kill()


def main(own, other):
    with open("/dev/net/tun", "r+b", buffering=0) as tun, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        request = struct.pack("16sH", DEVICE.encode(), IFF_TUN | IFF_NO_PI)
        fcntl.ioctl(tun, TUNSETIFF, request)
        udp.bind((own, PORT))
        print("tunnel is up", flush=True)
        while True:
            ready, _, _ = select.select([tun, udp], [], [])
            if udp in ready:
                tun.write(udp.recv(65536))
            if tun in ready:
                udp.sendto(tun.read(65536), (other, PORT))


if __name__ == "__main__":
    main(*sys.argv[1:])
