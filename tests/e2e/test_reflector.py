# SPDX-License-Identifier: Apache-2.0
# e2e/test_reflector.py – albedo-reflector as a process: init's refusals, serve's, outage, restart.

import os
import signal
import socket
import subprocess

import pytest

from albtest.procs import Daemon, wait_until
from albtest.site import Site, free_port, program
from albtest.tree import compare

DONE, FAILED, USAGE, REFUSED, NOT_FOUND, UNREACHABLE = 0, 1, 2, 3, 4, 5
LAYER = "base/os"


def reflector(*words, code, says=""):
    """Run albedo-reflector to its end; returns what it printed on both streams."""
    done = subprocess.run([program("albedo-reflector"), *map(str, words)], capture_output=True,
                          text=True, timeout=60)
    text = done.stdout + done.stderr
    assert done.returncode == code, f"{words}: {done.returncode}\n{text}"
    assert says in text, f"{says!r} was expected in {text!r}"
    assert "Sanitizer" not in text, text
    return text


@pytest.fixture
def hub(tmp_path):
    """A hub with an admin and trust; no reflector yet."""
    with Site(tmp_path, endpoints=0) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        yield site


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path, endpoints=3) as site:
        site.start()
        yield site
        assert "Sanitizer" not in site.reflector.log.read_text()


@pytest.fixture
def tree(tmp_path):
    """A few files of every size that matters: none, small, several chunks."""
    root = tmp_path / "tree"
    (root / "etc").mkdir(parents=True)
    (root / "etc/empty").touch()
    for n in range(40):
        (root / f"etc/file{n}").write_bytes(os.urandom(700 * n))
    for n in range(3):
        (root / f"large{n}").write_bytes(os.urandom(3_000_000))
    return root


def init_words(site, data, token):
    return ["init", "--data", data, "--hub", site.hub.url, "--token", token,
            "--listen", f"127.0.0.1:{free_port()}"]


# ---- the command line ----

def test_help_and_version_are_answers():
    assert "usage: albedo-reflector init" in reflector("--help", code=DONE)
    assert "--config" in reflector("serve", "--help", code=DONE)
    assert reflector("--version", code=DONE).startswith("albedo-reflector ")


@pytest.mark.parametrize("words, says", [
    ([], "init, serve or would-lose is expected"),
    (["start"], "start: init, serve or would-lose is expected"),
    (["serve"], "serve: it needs --config DIR/reflector.conf"),
    (["serve", "--config"], "--config needs a value"),
    (["serve", "reflector.conf"], "it takes only options"),
    (["serve", "--verbose"], "--verbose: no such option"),
    (["init", "--data", "/nonexistent/x"], "init: it needs --hub https://HOST:PORT"),
    (["init", "--data=/x", "--data=/y"], "--data is given twice"),
    (["init", "--data=/x", "--hub=hub:7443", "--token=t"], "it must begin with https://"),
    (["init", "--data=/x", "--hub=https://hub", "--token=t"], "there is no port"),
    (["init", "--data=/x", "--hub=https://h:1", "--token=t", "--listen=80"], "there is no port"),
    (["init", "--data=/x", "--hub=https://h:1", "--token=t", "--parent=x"], "--parent x: it must"),
    (["init", "--data=/x", "--hub=https://h:1", "--token=t", "--name=Box"], "--name Box: "),
    (["init", "--data=/x", "--hub=https://h:1", "--token=alb1.no"], "albedo token create"),
])
def test_what_was_typed_wrong_is_told(words, says):
    reflector(*words, code=USAGE, says=says)


# ---- init ----

def test_init_refuses_what_must_not_be(hub, tmp_path):
    token = hub.token("reflector", "--site", "north")
    nobody = f"https://127.0.0.1:{free_port()}"
    reflector("init", "--data", tmp_path / "a", "--hub", nobody, "--token", token,
              code=UNREACHABLE, says="is albedo-hub running there")
    reflector("init", "--data", tmp_path / "a", "--hub", "https://no-such-host.invalid:1",
              "--token", token, code=UNREACHABLE)
    (tmp_path / "file").touch()
    reflector(*init_words(hub, tmp_path / "file", token), code=FAILED,
              says="the directory cannot be made")
    wrong = hub.token("endpoint", "--site", "north")
    reflector(*init_words(hub, tmp_path / "a", wrong), code=REFUSED,
              says="the token is for the role endpoint, not for a reflector")
    reflector(*init_words(hub, tmp_path / "a", token), code=DONE, says="enrolled with")
    reflector(*init_words(hub, tmp_path / "a", token), code=REFUSED, says="is enrolled already")
    reflector(*init_words(hub, tmp_path / "b", token), code=REFUSED)
    assert not (tmp_path / "b/reflector.conf").exists()


def test_init_believes_only_the_pinned_hub(hub, tmp_path):
    with Site(tmp_path / "other", endpoints=0) as other:
        other.start_hub()
        reflector("init", "--data", tmp_path / "a", "--hub", other.hub.url, "--token",
                  hub.token("reflector", "--site", "north"), code=REFUSED)
    assert not (tmp_path / "a/certificate.pem").exists()


def test_init_refuses_the_first_admins_token(tmp_path):
    with Site(tmp_path, endpoints=0) as site:
        done = site.hub.init("--listen", f"127.0.0.1:{site.hub.port}",
                             "--admin-listen", f"127.0.0.1:{free_port()}")
        reflector(*init_words(site, tmp_path / "a", done.token()), code=REFUSED,
                  says="it pins no trust file")


