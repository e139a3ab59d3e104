# SPDX-License-Identifier: Apache-2.0
# e2e/test_cli_join.py – the command line against a real hub: joining, trust, tokens, revocation.

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from albtest.procs import Daemon
from albtest.site import free_port

BIN = Path(os.environ.get("ALB_BIN_DIR", "build/bin"))
DONE, USAGE, REFUSED, NOT_FOUND, UNREACHABLE = 0, 2, 3, 4, 5


class Site:
    """A hub in a directory, and people with states of their own."""

    def __init__(self, tmp):
        self.tmp = tmp
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        done = subprocess.run(
            [BIN / "albedo-hub", "init", "--data", tmp / "hub", "--listen",
             f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{free_port()}"],
            capture_output=True, text=True, check=True)
        self.admin_token = re.search(r"^alb1\.\S+$", done.stdout, re.MULTILINE).group()
        self.hub = None
        self.start_hub()

    def start_hub(self):
        self.hub = Daemon([BIN / "albedo-hub", "serve", "--config", self.tmp / "hub/hub.conf"],
                          log=self.tmp / "hub.log")
        self.hub.wait_port(self.port)

    def albedo(self, who, *words, expect=DONE):
        done = subprocess.run([BIN / "albedo", *words, "--state", self.tmp / who],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == expect, f"albedo {words}: {done.returncode}\n{done.stderr}"
        assert "ERROR: " not in done.stderr, done.stderr  # a sanitizer's
        return done

    def join(self, who, token, expect=DONE, *more):
        return self.albedo(who, "join", "--hub", self.url, "--token", token, *more, expect=expect)

    def token(self, role, *more):
        return self.albedo("admin", "token", "create", "--role", role, *more).stdout.strip()


@pytest.fixture
def bare(tmp_path):
    """A hub that nobody joined yet."""
    site = Site(tmp_path)
    yield site
    site.hub.stop()


@pytest.fixture
def site(bare):
    """A hub whose admin has joined and made trust file 1."""
    bare.join("admin", bare.admin_token)
    bare.albedo("admin", "trust", "init")
    return bare


def test_from_the_first_token_to_a_publisher_and_an_endpoint(bare):
    joined = bare.join("admin", bare.admin_token)
    assert "albedo trust init" in joined.stdout
    bare.albedo("admin", "trust", "show", expect=NOT_FOUND)
    assert "back up" in bare.albedo("admin", "trust", "init").stdout

    publisher = bare.join("pub", bare.token("publisher")).stdout
    key = re.search(r"albedo trust delegate PREFIX ([0-9a-f]{64})", publisher).group(1)
    bare.albedo("admin", "trust", "delegate", "app", key)
    trust = json.loads(bare.albedo("pub", "trust", "show", "--json").stdout)
    assert trust["version"] == 2
    assert {"prefix": "app", "key": key} in trust["delegations"]

    token = bare.token("endpoint", "--site", "lyon", "--name", "pc1")
    endpoint = json.loads(bare.join("pc", token, DONE, "--json").stdout)
    assert (endpoint["role"], endpoint["device"], endpoint["site"]) == ("endpoint", "pc1", "lyon")
    devices = json.loads(bare.albedo("admin", "devices", "--json").stdout)["devices"]
    assert {d["role"] for d in devices} == {"admin", "publisher", "endpoint"}
    assert "pc1" in bare.albedo("admin", "devices").stdout


def test_what_is_kept_has_the_modes_it_must_have(site):
    state = site.tmp / "admin"
    assert state.stat().st_mode & 0o777 == 0o700
    for name in ("key.pem", "identity.json", "publisher.key", "roots/1.key"):
        assert (state / name).stat().st_mode & 0o777 == 0o600, name


def test_a_token_is_spent_by_its_use(site):
    token = site.token("endpoint")
    site.join("pc1", token)
    refused = site.join("pc2", token, REFUSED)
    assert site.url in refused.stderr
    assert not (site.tmp / "pc2/identity.json").exists()
    twice = site.token("endpoint", "--uses", "2")
    site.join("pc3", twice)
    site.join("pc4", twice)
    site.join("pc5", twice, REFUSED)


def test_endpoints_are_refused_until_there_is_a_trust_file(bare):
    bare.join("admin", bare.admin_token)
    told = bare.albedo("admin", "token", "create", "--role", "endpoint", expect=REFUSED)
    assert "trust init" in told.stderr


def test_a_token_of_another_hub_is_refused_before_it_is_shown(site, tmp_path):
    (tmp_path / "other").mkdir()
    other = Site(tmp_path / "other")
    try:
        told = site.join("pc", other.admin_token, REFUSED)
        assert "the token names" in told.stderr
    finally:
        other.hub.stop()


def test_roles_may_do_what_is_theirs(site):
    site.join("pc", site.token("endpoint"))
    for words in (["devices"], ["revoke", "x"], ["token", "create", "--role", "endpoint"]):
        told = site.albedo("pc", *words, expect=REFUSED)
        assert "asked as endpoint" in told.stderr
    site.albedo("pc", "trust", "init", expect=REFUSED)
    site.albedo("pc", "status")
    site.albedo("pc", "layers")


def test_a_revoked_device_is_out(site):
    site.join("pc", site.token("endpoint", "--name", "pc1"))
    site.albedo("pc", "status")
    site.albedo("admin", "revoke", "pc1")
    for command in ("status", "layers"):
        assert "was revoked" in site.albedo("pc", command, expect=REFUSED).stderr
    site.albedo("admin", "revoke", "nobody", expect=NOT_FOUND)
    devices = json.loads(site.albedo("admin", "devices", "--json").stdout)["devices"]
    assert [d["revoked"] for d in devices if d["device"] == "pc1"] == [True]


def test_what_the_hub_took_is_there_after_it_was_killed(site):
    site.hub.kill()
    told = site.albedo("admin", "layers", expect=UNREACHABLE)
    assert "is albedo-hub running there" in told.stderr
    assert "admin" in site.albedo("admin", "status", expect=UNREACHABLE).stdout
    site.start_hub()
    assert json.loads(site.albedo("admin", "trust", "show", "--json").stdout)["asked_hub"]
    site.join("pc", site.token("endpoint"))


def test_a_version_that_is_not_there_cannot_be_promoted(site):
    site.albedo("admin", "promote", "base/debian@1", expect=NOT_FOUND)
    site.albedo("admin", "promote", "base/debian", expect=USAGE)
