# SPDX-License-Identifier: Apache-2.0
# e2e/test_stamps.py – what a hub says about its sending while a child takes a batch slowly.

import os
import struct
import time

import pytest

from albtest.rawh2 import DATA, Raw, batch
from albtest.site import Site

LAYER = "base/os"
STAMP = 0xe5
FILES, FILE_SIZE = 24, 64 << 10  # too large for a pack, too small to be cut: a chunk each
BYTES_PER_S = 600_000
RECORD_SHARE = 1.1  # frames, records, answers


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path, endpoints=1) as site:
        site.start_hub()
        site.admin.albedo("trust", "init")
        site.join(site.endpoints[0], site.token("endpoint", "--site", "branch"))
        tree = tmp_path / "tree"
        tree.mkdir()
        for n in range(FILES):
            (tree / f"file{n}").write_bytes(os.urandom(FILE_SIZE))
        site.admin.albedo("publish", LAYER, tree)
        yield site
        assert "Sanitizer" not in site.hub.log.read_text()


def take_slowly(raw, stream):
    """The payloads of the stamps that came meanwhile."""
    stamps, taken, began = [], 0, time.monotonic()
    while stream not in raw.over:
        kind, _, _, payload = raw.read()
        if kind == STAMP:
            stamps.append(payload)
        if kind != DATA or not payload:
            continue
        taken += len(payload)
        time.sleep(max(0, began + taken / BYTES_PER_S - time.monotonic()))
        raw.credit(0, len(payload))
        if stream not in raw.over:
            raw.credit(stream, len(payload))
    return stamps, taken


def test_a_batch_that_is_taken_slowly_is_stamped(site):
    with Raw(site.hub.port, site.endpoints[0].state) as raw:
        raw.present_grant()
        stream = raw.ask("POST", "/v1/chunks", batch(LAYER, site.root(), 0, FILES))
        stamps, taken = take_slowly(raw, stream)
    assert raw.statuses[stream] == 200 and taken > FILES * FILE_SIZE
    assert 5 <= len(stamps) <= 10 * taken / BYTES_PER_S + 5
    said = [struct.unpack("<BBHIQQQ", s) for s in stamps]
    versions, flags, flows, kbits, sent_ns, sent, again = zip(*said)
    assert set(versions) == {1} and set(flags) == {0}
    assert list(sent_ns) == sorted(sent_ns) and list(sent) == sorted(sent)
    assert taken / 2 < sent[-1] < taken * RECORD_SHARE + 100_000
    assert again[-1] < 50
    assert set(flows) == set(kbits) == {0}  # this machine's own loopback shares no line
