# SPDX-License-Identifier: Apache-2.0
# albtest/small.py – a tree of a few megabytes with one of everything that a tree may hold.

import os
import random
from pathlib import Path

MB = 1 << 20
ODD_NAMES = (b"with space", b"new\nline", b"-dash", b"*star", "umlaut-ä".encode(), b"invalid-\xff",
             b"l" * 255, b"quote'\"", b"back\\slash", b".hidden", b"~")


def _text(rng, size):
    words = [b"branch", b"hub", b"link", b"layer", b"chunk", b"mirror", b"light", b"snow"]
    return b" ".join(rng.choices(words, k=size // 4))[:size]


def _files(top, rng, large):
    for number in range(60):
        folder = top / f"usr/share/d{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        folder.joinpath(f"f{number}").write_bytes(_text(rng, rng.randint(0, 40_000)))
    (top / "usr/lib").mkdir()
    (top / "usr/lib/large.so").write_bytes(rng.randbytes(large))
    (top / "usr/lib/twice.so").write_bytes((top / "usr/lib/large.so").read_bytes())
    (top / "usr/lib/empty").write_bytes(b"")
    for name in ODD_NAMES:
        with open(os.fsencode(top / "odd") + b"/" + name, "wb") as file:
            file.write(name)


def _kinds(top):
    os.link(top / "usr/lib/large.so", top / "usr/lib/large.so.1")
    os.link(top / "usr/lib/large.so", top / "odd/large.so.2")
    for name, target in (("relative", "usr/lib"), ("dangling", "/no/such/path"), ("self", "self"),
                         ("long", "x" * 1000)):
        os.symlink(target, top / name)
    os.mkfifo(top / "fifo")
    (top / "empty/deep/er").mkdir(parents=True)
    with open(top / "sparse", "wb") as file:
        file.write(b"head")
        file.seek(3 * MB)
        file.write(b"tail")
        file.truncate(5 * MB)
    (top / "usr/bin").mkdir()
    for name, mode in (("su", 0o4755), ("wall", 0o2755), ("secret", 0o600), ("closed", 0o400)):
        (top / "usr/bin" / name).write_bytes(name.encode() * 50)
        os.chmod(top / "usr/bin" / name, mode)
    os.chmod(top / "empty/deep", 0o1777)


def _attributes(top):
    os.setxattr(top / "usr/bin/su", "user.note", b"\0binary\xff")
    os.setxattr(top / "usr/lib", "user.of-a-directory", b"")
    if os.geteuid() == 0:
        # a version 2 file capability, net_raw permitted
        os.setxattr(top / "usr/bin/wall", "security.capability",
                    bytes.fromhex("0100000200200000000000000000000000000000"))
        os.chown(top / "usr/bin/secret", 1234, 4321)
        os.chown(top / "dangling", 7, 7, follow_symlinks=False)
        os.chown(top / "empty", 99, 99)
        os.chmod(top / "usr/bin/wall", 0o2755)


def make(top, seed=1, large=3 * MB):
    """Make the tree at `top`, which must not exist; the same for the same seed."""
    top = Path(top)
    rng = random.Random(seed)
    (top / "odd").mkdir(parents=True)
    _files(top, rng, large)
    _kinds(top)
    _attributes(top)
    for folder, names, leaves in os.walk(top, topdown=False):
        for leaf in leaves + names:
            time_ns = 10**18 + rng.randrange(10**17)
            os.utime(os.path.join(folder, leaf), ns=(time_ns, time_ns), follow_symlinks=False)
    os.utime(top, ns=(10**18, 10**18))
    return top
