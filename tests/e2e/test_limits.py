# SPDX-License-Identifier: Apache-2.0
# e2e/test_limits.py – crowds at real daemons: what is held stays bounded, and members are served.
#
# Sizes of processes are tests/bench/memory's (release); a sanitized one says nothing by its size,
# so here the daemons' own count of what they hold is looked at.

import os
import socket
import time

import pytest

from albtest.branch import LAYER, started
from albtest.procs import wait_until
from albtest.rawh2 import Crowd, Ended, Raw, batch, context
from albtest.site import Site, program
from albtest.tree import compare

MIB = 1 << 20
DEVICE_SESSIONS = 32


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for n in range(120):
        (root / f"file{n}").write_bytes(os.urandom(96 << 10))
    return root


@pytest.fixture(scope="module")
def site(tmp_path_factory, tree):
    """One for all, to save time; who wears out a device's patience takes one of their own."""
    with started(tmp_path_factory.mktemp("site"), endpoints=7) as site:
        site.admin.albedo("publish", LAYER, tree)
        yield site


def held(site):
    return site.endpoints[0].albedo("status").document()["parent"]["held"]


def pulls(site, tree, target):
    target.mkdir()
    site.endpoints[0].albedo("pull", LAYER, target, "--wait", "60s", timeout=90)
    assert compare(tree, target, skip_root=True) == []


def test_slow_readers_are_held_within_bounds_and_others_are_served(site, tree, tmp_path):
    root = site.root()
    raws = []
    for endpoint in site.endpoints[1:3]:
        tls = context(endpoint.state)
        for _ in range(DEVICE_SESSIONS - 4):
            raw = Raw(site.reflector.port, tls=tls)
            raw.present_grant()
            for _ in range(3):
                raw.ask("POST", "/v1/chunks", batch(LAYER, root, 0, 120))
            raws.append(raw)
    wait_until(lambda: held(site)["chunk_bytes"] > 4 * MIB, 30, "the readers to hold chunks")
    pulls(site, tree, tmp_path / "target")
    now = held(site)
    assert now["chunk_bytes"] <= 128 * MIB + len(raws) * MIB
    assert now["positions"] <= len(raws) * 3 * 120
    for raw in raws:
        raw.close()
    wait_until(lambda: held(site)["chunk_bytes"] == 0, 30, "what they held to be let go")
    assert held(site)["positions"] == 0


def test_a_device_with_too_many_connections_is_told_so(site):
    endpoint = site.endpoints[3]
    before = held(site)["turned_away"]
    with Crowd() as crowd:
        for n in range(DEVICE_SESSIONS + 8):
            raw = Raw(site.reflector.port, endpoint.state)
            status, body = raw.get("/v1/trust/1")
            assert status == (200 if n < DEVICE_SESSIONS else 503), (n, body)
            if n < DEVICE_SESSIONS:
                crowd.add(raw)
            else:
                assert b"too many connections" in body
                assert raw.until_ended() in (0, None)
        assert held(site)["turned_away"] - before == 8
    assert site.reflector.log.read_text().count("event=serve.full") == 8


def test_a_storm_of_what_does_not_exist_does_not_reach_the_hub(site, tree, tmp_path):
    before = site.admin.albedo("status").document()["parent"]["requests"]
    asked = refused = 0
    with Raw(site.reflector.port, site.endpoints[4].state) as raw:
        raw.present_grant()
        for _ in range(40):
            streams = [raw.ask("POST", "/v1/chunks", batch(LAYER, os.urandom(32).hex(), 0, 8))
                       for _ in range(15)]
            streams += [raw.ask("GET", f"/v1/head/base/{os.urandom(4).hex()}") for _ in range(15)]
            streams += [raw.ask("POST", "/v1/grant", b"{}") for _ in range(15)]
            for stream in streams:
                status, _ = raw.answer(stream)
                asked, refused = asked + 1, refused + (status == 503)
    after = site.admin.albedo("status").document()["parent"]["requests"]
    assert asked == 1800 and refused > 500
    assert after - before < 600, "the parent was asked for nearly all of it"
    pulls(site, tree, tmp_path / "target")
    assert site.reflector.log.read_text().count("event=root.not_opened") <= 60


