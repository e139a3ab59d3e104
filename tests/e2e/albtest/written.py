# SPDX-License-Identifier: Apache-2.0
# albtest/written.py – how far programs have got, by what they have written into folders so far.

import os
from pathlib import Path


def files_below(top):
    """{path: lstat} of all that is no directory; following nothing, whatever its name."""
    found = {}
    for folder, _, leaves in os.walk(top):
        for leaf in leaves:
            try:
                found[Path(folder, leaf)] = Path(folder, leaf).lstat()
            except FileNotFoundError:
                pass  # a program removed it meanwhile
    return found


def bytes_below(top):
    return sum(st.st_size for st in files_below(top).values())


def bytes_staged(target):
    """What has arrived, of random content: staged files have their full size from the start."""
    total = 0
    for path in files_below(target / ".albedo" / "stage"):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue  # renamed into its place meanwhile
        total += len(data) - data.count(0)
    return total
