# SPDX-License-Identifier: Apache-2.0
# e2e/test_policy_view.py – what an operator is told of policies: what holds a pull, which rule a
# rate comes from, which overrides hold, what would hold elsewhere and at another time.

import json
import os
import subprocess

import pytest

from albtest.procs import wait_until
from albtest.rules import office, said, written
from albtest.site import Site, program

DONE, USAGE = 0, 2

OFFICE = office(link="mpls")


def parent_policy(member):
    return member.albedo("status").document()["parent"]["policy"]


def set_policy(site, folder, document):
    number = site.admin.albedo("policy", "set", written(folder, document)).document()["number"]
    wait_until(lambda: parent_policy(site.endpoints[0])["number"] == number, 20, "the policy")
    return number


def published(site, folder, layer, size=300_000):
    tree = folder / layer.replace("/", "-")
    tree.mkdir()
    (tree / "file").write_bytes(os.urandom(size))
    site.admin.albedo("publish", layer, tree)
    return tree


def ends_well(pull, tree, target):
    done = pull.wait(60)
    assert done.code == DONE, done
    assert (target / "file").read_bytes() == (tree / "file").read_bytes()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("view"), endpoints=1) as site:
        site.start()
        site.reflector.stop()  # all is on one machine here, so its line would be taken for a LAN
        with open(site.reflector.data / "reflector.conf", "a", encoding="utf-8") as conf:
            conf.write("parent_line = wan\n")
        site.reflector.start()
        yield site
        for box in (site.hub, site.reflector):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


def events(pull, name):
    lines = [json.loads(line) for line in pull.output().split("\n")[:-1]]
    return [line for line in lines if line.get("event") == name]


# ---- a pull that is stopped ----------------------------------------------------------------------

def test_a_pull_that_a_rule_stops_says_which_and_until_when(site, tmp_path):
    tree = published(site, tmp_path, "view/closed")
    set_policy(site, tmp_path, {**OFFICE, "rules": [
        {"name": "closed", "scope": "global", "place": "both", "mode": "off"}]})
    pull = site.endpoints[0].start("pull", "view/closed", tmp_path / "target")
    wait_until(lambda: events(pull, "held"), 20, "the pull to say that it is held")
    held = events(pull, "held")[0]
    assert (held["line"], held["by"], held["rule"], held["name"]) == ("own", "rule", 1, "closed")
    assert held["text"] == "paused by rule 1 (closed), and nothing says until when"
    wait_until(lambda: events(pull, "progress")[-1].get("held"), 10, "progress to say so, too")
    set_policy(site, tmp_path, OFFICE)
    ends_well(pull, tree, tmp_path / "target")
    assert events(pull, "released") and len(events(pull, "held")) == 1


def test_a_pull_that_somebody_paused_says_who_why_and_how_to_end_it(site, tmp_path):
    set_policy(site, tmp_path, OFFICE)
    tree = published(site, tmp_path, "view/paused")
    done = site.admin.albedo("pause", "--site", "branch", "--for", "2h", "--why", "trading day")
    override = done.document()["id"]
    wait_until(lambda: parent_policy(site.endpoints[0])["in_force_count"] == 1, 20, "the pause")
    pull = site.endpoints[0].start("pull", "view/paused", tmp_path / "target", plain=True)
    wait_until(lambda: "paused by" in pull.errors(), 20, "the pull to say so")
    said(site.admin, "resume", override)
    ends_well(pull, tree, tmp_path / "target")
    told = [line for line in pull.errors().splitlines() if "paused by" in line]
    assert len(told) == 1, told
    assert "asking: paused by admin" in told[0] and ": 'trading day', until " in told[0]
    assert "(Europe/Oslo)" in told[0] and f"`albedo resume {override}` ends it" in told[0]
    assert "the policy lets it go on" in pull.errors()


def test_a_pull_whose_reflector_may_fetch_nothing_says_that_it_is_the_branchs_line(site, tmp_path):
    set_policy(site, tmp_path, {**OFFICE, "rules": [
        {"name": "no-wan", "scope": "site:branch", "place": "wan", "mode": "off"}]})
    tree = published(site, tmp_path, "view/wan")
    pull = site.endpoints[0].start("pull", "view/wan", tmp_path / "target")
    wait_until(lambda: events(pull, "held"), 20, "the pull to say that it is held")
    held = events(pull, "held")[0]
    assert (held["line"], held["name"]) == ("branch", "no-wan")
    assert held["text"].startswith("the branch's line to its hub: paused by rule 1 (no-wan)")
    set_policy(site, tmp_path, OFFICE)
    ends_well(pull, tree, tmp_path / "target")


