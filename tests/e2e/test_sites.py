# SPDX-License-Identifier: Apache-2.0
# e2e/test_sites.py – the directory of branches from an admin's file or keyboard to the policy that
# everybody obeys: judged as a whole, numbered, never half taken, and asked who is where.

import json
import re
import time
from datetime import datetime, timedelta

import pytest

from albtest.procs import wait_until
from albtest.rules import said, written
from albtest.site import Site

DONE, FAILED, USAGE, REFUSED, NOT_FOUND = range(5)

NORTH = {"format": 1, "sites": [
    {"name": "norway", "zone": "Europe/Oslo", "use": "always"},
    {"name": "branch", "parent": "norway", "subnets": ["10.1.0.0/16", "2001:db8:1::/48"],
     "gateways": ["52:54:00:00:00:01"], "link": "mpls", "down": "20Mbit", "up": "5Mbit"},
    {"name": "quay", "parent": "branch", "subnets": ["10.1.7.0/24"], "note": "by the water, left"},
]}


def exported(site, *more):
    done = said(site.admin, "site", "export", *more)
    assert done.code == DONE, done
    return done.out


def listed(site):
    return site.admin.albedo("site", "list").document()


def stamp(text):
    return datetime.fromisoformat(text.removeprefix("time=").removesuffix("Z"))


def policy(member):
    return member.albedo("policy", "show").document()["policy"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """hub ─ reflector, and an endpoint there; everybody is at the site "branch"."""
    with Site(tmp_path_factory.mktemp("sites"), endpoints=1) as site:
        site.start()
        yield site
        for box in (site.hub, site.reflector):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


@pytest.fixture
def north(site, tmp_path):
    """The directory above is in force."""
    site.admin.albedo("site", "import", written(tmp_path, NORTH, "north.json"), "--yes")
    return site


# ---- before there is one -------------------------------------------------------------------------

def test_without_a_directory_a_draft_names_those_that_members_are_at(site):
    assert listed(site)["number"] == 0
    draft = json.loads(exported(site))
    assert draft == {"format": 1, "sites": [{"name": "branch"}]}
    done = said(site.admin, "site", "list")
    assert "there is no directory yet" in done.err and "branch" in done.out, done


def test_a_policy_that_no_directory_can_say_is_told_of(site, tmp_path):
    many = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(1025)]
    document = {"format": 1, "sites": [{"name": "quay", "subnets": many}]}
    site.admin.albedo("policy", "set", written(tmp_path, document))
    done = said(site.admin, "site", "list")
    assert done.code != DONE and "a site has at most 1024 subnets" in done.out, done
    told = site.admin.albedo("site", "list", code=done.code).event("sites_checked")
    assert told["errors"] == 1, told
    site.admin.albedo("policy", "set", written(tmp_path, {"format": 1, "rules": []}))
    assert said(site.admin, "site", "list").code == DONE


# ---- files ---------------------------------------------------------------------------------------

def test_what_is_exported_can_be_imported_and_changes_nothing(north, tmp_path):
    for name, more in (("again.json", ()), ("again.csv", ("--csv",))):
        path = written(tmp_path, exported(north, *more), name)
        done = said(north.admin, "site", "import", path)
        assert done.code == DONE and "nothing changed" in done.out, done
        assert exported(north, *more) == path.read_text()
    document = json.loads(exported(north))
    assert {s["name"] for s in document["sites"]} == {"norway", "branch", "quay"}
    assert north.admin.albedo("site", "export").document() == document


def test_an_edit_comes_out_of_the_next_export(north, tmp_path):
    before = exported(north)
    number = listed(north)["number"]
    done = said(north.admin, "site", "set", "quay", "note=",
                "subnets=10.1.8.0/24,2001:db8:1:8::/64")
    assert done.code == DONE and f"directory {number + 1}" in done.out, done
    quay = north.admin.albedo("site", "show", "quay").document()
    assert quay["site"] == {"name": "quay", "parent": "branch",
                            "subnets": ["10.1.8.0/24", "2001:db8:1:8::/64"]}
    assert quay["holds"]["use"] == "always" and quay["holds"]["zone"] == "Europe/Oslo"
    done = said(north.admin, "site", "import", written(tmp_path, before))
    assert "changed  quay: subnets 10.1.8.0/24 2001:db8:1:8::/64 → 10.1.7.0/24" in done.out, done
    assert exported(north) == before


