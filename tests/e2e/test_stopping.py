# SPDX-License-Identifier: Apache-2.0
# tests/e2e/test_stopping.py – SIGTERM and Ctrl-C at awkward moments: all end well, none leaks.
#
# Built with sanitizers, a program that leaks at its end exits with another code and says so.

import random
import signal
import time

import pytest

from albtest.site import Site
from albtest.slow import SlowDoor

LAYER = "base/os"
MB = 1 << 20


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site"), endpoints=1) as site:
        site.start()
        yield site


def fill(top, seed):
    top.mkdir(exist_ok=True)
    rng = random.Random(seed)
    for number in range(12):
        (top / f"file{number}").write_bytes(rng.randbytes(MB))
    return top


def assert_clean(box, already):
    text = box.log.read_text(errors="replace")[already:]
    assert "Sanitizer" not in text, text


@pytest.mark.parametrize("victim", ["hub", "reflector"])
@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.8])
def test_a_daemon_ends_well_while_others_are_at_work(site, victim, after_s, tmp_path):
    tree = fill(tmp_path / "tree", f"{victim} {after_s}")
    box = getattr(site, victim)
    already = len(box.log.read_text(errors="replace"))
    site.admin.albedo("publish", LAYER, tree)
    with SlowDoor(site.reflector.port, 8 * MB) as door:
        fast, slow = site.endpoints[0], site.new_member(f"slow-{victim}-{after_s}")
        site.join(slow, site.token("endpoint"), upstream=door)
        fill(tree, after_s)
        runs = [site.admin.start("publish", LAYER, tree),
                fast.start("pull", LAYER, tmp_path / "a"),
                slow.start("pull", LAYER, tmp_path / "b")]
        time.sleep(after_s)
        box.stop()
        box.start()
        done = [run.wait() for run in runs]
    assert done[0].code in (0, 5), done[0]  # who never reached the hub is told at once
    assert [one.code for one in done[1:]] == [0, 0], "\n".join(map(str, done))
    assert_clean(box, already)


@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.8])
def test_a_command_that_is_interrupted_leaves_nothing(site, after_s, tmp_path):
    tree = fill(tmp_path / "tree", after_s)
    for words in (("publish", LAYER, tree), ("pull", LAYER, tmp_path / "a")):
        run = site.admin.start(*words) if words[0] == "publish" else \
            site.endpoints[0].start(*words)
        time.sleep(after_s)
        run.daemon.signal(signal.SIGINT)
        done = run.wait()
        assert "Sanitizer" not in done.err, done
        assert done.code in (0, 130, -signal.SIGINT), done
