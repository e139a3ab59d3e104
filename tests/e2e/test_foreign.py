# SPDX-License-Identifier: Apache-2.0
# e2e/test_foreign.py – other people's HTTP/2: credit alone paces nginx, and it bears our stamps.

import json
import os
import subprocess
from pathlib import Path

import pytest

from albtest.nginx import PROGRAM, nginx_is_up, nginx_set_up
from albtest.procs import wait_until
from albtest.site import free_port


def paced_program():
    return Path(os.environ["ALB_BIN_DIR"]).parent / "tests" / "bench_paced"


@pytest.fixture
def nginx(tmp_path):
    assert Path(PROGRAM).exists(), "no nginx; packaging/deps test installs it"
    port = free_port()
    (tmp_path / "large").write_bytes(os.urandom(8 << 20))
    (tmp_path / "small").write_bytes(os.urandom(3000))
    server = subprocess.Popen(nginx_set_up(tmp_path, f"127.0.0.1:{port} http2"))
    try:
        wait_until(lambda: nginx_is_up(tmp_path), 10, "nginx to start")
        yield port
    finally:
        server.terminate()
        server.wait()


def ask(port, path, rate, seconds, *more):
    words = [paced_program(), "127.0.0.1", str(port), path, str(rate), str(seconds), *more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def bits(said, first, last):
    return 8 * sum(said["came"][first:last])


def share(said, first, last):
    """What came, of what may come in the time that it was, as far as the machine kept to it."""
    seconds = (said["at_ms"][last] - said["at_ms"][first]) / 1000
    return bits(said, first, last) / seconds / said["rate_bps"]


@pytest.mark.parametrize("rate", [500_000, 30_000_000])
def test_credit_alone_holds_nginx_to_a_rate_from_the_first_byte_on(nginx, rate):
    said = ask(nginx, "/large", rate, 12)
    off = said["off_at"]
    again = off + said["off_ticks"]
    # From the start: what nobody granted does not come either (50 ms of burst, a few packets).
    assert bits(said, 0, 10) <= rate * (0.05 + said["at_ms"][10] / 1000) + 12_000, said
    for first in (10, 20, 30, 40):
        assert 0.9 <= share(said, first, first + 10) <= 1.05, said
    assert 0.95 <= share(said, 10, off) <= 1.02, said
    # The way back: grants at most 2 % of it, and acknowledgements in them or beside; on a thin line
    # each packet has a grant of its own, since two at once would be felt.
    way_back = 0.04 if rate > 2_000_000 else 0.06
    assert 8 * said["sent"] <= way_back * rate * len(said["came"]) / 10 + 20_000, said
    # Off: what was granted is taken back; a round trip of loopback is far below 100 ms.
    assert bits(said, off + 1, again) <= 8 * 2000, said
    # On again: no burst of what was not sent.
    seconds = (said["at_ms"][again + 10] - said["at_ms"][again]) / 1000
    assert bits(said, again, again + 10) <= rate * (0.05 + seconds) + 12_000, said
    assert 0.95 <= share(said, again + 10, again + 40) <= 1.03, said
    assert said["failures"] == 0, said


def test_small_answers_of_nginx_are_held_to_the_rate_too(nginx):
    said = ask(nginx, "/small", 1_000_000, 5, "3000")
    off = said["off_at"]
    assert bits(said, 10, off) <= 1_050_000 * (off - 10) / 10, said
    assert bits(said, 10, off) >= 700_000 * (off - 10) / 10, said
    assert said["failures"] == 0 and said["answers"] > 30, said
