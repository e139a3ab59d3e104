# SPDX-License-Identifier: Apache-2.0
# albtest/branch.py – one layer, published and pulled at a whole site, for tests of what goes wrong.

import contextlib
import os

from albtest.site import Site
from albtest.tree import compare

LAYER = "base/os"


def make_tree(top, count, size):
    """`count` files of `size` random bytes: no two chunks are alike."""
    top.mkdir()
    for n in range(count):
        (top / f"f{n:02}").write_bytes(os.urandom(size))
    return top


@contextlib.contextmanager
def started(folder, endpoints=4):
    """A site that runs; at its end neither daemon may have met a sanitizer."""
    with Site(folder, endpoints=endpoints) as site:
        site.start()
        yield site
        for box in (site.hub, site.reflector):
            assert "Sanitizer" not in box.log.read_text(errors="replace")


def pull(site, n, tree):
    """Endpoint `n` pulls the layer into its own target, which is then `tree`; the last event."""
    target = site.folder / f"target{n}"
    done = site.endpoints[n].albedo("pull", LAYER, target)
    assert compare(tree, target, skip_root=True) == []
    return done.event("pulled")
