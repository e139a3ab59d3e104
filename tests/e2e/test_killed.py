# SPDX-License-Identifier: Apache-2.0
# e2e/test_killed.py – kill -9 at every named point of every program; then it goes on and ends well.
#
# The points are not written down here: each program lists its own (ALB_DIE_AT=list), and a point
# that the work done here does not reach fails.  What is there in the end is compared with what was
# published by albtest.tree, which knows nothing of the product.  tests/crash/kill does the same at
# the 1st, 2nd, 4th, 8th … time that each point is reached.

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from albtest import mutate, small, tree
from albtest.damage import flip
from albtest.procs import DaemonError, wait_until
from albtest.site import Box, Site, program

KB = 1 << 10
UNREACHABLE = 5
NTHS = [2 ** n for n in range(int(os.environ.get("ALB_KILL_DOUBLINGS", "0")) + 1)]


def points_of(name):
    done = subprocess.run([program(name)], env=os.environ | {"ALB_DIE_AT": "list"}, check=False,
                          capture_output=True, text=True)
    if done.stdout == "":
        assert done.returncode > 0 and "Sanitizer" not in done.stderr, done
        return []  # built without ALB_FAULT: it only missed its arguments
    assert re.fullmatch(r"([a-z_]+\.[a-z_]+\n)+", done.stdout), done
    return done.stdout.split()


def points(name):
    """One test for each; a build without fault points has none, and says so."""
    found = points_of(name) if shutil.which(name) or "ALB_BIN_DIR" in os.environ else []
    return found or [pytest.param("", marks=pytest.mark.skip(reason="built without ALB_FAULT"))]


needs_points = pytest.mark.skipif("ALB_BIN_DIR" in os.environ and not points_of("albedo"),
                                  reason="built without ALB_FAULT")


class Death:
    """The environment that ends a program at a point, and what came of it."""

    def __init__(self, point, nth):
        self.env = {"ALB_DIE_AT": f"{point}:{nth}"}
        self.line = f"event=killed.at point={point} nth={nth}"
        self.point, self.nth = point, nth

    def came(self, code, said):
        """Was it this death that ended the program?  Any other end by a signal is a bug."""
        died = code == -signal.SIGKILL and self.line in said
        assert died or code >= 0, f"{self.env}: ended with {code}\n{said}"
        if died:
            print(f"died at {self.point}, time {self.nth}")
        return died

    def never(self):
        """Later times may not exist; the first must."""
        assert self.nth > 1, f"nothing done here reaches the kill point {self.point}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), endpoints=1) as site:
        site.start()
        yield site


@pytest.fixture(autouse=True)
def alive(site):
    """A case that fails leaves nobody dead, so that the next one fails only on its own account."""
    yield
    for box in (site.hub, site.reflector):
        if not box.daemon.is_running():
            box.start()


class Trees:
    """One new tree after another, each made of the one before."""

    def __init__(self, folder):
        self.folder, self.count = folder, 1
        self.now = small.make(folder / "1", large=300 * KB)

    def next(self):
        self.count += 1
        before, self.now = self.now, self.folder / str(self.count)
        mutate.mutate(before, self.now, seed=self.count)
        shutil.rmtree(before)
        return self.now


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    return Trees(tmp_path_factory.mktemp("trees"))


def assert_whole(wanted, target):
    """The same tree; beside it nothing that a finished pull does not leave."""
    assert tree.compare(wanted, target) == []
    assert set(os.listdir(target / ".albedo")) <= {"applied", "lock"}  # no owner had a hand in it


# ---- the endpoint --------------------------------------------------------------------------------


def fresh_member(site, upstream):
    """Of no site: on one of its own it would find the other reflector, too."""
    member = site.new_member(f"member{site._runs}")
    site.join(member, site.token("endpoint", "--name", member.name), upstream=upstream)
    return member


@pytest.mark.parametrize("nth", NTHS)
@pytest.mark.parametrize("point", points("albedo"))
def test_an_endpoint_killed_at_a_point_goes_on_when_it_is_started_again(
        site, trees, tmp_path, point, nth):
    death, target = Death(point, nth), tmp_path / "target"
    target.mkdir()
    member = site.new_member(f"member{site._runs}")
    token = site.token("endpoint", "--site", "branch", "--name", member.name)
    join = ("join", "--hub", site.hub.url, "--upstream", site.reflector.url, "--token", token)
    done = member.albedo(*join, env=death.env, code=None)
    died = death.came(done.code, done.err)
    if died and not (member.state / "identity.json").exists():
        member.albedo(*join)
    for _ in range(2):  # a first install, then an update
        site.admin.albedo("publish", "base/os", trees.next())
        done = member.albedo("pull", "base/os", target, env=None if died else death.env, code=None)
        if not died and death.came(done.code, done.err):
            died = True
            done = member.albedo("pull", "base/os", target, "--verify")
        assert done.code == 0, done
        assert_whole(trees.now, target)
    died or death.never()


