# SPDX-License-Identifier: Apache-2.0
# albtest/mutate.py – make version 2 of a tree by a stated recipe, the same for the same seed.
#
#     python3 -m albtest.mutate SRC DST [--seed N]     DST must not exist; prints JSON counts
#
# DST is a copy of SRC (cp -a), changed so:
#
#     3 %   of the files are renamed: half in their directory, half into another one
#     3 %   get 1 to 4,096 bytes appended
#    10 %   of those above 64 KiB get 1 to 64 bytes overwritten in the middle half
#     2 %   get another mode
#     1 %   are deleted
#     2 %   as many new files of 1 to 65,536 bytes appear, every second one text
#
# Each file takes part in at most one change (a hard link's other names change with it). Times are
# moved by exactly one day where a real edit would have changed them, so that two runs with one
# seed give trees that albtest.tree calls the same.

import argparse
import json
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

RECIPE = {"renamed": 0.03, "appended": 0.03, "patched": 0.10, "chmodded": 0.02, "deleted": 0.01,
          "created": 0.02}
LARGE = 64 * 1024
DAY_NS = 86_400 * 10**9
MODES = (0o644, 0o600, 0o755, 0o640, 0o750)


class _Mutation:
    """One run over one tree; the order of all choices is fixed by sorted paths and the seed."""

    def __init__(self, root, seed):
        self.root = Path(root)
        self.random = random.Random(seed)
        self.counts = {name: 0 for name in RECIPE} | {"bytes_changed": 0}
        self.dir_times = {}  # before any change
        self.touched = set()  # directories whose entries changed
        self.files = []
        for folder, names, leaves in os.walk(self.root):
            names.sort()
            self.dir_times[Path(folder)] = os.lstat(folder).st_mtime_ns
            for leaf in sorted(leaves):
                path = Path(folder, leaf)
                if stat.S_ISREG(path.lstat().st_mode):
                    self.files.append(path)
        self.total = len(self.files)
        self.folders = sorted(self.dir_times)

    def take(self, name, large=False):
        """Choose this change's share of the files that no earlier change took."""
        pool = [path for path in self.files if not large or path.lstat().st_size > LARGE]
        base = len(pool) if large else self.total
        share = min(round(RECIPE[name] * base), len(pool))
        share = max(share, min(1, len(pool)))  # a small tree has each change once
        chosen = self.random.sample(pool, share)
        taken = set(chosen)
        self.files = [path for path in self.files if path not in taken]
        self.counts[name] = share
        return sorted(chosen)

    def free_name(self, folder, wish):
        path = folder / wish
        while os.path.lexists(path):
            path = folder / f"{wish}.{self.random.randrange(10**6)}"
        self.touched.add(folder)
        return path

    def write(self, path, offset, data):
        """Overwrite or append, as an editor with the right to do so, and move the time on."""
        before = path.lstat()
        os.chmod(path, before.st_mode | stat.S_IWUSR)
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)
        os.chmod(path, stat.S_IMODE(before.st_mode))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + DAY_NS))
        self.counts["bytes_changed"] += len(data)

    def run(self):
        self.patch()
        self.rename()
        self.append()
        self.chmod()
        self.delete()
        self.create()
        for folder in sorted(self.touched):
            time_ns = self.dir_times[folder] + DAY_NS
            os.utime(folder, ns=(time_ns, time_ns))

    def patch(self):
        for path in self.take("patched", large=True):
            size = path.lstat().st_size
            data = self.random.randbytes(self.random.randint(1, 64))
            self.write(path, self.random.randint(size // 4, size * 3 // 4), data)

    def rename(self):
        for number, path in enumerate(self.take("renamed")):
            folder = path.parent if number % 2 == 0 else self.random.choice(self.folders)
            self.touched.add(path.parent)
            path.rename(self.free_name(folder, f"moved-{path.name[:200]}"))

    def append(self):
        for path in self.take("appended"):
            data = self.random.randbytes(self.random.randint(1, 4096))
            self.write(path, path.lstat().st_size, data)

    def chmod(self):
        for path in self.take("chmodded"):
            mode = stat.S_IMODE(path.lstat().st_mode)
            os.chmod(path, self.random.choice([m for m in MODES if m != mode]))

    def delete(self):
        for path in self.take("deleted"):
            self.touched.add(path.parent)
            path.unlink()

    def create(self):
        self.counts["created"] = max(1, round(RECIPE["created"] * self.total))
        words = ("branch", "hub", "link", "layer", "chunk", "mirror", "light", "snow")
        for number in range(self.counts["created"]):
            folder = self.random.choice(self.folders)
            size = self.random.randint(1, 65536)
            path = self.free_name(folder, f"new-{number:05d}")
            if number % 2:
                text = " ".join(self.random.choice(words) for _ in range(size // 4 + 1))
                data = text.encode()[:size]
            else:
                data = self.random.randbytes(size)
            path.write_bytes(data)
            os.chmod(path, 0o644)
            time_ns = self.dir_times[folder] + DAY_NS
            os.utime(path, ns=(time_ns, time_ns))
            self.counts["bytes_changed"] += size


def mutate(src, dst, seed=1):
    """Copy `src` to `dst` and change the copy; return the counts as a dict."""
    if os.path.lexists(dst):
        raise FileExistsError(f"{dst} exists; name a path that does not")
    subprocess.run(["cp", "-a", "--", os.fspath(src), os.fspath(dst)], check=True)
    mutation = _Mutation(dst, seed)
    mutation.run()
    return {"seed": seed, "files": mutation.total, **mutation.counts}


def main():
    parser = argparse.ArgumentParser(prog="albtest.mutate", description="Make version 2 of a tree.")
    parser.add_argument("src")
    parser.add_argument("dst")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    try:
        print(json.dumps(mutate(args.src, args.dst, args.seed)))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"albtest.mutate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
