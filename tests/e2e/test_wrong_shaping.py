# SPDX-License-Identifier: Apache-2.0
# e2e/test_wrong_shaping.py – what people type wrong about rates and rules: each is told what, where
# and what to do, and nothing changes.
#
# Where the rest of what can be wrong about shaping is tried (`unit/` is tests/unit):
#
#   peer ignores credit, sends more than granted    unit/net/test_http_overrun.c: the session ends,
#       as corrupt; test_hostile.py "more than was granted"; nginx, which knows credit alone:
#       test_foreign.py
#   lies in its stamps    unit/transfer/test_upstream_bulk.c: it harms itself while it lies;
#       unit/shaper/test_law.c; unit/wire/test_stamp.c and fuzz_stamp for what is no stamp at all;
#       test_hostile.py "stamps" for floods
#   grants nothing for ever    unit/transfer/test_upstream_bulk.c: an upload is given up after a
#       minute; unit/transfer/test_serve_narrow.c, test_hostile.py: a reader without window
#   probe blocked    test_probe_path.py: PING instead; unit/shaper/test_probe.c
#   probe spoofed, replayed    test_probe_path.py, test_probe_port.py; unit/shaper/test_probe.c and
#       test_probe_responder.c

import pytest

from albtest.rules import said, written
from albtest.site import Site, program

DONE, FAILED, USAGE = range(3)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("wrong"), endpoints=0) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        site.start_reflector(site.reflector)
        yield site
        for box in (site.hub, site.reflector):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


def in_force(site):
    return site.admin.albedo("policy", "show").document()["policy"]["number"]


def rule(mode, **more):
    return {"name": "r", "scope": "global", "mode": mode} | more


PACKET = ("less than one packet of 1500 bytes a second moves nothing: say at least 12kbit; a rule "
          "with mode off stops everything")
