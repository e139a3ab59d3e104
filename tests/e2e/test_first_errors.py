# SPDX-License-Identifier: Apache-2.0
# e2e/test_first_errors.py – what a first user gets wrong: each says what, where and what to do.
#
# The exit codes are those that `albedo --help` documents.

import os
import re
import shutil
import subprocess

import pytest

from albtest import small, tree
from albtest.procs import wait_until
from albtest.site import Site, free_port, program

DONE, FAILED, USAGE, REFUSED, NOT_FOUND, UNREACHABLE, FULL = range(7)
NOBODY = 65534

is_root = os.geteuid() == 0
needs_root = pytest.mark.skipif(not is_root, reason="needs root")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("errors")


def open_to_others(top):
    """pytest closes its folders, and does so again whenever another pytest begins."""
    for path in (top, *top.parents):
        if path.stat().st_uid == os.geteuid() and path.name.startswith(("errors", "pytest-")):
            path.chmod(path.stat().st_mode | 0o055)


@pytest.fixture(scope="module")
def source(folder):
    return small.make(folder / "tree")


@pytest.fixture(scope="module")
def site(folder, source):
    """Endpoint 0 may read base/… and nothing else."""
    with Site(folder / "site", endpoints=2) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        site.start_reflector(site.reflector)
        site.join(site.endpoints[0], site.token("endpoint", "--layers", "base"), site.reflector)
        site.join(site.endpoints[1], site.token("endpoint"), site.reflector)
        site.admin.albedo("publish", "base/os", source)
        site.admin.albedo("publish", "secret/os", source)
        yield site


@pytest.fixture
def stranger(site, request):
    """A state that nobody joined with yet."""
    return site.new_member("stranger-" + re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()))


def fails(member, code, text, *words):
    """The command ends with `code`, says `text`, and nothing that only we understand."""
    done = member.albedo(*words, code=code, plain=True)
    assert text in done.err, done
    assert "runtime error" not in done.err and "AddressSanitizer" not in done.err, done
    return done


def joining(site, stranger, code, text, url=None, token=None):
    token = token or site.token("endpoint")
    fails(stranger, code, text, "join", "--hub", url or site.hub.url, "--token", token)
    fails(stranger, NOT_FOUND, "nobody joined with this state", "status")


# ---- tokens ----

def test_a_token_that_is_none(site, stranger):
    joining(site, stranger, USAGE, "one begins with alb1.", token="password")


def test_a_token_that_was_cut_short(site, stranger):
    joining(site, stranger, USAGE, "the token was cut short", token=site.token("endpoint")[:-4])


def test_a_token_with_a_wrong_secret(site, stranger):
    words, other = site.token("endpoint").split("."), site.token("endpoint").split(".")
    words[2] = other[2]
    joining(site, stranger, REFUSED, "token", token=".".join(words))


def test_a_token_that_was_used(site, stranger):
    token = site.token("endpoint")
    site.join(site.new_member("first-user"), token)
    joining(site, stranger, REFUSED, "was used as often as it may be", token=token)


def test_a_token_that_has_expired(site, stranger):
    token = site.token("endpoint", "--uses", "1000", "--expires", "1s")
    tries = iter(range(1000))

    def is_refused():
        other = site.new_member(f"late{next(tries)}")
        return site.join(other, token, code=None).code == REFUSED
    wait_until(is_refused, 10, "the token to expire")
    joining(site, stranger, REFUSED, "this token has expired", token=token)


def test_a_token_of_another_hub(site, stranger, tmp_path):
    with Site(tmp_path, endpoints=0) as other:
        other.start_hub()
        other.admin.albedo("trust", "init")
        joining(site, stranger, REFUSED, "is not the one that the token names",
                token=other.token("endpoint"))


def test_a_reflectors_token_makes_no_endpoint(site, stranger):
    joining(site, stranger, REFUSED, "albedo-reflector init",
            token=site.token("reflector", "--site", "branch"))