def test_a_dry_run_says_what_would_change_and_changes_nothing(north, tmp_path):
    before = exported(north)
    wanted = {**NORTH, "sites": NORTH["sites"][:2] + [{"name": "rome"}]}
    done = said(north.admin, "site", "import", written(tmp_path, wanted, "sites.json"), "--dry-run")
    assert done.code == DONE, done
    assert "added    rome" in done.out and "removed  quay" in done.out, done
    assert "1 added, 0 changed, 1 removed: the hub would take it" in done.out, done
    done = north.admin.albedo("site", "import", tmp_path / "sites.json", "--dry-run")
    told = done.event("sites_imported")
    assert (told["added"], told["altered"], told["removed"]) == (["rome"], [], ["quay"])
    assert exported(north) == before


def test_a_file_that_removes_many_is_taken_only_with_yes(north, tmp_path):
    path = written(tmp_path, {**NORTH, "sites": NORTH["sites"][:2]})
    done = said(north.admin, "site", "import", path)
    assert done.code == REFUSED and "removes 1 of 3 sites" in done.err and "--yes" in done.err, done
    assert len(listed(north)["sites"]) == 3
    assert said(north.admin, "site", "import", path, "--yes").code == DONE
    assert len(listed(north)["sites"]) == 2


@pytest.mark.parametrize("text, says", [
    ("name,parent\nbranch,a\na,branch\n",
     "line 3 (site a): its parents lead back to it: a → branch → a"),
    ("name,parent\nbranch,nowhere\n", "line 2 (site branch): there is no site nowhere"),
    ("name,subnets\nbranch,10.0.0.0/8\nb,10.0.0.0/8\n",
     "line 3 (site b): subnet 10.0.0.0/8 is that of line 2 (site branch) already"),
    ("name,gateways\nbranch,52:54:00:00:00:01\nb,52-54-00-00-00-01\n",
     "line 3 (site b): gateway 52:54:00:00:00:01 is that of line 2 (site branch) already"),
    ("name,reflectors\nbranch,r\nb,r\n",
     "line 3 (site b): reflector r is that of line 2 (site branch) already"),
    ("name\nbranch\nbranch\n", "line 3 (site branch): line 2 (site branch) has the same name"),
    ("name,zone\nbranch,Mars/Olympus\n", 'line 2 (site branch): there is no time zone "Mars'),
    ("name,subnets\nbranch,10.0.0.0/8\nb,10.0.0.300/8\n", "line 3 (b): subnets"),
    ('{"format":1,"sites":[\n{"name":"branch"},\n{"name":"b","colour":"red"}]}',
     'line 3 (b): a site has no "colour"'),
    ("{", "this is no JSON"),
    ("", "neither JSON nor a table"),
])
def test_a_wrong_file_is_refused_with_its_line_and_changes_nothing(north, tmp_path, text, says):
    before = exported(north)
    for more in ((), ("--dry-run",)):
        done = said(north.admin, "site", "import", written(tmp_path, text, "wrong"), *more)
        assert done.code == USAGE, done
        assert f"{tmp_path / 'wrong'}: error: " in done.out and says in done.out, done
        assert "nothing was changed" in done.err, done
    assert exported(north) == before


def test_all_that_is_wrong_is_told_at_once_also_as_json(north, tmp_path):
    path = written(tmp_path, "name,zone,subnets\na,Mars/A,x\nb,Mars/B,10.0.0.0/8\nc,,10.0.0.0/8\n")
    checked = north.admin.albedo("site", "import", path, code=USAGE).event("sites_checked")
    assert checked["errors"] == 4
    for line in (2, 3, 4):
        assert any(f["text"].startswith(f"line {line} ") for f in checked["findings"]), checked
    done = said(north.admin, "site", "import", tmp_path / "none")
    assert done.code == NOT_FOUND and "none" in done.err, done


# ---- edits ---------------------------------------------------------------------------------------