NO_RATE = "0 is no rate: leave it out for no limit; a rule with mode off stops everything"
WRONG = {
    # rate 0, and below a packet a second
    "rate 0": (rule("capped", rate="0"), f'rule 1 (r): rate "0": {NO_RATE}'),
    "rate 0bit": (rule("capped", rate="0bit"), f'rule 1 (r): rate "0bit": {NO_RATE}'),
    "ceiling 0": (rule("scavenge", ceiling="0Mbit"), f'ceiling "0Mbit": {NO_RATE}'),
    "floor 0": (rule("scavenge", floor="0"), f'floor "0": {NO_RATE}'),
    "percent 0": (rule("scavenge", percent=0), "(for none of it, say mode off)"),
    "a byte below a packet": (rule("capped", rate="11999bit"), f'rate "11999bit": {PACKET}'),
    "a ceiling below a packet": (rule("full", ceiling="1kbit"), f'ceiling "1kbit": {PACKET}'),
    "a floor below a packet": (rule("scavenge", floor="1B"), f'floor "1B": {PACKET}'),
    # absurd
    "a rate of no link": (rule("capped", rate="1001Gbit"), "no link has more than 1000Gbit"),
    "a rate beyond all numbers": (rule("capped", rate="99999999999999999999Gbit"), "rate \"9999"),
    "a negative rate": (rule("capped", rate="-1Mbit"), 'rate "-1Mbit": '),
    "a rate without unit": (rule("capped", rate="2"), "a rate needs a unit"),
    "a rate that is a number": (rule("capped", rate=2000000), "rule 1 (r): rate"),
    "more than all": (rule("scavenge", percent=101), "a whole number from 1 to 100"),
    "no queue at all": (rule("scavenge", max_queue="0ms"), "1ms to 1000ms, in whole ms"),
    "a queue of minutes": (rule("scavenge", max_queue="2m"), "1ms to 1000ms, in whole ms"),
    "hours of no clock": (rule("off", hours="25:00-26:00"), "hh:mm-hh:mm between 00:00 and 24:00"),
    "no hours": (rule("off", hours="08:00-08:00"), "the hours end as they begin"),
    "a day that never was": (rule("off", dates="2026-02-30"), "there is no such date"),
    "dates that run backwards": (rule("off", dates="2026-03-02..2026-03-01"),
                                 "the last day is before the first"),
    # contradictory
    "off, and yet a ceiling": (rule("off", ceiling="1Mbit"), "mode off stops everything: it takes"),
    "off, and yet a queue": (rule("off", max_queue="5ms"), "mode off stops everything: it takes"),
    "scavenging at a rate": (rule("scavenge", rate="1Mbit"), "a rate is mode capped's"),
    "full, and yet yielding": (rule("full", max_queue="5ms"), "it does not yield"),
    "capped at nothing": (rule("capped"), 'mode capped needs a rate, as in "rate": "2Mbit"'),
    "a floor above the ceiling": (rule("scavenge", floor="2Mbit", ceiling="1Mbit"),
                                  "the floor, 2.0 Mbit/s, is above the ceiling, 1.0 Mbit/s"),
    "a link's LAN": (rule("off", scope="link:mpls", place="lan"), "a link is a WAN's"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_refused_with_its_place_its_fault_and_what_is_allowed(site, tmp_path, name):
    wrong, words = WRONG[name]
    path = written(tmp_path, {"format": 1, "zone": "UTC", "rules": [wrong]})
    before = in_force(site)
    for command in ("check", "set"):
        done = said(site.admin, "policy", command, path)
        assert done.code == USAGE, done
        assert f"{path}: error: rule 1" in done.out + done.err, done
        assert words in done.out + done.err, done
    assert in_force(site) == before


def test_two_rules_of_one_name_and_a_subnet_of_two_sites_are_refused(site, tmp_path):
    path = written(tmp_path, {"format": 1, "zone": "UTC", "rules": [rule("off"), rule("full")],
                              "sites": [{"name": "a", "subnets": ["10.0.0.0/8"]},
                                        {"name": "b", "subnets": ["10.9.9.9/8"]}]})
    done = said(site.admin, "policy", "set", path)
    assert done.code == USAGE
    for words in ("rule 2 (r): rule 1 has the same name",
                  "subnet 10.0.0.0/8 is given twice: to site a and to site b"):
        assert words in done.out + done.err, done


def test_rules_that_overlap_or_never_hold_are_pointed_out_and_the_first_one_wins(site, tmp_path):
    week = {"scope": "site:branch", "days": "mon-fri"}
    path = written(tmp_path, {"format": 1, "zone": "UTC", "sites": [{"name": "branch"}], "rules": [
        rule("off", **week) | {"name": "one"},
        rule("full", **week) | {"name": "two"},
        rule("capped", rate="2Mbit", scope="site:branch", hours="22:00-06:00") | {"name": "late"},
        rule("off", scope="site:brnach") | {"name": "typo"}]})
    for command in ("check", "set"):
        done = said(site.admin, "policy", command, path)
        assert done.code == DONE, done
        for words in ("warning: rule 2 (two) can never match: rule 1 (one) covers it",
                      "warning: rule 3 (late) overlaps rule 1 (one), from mon 00:00 on, and "
                      "differs; where both hold, the earlier rule wins",
                      "warning: rule 4 (typo): site brnach is not among this policy's sites"):
            assert words in done.out + done.err, done
    asked = ("policy", "explain", "--site", "branch", "--at", "2026-11-25T23:00Z")
    assert site.admin.albedo(*asked).document()["lines"][0]["now"]["name"] == "one"


@pytest.mark.parametrize("limits, words", [
    ("0,", 'line 2: Download Limit "0"'),
    ("1,", 'line 2: Download Limit "1"'),
    (",-5", 'line 2: Upload Limit "-5"'),
    ("999999999999,", 'line 2: Download Limit "999999999999"'),
])
def test_a_limit_that_is_none_in_mirages_table_is_told_by_line(site, tmp_path, limits, words):
    path = written(tmp_path, "SubnetMaskV4,Site,Download Limit,Upload Limit,Start Time,End Time,"
                             f"Days of Week\n10.1.0.0/16,,{limits},08:00,18:00,\n", "mirage.csv")
    done = said(site.admin, "policy", "set", path, "--zone", "UTC")
    assert done.code == USAGE, done
    assert words in done.out + done.err, done
    assert "a whole number of kilobytes per second, 2 to 125000000" in done.out + done.err, done


@pytest.mark.parametrize("limit, words", [
    ("down=0", f'down "0": {NO_RATE}'), ("up=11kbit", f'up "11kbit": {PACKET}'),
    ("down=2000Gbit", "no link has more than 1000Gbit"), ("up=fast", 'up "fast": ')])
def test_a_site_whose_line_has_a_rate_that_is_none_is_refused(site, limit, words):
    done = said(site.admin, "site", "add", "oslo", limit)
    assert done.code == USAGE, done
    assert words in done.out + done.err, done
    listed = site.admin.albedo("site", "list").document()["sites"]
    assert "oslo" not in [one["name"] for one in listed]


# ---- configuration files ------------------------------------------------------------------------

@pytest.mark.parametrize("option, words", [
    ("wan_down = 0", 'wan_down: "0": below 12kbit, one packet a second, nothing gets through'),
    ("wan_down = 0Mbit", 'wan_down: "0Mbit": below 12kbit'),
    ("wan_up = 11kbit", "to stop all, use the policy (albedo pause)"),
    ("lan_rate = 1B", 'lan_rate: "1B": below 12kbit'),
    ("wan_down = 2000Gbit", "no line has more than 1000Gbit"),
    ("wan_up = -1Mbit", 'wan_up: "-1Mbit": '),
    ("lan_rate = 5", 'lan_rate: "5": a rate needs a unit'),
])
def test_a_reflector_with_a_wrong_limit_says_which_and_ends(site, tmp_path, option, words):
    refused(site, site.reflector, tmp_path, option, words)


@pytest.mark.parametrize("option, words", [
    ("link_rate = 0", 'link_rate: "0": below 12kbit'),
    ("link_rate = 11kbit", "to stop all, use the policy (albedo pause)"),
])
def test_a_hub_with_a_wrong_limit_says_which_and_ends(site, tmp_path, option, words):
    refused(site, site.hub, tmp_path, option, words)


def refused(site, box, folder, option, words):
    """Its own file and one line more, beside the one that runs."""
    good = (box.data / f"{box.kind}.conf").read_text()
    path = folder / f"{box.kind}.conf"
    path.write_text(f"{good.rstrip()}\n{option}\n")
    line = len(path.read_text().splitlines())
    argv = [program(box.program), "serve", "--config", path]
    done = site.run_on(box.host, argv, "wrong").wait(20)
    assert done.code == USAGE, done
    assert f"{path}:{line}: " in done.err and words in done.err, done

