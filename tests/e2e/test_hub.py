# SPDX-License-Identifier: Apache-2.0
# e2e/test_hub.py – albedo-hub as a process: init, serve, refusals, admin port, kill and restart.

import json
import re
import shutil
import stat
import subprocess

import pytest

from albtest.branch import make_tree
from albtest.procs import Daemon, wait_until
from albtest.site import Site, free_port, program
from albtest.tree import compare

FINE, FAILED, USAGE = 0, 1, 2
LAYER = "base/os"


def run(*words, code, says=""):
    """Run albedo-hub to its end; returns (stdout, stderr)."""
    done = subprocess.run([program("albedo-hub"), *map(str, words)], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert says in done.stdout + done.stderr, done.stderr
    assert "Sanitizer" not in done.stderr, done.stderr
    return done.stdout, done.stderr


def listen_words():
    return ["--listen", f"127.0.0.1:{free_port()}", "--admin-listen", f"127.0.0.1:{free_port()}"]


def curl(url, *words):
    """Status and body, over HTTP/2."""
    done = subprocess.run(["curl", "-sk", "--http2", "-w", "\n%{http_code} %{http_version}", *words,
                           url], capture_output=True, text=True, timeout=20, check=True)
    body, _, last = done.stdout.rpartition("\n")
    status, version = last.split()
    assert version == "2"
    return int(status), body


@pytest.fixture
def site(tmp_path):
    """A hub, its admin, trust, one endpoint that talks to the hub itself."""
    with Site(tmp_path, endpoints=1) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        site.join(site.endpoints[0], site.token("endpoint", "--site", "branch"))
        yield site
        assert "Sanitizer" not in site.hub.log.read_text()


# ---- words ---------------------------------------------------------------------------------------

def test_help_and_version_are_printed():
    assert "albedo-hub init --data DIR" in run("--help", code=FINE)[0]
    assert re.fullmatch(r"albedo-hub \d+\.\d+\.\d+\n", run("--version", code=FINE)[0])


def test_words_that_are_not_understood_name_the_help(tmp_path):
    run(code=USAGE, says="albedo-hub init --data DIR")
    run("start", code=USAGE, says="--help")
    run("init", code=USAGE, says="--data DIR")
    run("serve", code=USAGE, says="--config DIR/hub.conf")
    run("init", "--data", code=USAGE, says="a value is missing after '--data'")
    run("init", "--dada", tmp_path, code=USAGE, says="'--dada'")


# ---- init ----------------------------------------------------------------------------------------

def test_init_prints_the_token_alone_and_keeps_secrets_private(tmp_path):
    out, err = run("init", "--data", tmp_path / "hub", "--org", "acme", code=FINE)
    assert re.fullmatch(r"alb1\.[^\s~]+\n", out)  # no trust file yet: only the CA is pinned
    assert "albedo-hub serve --config" in err
    for name in ("ca.key", "tls.key", "online.key", "admin.token"):
        assert stat.S_IMODE((tmp_path / "hub" / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE((tmp_path / "hub").stat().st_mode) == 0o700
    assert 'org = "acme"' in (tmp_path / "hub/hub.conf").read_text()


def test_init_does_not_touch_a_hub_that_is_there(tmp_path):
    hub = tmp_path / "hub"
    run("init", "--data", hub, code=FINE)
    before = {p.name: p.read_bytes() for p in hub.iterdir() if p.is_file()}
    run("init", "--data", hub, code=FAILED, says="a hub is here already")
    (hub / "hub.conf").rename(tmp_path / "hub.conf")
    run("init", "--data", hub, code=FAILED, says="put it back")
    (tmp_path / "hub.conf").rename(hub / "hub.conf")
    assert before == {p.name: p.read_bytes() for p in hub.iterdir() if p.is_file()}


def test_init_refuses_what_makes_no_sense(tmp_path):
    hub = tmp_path / "hub"
    run("init", "--data", hub, "--org", "Not An Org", code=FAILED, says="--org")
    run("init", "--data", hub, "--listen", "nonsense", code=FAILED, says="ADDR:PORT")
    run("init", "--data", hub, "--admin-listen", "1.2.3.4", code=FAILED, says="--admin-listen")
    assert not hub.exists()
    (tmp_path / "file").touch()
    run("init", "--data", tmp_path / "file/hub", code=FAILED, says="may write to")


# ---- serve ---------------------------------------------------------------------------------------

def test_serve_says_what_is_wrong(tmp_path):
    hub = tmp_path / "hub"
    conf = hub / "hub.conf"
    run("serve", "--config", conf, code=FAILED, says="albedo-hub init")
    words = listen_words()
    run("init", "--data", hub, *words, code=FINE)
    good = conf.read_text()
    conf.write_text(good + '\nlisen = "x"\n')
    run("serve", "--config", conf, code=USAGE, says='did you mean "listen"?')
    conf.write_text(good)

    with Daemon([program("albedo-hub"), "serve", "--config", conf], tmp_path / "log") as daemon:
        daemon.wait_line(r"event=hub\.ready")
        run("serve", "--config", conf, code=FAILED, says="another albedo-hub")
        run("init", "--data", tmp_path / "two", *words, code=FINE)
        run("serve", "--config", tmp_path / "two/hub.conf", code=FAILED, says=words[1])
        assert daemon.stop() == FINE
    (hub / "online.key").write_text("garbage\n")
    run("serve", "--config", conf, code=FAILED, says="online.key")
    (hub / "online.key").unlink()
    run("serve", "--config", conf, code=FAILED, says="online.key")
    shutil.copy(tmp_path / "two/ca.pem", hub / "ca.pem")
    shutil.copy(tmp_path / "two/online.key", hub / "online.key")
    run("serve", "--config", conf, code=FAILED, says="do not fit together")


# ---- the admin port ------------------------------------------------------------------------------

def test_the_admin_port_answers_bearers_alone(site, tmp_path):
    url = f"https://127.0.0.1:{site.admin_port}"
    token = (site.hub.data / "admin.token").read_text().strip()
    right = ("-H", f"Authorization: Bearer {token}")
    make_tree(tmp_path / "tree", 3, 5000)
    site.admin.albedo("publish", LAYER, tmp_path / "tree")

    status, body = curl(f"{url}/api/v1/status", *right)
    assert status == 200 and json.loads(body)["layers"] == 1
    status, body = curl(f"{url}/api/v1/layers", *right)
    assert status == 200 and json.loads(body)["layers"][0]["current"] == "1"
    status, body = curl(f"{url}/api/v1/devices", *right)
    assert {d["role"] for d in json.loads(body)["devices"]} == {"admin", "endpoint"}
    status, body = curl(f"{url}/metrics", *right)
    assert status == 200 and "albedo_hub_published_total 1\n" in body

    wrong = "Authorization: Bearer albadm_wrong"
    for words in ((), ("-H", wrong), ("-H", f"Authorization: {token}")):
        for path in ("/metrics", "/api/v1/status", "/api/v1/layers", "/api/v1/devices"):
            status, body = curl(url + path, *words)
            assert status == 401 and "Bearer" in json.loads(body)["message"]
    for path in ("/", "/v1/status", "/v1/enrol", "/api/v1/../../etc/passwd", "/metrics/"):
        assert curl(url + path, "--path-as-is", *right)[0] == 404
    assert curl(f"{site.hub.url}/metrics", *right)[0] == 404


def test_every_change_stands_in_the_audit_log(site, tmp_path):
    make_tree(tmp_path / "tree", 3, 5000)
    site.admin.albedo("publish", LAYER, tmp_path / "tree", "--hold")
    site.admin.albedo("promote", f"{LAYER}@1")
    devices = site.admin.albedo("devices").document()["devices"]
    device = next(d["device"] for d in devices if d["role"] == "endpoint")
    site.admin.albedo("revoke", device)
    site.hub.stop()
    audit = (site.hub.data / "audit.log").read_text()
    for what in ("enrol", "trust", "token", "publish", "promote", "revoke"):
        assert re.search(rf"^time=\S+Z level=info event=audit who=\S+ role=\S+ what={what} ", audit,
                         re.MULTILINE), f"{what} is missing in\n{audit}"


# ---- kill and restart ----------------------------------------------------------------------------

def test_what_was_acknowledged_survives_a_kill(site, tmp_path):
    tree = make_tree(tmp_path / "tree", 20, 100_000)
    site.admin.albedo("publish", LAYER, tree)
    site.hub.kill()
    site.hub.start()
    site.endpoints[0].albedo("pull", LAYER, tmp_path / "out")
    assert compare(tree, tmp_path / "out") == []
    site.admin.albedo("publish", LAYER, tree, "--version", "again")
    assert "again" in site.endpoints[0].albedo("layers", plain=True).out


def test_a_publish_whose_hub_was_killed_goes_on_where_it_was(site, tmp_path):
    tree = make_tree(tmp_path / "tree", 60, 1_000_000)
    running = site.admin.start("publish", LAYER, tree)
    wait_until(lambda: sum(p.stat().st_size for p in (site.hub.data / "segments").iterdir()) >
               8_000_000 or running.daemon.process.poll() is not None, 60, "some chunks to arrive")
    site.hub.kill()
    site.hub.start()
    done = running.wait()
    if done.code != 0:  # it may give up; running it again goes on
        done = site.admin.albedo("publish", LAYER, tree)
    site.endpoints[0].albedo("pull", LAYER, tmp_path / "out")
    assert compare(tree, tmp_path / "out") == []


def test_sigterm_lets_an_upload_in_flight_finish_or_fail_cleanly(site, tmp_path):
    tree = make_tree(tmp_path / "tree", 30, 1_000_000)
    running = site.admin.start("publish", LAYER, tree)
    site.hub.daemon.wait_line(r"event=upload\.opened", 30)
    site.hub.stop()
    site.hub.start()
    if running.wait().code != 0:
        site.admin.albedo("publish", LAYER, tree)
    site.endpoints[0].albedo("pull", LAYER, tmp_path / "out")
    assert compare(tree, tmp_path / "out") == []
