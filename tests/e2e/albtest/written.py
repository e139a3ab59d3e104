# SPDX-License-Identifier: Apache-2.0
# albtest/written.py – how far programs have got, by what they have written into folders so far.

import os
import stat
from pathlib import Path

STRIDE = 16 << 10  # well below a chunk


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
    """About how much has arrived, of random content: staged files have their full size, and the
    blocks for it, from the start. Only a byte here and there is looked at: a pull does not wait."""
    total = 0
    for path, st in files_below(target / ".albedo" / "stage").items():
        if stat.S_ISREG(st.st_mode):
            total += STRIDE * seen(path, st.st_size)
    return total


def seen(path, size):
    """How many of the bytes looked at are not zero."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return 0  # renamed into its place meanwhile
    try:
        return sum(os.pread(fd, 1, at) > b"\0" for at in range(0, size, STRIDE))
    finally:
        os.close(fd)