def alter_one(folder):
    """One bit of one staged file, as a bad disk would."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    path = max(files, key=lambda path: path.stat().st_size)
    flip(path, path.stat().st_size // 2)


@needs_points
@pytest.mark.parametrize("point", ["journal.sealed:1", "apply.renamed_in:3"])
def test_a_staged_file_altered_before_a_crash_is_replayed_is_fetched_again(
        site, trees, tmp_path, point):
    endpoint, target = site.endpoints[0], tmp_path / "target"
    site.admin.albedo("publish", "base/altered", small.make(tmp_path / "old", seed=7))
    endpoint.albedo("pull", "base/altered", target)
    wanted = small.make(tmp_path / "new", seed=8)
    site.admin.albedo("publish", "base/altered", wanted)
    wait_until(lambda: site.reflector_status()["parent"]["up"], 30, "the reflector's line")
    done = endpoint.albedo("pull", "base/altered", target, env={"ALB_DIE_AT": point}, code=None)
    assert f"point={point.partition(':')[0]}" in done.err
    alter_one(target / ".albedo/stage")
    site.reflector.kill()  # nobody to ask: nothing more is done, and what is there stays
    before = tree.describe(target)
    done = endpoint.albedo("pull", "base/altered", target, "--wait", "2s", code=UNREACHABLE,
                           plain=True)
    assert "fetching again" in done.err
    assert tree.compare_described(before, tree.describe(target)) == []
    site.reflector.start()
    done = endpoint.albedo("pull", "base/altered", target, "--verify", plain=True)
    assert "1 file was changed on the disk since" in done.err
    assert_whole(wanted, target)


# ---- the daemons ---------------------------------------------------------------------------------


class Mortal:
    """A daemon that is to die once; whoever runs it starts it again at once, as systemd would."""

    def __init__(self, box, death):
        self.box, self.death, self.died = box, death, False

    def start(self):
        """Also a start can be where it dies."""
        try:
            self.box.start(env=self.death.env)
        except DaemonError:
            assert self.looked_after()

    def looked_after(self):
        """True when it was found dead, and was started again."""
        if self.died or self.box.daemon.is_running():
            return False
        self.died = self.death.came(self.box.daemon.process.returncode, self.box.daemon.log_text())
        assert self.died, self.box.log.read_text()
        self.box.start()
        return True

    def survive(self, member, *words):
        """Run a command to a good end; one that the death disturbed may be run once more."""
        had_died = self.died
        run = member.start(*words)

        def is_over():
            self.looked_after()
            return not run.daemon.is_running()
        wait_until(is_over, 120, "the command to end")
        done = run.wait()
        if done.code != 0 and not self.died:
            # A killed process lets go of its connections a little before it is told to be dead.
            with contextlib.suppress(DaemonError):
                wait_until(self.looked_after, 5, "the daemon to have died")
        if self.died and not had_died and done.code != 0:
            print(f"with it dead: {done.err.strip()}")
            done = run_again(member, words, done)
        assert done.code == 0, done
        return done


def run_again(member, words, first):
    """What was done although its answer was lost is said to be so."""
    if words[0] == "revoke" and "revoked" in first.err:
        return first
    return member.albedo(*words, code=None)


@pytest.fixture
def init_dies(site):
    """Init that dies at a point, when that is where it dies, and is run again."""
    def run(box, death, *words):
        argv = [program(box.program), "init", "--data", box.data, *words]
        done = site.run_on(box.host, argv, box.name, env=death.env).wait()
        died = death.came(done.code, done.err)
        if died:
            done = site.run_on(box.host, argv, box.name).wait()
            if "already" in done.err:  # it had come to its end
                return died
        assert done.code == 0, done
        return died
    return run


def use_hub(site, mortal, trees, target):
    """All that a hub does for others; each step may be the one in which it dies."""
    member = site.new_member(f"member{site._runs}")
    token = mortal.survive(site.admin, "token", "create", "--role", "endpoint", "--site",
                           "branch").document()["token"]
    name = mortal.survive(member, "join", "--hub", site.hub.url, "--token",
                          token).event("joined")["device"]
    mortal.survive(site.admin, "publish", "base/os", trees.next())
    # of the hub: a reflector that has not found it again answers with the head it kept
    mortal.survive(member, "pull", "base/os", target, "--at-hub", "--verify")
    assert_whole(trees.now, target)
    sites = target.with_name("sites.csv")
    link = f"link-{site._runs}"
    sites.write_text(f"name,link\nbranch,{link}\n")
    mortal.survive(site.admin, "site", "import", sites)
    rules = target.with_name("rules.json")
    rules.write_text(json.dumps({"format": 1, "rules": [
        {"name": f"rule-{site._runs}", "scope": "global", "mode": "full"}]}))
    number = mortal.survive(site.admin, "policy", "set", rules).document()["number"]
    shown = member.albedo("policy", "show").document()["policy"]
    assert shown["number"] == number
    sent = json.loads(rules.read_text())
    assert shown["document"]["rules"][0]["name"] == sent["rules"][0]["name"]
    assert shown["document"]["sites"] == [{"name": "branch", "link": link}]
    mortal.survive(site.admin, "revoke", name)
    # of the hub itself: a reflector hears of it when it has found the hub again
    done = member.albedo("pull", "base/os", target, "--at-hub", "--wait", "5s", code=None)
    assert done.code != 0 and "revoked" in done.err + done.out, done


def use_deltas(site, mortal, folder):
    """Two versions that differ in some bytes of one file: the hub makes a delta set of them."""
    layer, content = f"delta/{site._runs}", bytearray(os.urandom(700 * KB))
    (folder / "tree").mkdir()
    for _ in range(2):
        (folder / "tree" / "image").write_bytes(content)
        mortal.survive(site.admin, "publish", layer, folder / "tree")
        content[300 * KB:300 * KB + 20] = b"some other words now"

    def is_served():
        mortal.looked_after()
        shown = site.admin.albedo("layers", layer, code=None)
        if shown.code != 0:
            return []
        return next((row["deltas"] for row in shown.document()["layers"]
                     if row.get("layer", row.get("name")) == layer and row.get("deltas")), [])
    sets = wait_until(is_served, 60, "the delta set")
    assert len(sets) == 1, sets


@pytest.mark.parametrize("nth", NTHS)
@pytest.mark.parametrize("point", points("albedo-hub"))
def test_a_hub_killed_at_a_point_loses_nothing_it_acknowledged(
        site, trees, init_dies, tmp_path, point, nth):
    death = Death(point, nth)
    if point.startswith("file."):
        box = Box(site, f"hub{site._runs}", site.hub.host, 0)
        box.kind, box.program = "hub", "albedo-hub"
        init_dies(box, death, "--listen", "127.0.0.1:0", "--admin-listen",
                  "127.0.0.1:0") or death.never()
        box.start()
        box.stop()
        return
    mortal = Mortal(site.hub, death)
    site.hub.stop()
    mortal.start()
    if point == "hub.delta_served":
        use_deltas(site, mortal, tmp_path)
    else:
        use_hub(site, mortal, trees, tmp_path / "target")
    mortal.died or death.never()


def test_what_was_published_while_the_line_was_down_is_the_newest_as_soon_as_it_is_up(
        site, trees, tmp_path):
    wait_until(lambda: site.reflector_status()["parent"]["up"], 30, "the reflector's line")
    site.admin.albedo("publish", "base/os", trees.next())
    site.endpoints[0].albedo("pull", "base/os", tmp_path / "target")
    assert_whole(trees.now, tmp_path / "target")
    site.hub.kill()
    site.hub.start()
    site.admin.albedo("publish", "base/os", trees.next())
    wait_until(lambda: site.reflector_status()["parent"]["up"], 30, "the reflector's line")
    site.endpoints[0].albedo("pull", "base/os", tmp_path / "target")
    assert_whole(trees.now, tmp_path / "target")


@pytest.mark.parametrize("nth", NTHS)
@pytest.mark.parametrize("point", points("albedo-reflector"))
def test_a_reflector_killed_at_a_point_goes_on_when_it_is_started_again(
        site, trees, init_dies, tmp_path, point, nth):
    death = Death(point, nth)
    box = type(site.reflector)(site, f"reflector{site._runs}", site.reflector.host,
                               site._port())
    words = ["--hub", site.hub.url, "--token", site.token("reflector", "--site", "branch"),
             "--listen", f"127.0.0.1:{box.port}", "--name", box.name]
    died = init_dies(box, death, *words)
    mortal = Mortal(box, Death(point, nth))
    mortal.died = died
    mortal.start() if not died else box.start()
    member = fresh_member(site, box)
    site.admin.albedo("publish", "base/os", trees.next())
    for n in range(2):  # from the hub, then from what it kept
        mortal.survive(member, "pull", "base/os", tmp_path / str(n), "--verify")
        assert_whole(trees.now, tmp_path / str(n))
    box.stop()
    mortal.died or death.never()
