# SPDX-License-Identifier: Apache-2.0
# e2e/test_shaping.py – limits of the configuration files, on real processes over loopback.

import time

import pytest

from albtest import small, tree
from albtest.branch import LAYER, started
from albtest.procs import wait_until

KB = 1 << 10


@pytest.fixture
def site(tmp_path):
    with started(tmp_path / "site", endpoints=1) as site:
        yield site


def timed_pull(site, target):
    began = time.monotonic()
    site.endpoints[0].albedo("pull", LAYER, target, timeout=100)
    return time.monotonic() - began


def test_a_thin_line_is_not_spent_on_credit_for_answers_that_never_come(site, tmp_path):
    """With wan_down = 1Mbit a pull got nothing: control's credit took the budget for minutes."""
    wanted = small.make(tmp_path / "tree", large=700 * KB)
    sent = site.admin.albedo("publish", LAYER, wanted).event("published")["sent_bytes"]
    site.reflector.configure("parent_line = wan", "wan_down = 1Mbit")
    wait_until(lambda: site.reflector_status()["parent"]["up"], 30, "the reflector's line")
    seconds = timed_pull(site, tmp_path / "target")
    assert tree.compare(wanted, tmp_path / "target") == []
    at_least = sent * 8 / 1e6
    assert at_least * 0.9 <= seconds <= 4 * at_least + 20, (seconds, at_least)
    line = site.reflector_status()["line"]["down"]
    assert line["wire_bytes"] < 2 * sent, line


def test_the_branchs_own_network_has_a_limit(site, tmp_path):
    wanted = small.make(tmp_path / "tree", large=700 * KB)
    sent = site.admin.albedo("publish", LAYER, wanted).event("published")["sent_bytes"]
    site.reflector.configure("lan_rate = 1Mbit")
    wait_until(lambda: site.reflector_status()["parent"]["up"], 30, "the reflector's line")
    seconds = timed_pull(site, tmp_path / "target")
    assert tree.compare(wanted, tmp_path / "target") == []
    assert seconds >= 0.9 * sent * 8 / 1e6, (seconds, sent)


def test_how_fast_the_line_goes_is_explained(site):
    wait_until(lambda: site.reflector_status()["parent"]["up"], 30, "the reflector's line")
    said = site.endpoints[0].albedo("explain", "rate", plain=True).out
    assert "line to" in said and "policy" in said and "no limit" in said
    line = site.endpoints[0].albedo("explain", "rate").document()["line"]
    assert line["kind"] == "lan" and {"down", "up"} <= set(line)
    hub = site.admin.albedo("explain", "rate", "--at-hub", plain=True).out
    assert "albedo-hub" in hub


def test_go_for_a_device_holds_at_a_site_that_is_paused(site, tmp_path):
    """The reflector asked only what holds for the site, and said "queued" for ever."""
    wanted = small.make(tmp_path / "tree")
    site.admin.albedo("publish", LAYER, wanted)
    wait_until(lambda: site.reflector_status()["parent"]["up"], 30, "the reflector's line")
    devices = site.admin.albedo("devices").document()["devices"]
    site.admin.albedo("pause", "--site", "branch", "--for", "1h", "--why", "month end")
    for device in devices:
        if device["role"] in ("endpoint", "reflector"):
            site.admin.albedo("go", "--device", device["device"], "--for", "1h", "--why", "urgent")
    site.endpoints[0].albedo("pull", LAYER, tmp_path / "target", timeout=60)
    assert tree.compare(wanted, tmp_path / "target") == []


def test_publishing_goes_on_while_the_way_down_is_off(site, tmp_path):
    """The hub's answers to uploads waited for credit that the policy did not give."""
    rules = tmp_path / "rules.json"
    rules.write_text('{"format":1,"rules":[{"name":"nothing-down","scope":"global",'
                     '"direction":"down","mode":"off"}]}')
    site.admin.albedo("policy", "set", rules)
    wanted = small.make(tmp_path / "tree")
    done = site.admin.albedo("publish", LAYER, wanted, "--line", "wan", timeout=60)
    assert done.event("published")["sent_bytes"] > 0
