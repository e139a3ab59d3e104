# SPDX-License-Identifier: Apache-2.0
# e2e/test_damage.py – stored files damaged under real processes: found, never served, healed at a
# reflector, named at the hub with what it hurts and what to do.

import os
import random
import shutil

import pytest

from albtest.procs import DaemonError, wait_until
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


# ---- hub ----

def lost_at_hub(site):
    return site.admin.albedo("status").document()["parent"]["damaged"]


def test_chunks_damaged_at_the_hub_are_named_with_what_they_hurt_and_published_again(site, tree):
    hub = site.hub
    site.admin.albedo("publish", LAYER, tree)
    site.admin.albedo("publish", "base/other", tree)
    forgets(hub)
    flip_segments(hub)
    site.endpoints[0].albedo("pull", LAYER, site.folder / "target0", code=4)
    assert not list((site.folder / "target0").glob("f*"))
    hub.daemon.wait_line(r"error event=chunk\.lost .*chunk=[0-9a-f]{64}")
    for layer in (LAYER, "base/other"):
        hub.daemon.wait_line(rf"error event=chunk\.hurts chunk=[0-9a-f]{{64}} layer={layer} "
                             r"version=1 current=1 files=\d path=\S+ next=")
    damaged = wait_until(lambda: [one for one in lost_at_hub(site) if one["looked_into"]], 10,
                         "the versions to be looked into")
    names = {(one["layer"], one["version"]) for one in damaged[0]["versions"]}
    assert names == {(LAYER, "1"), ("base/other", "1")}

    for _ in range(3):  # what is found damaged only now is sent by the next one
        site.admin.albedo("publish", LAYER, tree, code=None)
        if site.endpoints[0].albedo("pull", LAYER, site.folder / "target0", code=None).code == 0:
            break
    pull(site, 0, tree)
    site.endpoints[1].albedo("pull", "base/other@1", site.folder / "target1")
    assert compare(tree, site.folder / "target1", skip_root=True) == []
    assert lost_at_hub(site) == []
    hub.daemon.wait_line(r"event=chunk\.healed chunk=[0-9a-f]{64} left=0")


def test_a_hub_builds_its_index_anew_whichever_file_of_it_is_damaged(site, tree, tmp_path):
    hub = site.hub
    site.admin.albedo("publish", LAYER, tree)
    hub.stop()
    golden = tmp_path / "golden"
    shutil.copytree(hub.data, golden)
    for what, damage in list(damages(hub.data / "index")):
        print(what)  # shown when the test fails
        damage()
        hub.start()
        hub.kill()
        shutil.rmtree(hub.data)
        shutil.copytree(golden, hub.data)
    shutil.rmtree(hub.data / "index")
    site.restart_hub()
    pull(site, 0, tree)
    assert lost_at_hub(site) == []


def starts_or_says(box, words):
    """True when it serves; else it must have said where the damage is and what to do."""
    try:
        box.start()
    except DaemonError:
        said = box.daemon.log_text()
        assert box.daemon.process.returncode > 0, said
        for word in words:
            assert word in said, f"{word!r} was expected in\n{said}"
        return False
    return True


def test_a_damaged_catalogue_at_the_hub_is_named_with_what_to_do(site, tree, tmp_path):
    hub = site.hub
    site.admin.albedo("publish", LAYER, tree)
    hub.stop()
    golden = tmp_path / "golden"
    shutil.copytree(hub.data, golden)
    refused = 0
    for what, damage in list(damages(hub.data / "catalogue")):
        print(what)  # shown when the test fails
        damage()
        if starts_or_says(hub, [f"{hub.data}/catalogue: ", "backup"]):
            # What is not RocksDB's data (IDENTITY, OPTIONS) may be what it likes.
            assert site.admin.albedo("layers").document()["layers"][0]["layer"] == LAYER
            hub.kill()
        else:
            refused += 1
        shutil.rmtree(hub.data)
        shutil.copytree(golden, hub.data)
    assert refused > 3
    site.restart_hub()
    pull(site, 0, tree)


@pytest.mark.parametrize("name", ["ca.key", "ca.pem", "tls.key", "online.key"])
def test_a_damaged_key_of_the_hub_is_named_with_what_to_do(site, name):
    site.hub.stop()
    path = site.hub.data / name
    good = path.read_bytes()
    for at in range(len(good) // 9, len(good) - 1, len(good) // 5):
        if good[at:at + 1] in b"\n-":
            at += 1
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
        started = starts_or_says(site.hub, [name, "backup"])
        assert not started, f"bit 0 of byte {at} of {name}"
        path.write_bytes(good)
    path.unlink()
    assert not starts_or_says(site.hub, [str(path)])
    path.write_bytes(good)
    site.restart_hub()


# ---- identities and configuration ----

def flips(good, count):
    """`good` with one bit other, at so many places of what is neither a line's end nor a frame."""
    step = max(1, len(good) // count)
    for at in range(step // 2, len(good), step):
        while at < len(good) - 1 and good[at:at + 1] in b"\n- ":
            at += 1
        yield at, good[:at] + bytes([good[at] ^ 1]) + good[at + 1:]


@pytest.mark.parametrize("name", ["key.pem", "certificate.pem", "ca.pem", "reflector.conf"])
def test_a_damaged_identity_of_a_reflector_is_named_or_does_no_harm(site, tree, name):
    box = site.reflector
    site.admin.albedo("publish", LAYER, tree)
    box.stop()
    path = box.data / name
    good = path.read_bytes()
    for at, bad in flips(good, 5):
        path.write_bytes(bad)
        print(f"byte {at} of {name}")  # shown when the test fails
        started = starts_or_says(box, [name])
        if name != "reflector.conf":  # people write that; what parses is meant
            assert not started
        box.kill()
    path.write_bytes(good)
    box.start()
    pull(site, 0, tree)


def test_a_damaged_file_of_an_endpoints_state_is_named_or_does_no_harm(site, tree):
    endpoint = site.endpoints[0]
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 0, tree)
    paths = [path for path in sorted(endpoint.state.rglob("*"))
             if path.is_file() and path.stat().st_size > 0]
    assert len(paths) >= 6
    for path in paths:
        good = path.read_bytes()
        for at, bad in flips(good, 3):
            path.write_bytes(bad)
            print(f"byte {at} of {path}")  # shown when the test fails
            done = endpoint.albedo("pull", LAYER, site.folder / "target0", "--wait", "1s",
                                   code=None)
            assert done.code >= 0 and "Sanitizer" not in done.err, str(done)
            if done.code != 0:
                assert str(endpoint.state) in done.err or "pulling" in done.err, str(done)
            assert compare(tree, site.folder / "target0", skip_root=True) == []
        path.write_bytes(good)
    pull(site, 0, tree)
