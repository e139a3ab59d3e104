#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/lint/layers.py – a forbidden include does not compile, an allowed one does.
#
# usage: layers.py SOURCE_DIR BUILD_DIR
# Takes the real command that compiles a file of each module and gives it, in place of that file,
# one line that includes a header of each other module. What must happen is in BUILD_DIR/layers.txt,
# which the build writes from CMakeLists.txt; FORBIDDEN below must fail whatever that says.
import glob
import json
import os
import shlex
import subprocess
import sys
import tempfile

from lib import tree

FORBIDDEN = [("base", "chunk"), ("chunk", "wire"), ("wire", "net"), ("wire", "store"),
             ("store", "store/disk"), ("store", "net"), ("net", "transfer"), ("shaper", "transfer"),
             ("transfer", "store/disk"), ("client", "store/disk"), ("client", "hub"),
             ("hub", "reflector"), ("reflector", "hub"), ("reflector", "client")]


def allowed_pairs(build):
    """{folder: the folders it may include}, as configured."""
    pairs = {}
    with open(os.path.join(build, "layers.txt"), encoding="utf-8") as file:
        for line in file:
            folder, _, depends = line.strip().partition(":")
            pairs[folder] = {name.replace("store_disk", "store/disk") for name in depends.split()}
    return pairs


def commands(root, build):
    """{folder: the compiler's argument list without input and output}."""
    found = {}
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            folder = os.path.dirname(os.path.relpath(entry["file"], root))
            words = shlex.split(entry["command"])
            if os.path.basename(words[0]) == "ccache":
                words = words[1:]
            if "-c" in words and not entry["file"].endswith("main.c"):
                found[folder] = words[:words.index("-o")]
    return found


def compiles(command, header, scratch):
    source = os.path.join(scratch, "planted.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(f'#include "{header}"\nextern int planted;\n')
    done = subprocess.run([*command, "-fsyntax-only", source], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stderr


def check_pair(command, folder, header, may, scratch):
    good, text = compiles(command, header, scratch)
    if may and not good:
        return [f"{folder} may include {header}, yet it does not compile:\n{text}"]
    if not may and (good or "file not found" not in text and "No such file" not in text):
        return [f"{folder} must not include {header}, yet the compiler finds it\n{text}"]
    return []


def main():
    root, build = os.path.abspath(sys.argv[1]), sys.argv[2]
    pairs, known = allowed_pairs(build), commands(root, build)
    offences, tried = [], {True: 0, False: 0}
    offences += [f"CMakeLists.txt lets {above} include {below}"
                 for above, below in FORBIDDEN if below in pairs.get(above, ())]
    with tempfile.TemporaryDirectory() as scratch:
        for folder in sorted(set(pairs) & set(known)):
            for other in pairs:
                headers = sorted(glob.glob(os.path.join(root, other, "*.h")))
                may = other == folder or other in pairs[folder]
                for path in headers[:1]:
                    header = os.path.relpath(path, root)
                    offences += check_pair(known[folder], folder, header, may, scratch)
                    tried[may] += 1
    print(f"{tried[True]} allowed and {tried[False]} forbidden includes tried")
    if tried[False] == 0:
        offences.append("nothing was tried: is anything built in " + build + "?")
    tree.finish(offences)


if __name__ == "__main__":
    main()
