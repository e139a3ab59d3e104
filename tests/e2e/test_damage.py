# SPDX-License-Identifier: Apache-2.0
# e2e/test_damage.py – files of reflectors and endpoints damaged under real processes: found, never
# served, never applied; healed from the parent, or named with what to do.

import os
import re
import shutil

import pytest

from albtest.branch import LAYER, make_tree, pull, started
from albtest.damage import (damages, flip_segments, flips, flips_of_values, forgets,
                            starts_or_says)
from albtest.tree import compare


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree", 10, 300_000)


@pytest.fixture
def site(tmp_path):
    with started(tmp_path) as site:
        yield site


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


def test_a_disk_that_fails_again_and_again_neither_fills_up_nor_stops_the_reflector(site, tree):
    box = site.reflector
    site.admin.albedo("publish", LAYER, tree)
    for _ in range(11):
        pull(site, 0, tree)
        shutil.rmtree(site.folder / "target0")
        box.kill()
        for file in (box.data / "catalogue").glob("CURRENT"):
            file.write_bytes(b"not what it was")
        box.start()
        box.daemon.wait_line(r"event=store\.damaged .*kept_as=")
    assert [f.name for f in box.data.glob("*.damaged*")] == ["catalogue.damaged"]
    pull(site, 0, tree)


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


# ---- identities and configuration ----

@pytest.mark.parametrize("name", ["key.pem", "certificate.pem", "ca.pem"])
def test_a_damaged_identity_of_a_reflector_is_named(site, tree, name):
    box = site.reflector
    site.admin.albedo("publish", LAYER, tree)
    box.stop()
    path = box.data / name
    good = path.read_bytes()
    for at, bad in flips(good, 5):
        path.write_bytes(bad)
        print(f"byte {at} of {name}")  # shown when the test fails
        assert not starts_or_says(box, [name])
    path.write_bytes(good)
    box.start()
    pull(site, 0, tree)


def test_whichever_option_of_a_reflector_is_damaged_its_file_is_named_or_it_starts(site, tree):
    """People write that file: what parses is meant. A pin of no trust that it holds never is."""
    box = site.reflector
    site.admin.albedo("publish", LAYER, tree)
    path = box.data / "reflector.conf"
    box.stop()
    good = path.read_bytes()
    named = 0
    for at, bad in flips_of_values(good):
        path.write_bytes(bad)
        option = good[good.rfind(b"\n", 0, at) + 1:at].split()[0].decode()
        print(f"byte {at}, of {option}")  # shown when the test fails
        started = starts_or_says(box, ["reflector.conf"])
        assert option != "trust_pin" or "trust_pin" in box.daemon.log_text()
        named += not started
        box.kill()
    assert named > 1
    path.write_bytes(re.sub(rb'(trust_pin = )"\w+"', rb'\1"' + 32 * b"ab" + b'"', good))
    assert not starts_or_says(box, [f"trust_pin in {path} is not of that trust", "put it right"])
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


# ---- what is applied ----

def half_applied(site, tree, target):
    """The second version's journal is written and a few of its operations are done."""
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 0, tree)
    for n in range(0, 10, 2):
        (tree / f"f{n:02}").write_bytes(os.urandom(200_000))
    site.admin.albedo("publish", LAYER, tree)
    site.endpoints[0].albedo("pull", LAYER, target, code=None,
                             env={"ALB_DIE_AT": "apply.renamed_in:2"})
    if not (target / ".albedo/journal").exists():
        pytest.skip("built without ALB_FAULT, so nothing ends a pull in the middle")


def test_a_damaged_journal_is_not_followed_and_what_to_do_helps(site, tree):
    target = site.folder / "target0"
    half_applied(site, tree, target)
    journal = target / ".albedo/journal"
    good = journal.read_bytes()
    before = {file.name: file.read_bytes() for file in target.glob("f*")}
    for at, bad in flips(good, 6):
        journal.write_bytes(bad)
        done = site.endpoints[0].albedo("pull", LAYER, target, code=7)
        for word in ("its journal is damaged", f"remove {journal} and run the same command again"):
            assert word in done.err, f"byte {at}: {done}"
        assert {file.name: file.read_bytes() for file in target.glob("f*")} == before
    journal.unlink()
    pull(site, 0, tree)
    assert not journal.exists()


def test_a_damaged_record_of_what_is_applied_is_named_and_what_to_do_helps(site, tree):
    target = site.folder / "target0"
    site.admin.albedo("publish", LAYER, tree)
    pull(site, 0, tree)
    record = target / ".albedo/applied"
    good = record.read_bytes()
    for at, bad in flips(good, 6):
        record.write_bytes(bad)
        done = site.endpoints[0].albedo("pull", LAYER, target, code=None)
        assert done.code == 0 or str(record.parent.parent) in done.err, f"byte {at}: {done}"
        assert done.code >= 0 and "Sanitizer" not in done.err
        assert compare(tree, target, skip_root=True) == []
    record.write_bytes(good)
    pull(site, 0, tree)
