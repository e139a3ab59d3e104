# SPDX-License-Identifier: Apache-2.0
# e2e/test_hostile.py – what strangers, thieves and other users of a machine try on real programs.

import json
import os
import socket
import ssl
import stat
import subprocess
import time
from pathlib import Path

import pytest

from albtest import rawh2
from albtest.branch import LAYER, started
from albtest.rawh2 import (CONTINUATION, DATA, HEADERS, INITIAL_WINDOW_SIZE, PING, PRIORITY,
                           RST_STREAM, SETTINGS, WINDOW_UPDATE, Ended, Raw, frame, headers, literal,
                           setting)
from albtest.procs import Daemon, asan_options, environment, wait_until
from albtest.site import Site, free_port
from albtest.slow import SlowDoor
from albtest.tree import compare

REFUSED = 3


@pytest.fixture
def site(tmp_path):
    with started(tmp_path, endpoints=1) as site:
        yield site


@pytest.fixture(scope="module")
def port_site(tmp_path_factory):
    """One for all who only knock at ports. Its memory is looked at: what a sanitizer keeps of what
    was freed must be little."""
    with environment(asan_options("quarantine_size_mb=4")):
        with started(tmp_path_factory.mktemp("ports"), endpoints=1) as site:
            yield site


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "etc").mkdir(parents=True)
    for n in range(5):
        (root / f"etc/file{n}").write_bytes(os.urandom(1000 * (n + 1)))
    return root


def curl(member, url, *words):
    """Status and body of a request with that member's certificate (None: without one)."""
    who = [] if member is None else ["--cert", member.state / "certificate.pem",
                                     "--key", member.state / "key.pem"]
    done = subprocess.run(["curl", "-sk", "--http2", "--path-as-is", "-w", "\n%{http_code}",
                           *map(str, who), *words, url], capture_output=True, text=True, timeout=30)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def handshake(port, *, newest=ssl.TLSVersion.TLSv1_3, alpn=("h2",)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    if alpn:
        context.set_alpn_protocols(list(alpn))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        with context.wrap_socket(raw) as tls:
            return tls.version(), tls.selected_alpn_protocol()


# ---- TLS ----------------------------------------------------------------------------------------

def test_only_tls_1_3_and_http_2_are_spoken(site):
    for box in (site.hub, site.reflector):
        assert handshake(box.port) == ("TLSv1.3", "h2")
        with pytest.raises(OSError):
            handshake(box.port, newest=ssl.TLSVersion.TLSv1_2)
        with pytest.raises(OSError):
            handshake(box.port, alpn=("http/1.1",))


def test_an_endpoints_certificate_is_no_reflectors(site, tmp_path):
    thief = site.endpoints[0]
    victim = site.new_member("victim")
    port = free_port()
    chain = tmp_path / "chain.pem"
    chain.write_text((thief.state / "certificate.pem").read_text()
                     + (thief.state / "ca.pem").read_text())
    server = Daemon(["openssl", "s_server", "-accept", str(port), "-alpn", "h2", "-quiet",
                     "-cert", str(chain), "-cert_chain", str(thief.state / "ca.pem"),
                     "-key", str(thief.state / "key.pem")], log=tmp_path / "thief.log")
    try:
        token = site.token("endpoint", "--site", "branch")
        victim.albedo("join", "--hub", site.hub.url, "--token", token,
                      "--upstream", f"https://127.0.0.1:{port}")
        (tmp_path / "target").mkdir()
        done = victim.albedo("pull", LAYER, tmp_path / "target", "--wait", "3s", code=None)
        assert done.code != 0
        assert "no hub and no reflector" in done.out + done.err
    finally:
        server.kill()


def test_a_certificate_of_another_organisation_is_no_certificate(site, tmp_path):
    with Site(tmp_path / "other", endpoints=0) as other:
        other.start_hub()
        status, _ = curl(other.admin, f"{site.hub.url}/v1/devices")
    assert status == 0  # the handshake itself was refused


# ---- a parent that withholds ---------------------------------------------------------------------

def test_slow_retrieval_is_told_and_waited_for(site, tmp_path):
    source = tmp_path / "tree"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(8 << 20))
    site.admin.albedo("publish", LAYER, source)
    member = site.new_member("patient")
    with SlowDoor(site.reflector.port, 1 << 20, is_deep=True) as door:
        site.join(member, site.token("endpoint", "--site", "branch"), upstream=door)
        door.rate = 900  # in a minute less than the floor, which is 1 KiB a second
        run = member.start("pull", LAYER, tmp_path / "target")
        wait_until(lambda: '"slow"' in run.output(), 150, "a word about what is slow")
        told = next(e for e in map(json.loads, run.output().splitlines()) if e["event"] == "slow")
        assert told["place"].endswith(f":{door.port}") and told["wanted"] > 0
        door.rate = 64 << 20
        done = run.wait()
    assert done.code == 0, str(done)
    assert "event=fetch.slow " in done.err
    assert not compare(source, tmp_path / "target")


