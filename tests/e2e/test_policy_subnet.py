# SPDX-License-Identifier: Apache-2.0
# e2e/test_policy_subnet.py – rules taken over from Mirage by subnet hold for who has an address
# in it, whatever its site is called here.

import json
import subprocess

import pytest

from albtest.procs import wait_until
from albtest.site import Site

MIRAGE = "SubnetMaskV4,Site,Download Limit,Upload Limit,Start Time,End Time,Days of Week\n"


def own_address():
    """An IPv4 address that others know this machine by."""
    links = json.loads(subprocess.run(["ip", "-j", "-4", "addr"], capture_output=True,
                                      check=True, timeout=10).stdout)
    for link in links:
        for info in link["addr_info"]:
            if "UP" in link["flags"] and not info["local"].startswith(("127.", "169.254.")):
                return info["local"]
    return pytest.skip("this machine has no address of its own")


def ceiling(member, *words):
    return member.albedo("policy", "explain", *words).document()["lines"][0]["now"]["ceiling_bps"]


def test_a_subnets_rule_from_mirage_holds_for_who_has_an_address_in_it(tmp_path):
    table = tmp_path / "mirage.csv"
    table.write_text(f"{MIRAGE}0.0.0.0/0,,2000,,,,\n{own_address()}/32,,500,,,,\n")
    with Site(tmp_path / "site", endpoints=1) as site:
        site.start()
        site.admin.albedo("policy", "set", table)
        member = site.endpoints[0]
        wait_until(lambda: ceiling(member) == 4_000_000, 10, "the subnet's rule to hold here")
        assert ceiling(member, "--site", "elsewhere") == 16_000_000, "the rule for all"
