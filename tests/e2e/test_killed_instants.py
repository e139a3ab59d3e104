# SPDX-License-Identifier: Apache-2.0
# e2e/test_killed_instants.py – kill -9 of each program at instants spread over a measured pull.
#
# A pull over an emulated link is measured first; then it is done again and again with new content,
# and at the next of ALB_KILL_INSTANTS (default 4; tests/crash/kill takes 20) instants, evenly
# spread over the bytes that cross the link (how long those take is another matter), one program is
# killed, its place said, and it is started again.  Three quarters of the instants must lie between
# the first and the last chunk.  What is there in the end is judged by
# albtest.tree; what it cost is read from the interface: no more than one chunk is carried twice on
# the data connection that was cut.

import os
import random

import pytest

from albtest import tree
from albtest.netns import Lab, linkemu_path
from albtest.procs import wait_until
from albtest.site import Site

KB = 1 << 10
INSTANTS = int(os.environ.get("ALB_KILL_INSTANTS", "4"))
FILES, FILE_SIZE = 60, 100 * KB  # below the average chunk: one or two chunks each
RATE = "12mbit"                  # four seconds and more for these bytes
# What may be carried twice: one chunk, what the link's queue of 150 ms delivers to nobody, and the
# handshakes and the manifest that are asked for again.
TWICE_MOST = FILE_SIZE + 300 * KB + 64 * KB

usable, why_not = Lab.available()
if usable and linkemu_path() is None:
    usable, why_not = False, "albedo-linkemu is not built"
pytestmark = pytest.mark.skipif(not usable, reason=why_not)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Lab(endpoints=1, rate=RATE, delay="10ms") as lab, \
            Site(tmp_path_factory.mktemp("site"), lab=lab) as site:
        site.start()
        yield site


def new_tree(top, seed):
    rng = random.Random(seed)
    top.mkdir()
    for number in range(FILES):
        top.joinpath(f"file{number}").write_bytes(rng.randbytes(FILE_SIZE))
    return top


def staged(target):
    """Content that is in the stage or in place, by the blocks it takes."""
    total = 0
    for folder, _, leaves in os.walk(target):
        for leaf in leaves:
            if leaf.isdigit() or leaf.startswith("file"):
                try:
                    total += min(os.lstat(os.path.join(folder, leaf)).st_blocks * 512, FILE_SIZE)
                except FileNotFoundError:
                    pass  # renamed meanwhile
    return total


class Place:
    """Where in a pull an instant lies; the stage tells, not the program."""

    def __init__(self, target, chunks, crossed, total):
        done = staged(target)
        self.chunks_done = round(chunks * done / (FILES * FILE_SIZE))
        self.is_between = 0 < done < FILES * FILE_SIZE
        applied = (target / ".albedo/applied").exists()
        self.phase = ("done" if applied else "fetching" if self.is_between
                      else "applying" if done else "before the first chunk")
        self.text = (f"{self.phase}, {self.chunks_done} of {chunks} chunks, "
                     f"{crossed} of {total} bytes over the WAN")


class Round:
    """New content published, and a pull of it under way."""

    def __init__(self, site, folder, number):
        self.site, self.source = site, new_tree(folder / f"v{number}", number)
        done = site.admin.albedo("publish", "base/os", self.source).event("published")
        self.chunks = done["chunks"]
        # By name: without its hub a reflector answers "latest" with the newest it knows of.
        self.version = f"base/os@{done['version']}"
        wait_until(lambda: site.reflector_status()["parent"]["up"], 30, "the reflector's line")
        self.target = folder / f"t{number}"
        self.wire = site.lab.link.bytes()["down"]
        self.pull = site.endpoints[0].start("pull", self.version, self.target)

    def is_running(self):
        return self.pull.daemon.is_running()

    def crossed(self):
        return self.site.lab.link.bytes()["down"] - self.wire

    def finish(self, again=False):
        done = self.pull.wait()
        if again:
            done = self.site.endpoints[0].albedo("pull", self.version, self.target)
        assert done.code == 0, done
        assert tree.compare(self.source, self.target) == []
        return self.crossed()


@pytest.fixture(scope="module")
def measured(site, tmp_path_factory):
    """What crosses the link if nobody dies."""
    return Round(site, tmp_path_factory.mktemp("measured"), 0).finish()


def kill(site, name, round_):
    if name == "endpoint":
        round_.pull.kill()
        return
    box = site.hub if name == "hub" else site.reflector
    box.kill()
    box.start()


@pytest.mark.parametrize("name", ["endpoint", "reflector", "hub"])
def test_killed_at_an_instant_it_goes_on_and_carries_hardly_anything_twice(
        site, measured, tmp_path, name):
    between = 0
    for number in range(INSTANTS):
        seed = 1 + number + INSTANTS * ["endpoint", "reflector", "hub"].index(name)
        round_ = Round(site, tmp_path, seed)
        share = (number + 0.5) / INSTANTS
        wait_until(lambda: round_.crossed() >= share * measured or not round_.is_running(), 60,
                   f"{share:.1%} of the bytes")
        place = Place(round_.target, round_.chunks, round_.crossed(), measured)
        kill(site, name, round_)
        between += place.is_between
        crossed = round_.finish(again=name == "endpoint")
        print(f"{name} killed at {share:.1%} of the bytes: {place.text}; "
              f"{crossed - measured:+} bytes in the end")
        assert crossed <= measured + TWICE_MOST
    assert between * 4 >= INSTANTS * 3, f"{between} of {INSTANTS} between first and last chunk"
