# SPDX-License-Identifier: Apache-2.0
# albtest/everything.py – a tree with all that a manifest can hold, and awkward amounts of it.
#
#     make(top, files=100_000, sparse=4 << 30)     what the caller may not do is left out
#
# Beside what albtest.small has: many files in one directory, a huge sparse file, a path as deep as
# the kernel takes, devices, sockets, ACLs, attributes of all name spaces, times before 1970 and far
# from now, hard links over directories.

import os
import random
import socket
import stat
import struct
from pathlib import Path

from albtest import small

DEEPEST = 3900  # bytes below the top; with the top's own path it stays below PATH_MAX
ACL_VERSION, USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 2, 1, 2, 4, 16, 32
NOBODY = 0xFFFFFFFF


def _acl(*entries):
    """The kernel's own form of an ACL: (tag, permissions, id) each."""
    return struct.pack("<I", ACL_VERSION) + b"".join(
        struct.pack("<HHI", tag, bits, who) for tag, bits, who in entries)


def _many(top, count):
    top.mkdir()
    for number in range(count):
        with open(top / f"{number:06d}", "wb", buffering=0) as file:
            file.write(b"%d" % (number * number))


def _sparse(path, size):
    with open(path, "wb") as file:
        for offset in (0, size // 3, size // 2 + 4096, size - 4):
            file.seek(offset)
            file.write(b"here")
    with open(path.with_name("all-hole"), "wb") as file:
        file.truncate(64 << 20)
    with open(path.with_name("hole-at-the-end"), "wb") as file:
        file.write(b"begin" * 50_000)
        file.truncate(8 << 20)


def _deep(top):
    """By steps, since a path this long can be used but hardly be made in one go."""
    folder, length = os.open(top, os.O_DIRECTORY), 0
    while length + 256 < DEEPEST:
        name = "d" * 250
        os.mkdir(name, dir_fd=folder)
        inner = os.open(name, os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder, length = inner, length + len(name) + 1
    bottom = os.open("f" * (DEEPEST - length), os.O_CREAT | os.O_WRONLY, dir_fd=folder)
    os.write(bottom, b"at the bottom")
    os.close(bottom)
    os.close(folder)


def _links(top):
    (top / "one").mkdir()
    (top / "two/three").mkdir(parents=True)
    (top / "one/file").write_bytes(b"linked " * 1000)
    os.symlink("no/where", top / "one/symlink")
    os.mkfifo(top / "one/fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(top / "one")  # the address has room for 107 bytes
        sock.bind("socket")
        os.chdir(here)
    # Only of a regular file can a manifest hold several names; other kinds become several objects.
    for place in ("two", "two/three"):
        os.link(top / "one/file", top / place / "again")


def _times(top):
    top.mkdir()
    for name, ns in (("epoch", 0), ("before", -1), ("long-before", -2 * 10**18 + 7),
                     ("far", 7 * 10**18 + 123456789), ("ns", 10**18 + 1)):
        (top / name).write_bytes(name.encode())
        os.utime(top / name, ns=(ns, ns))


def _privileged(top):
    for name, kind, device in (("null", stat.S_IFCHR, (1, 3)), ("loop", stat.S_IFBLK, (7, 200)),
                               ("wide", stat.S_IFCHR, (300, 70_000))):
        os.mknod(top / name, kind | 0o660, os.makedev(*device))
    os.setxattr(top / "all", "trusted.overlay.opaque", b"y")
    os.setxattr(top / "dir", "trusted.of-a-directory", b"\0\1")
    os.setxattr(top / "link", "trusted.of-a-link", b"x", follow_symlinks=False)
    os.setxattr(top / "all", "security.capability",
                bytes.fromhex("0100000200200000000000000000000000000000"))
    os.chown(top / "link", 2**31, 2**32 - 2, follow_symlinks=False)


def _attributes(top):
    (top / "dir").mkdir(parents=True)
    (top / "all").write_bytes(b"attributes")
    os.symlink("all", top / "link")
    if os.geteuid() == 0:
        os.chown(top / "all", 1000, 1001)
    os.chmod(top / "all", 0o6755)
    os.setxattr(top / "all", "user." + "n" * 200, bytes(range(256)) * 8)
    os.setxattr(top / "all", "user.empty", b"")
    owner = ((USER_OBJ, 7, NOBODY), (USER, 6, 1234), (GROUP_OBJ, 5, NOBODY), (MASK, 7, NOBODY),
             (OTHER, 4, NOBODY))
    (top / "acl").write_bytes(b"acl")
    for path in (top / "acl", top / "dir"):
        os.setxattr(path, "system.posix_acl_access", _acl(*owner))
    os.setxattr(top / "dir", "system.posix_acl_default", _acl(*owner))
    (top / "dir/inherits").write_bytes(b"made below a default ACL")
    (top / "dir/below").mkdir()
    if os.geteuid() == 0:
        _privileged(top)


def make(top, files=100_000, sparse=4 << 30, seed=3):
    """Make the tree at `top`, which must not exist."""
    top = Path(top)
    small.make(top, seed=seed, large=1 << 20)
    _many(top / "many", files)
    _sparse(top / "huge", sparse)
    _deep(top)
    (top / "links").mkdir()
    _links(top / "links")
    _times(top / "times")
    _attributes(top / "attributes")
    rng = random.Random(seed)
    for folder, names, _ in os.walk(top / "links", topdown=False):
        os.utime(folder, ns=(0, rng.randrange(10**18)))
    return top
