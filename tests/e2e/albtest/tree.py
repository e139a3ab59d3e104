# SPDX-License-Identifier: Apache-2.0
# albtest/tree.py – an independent judge of whether two directory trees are the same.
#
#     python3 -m albtest.tree A B      exit 1 and the first 20 differences if they differ
#
# Compared for every path: type, mode, owner, group, mtime to the nanosecond, extended attributes
# (ACLs and capabilities are among them), and by type size and SHA-256, symlink target, device
# number; and which paths are hard links of one another. `.albedo` is skipped at any depth.
# Sizes of directories, inode numbers, atime and ctime are the file system's own business.
# Holes are told but are no difference: a file system may fill or punch them.

import argparse
import concurrent.futures
import hashlib
import os
import stat
import sys
from dataclasses import dataclass, fields

SKIPPED = ".albedo"
SHOWN = 20
BLOCK = 512  # of st_blocks, whatever the file system's own block is

TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink",
         stat.S_IFCHR: "character device", stat.S_IFBLK: "block device", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket"}


@dataclass
class Entry:
    """What is compared of one path; a field that does not apply to its type is None."""
    type: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: dict
    size: int | None = None
    sha256: str | None = None
    target: str | None = None
    device: tuple | None = None
    links: tuple | None = None  # every path of the tree that is this file, if more than one
    sparse: bool = False        # told, never compared


def _quote(path):
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _xattrs(path):
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return {}  # a file system without them
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in sorted(names)}


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entry(path, st):
    kind = stat.S_IFMT(st.st_mode)
    entry = Entry(type=TYPES[kind], mode=stat.S_IMODE(st.st_mode), uid=st.st_uid, gid=st.st_gid,
                  mtime_ns=st.st_mtime_ns, xattrs=_xattrs(path))
    if kind == stat.S_IFREG:
        entry.size = st.st_size
        entry.sha256 = _sha256(path)
        entry.sparse = st.st_blocks * BLOCK < st.st_size
    elif kind == stat.S_IFLNK:
        entry.target = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        entry.device = (os.major(st.st_rdev), os.minor(st.st_rdev))
    return entry


def _walk(root):
    """Yield (relative path, absolute path) of the root, as ".", and of everything below it."""
    yield ".", root
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(root, folder)) as found:
            for item in found:
                if item.name == SKIPPED:
                    continue
                relative = os.path.join(folder, item.name)
                if item.is_dir(follow_symlinks=False):
                    pending.append(relative)
                yield relative, item.path


def describe(root):
    """{relative path: Entry} of the tree at `root`. Raises OSError if something cannot be read."""
    root = os.fspath(root)
    if not os.path.isdir(root):
        raise NotADirectoryError(f"{root} is not a directory")
    names, same = [], {}
    for relative, path in _walk(root):
        st = os.lstat(path)
        names.append((relative, path, st))
        if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
            same.setdefault((st.st_dev, st.st_ino), []).append(relative)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing frees the lock
        entries = pool.map(lambda name: _entry(name[1], name[2]), names)
        tree = {name[0]: entry for name, entry in zip(names, entries)}
    for paths in same.values():
        for relative in paths if len(paths) > 1 else ():
            tree[relative].links = tuple(sorted(paths))
    return tree


def _show(field, value):
    if field == "mode":
        return f"{value:04o}"
    return repr(value)


def compare_described(a, b, skip_root=False):
    """Differences between two results of describe(), as one line of text each, in path order."""
    differences = []
    for path in sorted(a.keys() | b.keys()):
        if path == "." and skip_root:
            continue
        name = _quote(path)
        if path not in b:
            differences.append(f"{name}: only in the first ({a[path].type})")
        elif path not in a:
            differences.append(f"{name}: only in the second ({b[path].type})")
        else:
            for field in (f.name for f in fields(Entry) if f.name != "sparse"):
                one, two = getattr(a[path], field), getattr(b[path], field)
                if one != two:
                    differences.append(
                        f"{name}: {field} {_show(field, one)} ≠ {_show(field, two)}")
    return differences


def compare(a, b, skip_root=False):
    """Differences between the trees at two paths; an empty list means they are the same.

    `skip_root` leaves out the two directories themselves, for a target that was made by hand.
    """
    return compare_described(describe(a), describe(b), skip_root)


def _summary(a, b):
    files = sum(entry.type == "file" for entry in a.values())
    size = sum(entry.size or 0 for entry in a.values())
    holes = [sum(entry.sparse for entry in tree.values()) for tree in (a, b)]
    return (f"{len(a)} paths, {files} files, {size} bytes in the first; "
            f"sparse files {holes[0]} and {holes[1]}")


def main():
    parser = argparse.ArgumentParser(prog="albtest.tree", description="Compare two trees.")
    parser.add_argument("a")
    parser.add_argument("b")
    parser.add_argument("--skip-root", action="store_true",
                        help="do not compare the two directories themselves")
    args = parser.parse_args()
    try:
        a, b = describe(args.a), describe(args.b)
    except OSError as error:
        print(f"albtest.tree: {error}", file=sys.stderr)
        return 2
    differences = compare_described(a, b, args.skip_root)
    for line in differences[:SHOWN]:
        print(line)
    if len(differences) > SHOWN:
        print(f"… and {len(differences) - SHOWN} more")
    print(f"{'differ' if differences else 'same'}: {_summary(a, b)}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