def test_an_endpoints_token_makes_no_reflector(site, tmp_path):
    done = run("albedo-reflector", "init", "--data", tmp_path / "box", "--hub", site.hub.url,
               "--token", site.token("endpoint"))
    assert done.returncode == REFUSED
    assert "--role reflector" in done.stderr


# ---- addresses ----

def test_a_port_where_nothing_listens(site, stranger):
    joining(site, stranger, UNREACHABLE, "nothing listens there",
            url=f"https://127.0.0.1:{free_port()}")


def test_an_address_that_is_none(site, stranger):
    joining(site, stranger, USAGE, "it must begin with https://", url="hub.example.com:7443")
    joining(site, stranger, USAGE, "there is no port", url="https://hub.example.com")


def test_a_host_that_nobody_knows(site, stranger):
    joining(site, stranger, UNREACHABLE, "hub https://hub.invalid:7443",
            url="https://hub.invalid:7443")


def test_the_reflectors_address_in_place_of_the_hubs(site, stranger):
    done = stranger.albedo("join", "--hub", site.reflector.url, "--token", site.token("endpoint"),
                           code=None, plain=True)
    assert done.code not in (DONE, FAILED), done
    assert site.reflector.url in done.err, done


def test_a_hub_that_is_not_running(site, tmp_path):
    site.hub.stop()
    try:
        fails(site.admin, UNREACHABLE, "is albedo-hub running there", "layers")
        fails(site.admin, UNREACHABLE, "is albedo-hub running there", "publish", "base/os",
              tmp_path)
    finally:
        site.restart_hub()


def test_a_reflector_that_is_not_running(site, tmp_path):
    site.reflector.stop()
    try:
        fails(site.endpoints[0], UNREACHABLE, "nothing listens there", "pull", "base/os",
              tmp_path / "a", "--wait", "1s")
        fails(site.endpoints[0], UNREACHABLE, "is albedo-reflector running there", "status")
    finally:
        site.reflector.start()


# ---- trust ----

def test_nothing_but_admins_before_there_is_trust(tmp_path, source):
    with Site(tmp_path, endpoints=1) as site:
        site.start_hub()
        fails(site.admin, REFUSED, "albedo trust init", "token", "create", "--role", "endpoint")
        fails(site.admin, REFUSED, "albedo trust init", "publish", "base/os", source)


def test_publishing_outside_the_delegated_prefix(site, source):
    publisher = site.new_member("publisher")
    key = site.join(publisher, site.token("publisher")).event("joined")["publisher_key"]
    fails(publisher, REFUSED, f"albedo trust delegate app/office {key}", "publish", "app/office",
          source)
    site.admin.albedo("trust", "delegate", "app", key)
    publisher.albedo("publish", "app/office", source)
    fails(publisher, REFUSED, "does not let this key sign that layer", "publish", "base/os", source)
    fails(publisher, REFUSED, "does not let this key sign that layer", "publish", "application",
          source)


def test_an_endpoint_may_neither_publish_nor_list_devices(site, source):
    fails(site.endpoints[0], REFUSED, "publisher's token", "publish", "base/os", source)
    fails(site.endpoints[0], REFUSED, "role may not do that", "devices")


# ---- layers ----

