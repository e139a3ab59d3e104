# SPDX-License-Identifier: Apache-2.0
# e2e/test_policy.py – policy and overrides from an admin's file to whoever must obey: judged,
# signed, delivered down the tree, obeyed offline, never rolled back.

import os
import re
import shutil
import time
from datetime import datetime, timedelta

import pytest

from albtest.clock import days_ahead
from albtest.procs import wait_until
from albtest.rules import office, said, written
from albtest.site import Site, program

DONE, FAILED, USAGE, REFUSED, NOT_FOUND, UNREACHABLE = range(6)

OFFICE = office()


def explained(member, *words, **more):
    """What holds for the member's WAN, down."""
    return member.albedo("policy", "explain", *words, **more).document()["lines"][0]["now"]


def numbers(member):
    """What the member's parent has in force."""
    policy = member.albedo("status").document()["parent"]["policy"]
    return policy["number"], policy["overrides"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """hub ─ reflector ─ far; endpoint 0 at the reflector, `deep` at far."""
    with Site(tmp_path_factory.mktemp("policy"), endpoints=1) as site:
        site.start()
        site.far = site.new_reflector("far", site.reflector)
        site.deep = site.new_member("deep")
        site.join(site.deep, site.token("endpoint", "--site", "branch"), upstream=site.far)
        yield site
        for box in (site.hub, site.reflector, site.far):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


def set_policy(site, folder, document):
    number = site.admin.albedo("policy", "set", written(folder, document)).document()["number"]
    for member in (site.endpoints[0], site.deep):
        wait_until(lambda member=member: numbers(member)[0] == number, 10, "the policy to be there")
    return number


def with_note(document, note):
    return {**document, "rules": [{**rule, "note": note} for rule in document["rules"]]}


# ---- files ---------------------------------------------------------------------------------------

def test_a_good_file_is_said_to_be_good_without_a_membership(site, tmp_path):
    stranger = site.new_member("stranger")
    done = said(stranger, "policy", "check", written(tmp_path, OFFICE))
    assert done.code == DONE and "good: 2 rules, 1 site" in done.out, done


@pytest.mark.parametrize("wrong, words", [
    ("{", "error"),
    ("[]", "error"),
    ('{"format": 9, "rules": []}', "format"),
    ({**OFFICE, "zone": "Europe/Nowhere"}, "Europe/Nowhere"),
    ({**OFFICE, "rules": [{"name": "a", "scope": "site:branch", "mode": "capped",
                           "rate": "0"}]}, "0 is no rate"),
    ({**OFFICE, "rules": [{"name": "a", "scope": "site:branch", "mode": "capped",
                           "percent": 101}]}, "rule 1 (a)"),
    ({**OFFICE, "rules": [{"name": "a", "scope": "global", "mode": "fast"}]}, "mode is off"),
    ({**OFFICE, "rules": [{"name": "a", "scope": "global", "mode": "scavenge", "floor": "2Mbit",
                           "ceiling": "1Mbit"}]}, "floor"),
    ({**OFFICE, "rules": [{"name": "a", "scope": "global", "mode": "off",
                           "dates": "2026-02-30..2026-03-01"}]}, "rule 1 (a)"),
])
def test_a_wrong_file_is_refused_with_what_is_wrong_in_it(site, tmp_path, wrong, words):
    path = written(tmp_path, wrong)
    before = site.admin.albedo("policy", "show").document()["policy"]["number"]
    for command in ("check", "set"):
        done = said(site.admin, "policy", command, path)
        assert done.code == USAGE, done
        assert words in done.out + done.err and "error" in done.err, done
    assert site.admin.albedo("policy", "show").document()["policy"]["number"] == before


def test_all_that_is_wrong_is_told_at_once_also_as_json(site, tmp_path):
    rules = [{"name": "a", "scope": "global", "mode": "fast"},
             {"name": "b", "scope": "somewhere", "mode": "off"}]
    done = site.admin.albedo("policy", "check", written(tmp_path, {**OFFICE, "rules": rules}),
                             code=USAGE)
    checked = done.event("policy_checked")
    assert checked["errors"] >= 2
    assert any("rule 1" in f["text"] for f in checked["findings"])
    assert any("rule 2" in f["text"] for f in checked["findings"])
    assert done.event("error")["code"] == "invalid"


def test_a_file_that_is_not_there_or_far_too_large_is_told(site, tmp_path):
    done = said(site.admin, "policy", "set", tmp_path / "none")
    assert done.code == NOT_FOUND and "none" in done.err, done
    done = said(site.admin, "policy", "check", written(tmp_path, " " * (2 << 20)))
    assert done.code == USAGE and "1 MiB" in done.err, done


def test_mirages_table_becomes_the_policy_and_ours_comes_out(site, tmp_path):
    table = ("SubnetMaskV4,Site,Download Limit,Upload Limit,Start Time,End Time,Days of Week\n"
             "10.1.0.0/16,,500,100,08:00,18:00,\n")
    path = written(tmp_path, table, "mirage.csv")
    done = said(site.admin, "policy", "set", path, "--zone", "Mars/Olympus")
    assert done.code == USAGE and "Mars/Olympus" in done.err, done
    done = said(site.admin, "policy", "set", path, "--zone", "Europe/Oslo")
    assert done.code == DONE, done
    assert site.admin.albedo("policy", "show").document()["policy"]["document"]["zone"] == \
        "Europe/Oslo"
    ours = site.admin.albedo("policy", "show", "--csv", plain=True).out
    done = said(site.admin, "policy", "set", written(tmp_path, ours, "ours.csv"))
    assert done.code == DONE and "nothing changed" in done.out, done


# ---- setting and delivering ----------------------------------------------------------------------

def test_a_policy_is_numbered_and_reaches_those_two_levels_down(site, tmp_path):
    first = set_policy(site, tmp_path, with_note(OFFICE, "first"))
    again = site.admin.albedo("policy", "set", tmp_path / "policy.json").document()
    assert again == {"number": first, "changed": False}
    assert set_policy(site, tmp_path, OFFICE) == first + 1
    monday = ("--at", "2026-11-23T09:00", "--site", "branch")
    for member in (site.admin, site.endpoints[0], site.deep):
        now = explained(member, *monday)
        assert (now["mode"], now["ceiling_bps"]) == ("scavenge", 4_000_000)
        evening = explained(member, "--at", "2026-11-23T18:00", "--site", "branch")
        assert (evening["mode"], evening["rate_bps"]) == ("capped", 8_000_000)
    text = said(site.deep, "policy", "explain", *monday).out
    assert "office" in text and "night" in text and "18:00" in text


def test_what_is_shown_can_be_set_again(site, tmp_path):
    number = set_policy(site, tmp_path, OFFICE)
    text = site.admin.albedo("policy", "show", "--document", plain=True).out
    again = site.admin.albedo("policy", "set", written(tmp_path, text)).document()
    assert again == {"number": number, "changed": False}
    table = site.deep.albedo("policy", "show", plain=True).out
    assert f"policy {number} of " in table and "office" in table


def test_who_looked_at_an_older_policy_does_not_overwrite_a_newer_one(site, tmp_path):
    number = set_policy(site, tmp_path, OFFICE)
    path = written(tmp_path, with_note(OFFICE, "mine"))
    done = said(site.admin, "policy", "set", path, "--if", str(number - 1))
    assert done.code == FAILED and f"policy number {number} is in force" in done.err, done
    assert said(site.admin, "policy", "set", path, "--if", str(number)).code == DONE


def test_who_is_no_admin_sets_nothing(site, tmp_path):
    path = written(tmp_path, with_note(OFFICE, "stolen"))
    before = numbers(site.endpoints[0])
    for words in (["policy", "set", path], ["resume", "--all"],
                  ["pause", "--all", "--for", "1h", "--why", "fun"],
                  ["go", "--site", "branch", "--for", "1h", "--why", "fun"]):
        done = said(site.endpoints[0], *words)
        assert done.code == REFUSED, done
        assert "may not do that" in done.err, done
    assert numbers(site.endpoints[0]) == before


def test_setting_a_policy_stands_in_the_audit_log(site, tmp_path):
    number = set_policy(site, tmp_path, with_note(OFFICE, "audited"))
    audit = (site.hub.data / "audit.log").read_text()
    assert re.search(rf"what=policy number={number} rules=2 sites=1 sha256=[0-9a-f]{{64}}", audit)


# ---- overrides -----------------------------------------------------------------------------------

def test_a_pause_is_in_force_two_levels_down_within_a_second(site, tmp_path):
    set_policy(site, tmp_path, OFFICE)
    seen = len(site.far.daemon.log_text())
    done = site.admin.albedo("pause", "--site", "branch", "--for", "2h", "--why", "market's open")
    came = site.far.daemon.wait_line(r"time=(\S+) .*event=policy\.new name=override", timeout=30,
                                     after=seen)
    # By the daemons' own clocks, which stamp whole seconds: ours waits for processes to start.
    signed = re.search(rf"(\S+) .*what=override id={done.document()['id']} ",
                       (site.hub.data / "audit.log").read_text())
    assert stamp(came[1]) - stamp(signed[1]) <= timedelta(seconds=1)
    now = explained(site.deep)
    assert (now["source"], now["mode"]) == ("override", "off")
    shown = site.deep.albedo("policy", "show", plain=True).out
    assert "market's open" in shown and "pause" in shown

    override = done.document()["id"]
    assert said(site.admin, "resume", override).code == DONE
    wait_until(lambda: explained(site.deep)["source"] == "rule", 20, "the rule to hold again")
    audit = (site.hub.data / "audit.log").read_text()
    assert re.search(rf"what=override id={override} do=pause scope=site:branch until=\S+ ", audit)
    assert f"what=resume id={override} did=pause scope=site:branch" in audit


def stamp(text):
    return datetime.fromisoformat(text.removeprefix("time=").removesuffix("Z"))


def stands_still(count, for_s=2):
    """Its value once it was the same for so long; events that tell of it come each second."""
    seen = {"value": None, "since": 0}

    def is_still():
        value = count()
        if value != seen["value"]:
            seen.update(value=value, since=time.monotonic())
        return time.monotonic() - seen["since"] >= for_s
    wait_until(is_still, 30, "what was under way to have come")
    return seen["value"]


def test_a_pause_stops_the_bytes_of_a_pull_and_a_resume_lets_them_go(site, tmp_path):
    set_policy(site, tmp_path, {**OFFICE, "rules": [
        {"name": "slow", "scope": "global", "place": "both", "mode": "capped", "rate": "8Mbit"}]})
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(8_000_000))
    site.admin.albedo("publish", "app/paused", tmp_path / "tree")
    pull = site.deep.start("pull", "app/paused", tmp_path / "target")

    def fetched():
        event = pull.last_event() or {}
        return event.get("done_bytes", 0) if event.get("phase") == "fetching" else 0
    wait_until(lambda: fetched() > 500_000, 30, "the pull to be under way")
    site.admin.albedo("pause", "--site", "branch", "--for", "1h", "--why", "hold it")
    wait_until(lambda: explained(site.deep)["mode"] == "off", 10, "the pause to arrive")
    before = stands_still(fetched)
    assert 500_000 < before < 8_000_000
    time.sleep(3)  # nothing is waited for: that nothing comes is what is seen
    assert pull.daemon.is_running() and fetched() == before
    site.admin.albedo("resume", "--site", "branch")
    set_policy(site, tmp_path, OFFICE)
    done = pull.wait(60)
    assert done.code == DONE, done
    assert (tmp_path / "target/file").read_bytes() == (tmp_path / "tree/file").read_bytes()


