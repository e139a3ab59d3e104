#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/lint/one_definition.py – no two modules define one global name: the linker would take the
# first it meets and say nothing, and a call would go to the other module's function.
#
# usage: one_definition.py SOURCE_DIR BUILD_DIR
# Reads the symbols that the built archives define.
import collections
import glob
import os
import subprocess
import sys
import tempfile

from lib import tree


def defined(archive):
    """Global names that one of its objects defines."""
    text = subprocess.run(["nm", "-g", "--defined-only", archive], capture_output=True, text=True,
                          check=True).stdout
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] not in "vwVWu":
            yield words[2]


def check(archives):
    places = collections.defaultdict(set)
    for archive in archives:
        for name in defined(archive):
            places[name].add(os.path.basename(archive))
    return sorted(f"{name}() is defined in {' and '.join(sorted(where))}: rename one"
                  for name, where in places.items() if len(where) > 1)


def prove_sight():
    with tempfile.TemporaryDirectory() as scratch:
        archives = []
        for name in ("a", "b"):
            source, made, archive = (os.path.join(scratch, name + end)
                                     for end in (".c", ".o", ".a"))
            with open(source, "w", encoding="utf-8") as file:
                file.write("int planted(void);\nint planted(void) { return 1; }\n")
            subprocess.run(["cc", "-c", source, "-o", made], check=True)
            subprocess.run(["ar", "qc", archive, made], check=True)
            archives.append(archive)
        assert check(archives), "this lint is blind to a name that is defined twice"
        assert not check(archives[:1])


def main():
    prove_sight()
    archives = sorted(glob.glob(os.path.join(sys.argv[2], "lib*.a")))
    print(f"{len(archives)} archives read")
    tree.finish(check(archives) if archives else ["nothing is built in " + sys.argv[2]])


if __name__ == "__main__":
    main()