# ---- names and requests -------------------------------------------------------------------------

def test_paths_do_not_climb_and_roles_hold(site):
    endpoint, url = site.endpoints[0], site.hub.url
    for path in ("/v1/head/../../etc/passwd", "/v1/head/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
                 "/v1/head/base%00os", "/v1/head//etc/passwd", "/v1/head/base/os%0aevent=audit",
                 "/v1/head/" + "a" * 5000, "/v1/../v1/devices", "//v1/devices", "/v1/devices%2f"):
        assert curl(endpoint, url + path)[0] == 404, path
    for which in ("../../x", "sha256:../..", "root:" + "z" * 64, "a/b", "%0a", "x@y"):
        assert curl(endpoint, f"{url}/v1/record/base/os@{which}")[0] in (400, 404), which
    for path in ("/v1/devices",):
        assert curl(endpoint, url + path)[0] == 403
        assert curl(None, url + path)[0] == 401
    for path in ("/v1/token", "/v1/revoke", "/v1/promote", "/v1/trust-put", "/v1/upload"):
        assert curl(endpoint, url + path, "-d", "{}")[0] == 403
        assert curl(None, url + path, "-d", "{}")[0] == 401


def test_headers_and_bodies_are_bounded(site, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(b" " * (1 << 20))
    status, _ = curl(site.endpoints[0], f"{site.hub.url}/v1/status", "-H", "x-a: " + "a" * 20000)
    assert status in (0, 431)
    assert curl(None, f"{site.hub.url}/v1/enrol", "--data-binary", f"@{big}")[0] == 413
    assert curl(site.admin, f"{site.hub.url}/v1/token", "--data-binary", f"@{big}")[0] == 413


def test_nested_and_absurd_json_is_refused(site):
    for body in ("[" * 60000, '{"role":' * 100, '{"role":"endpoint","uses":99999999999999999999}',
                 '{"role":"hub"}', '{"role":"endpoint","site":"../x"}',
                 '{"role":"endpoint","name":"a/b"}', '{"role":"endpoint","layers":"../.."}'):
        status, _ = curl(site.admin, f"{site.hub.url}/v1/token", "--data-binary", body)
        assert status in (400, 413), body[:40]


def test_nobody_writes_lines_into_the_log(site):
    forged = "x\nevent=audit who=root role=admin what=revoke device=all"
    for member, path, body in (
            (None, "/v1/enrol", {"token_id": forged, "secret_hex": "00" * 16, "csr_pem": "x"}),
            (site.admin, "/v1/revoke", {"device": forged}),
            (site.admin, "/v1/promote", {"layer": forged, "version": "1"})):
        status, _ = curl(member, site.hub.url + path, "-d", json.dumps(body))
        assert status in (400, 401, 403)
    site.hub.stop()
    text = site.hub.log.read_text() + (site.hub.data / "audit.log").read_text()
    assert "device=all" not in text


# ---- crowds -------------------------------------------------------------------------------------

def test_connections_that_say_nothing_do_not_keep_members_out(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    idle = [socket.create_connection(("127.0.0.1", site.reflector.port), timeout=10)
            for _ in range(300)]
    (tmp_path / "target").mkdir()
    site.endpoints[0].albedo("pull", LAYER, tmp_path / "target", "--wait", "60s")
    assert compare(tree, tmp_path / "target", skip_root=True) == []
    for sock in idle:
        sock.close()


def test_streams_opened_and_reset_without_end_end_the_session(port_site):
    """CVE-2023-44487: a request, reset, again; by a stranger, and by a member for real work."""
    for box, state, path in ((port_site.hub, None, "/"),
                             (port_site.reflector, port_site.endpoints[0].state, "/v1/layers")):
        with Raw(box.port, state) as raw:
            assert floods(raw, lambda n: frame(HEADERS, 5, 2 * n + 1, headers("GET", path))
                          + frame(RST_STREAM, 0, 2 * n + 1, (8).to_bytes(4, "big")), 20000)
    assert curl(port_site.endpoints[0], f"{port_site.hub.url}/v1/status")[0] == 200
    assert curl(port_site.endpoints[0], f"{port_site.reflector.url}/v1/status")[0] == 200


def floods(raw, make, count):
    """Send make(n) up to `count` times, reading what comes meanwhile; did the other side end it?

    By one thread: reading and writing a TLS connection from two at once corrupts it."""
    raw.sock.settimeout(20)
    try:
        for n in range(count):
            raw.send(make(n))
            while raw.has_more():
                raw.read()
        raw.until_ended()
    except Ended:
        return True
    except TimeoutError:
        return False
    return True


def rss_of(box):
    text = (Path("/proc") / str(box.daemon.pid) / "status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


FLOODS = {
    "ping": lambda n: frame(PING, 0, 0, n.to_bytes(8, "big")),
    "settings": lambda n: frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 1000 + n % 1000)),
    "window 1 then 0": lambda n: frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, n % 2)),
    "empty continuation": lambda n: frame(HEADERS, 0, 1, headers("GET", "/")) if n == 0
    else frame(CONTINUATION, 0, 1),
    "endless continuation": lambda n: frame(HEADERS, 0, 1, headers("GET", "/")) if n == 0
    else frame(CONTINUATION, 0, 1, literal("x" + str(n), "y" * 1000)),
    "unknown frames": lambda n: frame(0xfa, 0, 0, bytes(1000)),
    "stamps": lambda n: frame(0xe5, 0, n % 2, bytes(n % 65)),
    "stamps of 16 kB": lambda n: frame(0xe5, 0, 0, bytes(16384)),
    "priority": lambda n: frame(PRIORITY, 0, 2 * n + 1, bytes(4) + b"\x10"),
    "empty data": lambda n: frame(HEADERS, 4, 1, headers("POST", "/v1/enrol")) if n == 0
    else frame(DATA, 0, 1),
    "requests": lambda n: frame(HEADERS, 5, 2 * n + 1, headers("GET", "/v1/layers")),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_that_nobody_reads_the_answers_of_is_bounded(port_site, name):
    """Whether the session is ended or made to wait: memory stays, and others are served."""
    before = rss_of(port_site.reflector)
    sent = 0
    with Raw(port_site.reflector.port, port_site.endpoints[0].state) as raw:
        raw.sock.settimeout(2)
        try:
            while sent < 16 << 20:
                piece = b"".join(FLOODS[name](n) for n in range(sent, sent + 500)) \
                    if name not in ("requests", "priority") else \
                    b"".join(FLOODS[name](n) for n in range(sent // 100, sent // 100 + 500))
                raw.send(piece)
                sent += len(piece)
        except (Ended, OSError):
            pass  # ended, or the other side has stopped reading: both will do
        assert curl(port_site.endpoints[0], f"{port_site.reflector.url}/v1/status")[0] == 200
        assert rss_of(port_site.reflector) - before < 48 << 20


BREACHES = {
    "data on a stream that is not open": frame(DATA, 0, 7, b"x"),
    "a stream of the server's": frame(HEADERS, 5, 2, headers("GET", "/")),
    "a promise by a client": frame(rawh2.PUSH_PROMISE, 4, 1, bytes(4)),
    "credit beyond what can be said": frame(WINDOW_UPDATE, 0, 0, (0x7fffffff).to_bytes(4, "big")),
    "credit of nothing": frame(WINDOW_UPDATE, 0, 0, bytes(4)),
    "a frame beyond the largest": frame(DATA, 0, 1, bytes(20000)),
    "settings of odd length": frame(SETTINGS, 0, 0, bytes(5)),
    "a ping of odd length": frame(PING, 0, 0, bytes(5)),
    "a continuation of nothing": frame(CONTINUATION, 4, 1, b""),
    "headers that are no HPACK": frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff"),
    "more than was granted": frame(HEADERS, 4, 1, headers("POST", "/v1/grant"))
    + frame(DATA, 0, 1, bytes(16384)) * 8,
    "a stream opened twice": frame(HEADERS, 5, 1, headers("GET", "/")) * 2,
    "bytes that are no frame": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_of_http_ends_that_session_alone(port_site, name):
    with Raw(port_site.reflector.port, port_site.endpoints[0].state) as other, \
            Raw(port_site.reflector.port, port_site.endpoints[0].state) as raw:
        raw.send(BREACHES[name])
        raw.sock.settimeout(20)
        raw.until_ended()  # an exception here is a session that was left standing
        assert other.get("/v1/trust/1")[0] == 200


def test_a_bomb_of_compressed_headers_is_refused(port_site):
    """A 4,000-byte field put into the table once, then named 3,000 times: 12 MB in 7 KB."""
    big = b"\x40" + rawh2.prefixed(1, 7) + b"x" + rawh2.prefixed(4000, 7) + b"y" * 4000
    with Raw(port_site.reflector.port, port_site.endpoints[0].state) as raw:
        raw.send(frame(HEADERS, 5, 1, headers("GET", "/v1/layers") + big + b"\xbe" * 3000))
        raw.next_stream = 3
        try:
            assert raw.answer(1)[0] == 431
        except Ended:
            pass
    assert curl(port_site.endpoints[0], f"{port_site.reflector.url}/v1/status")[0] == 200


def test_a_reader_without_window_holds_one_answer_and_no_more(site, tree):
    site.admin.albedo("publish", LAYER, tree)
    with Raw(site.reflector.port, site.endpoints[0].state,
             settings=setting(INITIAL_WINDOW_SIZE, 0)) as raw:
        for _ in range(60):
            raw.ask("GET", "/v1/layers")
        assert curl(site.endpoints[0], f"{site.reflector.url}/v1/layers")[0] == 200
        status = json.loads(curl(site.endpoints[0], f"{site.reflector.url}/v1/status")[1])
        assert status["held"]["answer_bytes"] < 1 << 20


def test_a_body_is_held_to_the_length_it_announced(port_site):
    with Raw(port_site.reflector.port, port_site.endpoints[0].state) as raw:
        for said, sent in (("10", b"x" * 20), ("20", b"x" * 10), ("-1", b"x"), ("1e3", b"x")):
            stream = raw.ask("POST", "/v1/grant", sent, more=(("content-length", said),))
            try:
                assert raw.answer(stream)[0] in (400, 413)
            except Ended:
                assert raw.goaway in (None, 0)  # that stream was reset, the session goes on
        assert raw.get("/v1/trust/1")[0] == 200


# ---- revocation, files --------------------------------------------------------------------------

def test_a_revoked_device_is_out_at_hub_and_reflector(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    endpoint = site.endpoints[0]
    (tmp_path / "target").mkdir()
    endpoint.albedo("pull", LAYER, tmp_path / "target")
    device = json.loads((endpoint.state / "identity.json").read_text())["device"]
    site.admin.albedo("revoke", device)
    assert curl(endpoint, f"{site.hub.url}/v1/layers")[0] == 403
    give_up = time.monotonic() + 10
    while curl(endpoint, f"{site.reflector.url}/v1/layers")[0] != 403:
        assert time.monotonic() < give_up, "the reflector never heard of the revocation"
        time.sleep(0.1)


def test_secrets_are_their_owners_alone_and_in_no_log(site):
    token = site.token("endpoint", "--site", "branch")
    secret = token.split(".")[2]
    site.join(site.new_member("late"), token)
    public = {"ca.pem", "certificate.pem", "hub.conf", "reflector.conf", "audit.log"}
    tops = [site.hub.data, site.reflector.data, site.admin.state, site.endpoints[0].state]
    for top in tops:
        assert stat.S_IMODE(top.stat().st_mode) == 0o700, top
        for path in top.rglob("*"):
            mode = path.stat().st_mode
            is_database = {"catalogue", "index"} & set(path.parts)  # kept by the directory's mode
            if path.is_file() and path.name not in public and not is_database:
                assert mode & 0o077 == 0, f"{path} {mode:o}"
    bearer = (site.hub.data / "admin.token").read_text().strip()
    logs = [site.hub.log, site.reflector.log, site.hub.data / "audit.log"]
    for log in logs:
        text = log.read_text(errors="replace")
        assert secret not in text and bearer not in text and "PRIVATE KEY" not in text


# ---- other users of the endpoint ----------------------------------------------------------------

def test_another_users_symlink_is_not_followed_out_of_the_target(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (target / "etc").symlink_to(outside)
    done = site.endpoints[0].albedo("pull", LAYER, target, code=None)
    assert done.code != 0 and "symlink" in done.out + done.err
    assert list(outside.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_journal_another_user_planted_is_not_replayed(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    target = tmp_path / "target"
    (target / ".albedo").mkdir(parents=True)
    (target / ".albedo/journal").write_bytes(b"ALBJRNL\n" + bytes(100))
    for path in (target, target / ".albedo", target / ".albedo/journal"):
        os.chown(path, 4711, 4711)
    done = site.endpoints[0].albedo("pull", LAYER, target, code=None)
    assert done.code != 0 and "belongs to another user" in done.out + done.err
    assert not (target / "etc").exists()
    os.mkfifo(target / ".albedo/applied")  # opening it would wait for ever
    (target / ".albedo/journal").unlink()
    done = site.endpoints[0].albedo("pull", LAYER, target, code=None, timeout=30)
    assert done.code != 0 and "belongs to another user" in done.out + done.err