def test_at_the_limit_of_open_files_a_daemon_says_so_and_goes_on(tmp_path):
    """By a shell's `ulimit`, hard limit too, so that raising it does not help."""
    with Site(tmp_path, endpoints=1) as site:
        site.start()
        site.reflector.stop()
        argv = ["sh", "-c", 'ulimit -n 160 && exec "$@"', "sh", program("albedo-reflector"),
                "serve", "--config", site.reflector.data / "reflector.conf"]
        site.reflector.daemon = site.local.daemon(argv, log=site.reflector.log)
        site.reflector.daemon.wait_line(r"event=reflector\.ready", timeout=20)
        site.reflector.daemon.wait_line(r"event=reflector\.limits open_files=160 sessions=80 ")
        silent = []
        for _ in range(200):
            try:
                silent.append(socket.create_connection(("127.0.0.1", site.reflector.port), 5))
            except OSError:
                pass
        site.reflector.daemon.wait_line(r"event=accept\.paused", timeout=20)
        used = cpu_of(site.reflector.daemon.pid)
        time.sleep(2)
        assert cpu_of(site.reflector.daemon.pid) - used < 1, "it spins"
        for sock in silent:
            sock.close()
        wait_until(lambda: site.endpoints[0].albedo("status", code=None).code == 0, 40,
                   "a member to be served again")


def cpu_of(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_sessions_cost_members_nothing(site, tree, tmp_path):
    with Crowd() as crowd:
        for endpoint in site.endpoints[5:7]:
            tls = context(endpoint.state)
            for _ in range(25):
                raw = Raw(site.reflector.port, tls=tls)
                raw.present_grant()
                crowd.add(raw)
        pulls(site, tree, tmp_path / "target")
        assert crowd.ended == 0


def test_an_endless_body_is_not_kept(site):
    """A publisher's opening that never ends, many times over: the 97th mebibyte is refused."""
    token = site.token("publisher")
    publisher = site.new_member("ed")
    site.join(publisher, token)
    with Raw(site.hub.port, publisher.state) as raw:
        first = raw.ask("POST", "/v1/upload", b"x" * 100, end=False)
        second = raw.ask("POST", "/v1/upload", b"x" * 100, end=False)
        status, body = raw.answer(second)
        assert status == 503 and b"after a rest" in body
        assert first not in raw.over
    with Raw(site.hub.port, publisher.state) as raw:  # given back with the connection
        stream = raw.ask("POST", "/v1/upload", b"x" * 100)
        assert raw.answer(stream)[0] in (400, 422)


def test_grants_of_others_and_expired_ones_read_nothing(site, tree):
    root = site.root()
    with Raw(site.reflector.port, site.endpoints[0].state) as other:
        grant = other.present_grant()
    with Raw(site.reflector.port, site.endpoints[1].state) as raw:
        assert raw.post("/v1/chunks", batch(LAYER, root, 0, 4))[0] == 404  # none shown yet
        status, body = raw.post("/v1/session", grant)
        assert status == 403 and b"another device" in body
        assert raw.post("/v1/chunks", batch(LAYER, root, 0, 4))[0] == 404
        assert raw.post("/v1/session", grant[:-1])[0] in (400, 403, 422)
        assert raw.post("/v1/session", bytes(100))[0] in (400, 403, 422)
        raw.present_grant()
        assert raw.post("/v1/chunks", batch(LAYER, root, 0, 4))[0] == 200


def test_positions_out_of_range_overlapping_and_malformed_batches_harm_nobody(site, tree):
    root = site.root()
    good = batch(LAYER, root, 0, 1)
    with Raw(site.reflector.port, site.endpoints[0].state) as raw:
        raw.present_grant()
        status, body = raw.post("/v1/chunks", batch(LAYER, root, 1 << 30, 256))
        assert status == 200 and len(body) <= 256 * 8  # 256 times "missing"
        for bad in (b"", good[:-1], good + b"\0", b"\x02" + good[1:], bytes(4000),
                    batch(LAYER, root, 0, 257), batch(LAYER, root, (1 << 32) - 2, 4),
                    batch(LAYER, root, 0, 4, which=9), batch("../../etc", root, 0, 1)):
            assert raw.post("/v1/chunks", bad)[0] in (400, 404), bad
        two_runs = batch(LAYER, root, 0, 1)[:-3] + b"\x02\x00\x00\x00\x00"
        assert raw.post("/v1/chunks", two_runs)[0] == 200
        assert raw.post("/v1/chunks", good)[0] == 200


def test_a_session_that_ends_in_mid_answer_gives_all_back(site, tree):
    root = site.root()
    for _ in range(20):
        try:
            with Raw(site.reflector.port, site.endpoints[0].state) as raw:
                raw.present_grant()
                raw.ask("POST", "/v1/chunks", batch(LAYER, root, 0, 120))
                raw.read()
        except Ended:
            pass
    wait_until(lambda: held(site)["chunk_bytes"] == 0 and held(site)["positions"] == 0, 20,
               "what was held to be given back")
