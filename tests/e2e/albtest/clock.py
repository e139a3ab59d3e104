# SPDX-License-Identifier: Apache-2.0
# albtest/clock.py – programs under test that live days ahead.
#
#     ahead = days_ahead(folder, 21)              environment for Member.albedo(env=…)
#     with environment(ahead): site.hub.start()   … and for daemons (albtest.procs)

import subprocess
from pathlib import Path

from albtest.procs import asan_options

SOURCE = Path(__file__).with_name("clock_shift.c")


def days_ahead(folder, days):
    library = Path(folder) / "clock_shift.so"
    if not library.exists():
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True)
    return {"LD_PRELOAD": str(library), "ALB_CLOCK_SHIFT_S": str(round(days * 86400)),
            **asan_options("verify_asan_link_order=0")}