def test_a_layer_that_is_off_waits_while_another_comes(site, tmp_path):
    set_policy(site, tmp_path, {**OFFICE, "rules": [
        {"name": "hold", "scope": "job:app/held", "place": "both", "mode": "off"}]})
    for name in ("held", "let"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(os.urandom(200_000))
        site.admin.albedo("publish", f"app/{name}", tmp_path / name)
    held = site.deep.start("pull", "app/held", tmp_path / "held-target")
    site.endpoints[0].albedo("pull", "app/let", tmp_path / "let-target")
    jobs = site.endpoints[0].albedo("explain", "rate").document()["line"]["jobs"]
    assert "app/let" in [job["layer"] for job in jobs]
    assert held.daemon.is_running() and not (tmp_path / "held-target/file").exists()
    set_policy(site, tmp_path, OFFICE)
    done = held.wait(60)
    assert done.code == DONE, done
    assert (tmp_path / "held-target/file").read_bytes() == (tmp_path / "held/file").read_bytes()


def test_an_override_ends_by_itself_and_what_was_said_before_holds_again(site, tmp_path):
    set_policy(site, tmp_path, OFFICE)
    site.admin.albedo("pause", "--all", "--for", "1h", "--why", "freeze")
    site.admin.albedo("go", "--site", "branch", "--for", "6s", "--why", "one urgent fix")
    wait_until(lambda: explained(site.deep)["mode"] == "full", 20, "the go to arrive")
    wait_until(lambda: explained(site.deep)["mode"] == "off", 15, "the go to end")
    shown = site.deep.albedo("policy", "show").document()["overrides"]["list"]
    assert [o["why"] for o in shown] == ["freeze"]
    done = said(site.admin, "resume", "--all")
    assert done.code == DONE and "1 override ended" in done.out, done
    wait_until(lambda: explained(site.deep)["source"] == "rule", 20, "the rules to hold again")


@pytest.mark.parametrize("words, code, why", [
    (["pause", "--for", "1h", "--why", "x"], USAGE, "say whom"),
    (["pause", "--all", "--site", "branch", "--for", "1h", "--why", "x"], USAGE, "say one of"),
    (["pause", "--all", "--why", "x"], USAGE, "--for"),
    (["pause", "--all", "--for", "1h"], USAGE, "--why"),
    (["pause", "--all", "--for", "0s", "--why", "x"], USAGE, "--for 0s"),
    (["pause", "--all", "--for", "400d", "--why", "x"], USAGE, "366 days"),
    (["pause", "--all", "--for", "soon", "--why", "x"], USAGE, "--for"),
    (["pause", "--site", "Not A Site", "--for", "1h", "--why", "x"], USAGE, "--site"),
    (["pause", "--site", "olso", "--for", "1h", "--why", "x"], NOT_FOUND, "no site olso"),
    (["go", "--device", "nobody", "--for", "1h", "--why", "x"], NOT_FOUND, "no device nobody"),
    (["pause", "--all", "--for", "1h", "--why", "y" * 300], USAGE, "why"),
    (["resume"], USAGE, "say which"),
    (["resume", "o999"], NOT_FOUND, "no override o999"),
    (["resume", "--site", "branch"], NOT_FOUND, "no override site:branch"),
    (["policy", "explain", "--at", "noon"], USAGE, "--at noon"),
    (["policy", "explain", "--class", "first"], USAGE, "--class first"),
    (["policy", "show", "--csv", "--document"], USAGE, "one of them"),
    (["policy", "set", "x", "--if", "yesterday"], USAGE, "--if"),
])
def test_words_that_make_no_sense_are_refused_with_what_does(site, words, code, why):
    done = said(site.admin, *words)
    assert done.code == code and why in done.err, done


# ---- cut off, restarted, rolled back -------------------------------------------------------------

def test_what_was_said_last_holds_while_the_hub_is_away_and_when_it_is_back(site, tmp_path):
    number = set_policy(site, tmp_path, OFFICE)
    site.admin.albedo("pause", "--site", "branch", "--for", "1h", "--why", "cut off")
    wait_until(lambda: explained(site.deep)["mode"] == "off", 20, "the pause to arrive")
    held = numbers(site.deep)
    site.hub.kill()
    try:
        for box in (site.reflector, site.far):  # from their disks
            box.stop()
            box.start()
        wait_until(lambda: numbers(site.deep) == held, 20, "what far kept")
        assert held[0] == number
        assert explained(site.deep)["mode"] == "off"
        site.far.stop()
        done = said(site.deep, "policy", "explain")
        assert done.code == DONE and "as kept here" in done.out and "off" in done.out, done
        assert explained(site.deep, "--local")["mode"] == "off"
        assert said(site.admin, "policy", "set", tmp_path / "policy.json").code == UNREACHABLE
        site.far.start()
    finally:
        site.hub.start()
    shown = site.admin.albedo("policy", "show").document()
    assert (shown["policy"]["number"], shown["overrides"]["number"]) == held
    assert [o["why"] for o in shown["overrides"]["list"]] == ["cut off"]
    wait_until(lambda: said(site.admin, "resume", "--all").code == DONE, 20, "the hub")
    wait_until(lambda: explained(site.deep)["source"] == "rule", 20, "the tree to be whole again")


def test_a_hub_restored_from_a_backup_rolls_nobody_back_and_is_obeyed_again(site, tmp_path):
    set_policy(site, tmp_path, with_note(OFFICE, "in the backup"))
    site.hub.stop()
    shutil.copytree(site.hub.data, tmp_path / "backup")
    site.restart_hub()
    set_policy(site, tmp_path, with_note(OFFICE, "after it"))
    number = set_policy(site, tmp_path, OFFICE)
    site.hub.stop()
    shutil.rmtree(site.hub.data)
    shutil.copytree(tmp_path / "backup", site.hub.data)
    site.restart_hub()
    site.hub.daemon.wait_line(rf"event=policy\.behind name=policy held={number - 2} below={number}",
                              timeout=20)
    assert numbers(site.deep)[0] == number
    assert "in the backup" not in site.deep.albedo("policy", "show", plain=True).out
    assert set_policy(site, tmp_path, with_note(OFFICE, "new")) == number + 1


def test_another_hub_key_signs_the_policy_anew(site, tmp_path):
    number = set_policy(site, tmp_path, with_note(OFFICE, "old key"))
    argv = [program("albedo-hub"), "rotate-key", "--data", site.hub.data]
    key = site.run_on(site.hub.host, argv, "rotate").wait().out.strip()
    after = len(site.hub.daemon.log_text())
    site.admin.albedo("trust", "rotate-hub", key)
    site.hub.daemon.wait_line(r"event=hub\.ready", timeout=30, after=after)
    for member in (site.endpoints[0], site.deep):
        wait_until(lambda member=member: numbers(member)[0] == number + 1, 40, "the new signature")
    site.far.stop()
    site.far.start()
    assert numbers(site.deep)[0] == number + 1
    assert set_policy(site, tmp_path, OFFICE) == number + 2


def test_a_pull_brings_the_policy_along_for_when_nobody_can_be_reached(site, tmp_path):
    number = set_policy(site, tmp_path, with_note(OFFICE, "brought along"))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"x" * 5000)
    site.admin.albedo("publish", "base/os", tmp_path / "tree")
    fresh = site.new_member("fresh")
    site.join(fresh, site.token("endpoint", "--site", "branch"), upstream=site.far)
    fresh.albedo("pull", "base/os", tmp_path / "target")
    kept = fresh.albedo("policy", "show", "--local").document()
    assert kept["policy"]["number"] == number and not kept["asked"]