def test_a_publication_that_the_policy_stops_says_so(site, tmp_path):
    set_policy(site, tmp_path, {**OFFICE, "rules": [
        {"name": "no-up", "scope": "global", "place": "both", "direction": "up", "mode": "off"}]})
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(300_000))
    publish = site.admin.start("publish", "view/up", tmp_path / "tree", plain=True)
    wait_until(lambda: "paused by" in publish.errors(), 20, "the publication to say so")
    assert "sending: paused by rule 1 (no-up), and nothing says until when" in publish.errors()
    set_policy(site, tmp_path, OFFICE)
    assert publish.wait(60).code == DONE


# ---- rates ---------------------------------------------------------------------------------------

def test_explain_rate_names_the_rule_that_holds_and_the_next_one(site, tmp_path):
    set_policy(site, tmp_path, OFFICE)
    line = site.endpoints[0].albedo("explain", "rate").document()["line"]["down"]["policy"]
    names = {1: "office", 2: "night"}
    assert line["by"] == "rule" and line["name"] == names[line["rule"]]
    assert line["holds"].startswith(f"rule {line['rule']} ({line['name']}): ")
    other = 3 - line["rule"]
    assert f"rule {other} ({names[other]})" in line["next"] and line["next_wall_s"] > 0
    text = said(site.endpoints[0], "explain", "rate").out
    assert f"policy     {line['holds']}" in text and f"then       {line['next']}" in text


def test_explain_rate_names_the_rule_of_an_endpoints_own_line(site, tmp_path):
    set_policy(site, tmp_path, {**OFFICE, "rules": [*OFFICE["rules"], {
        "name": "within", "scope": "global", "place": "lan", "mode": "capped", "rate": "50Mbit"}]})
    own = site.endpoints[0].albedo("explain", "rate").document()["own"]
    assert own["kind"] == "lan" and own["down"]["name"] == "within"
    text = said(site.endpoints[0], "explain", "rate").out
    assert "the line of this endpoint itself, a LAN" in text
    assert "rule 3 (within): capped, 50.0 Mbit/s" in text
    at_hub = site.endpoints[0].albedo("explain", "rate", "--at-hub").document()["own"]
    assert at_hub["kind"] == "wan" and at_hub["down"]["name"] in ("office", "night")
    assert "own" not in site.admin.albedo("explain", "rate").document()


# ---- status --------------------------------------------------------------------------------------

def test_status_says_how_many_overrides_hold_and_which(site, tmp_path):
    number = set_policy(site, tmp_path, OFFICE)
    for member in (site.admin, site.endpoints[0]):
        text = said(member, "status").out
        assert f"number {number}, 2 rules" in text and "none in force" in text
    first = site.admin.albedo("pause", "--all", "--for", "2h", "--why", "freeze").document()["id"]
    site.admin.albedo("go", "--site", "branch", "--for", "1h", "--why", "one fix")
    wait_until(lambda: parent_policy(site.endpoints[0])["in_force_count"] == 2, 20, "both")
    for member in (site.admin, site.endpoints[0]):
        text = said(member, "status").out
        assert "2 in force" in text and f"{first}: pause global until " in text
        assert "go site:branch until " in text and ", by admin" in text and ": one fix" in text
    said(site.admin, "resume", "--all")
    wait_until(lambda: parent_policy(site.endpoints[0])["in_force_count"] == 0, 20, "neither")


# ---- elsewhere, and at another time --------------------------------------------------------------

SCOPES = {"format": 1, "zone": "UTC",
          "sites": [{"name": "branch", "zone": "Europe/Oslo", "link": "mpls"}, {"name": "other"}],
          "rules": [{"name": "till", "scope": "client:till-7", "mode": "full"},
                    {"name": "base", "scope": "job:base", "mode": "capped", "rate": "1Mbit"},
                    {"name": "hours", "scope": "site:branch", "hours": "08:00-18:00",
                     "mode": "off"},
                    {"name": "line", "scope": "link:mpls", "mode": "capped", "rate": "2Mbit"},
                    {"name": "rest", "scope": "global", "mode": "capped", "rate": "3Mbit"}]}