def test_init_goes_on_where_it_stopped(hub, tmp_path):
    """The token has one use: what was enrolled must not be enrolled again."""
    data = tmp_path / "box"
    data.mkdir()
    (data / "catalogue").write_text("in the way")
    words = init_words(hub, data, hub.token("reflector", "--site", "north"))
    reflector(*words, code=FAILED, says="catalogue")
    assert not (data / "reflector.conf").exists()
    (data / "catalogue").unlink()
    reflector(*words, code=DONE, says="enrolled with")
    assert (data / "key.pem").stat().st_mode & 0o777 == 0o600
    assert not (data / "enrolled.json").exists()


def test_init_takes_the_token_from_standard_input(hub, tmp_path):
    words = init_words(hub, tmp_path / "box", "-")
    done = subprocess.run([program("albedo-reflector"), *map(str, words)], text=True, timeout=60,
                          input=hub.token("reflector", "--site", "north") + "\n",
                          capture_output=True)
    assert done.returncode == DONE, done.stderr
    assert "of site north" in done.stdout
    assert 'site = "north"' in (tmp_path / "box/reflector.conf").read_text()


# ---- serve ----

def test_serve_tells_what_keeps_it_from_starting(hub, tmp_path):
    data = tmp_path / "box"
    conf = data / "reflector.conf"
    reflector("serve", "--config", conf, code=NOT_FOUND, says="`albedo-reflector init` writes it")
    reflector(*init_words(hub, data, hub.token("reflector", "--site", "north")), code=DONE)
    good = conf.read_text()

    conf.write_text(good + "lisen = 1\n")
    line = good.count("\n") + 1
    reflector("serve", "--config", conf, code=USAGE,
              says=f'{conf}:{line}: there is no option "lisen"; did you mean "listen"?')
    conf.write_text(good.replace("127.0.0.1:", "127.0.0.1", 1))
    reflector("serve", "--config", conf, code=USAGE)
    conf.write_text(good)

    port = int(good.split('listen = "127.0.0.1:')[1].split('"')[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        reflector("serve", "--config", conf, code=FAILED, says=f"starting on 127.0.0.1:{port}")
    (data / "key.pem").rename(data / "elsewhere")
    reflector("serve", "--config", conf, code=NOT_FOUND, says="key.pem")
    (data / "elsewhere").rename(data / "key.pem")

    with Daemon([program("albedo-reflector"), "serve", "--config", conf],
                log=tmp_path / "box.log") as daemon:
        daemon.wait_line(r"event=upstream\.up")
        reflector("serve", "--config", conf, code=FAILED,
                  says="another albedo-reflector is running")
        assert daemon.stop() == 0
        assert "Sanitizer" not in daemon.log_text()


# ---- among others ----

def pull(site, n, tree, target):
    site.endpoints[n].albedo("pull", LAYER, target)
    assert compare(tree, target, skip_root=True) == []


def wait_for_first_chunks(site):
    segments = site.reflector.data / "segments"
    wait_until(lambda: sum(f.stat().st_size for f in segments.iterdir()) > 100_000, 30,
               "the first chunks to be stored")


def test_the_wan_carries_each_byte_once_and_an_outage_is_not_noticed(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    for endpoint in site.endpoints:
        assert endpoint.albedo("layers").document()["layers"][0]["layer"] == LAYER
    runs = [e.start("pull", LAYER, tmp_path / f"t{n}") for n, e in enumerate(site.endpoints[:2])]
    for run in runs:
        done = run.wait()
        assert done.code == DONE, str(done)
    for n in range(2):
        assert compare(tree, tmp_path / f"t{n}", skip_root=True) == []
    status = site.reflector_status()
    assert status["parent"]["up"]
    assert 0 < status["crossing_ratio"] <= 1.01
    assert status["albedo_percent"] > 40

    site.hub.kill()
    pull(site, 2, tree, tmp_path / "t2")
    status = site.endpoints[2].albedo("status").document()["parent"]
    assert not status["parent"]["up"]
    assert status["parent"]["why_down"]
    listed = site.endpoints[2].albedo("layers").document()
    assert listed["stale"] and listed["layers"][0]["layer"] == LAYER


def test_a_reflector_killed_in_the_middle_goes_on(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    running = site.endpoints[0].start("pull", LAYER, tmp_path / "t0")
    wait_for_first_chunks(site)
    site.reflector.kill()
    site.reflector.start()
    done = running.wait()
    assert done.code == DONE, str(done)
    assert compare(tree, tmp_path / "t0", skip_root=True) == []


def test_stopping_in_the_middle_ends_well(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    running = [e.start("pull", LAYER, tmp_path / f"t{n}") for n, e in enumerate(site.endpoints)]
    wait_for_first_chunks(site)
    site.reflector.daemon.signal(signal.SIGTERM)
    assert site.reflector.daemon.wait_exit(15) == 0
    site.reflector.start()
    for n, run in enumerate(running):
        if run.wait().code == UNREACHABLE:  # it had not connected yet, and says so
            site.endpoints[n].albedo("pull", LAYER, tmp_path / f"t{n}")
        assert compare(tree, tmp_path / f"t{n}", skip_root=True) == []


def test_a_reflector_behind_a_reflector_serves_too(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    below = site.new_reflector("below", site.reflector)
    try:
        member = site.new_member("far")
        site.join(member, site.token("endpoint", "--site", "branch"), upstream=below)
        member.albedo("pull", LAYER, tmp_path / "far")
        assert compare(tree, tmp_path / "far", skip_root=True) == []
        status = member.albedo("status").document()["parent"]
        assert status["device"] == "below"
        assert status["parent"]["place"].endswith(f":{site.reflector.port}")
        assert 0 < site.reflector_status()["crossing_ratio"] <= 1.01
        below.stop()
    finally:
        below.kill()
