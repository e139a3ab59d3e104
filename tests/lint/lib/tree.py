# SPDX-License-Identifier: Apache-2.0
# tests/lint/lib/tree.py – which files are ours, and how a lint reports.
import os
import sys

FOLDERS = ("base", "chunk", "wire", "config", "image", "store", "net", "shaper", "transfer",
           "hub", "reflector", "client")
OTHER = ("tests", "cmake", "packaging", ".ci")
NOT_OURS = {"__pycache__", "corpus", "golden", "data", "reports"}


def files(root, suffixes, folders=FOLDERS + OTHER):
    """Paths, relative to root, of our files that end in one of `suffixes`."""
    found = []
    for folder in folders:
        for at, folders_here, names in os.walk(os.path.join(root, folder)):
            folders_here[:] = sorted(set(folders_here) - NOT_OURS)
            found += [os.path.relpath(os.path.join(at, name), root)
                      for name in sorted(names) if name.endswith(suffixes)]
    return found


def scripts(root):
    """Our executable scripts that carry no suffix, such as tests/run."""
    return [path for path in files(root, "", OTHER)
            if "." not in os.path.basename(path)
            and os.access(os.path.join(root, path), os.X_OK)]


def lines(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="surrogateescape") as file:
        return file.read().splitlines()


def finish(offences, advice=()):
    """Print what was found and leave with the lint's verdict."""
    for text in advice:
        print("aim:", text)
    for text in offences:
        print(text, file=sys.stderr)
    sys.exit(1 if offences else 0)
