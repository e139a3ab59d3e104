# SPDX-License-Identifier: Apache-2.0
# e2e/test_explain.py – `albedo explain` says where files and chunks come from and who holds them.

import hashlib
import os
import random

import pytest

from albtest import small
from albtest.damage import flip
from albtest.procs import wait_until
from albtest.site import Site

DONE, FAILED, USAGE, REFUSED, NOT_FOUND, UNREACHABLE = range(6)
ABSENT = "0123456789abcdef" * 4


def write_big(path, seed, size=600_000):
    """Several chunks of its own."""
    path.write_bytes(random.Random(seed).randbytes(size))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Endpoint 0 may read base/… only and holds base/os@1 in `target`; base/os@2 is current."""
    folder = tmp_path_factory.mktemp("explain")
    source = small.make(folder / "tree")
    write_big(source / "big", 1)
    (source / "stays").write_text("the same in both\n")
    (source / "changes").write_text("one\n")
    (source / "goes").write_text("only in one\n")
    with Site(folder / "site", endpoints=2) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        site.start_reflector(site.reflector)
        site.join(site.endpoints[0], site.token("endpoint", "--layers", "base"), site.reflector)
        site.join(site.endpoints[1], site.token("endpoint"), site.reflector)
        site.admin.albedo("publish", "base/os", source)
        site.target = folder / "target"
        site.endpoints[0].albedo("pull", "base/os", site.target)
        (source / "changes").write_text("two\n")
        (source / "goes").unlink()
        (source / "comes").write_text("only in two\n")
        site.admin.albedo("publish", "base/os", source)
        secret = folder / "secret"
        secret.mkdir()
        write_big(secret / "private", 2)
        site.admin.albedo("publish", "secret/os", secret)
        site.source = source
        yield site


def explain(member, *words, code=DONE):
    return member.albedo("explain", *words, code=code).document()


def chunks_of(site, name):
    return [item["chunk"] for item in explain(site.endpoints[0], site.target / name)["slices"]]


# ---- files ----

def test_a_file_names_its_version_its_content_its_chunks_and_their_holders(site):
    said = explain(site.endpoints[0], site.target / "big")
    assert said["applied"] == "base/os@1" and said["path"] == "big"
    assert said["target"] == str(site.target) and said["owner"] == "it"
    assert said["content"] == hashlib.sha256((site.source / "big").read_bytes()).hexdigest()
    assert said["on_disk"] == "as_applied" and said["metadata"] == ""
    assert sum(item["length"] for item in said["slices"]) == 600_000
    assert len(said["slices"]) > 1
    assert [holder["by"] for holder in said["holders"]] == ["reflector", "hub"]
    assert all(item["held"] == ["held", "held"] for item in said["slices"])
    assert said["next"] == {"version": "2", "does": "unchanged", "fetch_chunks": 0,
                            "fetch_bytes": 0}


def test_it_is_said_to_people_too(site):
    done = site.endpoints[0].albedo("explain", site.target / "changes", plain=True)
    for text in ("base/os@1", "regular file of IT's", "as it was applied", "in a pack",
                 "the reflector: held; the hub: held", "of base/os@2 replaces it"):
        assert text in done.out, done


@pytest.mark.parametrize("name, does", [
    ("stays", "unchanged"), ("changes", "replaced"), ("goes", "removed")])
def test_what_the_next_pull_does_with_an_unaltered_file(site, name, does):
    assert explain(site.endpoints[0], site.target / name)["next"]["does"] == does


def test_what_the_next_pull_does_is_what_it_then_does(site, tmp_path):
    endpoint, target = site.endpoints[0], tmp_path / "t"
    endpoint.albedo("pull", "base/os@1", target, "--allow-rollback")
    (target / "stays").write_text("mine\n")
    (target / "goes").write_text("mine too\n")
    (target / "big").unlink()
    (target / "comes").write_text("was here first\n")
    (target / "own").write_text("nobody else's\n")
    os.chmod(target / "changes", 0o600)
    said = {name: explain(endpoint, target / name) for name in
            ("stays", "goes", "big", "comes", "own", "changes")}
    assert {name: (it["on_disk"], it["next"]["does"]) for name, it in said.items()} == {
        "stays": ("altered", "kept_and_replaced"), "goes": ("altered", "kept_and_removed"),
        "big": ("missing", "made"), "comes": ("foreign", "kept_and_replaced"),
        "own": ("foreign", "left"), "changes": ("as_applied", "replaced")}
    assert explain(endpoint, target / "mistyped")["on_disk"] == "missing"
    assert "nothing is there" in endpoint.albedo("explain", target / "mistyped", plain=True).out
    assert "mode 0600" in said["changes"]["metadata"]
    endpoint.albedo("pull", "base/os", target)
    kept = target / ".albedo/kept/base/os@2"
    assert (kept / "stays").read_text() == "mine\n" and (kept / "goes").read_text() == "mine too\n"
    assert (kept / "comes").read_text() == "was here first\n"
    assert (target / "own").exists() and (target / "big").exists()
    assert not (target / "goes").exists() and (target / "changes").read_text() == "two\n"
    assert explain(endpoint, target / "stays")["kept"] == [str(kept / "stays")]


def test_a_file_is_found_by_its_target_and_the_path_within(site, tmp_path):
    endpoint = site.endpoints[0]
    assert explain(endpoint, "big", "--target", site.target)["path"] == "big"
    assert explain(endpoint, site.target / "big", "--target", site.target)["path"] == "big"
    assert explain(endpoint, site.target)["type"] == "directory"
    for words, code, text in [
            ([tmp_path / "x"], NOT_FOUND, "no directory above it was pulled into"),
            ([tmp_path / "no/such/x"], NOT_FOUND, "the directory it would be in is not there"),
            (["big", "--target", tmp_path], NOT_FOUND, "nothing was pulled into it yet"),
            ([tmp_path / "x", "--target", site.target], USAGE, "does not lie in TARGET"),
            (["../x", "--target", site.target], USAGE, "FILE ../x")]:
        done = endpoint.albedo("explain", *words, code=code, plain=True)
        assert text in done.err, done


def test_what_is_known_here_is_said_when_nobody_can_be_reached(site):
    site.reflector.stop()
    try:
        done = site.endpoints[0].albedo("explain", site.target / "big", code=UNREACHABLE,
                                        plain=True)
        assert "base/os@1" in done.out and "is albedo-reflector running there" in done.err
        site.endpoints[0].albedo("explain", site.target / "big", "--local")
    finally:
        site.reflector.start()


def test_the_reflector_says_why_its_parent_does_not(site):
    site.hub.kill()
    try:
        said = explain(site.endpoints[0], chunks_of(site, "big")[0])
        assert [holder["state"] for holder in said["holders"]] == ["held", "unknown"]
        assert said["holders"][1]["error"] != ""
    finally:
        site.restart_hub()


def test_behind_two_reflectors_each_says_what_it_holds(site, tmp_path):
    inner = site.new_reflector("inner", site.reflector)
    member = site.new_member("inner-endpoint")
    site.join(member, site.token("endpoint", "--layers", "base"), inner)
    try:
        member.albedo("pull", "base/os", tmp_path / "t")
        wait_until(lambda: explain(member, tmp_path / "t/big")["holders"][0]["held"] > 1, 10,
                   "the inner reflector to keep it")
        chunk = explain(member, tmp_path / "t/big")["slices"][0]["chunk"]
        assert [(holder["by"], holder["state"]) for holder in explain(member, chunk)["holders"]
                ] == [("reflector", "held"), ("reflector", "held"), ("hub", "held")]
    finally:
        inner.stop()


@pytest.mark.parametrize("name, kind", [
    (b"odd/invalid-\xff", "regular file"), (b"fifo", "named pipe"), (b"dangling", "symbolic link"),
    (b"odd/large.so.2", None), (b"usr/lib/empty", "regular file"), (b"sparse", "regular file")])
def test_everything_that_a_tree_holds_can_be_explained(site, name, kind):
    said = explain(site.endpoints[0], os.fsdecode(os.fsencode(site.target) + b"/" + name))
    assert said["on_disk"] == "as_applied" and said["next"]["does"] == "unchanged"
    assert kind is None or said["type"] == kind


# ---- chunks ----

def test_a_chunk_names_versions_files_and_holders(site):
    chunk = chunks_of(site, "big")[1]
    said = explain(site.endpoints[0], chunk)
    assert said["chunk"] == chunk
    assert [(it["layer"], it["version"], it["current"], it["list"], it["paths"])
            for it in said["versions"]] == [("base/os", "2", True, "content", ["big"]),
                                            ("base/os", "1", False, "content", ["big"])]
    assert [(holder["by"], holder["state"]) for holder in said["holders"]] == [
        ("reflector", "held"), ("hub", "held")]
    assert explain(site.endpoints[0], chunk[:8].upper())["chunk"] == chunk
    done = site.endpoints[0].albedo("explain", chunk[:16], plain=True)
    for text in (chunk, "base/os@2 (current): file content", "the hub "):
        assert text in done.out, done


def test_a_root_and_a_manifest_chunk_are_chunks_too(site):
    root = explain(site.endpoints[0], site.target / "big")["root"]
    assert explain(site.endpoints[0], root)["versions"][0]["list"] == "root"


def test_a_chunk_that_is_secret_is_told_exactly_like_one_that_does_not_exist(site, tmp_path):
    site.endpoints[1].albedo("pull", "secret/os", tmp_path / "t")
    secret = explain(site.endpoints[1], tmp_path / "t/private")["slices"][0]["chunk"]
    assert explain(site.endpoints[1], secret)["versions"][0]["layer"] == "secret/os"
    answers = []
    for chunk in (secret, ABSENT):
        done = site.endpoints[0].albedo("explain", chunk, code=NOT_FOUND, plain=True)
        answers.append(done.err.replace(chunk, "CHUNK"))
        assert done.out == ""
        site.endpoints[0].albedo("explain", chunk, "--at-hub", code=REFUSED)
    assert answers[0] == answers[1]


def test_digits_that_are_too_few_or_no_digits_are_a_file(site):
    done = site.endpoints[0].albedo("explain", "1234567", code=NOT_FOUND, plain=True)
    assert "A chunk is 8 to 64 hexadecimal digits" in done.err


# ---- at the hub ----

def test_an_admin_learns_where_a_chunk_lies_and_who_needs_it(site):
    chunk = chunks_of(site, "big")[0]
    said = explain(site.admin, chunk, "--at-hub")
    assert said["state"] == "held" and said["hurts"] is False
    assert [(it["layer"], it["version"], it["paths"]) for it in said["versions"]] == [
        ("base/os", "1", ["big"]), ("base/os", "2", ["big"])]
    path = site.hub.data / said["file"]
    assert path.is_file()
    assert bytes.fromhex(chunk) in path.read_bytes()[said["offset"]:said["offset"] + 128]
    assert explain(site.admin, chunk[:12], "--at-hub") == said
    absent = explain(site.admin, ABSENT, "--at-hub")
    assert absent["state"] == "absent" and absent["versions"] == []


def test_a_damaged_chunk_is_named_with_the_versions_it_hurts(site):
    chunk = chunks_of(site, "big")[2]
    place = explain(site.admin, chunk, "--at-hub")
    flip(site.hub.data / place["file"], place["offset"] + place["stored_bytes"] // 2)
    said = explain(site.admin, chunk, "--at-hub")
    assert said["state"] == "damaged" and said["hurts"] is True
    assert said["file"] == place["file"]
    assert [(it["layer"], it["version"]) for it in said["versions"]] == [
        ("base/os", "1"), ("base/os", "2")]
    done = site.admin.albedo("explain", chunk, "--at-hub", plain=True)
    assert "hurts" in done.out and "base/os@2: content, 1 file" in done.out, done
