# SPDX-License-Identifier: Apache-2.0
# e2e/test_states.py – what operators have a reflector do: each state at once and behind a restart,
# what those behind it see, wrong words.

import os

import pytest

from albtest.procs import wait_until
from albtest.site import Site
from albtest.tree import compare

LAYER = "base/os"
DONE, FAILED, USAGE, REFUSED, NOT_FOUND, UNREACHABLE = 0, 1, 2, 3, 4, 5


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    with Site(folder, endpoints=2) as site:
        site.start()
        site.tree = folder / "tree"
        (site.tree / "etc").mkdir(parents=True)
        for n in range(3):
            (site.tree / f"etc/file{n}").write_bytes(os.urandom(700_000))
        site.admin.albedo("publish", LAYER, site.tree)
        # Else the machines of the branch would go to the hub when the reflector takes nobody.
        site.admin.albedo("site", "add", "branch", "reflectors=reflector", "use=always")
        for n, endpoint in enumerate(site.endpoints):
            endpoint.albedo("pull", LAYER, folder / f"first{n}")
        yield site
        assert "Sanitizer" not in site.reflector.log.read_text()
        assert "Sanitizer" not in site.hub.log.read_text()


@pytest.fixture
def accepted(site):
    yield site
    site.admin.albedo("reflector", "accept", "reflector")
    in_state(site, "accept")


def state_of(site):
    """As the reflector itself says it."""
    return site.endpoints[0].albedo("status").document()["parent"]["state"]


def in_state(site, word):
    wait_until(lambda: state_of(site)["state"] == word, 10, f"the reflector to {word}")


def tell(site, word, *words):
    """Tell it, and see that the log says so within a second of the command's end."""
    log = site.reflector.log
    before = log.read_text().count(f"event=reflector.state state={word} ")
    site.admin.albedo("reflector", word, "reflector", *words)
    wait_until(lambda: log.read_text().count(f"event=reflector.state state={word} ") > before, 1.5,
               f"the reflector to hear of {word}")


def pull(member, target, code=DONE):
    return member.albedo("pull", LAYER, target, "--wait", "3s", code=code)


def says_that_nobody_takes_it(done, words):
    """In the reflector's words, or (by what the list of the site says) without having called it."""
    text = done.err + done.out
    assert words in text or "no reflector takes this machine now" in text, done


def listed(site):
    return site.admin.albedo("reflector", "list").document()["reflectors"][0]


def test_drained_it_takes_nobody_and_says_why_also_behind_a_restart(accepted, tmp_path):
    site = accepted
    tell(site, "drain", "--why", "new disk on friday")
    wait_until(lambda: listed(site)["online"] and listed(site).get("obeys") == "drain", 10,
               "it to say so to the hub")
    assert listed(site)["why"] == "new disk on friday" and listed(site)["by"].startswith("admin")
    for _ in range(2):
        done = pull(site.endpoints[1], tmp_path / "a", code=UNREACHABLE)
        says_that_nobody_takes_it(done, "take no new sessions: new disk on friday")
        site.reflector.stop()
        site.reflector.start()
    site.admin.albedo("reflector", "accept", "reflector")
    in_state(site, "accept")
    pull(site.endpoints[1], tmp_path / "a")
    assert compare(site.tree, tmp_path / "a") == []


def test_suspended_it_gives_what_it_has_and_fetches_nothing(accepted, tmp_path):
    site = accepted
    tell(site, "suspend")
    pull(site.endpoints[1], tmp_path / "b")
    assert compare(site.tree, tmp_path / "b") == []
    other = tmp_path / "other"
    other.mkdir()
    (other / "new").write_bytes(os.urandom(400_000))
    site.admin.albedo("publish", "base/other", other)
    before = site.reflector_status()["chunks"]["received_bytes"]
    site.endpoints[1].albedo("pull", "base/other", tmp_path / "c", "--wait", "3s", code=None)
    site.reflector.stop()
    site.reflector.start()
    in_state(site, "suspend")
    done = site.endpoints[1].albedo("pull", "base/other", tmp_path / "c", "--wait", "3s",
                                    code=None)
    assert done.code != DONE and not (tmp_path / "c/new").exists(), done
    assert site.reflector_status()["chunks"]["received_bytes"] <= before
    site.admin.albedo("reflector", "accept", "reflector")
    in_state(site, "accept")
    site.endpoints[1].albedo("pull", "base/other", tmp_path / "c")


def test_disabled_it_serves_nobody_and_keeps_what_it_has(accepted, tmp_path):
    site = accepted
    tell(site, "disable", "--why", "stolen")
    done = pull(site.endpoints[1], tmp_path / "d", code=UNREACHABLE)
    says_that_nobody_takes_it(done, "an operator disabled this reflector: stolen")
    site.reflector.stop()
    site.reflector.start()
    in_state(site, "disable")
    assert site.reflector_status()["store"]["chunks"] > 0
    done = pull(site.endpoints[1], tmp_path / "d", code=UNREACHABLE)


def test_wiped_it_is_empty_on_the_disk_and_goes_on_when_it_accepts(accepted, tmp_path):
    site = accepted
    done = site.admin.albedo("reflector", "disable", "reflector", "--wipe", code=USAGE)
    assert "say --yes, too" in done.err + done.out, done
    tell(site, "disable", "--wipe", "--yes", "--why", "the branch closes")
    wait_until(lambda: "event=reflector.wiped" in site.reflector.log.read_text(), 10, "the wipe")
    assert not [path for path in site.reflector.data.rglob("*.seg") if path.is_file()]
    assert site.reflector_status()["store"]["chunks"] == 0
    assert state_of(site)["wiped"] is True
    site.reflector.stop()
    site.reflector.start()
    in_state(site, "disable")
    site.admin.albedo("reflector", "accept", "reflector")
    in_state(site, "accept")
    pull(site.endpoints[1], tmp_path / "e")
    assert compare(site.tree, tmp_path / "e") == []


@pytest.mark.parametrize("words, code, says", [
    (["drain", "bux"], NOT_FOUND, "no device bux is enrolled"),
    (["drain", "reflector", "bux"], NOT_FOUND, "no device bux is enrolled"),
    (["drain", "endpoint"], FAILED, "of role endpoint"),
    (["drain", "a b"], USAGE, "NAME a b"),
    (["drain"], USAGE, ""),
    (["nap", "reflector"], USAGE, ""),
    (["drain", "reflector", "--why", "x" * 121], USAGE, "at most 120 bytes"),
    (["drain", "reflector", "--wipe"], USAGE, ""),
])
def test_wrong_words_change_nothing(site, words, code, says):
    devices = site.admin.albedo("devices").document()["devices"]
    endpoint = next(d["device"] for d in devices if d["role"] == "endpoint")
    words = [endpoint if word == "endpoint" else word for word in words]
    done = site.admin.albedo("reflector", *words, code=None)
    assert done.code != DONE and says in done.err + done.out, done
    assert code in (FAILED, done.code), done
    assert listed(site)["state"] == "accept"


def test_what_is_said_again_changes_nothing(site):
    assert site.admin.albedo("reflector", "accept", "reflector").document()["changed"] == []
    done = site.admin.albedo("reflector", "accept", "reflector", plain=True)
    assert "reflector: so it was already" in done.out


def test_only_an_admin_says_so(site):
    done = site.endpoints[0].albedo("reflector", "drain", "reflector", code=None)
    assert done.code != DONE, done
    assert listed(site)["state"] == "accept"