def test_a_wrong_edit_is_refused_and_says_what_is_allowed(north):
    before = exported(north)
    for words, code, says in [
            (("set", "rome", "zone=Europe/Rome"), NOT_FOUND, "there is no site rome"),
            (("remove", "rome"), NOT_FOUND, "there is no site rome"),
            (("show", "rome"), NOT_FOUND, "there is no site rome"),
            (("add", "quay"), FAILED, "there is a site quay already"),
            (("add", "Rome"), USAGE, "an id begins with"),
            (("set", "quay", "zone=Mars/Olympus"), USAGE, 'there is no time zone "Mars'),
            (("set", "quay", "up=1Mbit", "up=2Mbit"), USAGE, "up is said twice"),
            (("set", "quay", "colour=red"), USAGE, 'a site has no "colour"'),
            (("set", "quay", "zone"), USAGE, "KEY=VALUE"),
            (("set", "quay", "name=pier"), USAGE, "a site keeps its name"),
            (("set", "quay", "subnets=10.1.0.0/16"), USAGE, "that of site branch already"),
            (("set", "norway", "parent=quay"), USAGE, "its parents lead back to it"),
            (("set", "quay", "use=never"), USAGE, "use is always, prefer or direct"),
            (("remove", "norway"), USAGE, "there is no site norway to be its parent"),
            (("remove", "branch"), USAGE, "there is no site branch to be its parent"),
    ]:
        done = said(north.admin, "site", *words)
        assert done.code == code and says in done.out + done.err, done
    assert exported(north) == before


def test_what_an_edit_brings_upon_others_is_told(north, tmp_path):
    rules = [{"name": "slow", "scope": "link:mpls", "mode": "capped", "rate": "2Mbit"}]
    north.admin.albedo("policy", "set", written(tmp_path, {"format": 1, "rules": rules}))
    done = said(north.admin, "site", "set", "branch", "link=radio")
    assert done.code == DONE and "rule 1 (slow) can never match" in done.err, done
    done = said(north.admin, "site", "set", "branch", "link=mpls")
    assert done.code == DONE and "warning" not in done.err, done
    told = north.admin.albedo("site", "set", "branch", "link=radio").event("site_set")
    assert len(told["warnings"]) == 1 and "can never match" in told["warnings"][0], told
    told = north.admin.albedo("site", "import", tmp_path / "north.json").event("sites_imported")
    assert told["warnings"] == [], told
    told = north.admin.albedo("site", "add", "pier", "subnets=10.1.7.128/25").event("site_added")
    assert ["site pier: subnet 10.1.7.128/25 lies inside 10.1.7.0/24 of site quay"
            in text for text in told["warnings"]] == [True], told
    done = said(north.admin, "site", "set", "pier", "subnets=10.0.0.0/8")
    assert done.code == DONE and "site branch: subnet 10.1.0.0/16 lies inside" in done.err, done
    done = said(north.admin, "site", "set", "norway", "note=known by now")
    assert done.code == DONE and "warning" not in done.err, done
    north.admin.albedo("policy", "set", written(tmp_path, {"format": 1, "rules": []}))


def test_a_site_in_which_somebody_is_cannot_be_removed(north):
    assert said(north.admin, "site", "set", "quay", "parent=norway").code == DONE
    done = said(north.admin, "site", "remove", "branch")
    assert done.code == REFUSED, done
    assert "site branch is not in this directory, but there are device" in done.err, done
    assert north.admin.albedo("devices").document()["devices"][0]["device"], done
    branch = [m for m in listed(north)["members"] if m["site"] == "branch"]
    assert branch[0]["devices"] == 2 and branch[0]["reflectors"] == 1, branch
    assert said(north.admin, "site", "remove", "quay").code == DONE


def test_a_token_is_only_for_a_site_that_there_is(north):
    done = said(north.admin, "token", "create", "--role", "endpoint", "--site", "brnach")
    assert done.code == NOT_FOUND and "there is no site brnach" in done.err, done
    assert said(north.admin, "token", "create", "--role", "endpoint", "--site", "quay").code == DONE
    done = said(north.admin, "site", "remove", "quay")
    assert done.code == REFUSED and "token" in done.err, done
    for token in north.admin.albedo("token", "list").document()["tokens"]:
        if token["site"] == "quay":
            north.admin.albedo("token", "revoke", token["token"])
    assert said(north.admin, "site", "remove", "quay").code == DONE


def test_who_is_no_admin_neither_sees_nor_changes_sites(north, tmp_path):
    path = written(tmp_path, {**NORTH, "sites": NORTH["sites"][:2]})
    for words in (("list",), ("export",), ("find", "10.1.7.9"), ("add", "mine"),
                  ("set", "branch", "note=mine"), ("remove", "quay"), ("import", path, "--yes")):
        done = said(north.endpoints[0], "site", *words)
        assert done.code == REFUSED and "may not do that" in done.err, done
    assert len(listed(north)["sites"]) == 3