@pytest.mark.parametrize("layer", ["base/nothing", "base/os@77", "secret/os", "secret/nothing"])
def test_a_layer_that_is_not_there_and_one_that_is_not_ours_are_told_alike(site, layer, tmp_path):
    fails(site.endpoints[0], NOT_FOUND, "there is no such layer or version for this device",
          "pull", layer, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    if layer == "secret/os":
        site.endpoints[1].albedo("pull", layer, tmp_path / "b")


def test_names_that_are_none(site, tmp_path):
    fails(site.endpoints[0], USAGE, "LAYER Base/OS", "pull", "Base/OS", tmp_path / "a")
    fails(site.endpoints[0], USAGE, "VERSION ", "pull", "base/os@../x", tmp_path / "a")


def test_versions_that_are_not_there(site, source):
    fails(site.admin, NOT_FOUND, "there is no version 99", "publish", "base/os", "--as-version",
          "99")
    fails(site.admin, NOT_FOUND, "there is no base/os@99", "promote", "base/os@99")
    fails(site.admin, FAILED, "was published before", "publish", "base/os", source, "--version",
          "1")


# ---- trees and targets ----

def test_a_tree_that_is_not_there(site, tmp_path):
    fails(site.admin, NOT_FOUND, f"{tmp_path}/none", "publish", "base/os", tmp_path / "none")
    (tmp_path / "file").write_bytes(b"x")
    fails(site.admin, USAGE, "not a directory", "publish", "base/os", tmp_path / "file")


def test_targets_that_cannot_be_one(site, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    endpoint = site.endpoints[0]
    fails(endpoint, USAGE, "TARGET /: the running system", "pull", "base/os", "/")
    fails(endpoint, USAGE, "TARGET /: the running system", "pull", "base/os", "/usr/..")
    fails(endpoint, USAGE, "it is not a directory", "pull", "base/os", tmp_path / "file")
    fails(endpoint, NOT_FOUND, "the directory it would be in is not there", "pull", "base/os",
          tmp_path / "no/such/place")
    fails(endpoint, NOT_FOUND, f"{tmp_path}/noseed", "pull", "base/os", tmp_path / "a", "--seed",
          tmp_path / "noseed")


def test_another_layer_does_not_replace_one_unasked(site, tmp_path):
    endpoint = site.endpoints[1]
    endpoint.albedo("pull", "base/os", tmp_path / "a")
    fails(endpoint, REFUSED, "--replace-layer", "pull", "secret/os", tmp_path / "a")
    endpoint.albedo("pull", "secret/os", tmp_path / "a", "--replace-layer")


def as_nobody(member, state, *words):
    """Run a command as a user without any right, with a copy of a member's state and of the
    program, since the checkout may be where that user cannot go."""
    own = state.with_name(f"albedo-{state.name}")
    shutil.copy(program("albedo"), own)
    shutil.copytree(member.state, state)
    for path in (state, *state.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    open_to_others(state.parent)
    return subprocess.run([own, *map(str, words), "--state", state], check=False,
                          capture_output=True, text=True, timeout=60, user=NOBODY, group=NOBODY,
                          extra_groups=[])


@needs_root
def test_a_file_that_may_not_be_read(site, folder):
    top = folder / "unreadable"
    top.mkdir()
    (top / "mine").write_bytes(b"x")
    (top / "mine").chmod(0o600)
    done = as_nobody(site.admin, folder / "state-of-reader", "publish", "base/unreadable", top)
    assert done.returncode == FAILED
    assert "mine: " in done.stderr and "Permission denied" in done.stderr


@needs_root
def test_without_root_owners_are_told_once_and_an_error_only_with_strict(site, folder, source):
    top = folder / "of-nobody"
    top.mkdir()
    os.chown(top, NOBODY, NOBODY)
    strict = as_nobody(site.endpoints[0], folder / "state-strict", "pull", "base/os", top / "a",
                       "--strict")
    assert strict.returncode == REFUSED and "run as root, or without --strict" in strict.stderr
    done = as_nobody(site.endpoints[0], folder / "state-lax", "pull", "base/os", top / "a")
    assert done.returncode == DONE, done.stderr
    assert done.stdout.count("not set for lack of privilege") == 1
    wanted, found = tree.describe(source), tree.describe(top / "a")
    for entry in (*wanted.values(), *found.values()):
        entry.uid = entry.gid = 0
        entry.mode &= 0o1777  # not set-user-ID either: it would be another user's
        entry.xattrs.pop("security.capability", None)
    assert tree.compare_described(wanted, found) == []


@needs_root
def test_a_full_disk_is_told_and_the_pull_goes_on_after_room_was_made(site, source, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk],
                      check=False).returncode != 0:
        pytest.skip("this container may not mount")
    try:
        fails(site.endpoints[0], FULL, "make room and run the same command again", "pull",
              "base/os", disk / "a")
        assert [path.name for path in (disk / "a").iterdir()] == [".albedo"]
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        site.endpoints[0].albedo("pull", "base/os", disk / "a")
        assert tree.compare(source, disk / "a") == []
    finally:
        subprocess.run(["umount", disk], check=True)


# ---- command lines and configuration ----

def run(name, *words):
    return subprocess.run([program(name), *map(str, words)], capture_output=True, text=True,
                          timeout=20, check=False)


@pytest.mark.parametrize("words, text", [
    (["pul", "base/os", "/tmp/x"], "pul: no such command"),
    (["pull", "base/os", "/tmp/x", "--fast"], "--fast: no such option"),
    (["pull", "base/os"], "it needs LAYER[@VERSION] TARGET"),
    (["token", "create"], "--role"),
    (["token", "create", "--role", "king"], "reflector, endpoint, publisher, admin"),
    (["token", "create", "--role", "endpoint", "--expires", "soon"], "--expires soon"),
    (["token", "create", "--role", "reflector"], "--site NAME"),
    (["publish", "base/os"], "TREE")])
def test_command_lines_that_make_no_sense(site, words, text):
    fails(site.admin, USAGE, text, *words)


@pytest.mark.parametrize("name, words, text", [
    ("albedo-hub", ["serv"], "serv"),
    ("albedo-hub", ["init"], "--data DIR"),
    ("albedo-hub", ["init", "--data", "/tmp/x", "--lisen", "1"], "--lisen"),
    ("albedo-reflector", ["serve"], "--config"),
    ("albedo-reflector", ["init", "--data", "/tmp/x"], "--hub"),
    ("albedo-reflector", ["serve", "--config"], "--config needs a value")])
def test_daemons_command_lines_that_make_no_sense(name, words, text):
    done = run(name, *words)
    assert done.returncode == USAGE
    assert text in done.stderr


@pytest.mark.parametrize("box, line, text", [
    ("hub", "memory_cache = 64Mbit", 'memory_cache: "64Mbit": unknown unit'),
    ("hub", "memory_cash = 64MiB", 'did you mean "memory_cache"?'),
    ("hub", "workers = many", "workers"),
    ("hub", "log_level = 7", "debug, info, warn or error"),
    ("reflector", "windows = 4MiB", 'did you mean "window"?'),
    ("reflector", "window = 4elephants", 'window: "4elephants": unknown unit'),
    ("reflector", "cache_quota = -1", "cache_quota"),
    ("reflector", "log_level = loud", "debug, info, warn or error")])
def test_a_mistake_in_a_configuration_is_told_with_its_line(site, box, line, text, tmp_path):
    box = getattr(site, box)
    config = (box.data / f"{box.kind}.conf").read_text().splitlines() + [line]
    path = tmp_path / "wrong.conf"
    path.write_text("\n".join(config) + "\n")
    done = run(box.program, "serve", "--config", path)
    assert done.returncode == USAGE
    assert f"{path}:{len(config)}: " in done.stderr
    assert text in done.stderr


def test_a_second_daemon_on_the_same_directory(site):
    for box in (site.hub, site.reflector):
        done = run(box.program, "serve", "--config", box.data / f"{box.kind}.conf")
        assert done.returncode == FAILED
        assert re.search(f"another {box.program} (is )?running", done.stderr), done.stderr


def test_init_does_not_overwrite(site):
    done = run("albedo-hub", "init", "--data", site.hub.data)
    assert done.returncode == FAILED and "a hub is here already" in done.stderr
    done = run("albedo-reflector", "init", "--data", site.reflector.data, "--hub", site.hub.url,
               "--token", site.token("reflector", "--site", "branch"))
    assert done.returncode != DONE and "already" in done.stderr
    fails(site.admin, REFUSED, "--force replaces it", "join", "--hub", site.hub.url, "--token",
          site.token("admin"))
