# SPDX-License-Identifier: Apache-2.0
# albtest/subset.py – a stable subset of the machine's own /usr, as a real tree to publish.
#
#     python3 -m albtest.subset DST [--source /usr] [--bytes 300000000] [--files 15000]
#
# The tree is cut into units: a directory with everything below it, if that is at most 8 MB and
# 1,000 files; of larger directories, each file of their own and each directory in them. Units are
# taken in the order of the SHA-256 of their path as long as they fit. So the choice depends on
# nothing but the tree, mixes programs, libraries and documents, and a package that comes or goes
# does not shift the rest. Copied by tar with everything it has; /usr itself is only read.
#
# Left out: local/ and src/ (not the system's), compiled Python (written while programs run),
# and what this user may not read.

import argparse
import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

MAX_BYTES = 300_000_000
MAX_FILES = 15_000
UNIT_BYTES = 8_000_000
UNIT_FILES = 1_000
LEFT_OUT_TOP = ("local", "src")
LEFT_OUT = ("__pycache__", ".albedo")


@dataclass
class Unit:
    """Paths that are taken together or not at all."""
    path: str
    paths: list = field(default_factory=list)
    bytes: int = 0
    files: int = 0

    def add(self, other):
        self.paths += other.paths
        self.bytes += other.bytes
        self.files += other.files

    def is_small(self):
        return self.bytes <= UNIT_BYTES and self.files <= UNIT_FILES

    def order(self):
        return hashlib.sha256(os.fsencode(self.path)).digest()


def _leaf(path, st):
    regular = stat.S_ISREG(st.st_mode)
    return Unit(path, [path], st.st_size if regular else 0, 1 if regular else 0)


def _collect(root, folder, device, units):
    """The unit of `folder`; None if too large (its parts went to `units`) or closed to us."""
    whole, parts, fits = Unit(folder, [folder] if folder else []), [], True
    if not os.access(os.path.join(root, folder), os.R_OK | os.X_OK):
        return None
    with os.scandir(os.path.join(root, folder)) as found:
        items = sorted(found, key=lambda item: os.fsencode(item.name))
    for item in items:
        st = item.stat(follow_symlinks=False)
        path = os.path.join(folder, item.name)
        left_out = item.name in LEFT_OUT or (not folder and item.name in LEFT_OUT_TOP)
        if left_out or item.name.endswith(".pyc") or st.st_dev != device:
            continue
        if stat.S_ISDIR(st.st_mode):
            part = _collect(root, path, device, units)
        elif stat.S_ISLNK(st.st_mode) or (stat.S_ISREG(st.st_mode) and os.access(item, os.R_OK)):
            part = _leaf(path, st)
        else:
            continue
        fits = fits and part is not None
        if part is not None:
            parts.append(part)
            whole.add(part)
    if fits and whole.is_small():
        return whole
    units += parts
    return None


def choose(source, max_bytes=MAX_BYTES, max_files=MAX_FILES):
    """(sorted relative paths, bytes, files) of the subset of `source`."""
    units = []
    rest = _collect(source, "", os.stat(source).st_dev, units)
    if rest is not None:
        units.append(rest)
    paths, total, files = set(), 0, 0
    for unit in sorted(units, key=Unit.order):
        if total + unit.bytes > max_bytes or files + unit.files > max_files:
            continue
        total += unit.bytes
        files += unit.files
        for path in unit.paths:
            while path and path not in paths:  # its parents too
                paths.add(path)
                path = os.path.dirname(path)
    return sorted(paths), total, files


def _copy(source, dst, paths):
    """tar keeps owners, modes, times to the nanosecond, xattrs and hard links inside the list."""
    with tempfile.NamedTemporaryFile(prefix="albtest-list-") as names:
        names.write(b"".join(os.fsencode(path) + b"\0" for path in paths))
        names.flush()
        keep = ["--xattrs", "--xattrs-include=*"]
        pack = subprocess.Popen(
            ["tar", "-C", source, "--format=posix", "--no-recursion", "--null",
             "--verbatim-files-from", "-T", names.name, *keep, "-cf", "-"],
            stdout=subprocess.PIPE)
        subprocess.run(["tar", "-C", dst, *keep, "--same-permissions",
                        "--delay-directory-restore", "-xf", "-"], stdin=pack.stdout, check=True)
        pack.stdout.close()
        if pack.wait() != 0:
            raise subprocess.CalledProcessError(pack.returncode, "tar")


def subset(dst, source="/usr", max_bytes=MAX_BYTES, max_files=MAX_FILES):
    """Copy the subset of `source` into the new directory `dst`; return figures as a dict."""
    os.mkdir(dst)
    paths, total, files = choose(source, max_bytes, max_files)
    _copy(source, dst, paths)
    names = hashlib.sha256(b"\0".join(os.fsencode(path) for path in paths)).hexdigest()
    return {"source": source, "paths": len(paths), "files": files, "bytes": total,
            "names_sha256": names}


def main():
    parser = argparse.ArgumentParser(prog="albtest.subset", description="Copy part of /usr.")
    parser.add_argument("dst")
    parser.add_argument("--source", default="/usr")
    parser.add_argument("--bytes", type=int, default=MAX_BYTES)
    parser.add_argument("--files", type=int, default=MAX_FILES)
    args = parser.parse_args()
    try:
        print(json.dumps(subset(args.dst, args.source, args.bytes, args.files)))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"albtest.subset: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
