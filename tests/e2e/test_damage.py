# SPDX-License-Identifier: Apache-2.0
# e2e/test_damage.py – stored files damaged under real processes: found, never served, healed at a
# reflector, named at the hub with what it hurts and what to do.

import os
import random
import shutil

import pytest

from albtest.site import Site
from albtest.tree import compare

LAYER = "base/os"


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "tree"
    top.mkdir()
    for n in range(10):
        (top / f"f{n:02}").write_bytes(os.urandom(300_000))
    return top


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path, endpoints=4) as site:
        site.start()
        yield site
        for box in (site.hub, site.reflector):
            assert "Sanitizer" not in box.log.read_text()


def forgets(box):
    """Chunks are not to be had from memory: what is asked for is read from the disk."""
    conf = box.data / f"{box.kind}.conf"
    conf.write_text(conf.read_text() + 'memory_cache = "1MiB"\n')
    box.stop()
    box.start()


def pull(site, n, tree):
    target = site.folder / f"target{n}"
    done = site.endpoints[n].albedo("pull", LAYER, target)
    assert compare(tree, target, skip_root=True) == []
    return done.event("pulled")


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << random.randrange(8)]))


def flip_segments(box, every=20_000):
    """A bit here and there in the chunks, none in a segment's own header."""
    for path in (box.data / "segments").iterdir():
        for at in range(1000, path.stat().st_size, every):
            flip(path, at)


# ---- reflector ----

def test_chunks_damaged_under_a_live_reflector_are_fetched_anew_and_kept(site, tree):
    site.admin.albedo("publish", LAYER, tree)
    forgets(site.reflector)
    pull(site, 0, tree)
    site.reflector_status()
    flip_segments(site.reflector)
    pull(site, 1, tree)
    status = site.reflector_status()
    assert status["chunks"]["damaged"] > 5
    assert status["chunks"]["corrupt"] == 0
    site.reflector.daemon.wait_line(r"event=chunk\.damaged .*chunk=[0-9a-f]{64}")
    site.hub.kill()
    shutil.rmtree(site.folder / "target0")
    pull(site, 0, tree)  # what was fetched anew is whole and on the disk
    assert site.reflector.daemon.is_running()


def files_of(folder):
    """The database's own files, without its log for people."""
    return sorted(f.name for f in folder.iterdir()
                  if f.is_file() and not f.name.startswith("LOG"))


def damages(folder):
    """(name, what) for each file: a flipped bit in the middle, one near the end, no file at all."""
    for name in files_of(folder):
        path = folder / name
        size = path.stat().st_size
        if size > 0:
            yield f"{name} in the middle", lambda path=path, at=size // 2: flip(path, at)
        if size > 8:
            yield f"{name} at the end", lambda path=path, at=size - 3: flip(path, at)
        yield f"{name} removed", path.unlink


@pytest.mark.parametrize("folder", ["index", "catalogue", "segments"])
def test_a_reflector_starts_and_serves_whichever_file_is_damaged(site, tree, tmp_path, folder):
    box = site.reflector
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 0, tree)
    site.reflector_status()
    box.kill()
    golden = tmp_path / "golden"
    shutil.copytree(box.data, golden)
    for what, damage in list(damages(box.data / folder)):
        print(what)  # shown when the test fails
        damage()
        box.start()
        pull(site, 1, tree)
        box.kill()
        shutil.rmtree(tmp_path / "target1")
        shutil.rmtree(box.data)
        shutil.copytree(golden, box.data)


def test_a_reflector_that_lost_everything_but_its_identity_begins_anew(site, tree):
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 0, tree)
    site.reflector.kill()
    for folder in ("segments", "index", "catalogue"):
        shutil.rmtree(site.reflector.data / folder)
    site.reflector.start()
    site.reflector.daemon.wait_line(r"event=trust\.lost next=")
    pull(site, 1, tree)
    site.reflector.stop()
    site.reflector.start()
    assert "trust.lost" not in site.reflector.daemon.log_text()
    pull(site, 2, tree)
