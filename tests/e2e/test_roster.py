# SPDX-License-Identifier: Apache-2.0
# e2e/test_roster.py – who is there, as the hub says it: real sessions that come and go.

import pytest

from albtest.procs import wait_until
from albtest.site import Site

SECONDS = 30


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path / "site", endpoints=1) as site:
        site.start()
        yield site


def record(site):
    """What the hub says of the reflector."""
    devices = site.admin.albedo("devices").document()["devices"]
    return next(one for one in devices if one["role"] == "reflector")


def test_a_reflector_is_online_until_it_stops_and_the_hub_remembers_where(site):
    wait_until(lambda: record(site)["online"], SECONDS, "the reflector to be online")
    here = record(site)
    assert here["through"] == "hub"
    assert here["since"] > 0
    site.hub.stop()
    site.hub.start()
    wait_until(lambda: record(site)["online"], SECONDS, "the reflector to be back")
    site.reflector.stop()
    wait_until(lambda: not record(site)["online"], SECONDS, "the reflector to be gone")
    wait_until(lambda: record(site).get("went") in ("bye", "lost"), 90, "that to be kept")
    site.hub.stop()
    site.hub.start()
    gone = record(site)
    assert not gone["online"]
    assert gone["where"] == here["where"]
    assert gone["seen"] >= here["since"]


def test_people_see_who_is_online(site):
    wait_until(lambda: record(site)["online"], SECONDS, "the reflector to be online")
    text = site.admin.albedo("devices", plain=True).out
    head = text.splitlines()[0].split()
    assert head[:8] == ["DEVICE", "ROLE", "SITE", "ONLINE", "WHERE", "BY", "THROUGH", "SEEN"]
    row = next(line.split() for line in text.splitlines() if " reflector " in line)
    assert row[3] == "yes"
