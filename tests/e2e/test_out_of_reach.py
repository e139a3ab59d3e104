# SPDX-License-Identifier: Apache-2.0
# e2e/test_out_of_reach.py – wrong addresses, and hubs and reflectors that are not there or go away:
# tried again for a while, then a message with what to check; nothing is left behind.

import os
import random
import socket
import subprocess
import threading
import time

import pytest

from albtest import small, tree
from albtest.procs import wait_until
from albtest.site import Site, free_port, program

DONE, FAILED, USAGE, REFUSED, NOT_FOUND, UNREACHABLE = range(6)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reach")
    with Site(folder / "site", endpoints=2) as site:
        site.start()
        site.source = small.make(folder / "tree", large=200_000)
        site.admin.albedo("publish", "base/os", site.source)
        yield site


def fails(member, code, text, *words):
    done = member.albedo(*words, code=code, plain=True)
    assert text in done.err, done
    assert "AddressSanitizer" not in done.err, done
    return done


class Stranger:
    """Something else that listens: says `words` to whoever connects, whatever it is asked."""

    def __init__(self, words):
        self.words, self.socket = words, socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                peer.recv(4096)
                peer.sendall(self.words)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


# ---- wrong ports ----

def test_joining_at_the_admin_port_points_at_the_tree_port(site, tmp_path):
    url = f"https://127.0.0.1:{site.admin_port}"
    fails(site.new_member("at-admin"), NOT_FOUND, "admin port? The tree port is meant", "join",
          "--hub", url, "--token", site.token("endpoint"))
    done = subprocess.run(
        [program("albedo-reflector"), "init", "--data", tmp_path / "box", "--hub", url, "--token",
         site.token("reflector", "--site", "branch")], capture_output=True, text=True, timeout=40,
        check=False)
    assert done.returncode == NOT_FOUND and "The tree port is meant" in done.stderr


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_joining_where_something_without_tls_listens(site, words):
    with Stranger(words) as other:
        fails(site.new_member(f"no-tls-{other.port}"), REFUSED,
              "does not speak TLS: is the port right?", "join", "--hub",
              f"https://127.0.0.1:{other.port}", "--token", site.token("endpoint"))


# ---- not there ----

def test_a_publisher_waits_for_a_hub_and_is_told_meanwhile(site):
    site.hub.stop()
    running = site.admin.start("publish", "base/os", site.source, "--wait", "60s", plain=True)
    wait_until(lambda: "trying for" in running.errors(), 30, "it to find nobody")
    site.restart_hub()
    done = running.wait()
    assert done.code == DONE and "trying for 1m" in done.err, done


def test_a_publisher_gives_up_on_a_hub_that_does_not_come(site):
    site.hub.stop()
    try:
        fails(site.admin, UNREACHABLE, "is albedo-hub running there", "publish", "base/os",
              site.source, "--wait", "1s")
        fails(site.admin, USAGE, "--wait 1", "publish", "base/os", site.source, "--wait", "1")
    finally:
        site.restart_hub()


def test_a_hub_that_goes_away_during_an_upload_is_not_waited_for_for_ever(site, tmp_path):
    top = tmp_path / "large"
    top.mkdir()
    for number in range(40):
        (top / f"f{number}").write_bytes(random.Random(number).randbytes(2_000_000))

    def kept():
        return sum(f.stat().st_size for f in site.hub.data.rglob("*.seg"))

    before = kept()
    running = site.admin.start("publish", "base/large", top, "--wait", "2s")
    wait_until(lambda: kept() > before + 1_000_000, 60, "it to send")
    site.hub.kill()
    try:
        begun = time.monotonic()
        done = running.wait(60)
        assert done.code == UNREACHABLE, done
        assert "sends only what is still missing (--wait waits longer)" in done.err, done
        assert time.monotonic() - begun < 40
    finally:
        site.restart_hub()
    site.admin.albedo("publish", "base/large", top)


def test_a_reflector_that_is_down_is_named_with_the_way_past_it(site, tmp_path):
    endpoint = site.endpoints[0]
    site.reflector.stop()
    try:
        done = fails(endpoint, UNREACHABLE, "--at-hub asks the hub instead of this reflector",
                     "pull", "base/os", tmp_path / "a", "--wait", "1s")
        assert str(site.reflector.port) in done.err
        assert not (tmp_path / "a").exists()
        done = endpoint.albedo("pull", "base/os", tmp_path / "a", "--at-hub")
        assert done.event("pulled")["fetched_from"] == "hub"
        assert tree.compare(site.source, tmp_path / "a") == []
    finally:
        site.reflector.start()


# ---- what is left behind ----

def test_a_pull_that_brought_nothing_leaves_nothing(site, tmp_path):
    endpoint = site.endpoints[0]
    there = tmp_path / "there"
    there.mkdir()
    (there / "mine").write_text("x")
    for target in (there, tmp_path / "new"):
        fails(endpoint, NOT_FOUND, "no such layer", "pull", "base/none", target)
    assert os.listdir(there) == ["mine"] and not (tmp_path / "new").exists()


def test_a_target_whose_parent_is_missing(site, tmp_path):
    fails(site.endpoints[0], NOT_FOUND, "the directory it would be in is not there", "pull",
          "base/os", tmp_path / "no/such")


# ---- two at once ----

def test_those_who_go_back_at_once_all_get_their_version(site, tmp_path):
    other = small.make(tmp_path / "other", seed=2, large=100_000)
    site.admin.albedo("publish", "race/os", site.source)
    site.admin.albedo("publish", "race/os", other)
    running = [site.admin.start("publish", "race/os", "--as-version", old)
               for old in ("1", "2") * 3]
    done = [run.wait() for run in running]
    assert [run.code for run in done] == [DONE] * 6, "\n".join(map(str, done))
    layers = site.admin.albedo("layers").document()["layers"]
    versions = next(it["versions"] for it in layers if it["layer"] == "race/os")
    roots = {it["sequence"]: it["root"] for it in versions}
    for number, run in enumerate(done):  # two who ask the same in the same second ask once
        assert roots[run.event("published")["sequence"]] == roots[1 + number % 2]


def test_a_version_name_that_is_taken(site):
    for words in (["--as-version", "1"], [site.source]):
        fails(site.admin, FAILED, "was published before; choose another --version", "publish",
              "base/os", *words, "--version", "1")


def test_a_port_where_nothing_listens_is_not_asked_again_by_those_in_a_hurry(site):
    begun = time.monotonic()
    fails(site.new_member("hurry"), UNREACHABLE, "nothing listens there", "join", "--hub",
          f"https://127.0.0.1:{free_port()}", "--token", site.token("endpoint"))
    assert time.monotonic() - begun < 20
