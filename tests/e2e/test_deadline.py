# SPDX-License-Identifier: Apache-2.0
# e2e/test_deadline.py – deadlines and max_queue from an admin's file to the line of a reflector:
# what yields while there is time goes on when there is none, and an operator reads why.

import os
import time
from datetime import datetime, timedelta, timezone

import pytest

from albtest.clock import days_ahead
from albtest.procs import environment, wait_until
from albtest.rules import said, written
from albtest.site import Site

DONE = 0
HOUR_S = 3600
LINE_BPS = 1_000_000
SIZE = 12_000_000  # a minute and a half at LINE_BPS


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path / "site", endpoints=1) as site:
        site.start()
        site.reflector.configure("parent_line = wan")  # it is on the hub's own machine
        yield site
        for box in (site.hub, site.reflector):
            assert "Sanitizer" not in box.log.read_text(errors="replace"), box.name


def utc(wall_s):
    return datetime.fromtimestamp(wall_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def set_policy(site, folder, rules, due_s=None):
    document = {"format": 1, "zone": "UTC", "sites": [{"name": "branch"}], "rules": rules}
    if due_s is not None:
        document["deadlines"] = [{"layer": "late", "site": "branch", "by": utc(due_s)}]
    number = site.admin.albedo("policy", "set", written(folder, document)).document()["number"]
    wait_until(lambda: site.endpoints[0].albedo("status").document()["parent"]["policy"]["number"]
               == number, 20, "the policy to be there")


def thin(**more):
    return {"name": "thin", "scope": "site:branch", "mode": "scavenge", "ceiling": "1Mbit"} | more


def started_pull(site, folder, layer, size=SIZE):
    tree = folder / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(os.urandom(size))
    site.admin.albedo("publish", layer, tree)
    return tree, site.endpoints[0].start("pull", layer, folder / "target")


def line_of(site):
    return site.endpoints[0].albedo("explain", "rate").document().get("line", {})


def job_of(site):
    """The layer that is due, as its reflector has it; {} while it is none of its jobs."""
    jobs = line_of(site).get("jobs", [])
    return next((job for job in jobs if job["layer"].startswith("late/")), {})


def ends_well(pull, tree, target):
    done = pull.wait(60)
    assert done.code == DONE, done
    assert (target / "file").read_bytes() == (tree / "file").read_bytes()


def test_what_is_due_stops_giving_way_when_its_time_comes_and_says_so(site, tmp_path):
    due_s = int(time.time()) + 2 * HOUR_S
    set_policy(site, tmp_path, [thin()], due_s)
    tree, pull = started_pull(site, tmp_path, "late/os")
    wait_until(lambda: job_of(site).get("scavenged_bps", 0) > LINE_BPS / 3, 40, "it to be measured")
    job = job_of(site)
    assert (job["class"], job["by_wall_s"]) == ("scavenger", due_s), job
    assert 0 < job["needed_bps"] < LINE_BPS / 3, job  # two hours for what takes two minutes
    assert line_of(site)["down"]["policy"]["mode"] == "scavenge"
    text = said(site.endpoints[0], "explain", "rate").out
    assert f"late/os: goes with its line, " in text and f"due at {utc(due_s)}: that takes" in text

    # Its clock is 20 s before the deadline now: 10 MB cannot come over that line by then.
    site.reflector.stop()
    with environment(days_ahead(tmp_path, (due_s - 20 - time.time()) / 86400)):
        site.reflector.start()
    wait_until(lambda: job_of(site).get("class") == "urgent", 60, "its time to come")
    down = line_of(site)["down"]["policy"]
    assert (down["mode"], down["name"]) == ("full", "thin") and "1.0 Mbit/s" in down["text"], down
    said_urgent = r"event=job\.deadline layer=late/os class=urgent was=scavenger left_bytes=\d+ "
    site.reflector.daemon.wait_line(said_urgent, timeout=5)
    wait_until(lambda: job_of(site).get("is_late"), 40, "the deadline to be past")
    text = said(site.endpoints[0], "explain", "rate").out
    assert "late/os: urgent: its deadline is past, " in text and ", which is past" in text, text
    assert "policy     rule 1 (thin): full, " in text

    set_policy(site, tmp_path, [], due_s)
    ends_well(pull, tree, tmp_path / "target")


def test_what_is_off_stays_off_whatever_is_due(site, tmp_path):
    closed = {"name": "closed", "scope": "site:branch", "mode": "off"}
    due_s = int(time.time()) - 60
    set_policy(site, tmp_path, [closed], due_s)
    tree, pull = started_pull(site, tmp_path, "late/os", 200_000)
    wait_until(lambda: job_of(site).get("state") == "paused by policy", 30, "the rule to hold it")
    for _ in range(12):  # longer than it takes to know what comes
        assert job_of(site)["class"] == "scavenger"
        time.sleep(1)
    assert line_of(site)["down"]["policy"]["mode"] == "off"
    assert pull.daemon.is_running() and not (tmp_path / "target/file").exists()
    set_policy(site, tmp_path, [], due_s)
    ends_well(pull, tree, tmp_path / "target")


def test_policy_explain_tells_when_a_layer_is_due(site, tmp_path):
    due_s = int(time.time()) + HOUR_S
    set_policy(site, tmp_path, [thin()], due_s)
    asked = ("policy", "explain", "--site", "branch", "--layer", "late/os")
    for member in (site.admin, site.endpoints[0]):
        assert member.albedo(*asked).document()["deadline_at"] == due_s
        text = said(member, *asked).out
        assert f"deadline       {utc(due_s)}: what may scavenge stops giving way" in text, text
        assert "what is off, capped or below a ceiling stays so" in text
    later = said(site.admin, *asked, "--at", utc(due_s + 60)[:16] + "Z").out
    assert f"{utc(due_s)} is past: what may scavenge does not give way until it is there" in later
    for words in (("--layer", "early/os"), ()):
        other = site.admin.albedo("policy", "explain", "--site", "branch", *words)
        assert "deadline_at" not in other.document()
    elsewhere = site.admin.albedo("policy", "explain", "--site", "other", "--layer", "late/os")
    assert "deadline_at" not in elsewhere.document()


def test_a_rules_max_queue_reaches_the_law_and_is_told(site, tmp_path):
    """Without a rule 8 ms and what the line itself varies by; a rule only ever lowers that."""
    set_policy(site, tmp_path, [thin(ceiling="8Mbit")])
    tree, pull = started_pull(site, tmp_path, "app/queue", 2 * SIZE)

    def queue_most_ms():
        return line_of(site)["down"].get("law", {}).get("queue_most_ms", 0)
    wait_until(lambda: line_of(site)["down"]["recent_bps"] > 1_000_000, 30, "bytes to come")
    assert queue_most_ms() >= 8
    set_policy(site, tmp_path, [thin(ceiling="8Mbit", max_queue="1ms")])
    wait_until(lambda: 0 < queue_most_ms() < 8, 30, "the law to go by it")
    down = line_of(site)["down"]
    assert "adding at most 1 ms of delay" in down["policy"]["text"]
    text = said(site.endpoints[0], "explain", "rate").out
    assert "rule 1 (thin): scavenge, at most 8.0 Mbit/s, adding at most 1 ms of delay" in text
    assert " ms now, and above " in text
    set_policy(site, tmp_path, [thin(ceiling="8Mbit", max_queue="1000ms")])
    wait_until(lambda: 8 <= queue_most_ms() <= 100, 30, "no more than without")
    set_policy(site, tmp_path, [])
    ends_well(pull, tree, tmp_path / "target")