@pytest.mark.parametrize("words, rule, name", [
    (["--site", "branch", "--device", "till-7"], 1, "till"),
    (["--site", "branch", "--layer", "base/os"], 2, "base"),
    (["--site", "branch"], 3, "hours"),
    (["--site", "other"], 5, "rest"),
    ([], 5, "rest"),
])
def test_what_would_hold_is_told_for_each_scope(site, tmp_path, words, rule, name):
    set_policy(site, tmp_path, SCOPES)
    answer = site.admin.albedo("policy", "explain", *words, "--at", "2026-12-01T09:00").document()
    now = answer["lines"][0]["now"]
    assert (now["source"], now["rule"], now["name"]) == ("rule", rule, name)
    text = said(site.admin, "policy", "explain", *words, "--at", "2026-12-01T09:00").out
    assert f"now   rule {rule} ({name}): " in text
    if name == "hours":
        following = answer["lines"][0]["next"]
        assert (following["rule"], following["name"]) == (4, "line")
        assert "then  at Tue 2026-12-01 18:00 (Europe/Oslo): rule 4 (line): " in text


def test_what_holds_on_a_link_is_told_and_what_comes_next(site, tmp_path):
    two = [*SCOPES["sites"], {"name": "tokyo", "zone": "Asia/Tokyo", "link": "mpls"}]
    by_day = {"name": "line-by-day", "scope": "link:mpls", "hours": "08:00-18:00",
              "mode": "capped", "rate": "1Mbit"}
    set_policy(site, tmp_path, {**SCOPES, "sites": two, "rules": [by_day, *SCOPES["rules"]]})
    asked = ("policy", "explain", "--link", "mpls", "--at", "2026-12-01T06:00Z")
    answer = site.admin.albedo(*asked).document()
    assert (answer["link"], answer["link_sites"]) == ("mpls", 2)
    oslo, tokyo = answer["lines"][0], answer["lines"][2]
    assert (oslo["zone"], oslo["now"]["name"]) == ("Europe/Oslo", "line")  # not that of the site
    assert (tokyo["zone"], tokyo["now"]["name"]) == ("Asia/Tokyo", "line-by-day")
    assert oslo["next"]["name"] == "line-by-day" and tokyo["next"]["name"] == "line"
    text = said(site.admin, *asked).out
    assert "for all that crosses link mpls, of 2 sites, class scavenger" in text
    assert "then  at Tue 2026-12-01 08:00 (Europe/Oslo): rule 1 (line-by-day): " in text
    assert "then  at Tue 2026-12-01 18:00 (Asia/Tokyo): rule 5 (line): " in text
    unknown = said(site.admin, "policy", "explain", "--link", "mars")
    assert unknown.code != DONE and "no site of the policy is on a link named mars" in unknown.err
    both = said(site.admin, "policy", "explain", "--link", "mpls", "--site", "branch")
    assert both.code == USAGE and "--link is asked for alone" in both.err


def test_a_device_without_its_site_is_told_that_rules_of_sites_are_left_out(site, tmp_path):
    set_policy(site, tmp_path, SCOPES)
    text = said(site.admin, "policy", "explain", "--device", "till-8").out
    assert "no --site is said" in text
    assert "no --site" not in said(site.endpoints[0], "policy", "explain").out


# ---- help, and readers that leave ----------------------------------------------------------------

def test_policy_alone_lists_its_commands_and_an_example_that_works(site, tmp_path):
    alone, help_of = said(site.admin, "policy"), said(site.admin, "help", "policy")
    assert alone.code == USAGE and help_of.code == DONE
    for text in (alone.err, help_of.out):
        for command in ("policy check FILE", "policy set FILE", "policy show", "policy explain"):
            assert f"  {command} " in text, text
        assert "for example:" in text
    document, _, _ = help_of.out[help_of.out.index('  {"format"'):].partition("the same as")
    checked = said(site.admin, "policy", "check", written(tmp_path, document))
    assert checked.code == DONE and "good: 2 rules, 1 site" in checked.out, checked
    assert "policy foo: no such command" in said(site.admin, "policy", "foo").err


@pytest.mark.parametrize("words", [
    ["explain", "rate"], ["policy", "show"], ["policy", "show", "--csv"], ["policy", "explain"],
    ["status"], ["help"], ["help", "policy"], ["devices", "--json"], ["--version"],
])
def test_a_reader_that_leaves_early_is_no_error(site, words):
    argv = [program("albedo"), *words]
    if words[0] not in ("help", "--version"):
        argv += ["--state", site.admin.state]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(argv, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (DONE, b"")
