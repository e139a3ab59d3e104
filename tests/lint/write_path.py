#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/lint/write_path.py – every byte to a network leaves through one wrapper, hence past a gate.
#
# usage: write_path.py SOURCE_DIR BUILD_DIR
# Reads the symbols that the built archives and the programs' main.c ask for.
import glob
import os
import re
import subprocess
import sys
import tempfile

from lib import tree

# The objects that may hand bytes to a network, and the calls that do.
WRAPPERS = {("libnet.a", "stream_event.c.o"), ("libnet.a", "datagram_event.c.o"),
            ("libnet.a", "raw_frame.c.o"),  # wake frames, which shaper/wake.h bounds
            ("libnet.a", "mdns_socket_event.c.o")}  # to one's own link; transfer/beacon.h bounds
SENDING = {"SSL_write", "SSL_write_ex", "SSL_write_early_data", "SSL_sendfile",
           "BIO_write", "BIO_write_ex",
           "send", "sendto", "sendmsg", "sendmmsg", "sendfile", "sendfile64", "splice"}
# Whole families that bring a write path of their own.
NOT_USED = re.compile(r"(bufferevent_|evhttp_|evbuffer_write|evdns_|nghttp2_session_send$|"
                      r"nghttp2_submit_push_promise)")
# A BIO of memory or a file is how certificates and keys are printed; nothing leaves the machine.
NO_NETWORK = {("libnet.a", "x509.c.o"): {"BIO_write", "BIO_write_ex"}}


def wanted(paths):
    """(archive, object, symbol) for each undefined symbol in `paths`."""
    for path in paths:
        text = subprocess.run(["nm", "-A", "-u", path], capture_output=True, text=True,
                              check=True).stdout
        for line in text.splitlines():
            where, _, symbol = line.rpartition(" U ")
            member = where.rstrip(" :").split(":")[-1]
            yield os.path.basename(path), os.path.basename(member), symbol.split("@")[0]


def check(paths):
    offences = set()
    for archive, member, symbol in wanted(paths):
        place = (archive, member)
        if symbol in SENDING and place not in WRAPPERS and symbol not in NO_NETWORK.get(place, ()):
            offences.add(f"{archive}({member}) calls {symbol}(): only the wrappers may")
        if NOT_USED.match(symbol):
            offences.add(f"{archive}({member}) calls {symbol}(), which has a write path of its own")
    return sorted(offences)


def prove_sight():
    with tempfile.TemporaryDirectory() as scratch:
        source = os.path.join(scratch, "planted.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write("#include <sys/socket.h>\nlong f(int s);\n"
                       "long f(int s) { return send(s, \"x\", 1, 0); }\n")
        made, archive = os.path.join(scratch, "planted.c.o"), os.path.join(scratch, "libhub.a")
        subprocess.run(["cc", "-c", source, "-o", made], check=True)
        subprocess.run(["ar", "qc", archive, made], check=True)
        assert check([archive]) and check([made]), "this lint is blind to a planted send()"


def main():
    build = sys.argv[2]
    prove_sight()
    paths = sorted(glob.glob(os.path.join(build, "lib*.a")) +
                   glob.glob(os.path.join(build, "CMakeFiles/albedo*.dir/*/main.c.o")))
    print(f"{len(paths)} archives and objects read")
    tree.finish(check(paths) if paths else ["nothing is built in " + build])


if __name__ == "__main__":
    main()