def test_changing_the_directory_stands_in_the_audit_log(north):
    north.admin.albedo("site", "set", "quay", "note=audited")
    number = listed(north)["number"]
    audit = (north.hub.data / "audit.log").read_text()
    assert re.search(rf"what=sites number={number} sites=3 sha256=[0-9a-f]{{64}}", audit)


# ---- one truth -----------------------------------------------------------------------------------

def test_a_change_is_in_everybodys_policy_within_a_second(north):
    seen = len(north.reflector.daemon.log_text())
    north.admin.albedo("site", "set", "quay", f"note={time.monotonic()}", "link=radio")
    came = north.reflector.daemon.wait_line(r"time=(\S+) .*event=policy\.new name=policy",
                                            timeout=30, after=seen)
    # By the daemons' own clocks, which stamp whole seconds: ours waits for processes to start.
    signed = re.search(rf"(\S+) .*what=sites number={listed(north)['number']} ",
                       (north.hub.data / "audit.log").read_text())
    assert stamp(came[1]) - stamp(signed[1]) <= timedelta(seconds=1)
    sites = {s["name"]: s for s in policy(north.endpoints[0])["document"]["sites"]}
    assert sites["quay"]["link"] == "radio" and sites["quay"]["zone"] == "Europe/Oslo"
    assert sites["branch"]["subnets"] == ["10.1.0.0/16", "2001:db8:1::/48"]


def test_a_policy_may_leave_its_sites_out_but_not_say_other_things(north, tmp_path):
    rules = [{"name": "office", "scope": "site:quay", "mode": "off"}]
    north.admin.albedo("policy", "set", written(tmp_path, {"format": 1, "rules": rules}))
    document = policy(north.admin)["document"]
    assert [s["name"] for s in document["sites"]] == ["branch", "norway", "quay"]
    said_by_site = north.admin.albedo("policy", "explain", "--site", "quay").document()
    assert said_by_site["lines"][0]["zone"] == "Europe/Oslo"
    again = north.admin.albedo("policy", "set", written(tmp_path, document)).document()
    assert again["changed"] is False
    rules[0]["scope"] = "site:qauy"
    done = said(north.admin, "policy", "set", written(tmp_path, {"format": 1, "rules": rules}))
    assert done.code == DONE and "site qauy is not among this policy's sites" in done.err, done
    north.admin.albedo("policy", "set", written(tmp_path, document))
    other = {**document, "sites": [{"name": "quay", "zone": "Europe/Rome"}]}
    done = said(north.admin, "policy", "set", written(tmp_path, other))
    assert done.code == USAGE and "site quay has another zone there" in done.err, done
    assert "albedo site export" in done.err, done
    assert policy(north.admin)["document"] == document


def test_a_hub_that_starts_again_has_the_directory_still(north):
    before, number = exported(north), listed(north)["number"]
    north.hub.stop()
    north.hub.start()
    wait_until(lambda: said(north.admin, "site", "list").code == DONE, 10, "the hub to be back")
    assert exported(north) == before and listed(north)["number"] == number


# ---- who is where --------------------------------------------------------------------------------

def test_find_says_which_site_and_why(north):
    done = said(north.admin, "site", "find", "10.1.7.9")
    assert done.code == DONE and "site quay: 10.1.7.0/24 is the narrowest subnet" in done.out, done
    assert "above         branch" in done.out and "use always" in done.out, done
    found = north.admin.albedo("site", "find", "10.1.7.9", "--gateway",
                               "52-54-00-00-00-01").document()
    assert (found["site"], found["why"], found["subnet_site"]) == ("branch", "gateway", "quay")
    assert found["above"] == ["norway"]
    found = north.admin.albedo("site", "find", "2001:db8:1::7").document()
    assert (found["site"], found["subnet"]) == ("branch", "2001:db8:1::/48")
    done = said(north.admin, "site", "find", "192.0.2.1", "--gateway", "52:54:00:00:00:09")
    assert done.code == NOT_FOUND and "is at no site" in done.err, done
    assert said(north.admin, "site", "find", "10.1.7").code == USAGE
    assert said(north.admin, "site", "find", "10.1.7.9", "--gateway", "x").code == USAGE
