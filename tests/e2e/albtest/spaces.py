# SPDX-License-Identifier: Apache-2.0
# albtest/spaces.py – bare network namespaces for tests of what net/ asks the kernel.
#
#     with spaces("a", "b") as (a, b):
#         ip(a, "link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", b)
#
# Names carry this process's id, and are removed with what is in them on leaving the block.
import contextlib
import json
import os
import subprocess

import pytest


def ip(ns, *words, stdin=None):
    done = subprocess.run(["ip", "-n", ns, *words], input=stdin, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def ip_batch(ns, lines):
    ip(ns, "-batch", "-", stdin="\n".join(lines) + "\n")


def ip_json(ns, *words):
    return json.loads(ip(ns, "-j", *words) or "[]")


def within(ns, *argv):
    """The command that runs `argv` in that namespace."""
    return ["ip", "netns", "exec", ns, *map(str, argv)]


@contextlib.contextmanager
def spaces(*names):
    made = [f"albs{os.getpid()}-{name}" for name in names]
    try:
        for ns in made:
            done = subprocess.run(["ip", "netns", "add", ns], capture_output=True, text=True,
                                  check=False)
            if done.returncode != 0:
                pytest.skip(f"no network namespaces here (root is needed): {done.stderr.strip()}")
        yield made
    finally:
        for ns in made:
            subprocess.run(["ip", "netns", "del", ns], capture_output=True, check=False)
