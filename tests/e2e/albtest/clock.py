# SPDX-License-Identifier: Apache-2.0
# albtest/clock.py – programs under test that live days ahead.
#
#     ahead = days_ahead(folder, 21)              environment for Member.albedo(env=…)
#     with shifted(ahead): site.hub.start()       … and for daemons

import contextlib
import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock_shift.c")


def days_ahead(folder, days):
    library = Path(folder) / "clock_shift.so"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True)
    manners = os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": str(library), "ALB_CLOCK_SHIFT_S": str(round(days * 86400)),
            "ASAN_OPTIONS": ":".join(filter(None, [manners, "verify_asan_link_order=0"]))}


@contextlib.contextmanager
def shifted(environment):
    """What is started meanwhile gets it; this process goes on as it is."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
