# SPDX-License-Identifier: Apache-2.0
# e2e/test_clocks.py – clocks a year off, forwards and backwards, at each program: the message
# points at the clock, and the floor of trusted time keeps a machine going whose clock forgot.

import pytest

from albtest import small
from albtest.clock import days_ahead
from albtest.procs import environment, wait_until
from albtest.rules import said
from albtest.site import Site

DONE, FAILED, USAGE, REFUSED, NOT_FOUND, UNREACHABLE = range(6)
YEAR = 365
BEFORE_ALL = -10 * YEAR  # as a machine whose battery is empty begins


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Endpoint 0 has pulled once, endpoint 1 never has."""
    folder = tmp_path_factory.mktemp("clocks")
    with Site(folder / "site", endpoints=2) as site:
        site.start()
        site.source = small.make(folder / "tree", large=200_000)
        site.admin.albedo("publish", "base/os", site.source)
        site.endpoints[0].albedo("pull", "base/os", folder / "before")
        yield site


def restart(box, shift=None):
    box.stop()
    with environment(shift or {}):
        box.start()


# ---- the endpoint's ----

def test_an_endpoint_whose_clock_is_a_year_ahead_is_told_so(site, tmp_path):
    ahead = days_ahead(tmp_path, YEAR)
    for words in (["status"], ["layers"], ["pull", "base/os", tmp_path / "a", "--wait", "2s"]):
        done = said(site.endpoints[0], *words, env=ahead)
        assert done.code == REFUSED, done
        assert "has expired" in done.err and "clock is ahead" in done.err, done
    assert "EXPIRED" in said(site.endpoints[0], "status", env=ahead).out
    assert not (tmp_path / "a").exists()


def test_an_endpoint_that_saw_nothing_yet_and_is_behind_is_told_so(site, tmp_path):
    behind = days_ahead(tmp_path, BEFORE_ALL)
    for words in (["status"], ["pull", "base/os", tmp_path / "a", "--wait", "2s"]):
        done = said(site.endpoints[1], *words, env=behind)
        assert done.code == REFUSED, done
        assert "not valid yet" in done.err and "clock is behind" in done.err, done


@pytest.mark.parametrize("days", [-YEAR, BEFORE_ALL])
def test_joining_with_a_clock_behind_is_told_so(site, tmp_path, days):
    stranger = site.new_member(f"behind{-days}")
    done = said(stranger, "join", "--hub", site.hub.url, "--token", site.token("endpoint"),
                env=days_ahead(tmp_path, days))
    assert done.code == REFUSED and "clock is behind" in done.err, done


@pytest.mark.parametrize("days", [-YEAR, BEFORE_ALL])
def test_an_endpoint_that_pulled_before_goes_on_by_the_time_it_saw(site, tmp_path, days):
    done = said(site.endpoints[0], "pull", "base/os", tmp_path / "a",
                env=days_ahead(tmp_path, days))
    assert done.code == DONE, done


# ---- the reflector's ----

def test_a_reflector_whose_clock_is_a_year_ahead_says_so_and_so_does_who_asks(site, tmp_path):
    restart(site.reflector, days_ahead(tmp_path, YEAR))
    try:
        done = said(site.endpoints[0], "pull", "base/os", tmp_path / "a", "--wait", "2s")
        assert done.code == REFUSED, done
        assert "our certificate has expired, or its clock is wrong" in done.err, done
        wait_until(lambda: "clock is ahead" in site.reflector.log.read_text(), 10, "its log")
    finally:
        restart(site.reflector)


def test_a_reflector_whose_clock_forgot_goes_on_by_the_time_it_saw(site, tmp_path):
    restart(site.reflector, days_ahead(tmp_path, BEFORE_ALL))
    try:
        wait_until(lambda: site.reflector_status()["parent"]["up"], 20, "the reflector to be up")
        site.endpoints[0].albedo("pull", "base/os", tmp_path / "a")
        assert "clock.behind" in site.reflector.log.read_text()
    finally:
        restart(site.reflector)


# ---- the hub's ----

def test_a_hub_whose_clock_is_a_year_ahead_is_pointed_at(site, tmp_path):
    restart(site.hub, days_ahead(tmp_path, YEAR))
    try:
        done = said(site.admin, "layers")
        assert done.code == REFUSED, done
        assert "clock is behind, or the server's ahead" in done.err, done
        wait_until(lambda: "or the server's ahead" in site.endpoints[0].albedo(
            "status").document()["parent"]["parent"]["why_down"], 20, "the reflector to say why")
        done = said(site.endpoints[1], "pull", "base/os", tmp_path / "a", "--wait", "2s")
        assert done.code == UNREACHABLE
        assert "cannot be reached from this reflector (the server's certificate" in done.err, done
    finally:
        restart(site.hub)


def test_a_hub_whose_clock_is_a_year_behind_is_pointed_at(site, tmp_path):
    restart(site.hub, days_ahead(tmp_path, -YEAR))
    try:
        done = said(site.admin, "publish", "base/os", site.source, "--wait", "2s")
        assert done.code == REFUSED and "its clock may be behind" in done.err, done
        wait_until(lambda: "clock is behind" in site.hub.log.read_text(), 10, "the hub's log")
    finally:
        restart(site.hub)


def test_all_is_well_again_when_the_clocks_are(site, tmp_path):
    site.admin.albedo("publish", "base/os", site.source, "--wait", "20s")
    wait_until(lambda: site.reflector_status()["parent"]["up"], 30, "the reflector to be up")
    site.endpoints[0].albedo("pull", "base/os", tmp_path / "a")


def test_a_hub_that_revoked_while_its_clock_was_ahead_goes_by_the_right_time_again(site, tmp_path):
    lost = site.new_member("lost")
    site.join(lost, site.token("endpoint"))
    device = lost.albedo("status").document()["self"]["device"]
    restart(site.hub, days_ahead(tmp_path, 5))
    site.admin.albedo("revoke", device, env=days_ahead(tmp_path, 5))
    restart(site.hub)
    restart(site.reflector)
    site.admin.albedo("publish", "base/os", site.source, "--wait", "20s")
    assert "clock.behind" not in site.hub.log.read_text()
