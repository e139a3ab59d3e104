# SPDX-License-Identifier: Apache-2.0
# albtest/disk.py – small file systems that a test may fill up, empty and make read-only.
#
#     disk = SmallDisk(folder / "hub", megabytes=24)      mounted at once
#     disk.fill(leave=1 << 20)                            until no more than 1 MiB is free
#     disk.empty()                                        the filling goes, what was there stays
#     DyingDisk(folder / "hub", megabytes=64).die()      ext4; every write fails from then on
#
# They are mounted in a mount namespace of this process's own, so nothing is left behind however
# the test ends. Where that is not allowed SmallDisk fails: such a test must not pass unnoticed.

import ctypes
import fcntl
import os
import struct
import subprocess
from pathlib import Path

CLONE_NEWNS = 0x00020000
MB = 1 << 20
_libc = ctypes.CDLL(None, use_errno=True)
_is_private = False


def _own_namespace():
    global _is_private
    if _is_private:
        return
    if _libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "a small disk cannot be mounted here: run as root, in a "
                                          "container with --privileged")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    _is_private = True


class SmallDisk:
    """A tmpfs at `path` (made if needed) of so many megabytes."""

    def __init__(self, path, megabytes):
        _own_namespace()
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "small", self.path)
        self._filling = self.path / "filling"

    def _mount(self, *words):
        subprocess.run(["mount", *map(str, words)], check=True)

    @property
    def free(self):
        about = os.statvfs(self.path)
        return about.f_bavail * about.f_frsize

    def fill(self, leave=0):
        """Take all but `leave` bytes, to the page."""
        with open(self._filling, "ab") as file:
            os.posix_fallocate(file.fileno(), 0, file.tell() + self.free - leave)

    def empty(self):
        self._filling.unlink(missing_ok=True)

    def resize(self, megabytes):
        self._mount("-o", f"remount,size={megabytes}m", self.path)

    def close(self):
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class DyingDisk(SmallDisk):
    """An ext4 in a file, on a loop device; after die() every write to it fails with EIO."""
    SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, linux/ext4.h
    NO_LOG_FLUSH = 2

    def __init__(self, path, megabytes):
        _own_namespace()
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        image = self.path.with_suffix(".img")
        with open(image, "wb") as file:
            file.truncate(megabytes * MB)
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-F", image], check=True)
        self._mount("-o", "loop", image, self.path)
        (self.path / "lost+found").rmdir()

    def die(self):
        folder = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(folder, self.SHUTDOWN, struct.pack("I", self.NO_LOG_FLUSH))
        os.close(folder)
