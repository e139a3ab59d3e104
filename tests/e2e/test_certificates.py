# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_certificates.py – certificates renewed before they end, and revoked in the middle
# of a pull.

import json
import random
import socket
import ssl
import time

import pytest

from albtest.clock import days_ahead
from albtest.procs import environment, wait_until
from albtest.site import Site
from albtest.slow import SlowDoor

LAYER = "base/os"


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path / "site", endpoints=1) as site:
        site.start()
        yield site


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "tree"
    top.mkdir()
    rng = random.Random(1)
    for number in range(24):
        (top / f"file{number}").write_bytes(rng.randbytes(1 << 20))
    return top


def restart(site, ahead):
    site.reflector.stop()
    site.hub.stop()
    with environment(ahead):
        site.hub.start()
        site.reflector.start()


def records(site, ahead):
    done = site.admin.albedo("devices", env=ahead)
    return {record["device"]: record for record in done.document()["devices"]}


def device_of(member):
    return json.loads((member.state / "identity.json").read_text())["device"]


def shown(box):
    """The certificate that a daemon shows whoever connects."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", box.port), 10) as plain, \
            context.wrap_socket(plain) as tls:
        return ssl.DER_cert_to_PEM_cert(tls.getpeercert(True)).split()


def test_an_endpoint_outlives_its_first_certificate(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    endpoint = site.endpoints[0]
    certificate = endpoint.state / "certificate.pem"
    first = certificate.read_text()
    endpoint.albedo("pull", LAYER, tmp_path / "a")
    assert certificate.read_text() == first  # far too early

    later = days_ahead(tmp_path, 21)
    restart(site, later)
    endpoint.albedo("pull", LAYER, tmp_path / "a", env=later)
    second = certificate.read_text()
    assert second != first
    record = records(site, later)[device_of(endpoint)]
    assert len(record["older"]) == 1 and record["older"][0]["serial"] != record["serial"]

    beyond = days_ahead(tmp_path, 40)
    restart(site, beyond)
    endpoint.albedo("pull", LAYER, tmp_path / "b", env=beyond)
    certificate.write_text(first)
    done = endpoint.albedo("pull", LAYER, tmp_path / "c", "--wait", "5s", env=beyond, code=None)
    assert done.code == 3 and "expired" in done.err


def test_a_reflector_renews_its_own_and_shows_it_without_a_restart(site, tmp_path):
    certificate = site.reflector.data / "certificate.pem"
    first = certificate.read_text()
    assert shown(site.reflector) == first.split()
    later = days_ahead(tmp_path, 250)
    restart(site, later)
    site.admin.albedo("layers", env=later)  # renews the admin's as well
    site.reflector.daemon.wait_line(r"event=certificate\.renewed", timeout=30)
    second = wait_until(lambda: (text := certificate.read_text()) != first and text, 10,
                        "the new certificate to be written")
    assert shown(site.reflector) == second.split()

    beyond = days_ahead(tmp_path, 400)
    restart(site, beyond)
    site.reflector.daemon.wait_line(r"event=upstream\.up", timeout=30)
    assert records(site, beyond)["reflector"]["older"] != []


def test_who_is_revoked_in_the_middle_of_a_pull_is_out_within_a_second(site, tree, tmp_path):
    site.admin.albedo("publish", LAYER, tree)
    far = site.new_reflector("far", site.reflector)
    with SlowDoor(far.port, 2_000_000) as door:
        pc = site.new_member("pc")
        site.join(pc, site.token("endpoint", "--name", "pc"), upstream=door)
        pulling = pc.start("pull", LAYER, tmp_path / "a")
        wait_until(lambda: site.reflector_status()["store"]["live_bytes"] > 4 << 20, 60,
                   "the pull to be under way")
        seen = len(far.daemon.log_text())
        site.admin.albedo("revoke", "pc")
        told = time.monotonic()
        far.daemon.wait_line(r"event=serve\.revoked device=pc", timeout=5, after=seen)
        assert time.monotonic() - told < 1
        done = pulling.wait(60)
        assert done.code == 3 and "revoked" in done.err, done
    assert not (tmp_path / "a/file0").exists()