def test_a_policy_as_large_as_they_come_gets_everywhere(site, tmp_path):
    rules = [{"name": f"rule-{n}", "scope": f"site:site-{n}", "mode": "capped", "rate": "2Mbit",
              "days": "mon-fri", "hours": "08:00-18:00", "note": "n" * 100} for n in range(2000)]
    sites = [{"name": f"site-{n}", "zone": "Europe/Oslo"} for n in range(6000)]
    document = {"format": 1, "zone": "UTC", "sites": sites, "rules": rules}
    started = time.monotonic()
    number = set_policy(site, tmp_path, document)
    print(f"{time.monotonic() - started:.2f} s")
    assert numbers(site.deep)[0] == number
    now = explained(site.deep, "--site", "site-1999", "--at", "2026-11-23T09:00")
    assert (now["mode"], now["rate_bps"]) == ("capped", 2_000_000)
    document["rules"][0]["note"] = "n" * 255
    document["sites"] += [{"name": "s" * 60 + f"{n:03}"} for n in range(999)]
    document["rules"] = [{**rule, "note": "n" * 250} for rule in rules]
    done = said(site.admin, "policy", "set", written(tmp_path, document))
    assert done.code == USAGE and "1 MiB" in done.err, done
    set_policy(site, tmp_path, OFFICE)


# ---- clocks --------------------------------------------------------------------------------------

def test_a_clock_that_forgot_means_the_strictest_window(site, tmp_path):
    closed = {**OFFICE, "rules": [{"name": "closed", "scope": "site:branch", "hours": "03:00-03:01",
                                   "mode": "off"}, *OFFICE["rules"]]}
    set_policy(site, tmp_path, closed)
    wait_until(lambda: explained(site.deep)["mode"] != "off" or time.gmtime().tm_min, 61, "03:01")
    lost = days_ahead(tmp_path, -3650)
    now = explained(site.deep, env=lost)
    assert (now["source"], now["mode"]) == ("strictest", "off")
    done = said(site.deep, "policy", "explain", env=lost)
    assert "set the clock" in done.out, done
    set_policy(site, tmp_path, OFFICE)
