# SPDX-License-Identifier: Apache-2.0
# e2e/test_fidelity.py – all that a tree can hold goes through hub and reflector and stays the same.
#
# Judged by albtest.tree, which knows nothing of the product, and by GNU tar.
#
# ALB_FIDELITY=full is the full measure, 100,000 files in one directory and a sparse file of 4 GiB;
# without, a fifth and a sixteenth of that, since the sanitizers make every byte cost tenfold.

import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
import time

import pytest

from albtest import everything, tree
from albtest.site import Site

IS_FULL = os.environ.get("ALB_FIDELITY") == "full"
FILES, SPARSE = (100_000, 4 << 30) if IS_FULL else (20_000, 256 << 20)
WAIT_S = 900 if IS_FULL else 120
HOLES_KEPT = 1 << 20  # bytes on disk that a file of holes may take
TAR = ("tar", "--create", "--format=posix", "--sort=name", "--numeric-owner", "--acls", "--xattrs",
       "--xattrs-include=*", "--exclude=./.albedo",
       "--pax-option=delete=atime,delete=ctime")


def tar_members(top):
    """What GNU tar reads there: each member, all of its header, a digest of its data. Not sockets,
    which tar leaves out; attributes in no order, since the kernel names them in none."""
    found = []
    with subprocess.Popen([*TAR, "--directory", top, "."], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as run, \
            tarfile.open(fileobj=run.stdout, mode="r|") as archive:
        for member in archive:
            data = archive.extractfile(member) if member.isreg() else None
            found.append((member.name, member.type, member.mode, member.uid, member.gid,
                          member.mtime, member.size, member.linkname, member.devmajor,
                          member.devminor, sorted(member.pax_headers.items()),
                          hashlib.file_digest(data, "sha256").digest() if data else None))
            archive.members.clear()  # 100,000 of them
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), endpoints=1) as site:
        site.start()
        yield site


def spent(what, since):
    print(f"{what}: {time.monotonic() - since:.1f} s")
    return time.monotonic()


def test_everything_a_tree_can_hold_comes_out_the_same(site, tmp_path):
    now = time.monotonic()
    wanted, target = everything.make(tmp_path / "wanted", FILES, SPARSE), tmp_path / "target"
    now = spent("made", now)
    done = site.admin.albedo("publish", "base/all", wanted, "--devices", timeout=WAIT_S)
    assert done.event("published")["left_out"] == 0
    now = spent("published", now)
    done = site.endpoints[0].albedo("pull", "base/all", target, timeout=WAIT_S).event("pulled")
    now = spent("pulled", now)
    if os.geteuid() == 0:
        assert done["owners_not_set"] == done["devices_not_made"] == done["xattrs_not_set"] == 0
    assert tree.compare(wanted, target) == []
    now = spent("compared", now)
    for name in ("huge", "all-hole", "hole-at-the-end"):
        assert (target / name).stat().st_blocks * 512 <= HOLES_KEPT
    if os.geteuid() == 0:
        assert stat.S_ISSOCK((target / "links/one/socket").lstat().st_mode)
        differing = [pair for pair in zip(tar_members(wanted), tar_members(target), strict=True)
                     if pair[0] != pair[1]]
        assert differing == []
        now = spent("compared by tar", now)
    again = site.endpoints[0].albedo("pull", "base/all", target, timeout=WAIT_S).event("pulled")
    now = spent("pulled again", now)
    assert again["made"] == again["replaced"] == again["removed"] == again["metadata_only"] == 0
    shutil.rmtree(wanted)
    shutil.rmtree(target)
