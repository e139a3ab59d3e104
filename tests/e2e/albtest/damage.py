# SPDX-License-Identifier: Apache-2.0
# albtest/damage.py – what a bad disk does to stored files: bits that flip, files that vanish.

import random

from albtest.procs import DaemonError


def forgets(box):
    """Chunks are not to be had from memory: what is asked for is read from the disk."""
    conf = box.data / f"{box.kind}.conf"
    conf.write_text(conf.read_text() + 'memory_cache = "1MiB"\n')
    box.stop()
    box.start()


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << random.randrange(8)]))


def flip_segments(box, every=20_000):
    """A bit here and there in the chunks, none in a segment's own header."""
    for path in (box.data / "segments").iterdir():
        for at in range(1000, path.stat().st_size, every):
            flip(path, at)


def flips(good, count):
    """`good` with one bit other, at so many places of what is neither a line's end nor a frame."""
    step = max(1, len(good) // count)
    for at in range(step // 2, len(good), step):
        while at < len(good) - 1 and good[at:at + 1] in b"\n- ":
            at += 1
        yield at, good[:at] + bytes([good[at] ^ 1]) + good[at + 1:]


def flips_of_values(good):
    """The same for each option that a configuration sets, in the middle of its value."""
    at = 0
    for line in good.splitlines(keepends=True):
        name, is_set, value = line.partition(b" = ")
        if is_set and not name.startswith(b"#"):
            here = at + len(name) + 3 + len(value) // 2
            yield here, good[:here] + bytes([good[here] ^ 1]) + good[here + 1:]
        at += len(line)


def files_of(folder):
    """The database's own files, without its log for people."""
    return sorted(f.name for f in folder.iterdir()
                  if f.is_file() and not f.name.startswith("LOG"))


def damages(folder):
    """(what, do it) for each file: a bit flipped in the middle, one near the end, no file."""
    for name in files_of(folder):
        path = folder / name
        size = path.stat().st_size
        if size > 0:
            yield f"{name} in the middle", lambda path=path, at=size // 2: flip(path, at)
        if name.startswith(("IDENTITY", "OPTIONS")):
            continue  # nothing is read from these
        if size > 8:
            yield f"{name} at the end", lambda path=path, at=size - 3: flip(path, at)
        yield f"{name} removed", path.unlink


def starts_or_says(box, words):
    """True when it serves; else it must have said where the damage is and what to do."""
    try:
        box.start()
    except DaemonError:
        said = box.daemon.log_text()
        assert box.daemon.process.returncode > 0, said
        for word in words:
            assert word in said, f"{word!r} was expected in\n{said}"
        return False
    return True
