#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/lint/names.py – how files open, and the names and calls that the house does not use.
#
# usage: names.py SOURCE_DIR [BUILD_DIR]
import re
import sys

from lib import tree

SPDX = "SPDX-License-Identifier: Apache-2.0"

# (pattern, why not, which paths it holds for)
BANNED = [
    (r"\b(strcpy|strcat|sprintf|vsprintf|strncpy|gets)\s*\(", "unbounded, or cuts silently", r""),
    (r"^\s*typedef\s+(struct|enum|union)\b", "structs and enums keep their tag", r""),
    (r"\b(struct|enum|union)\s+\w+_t\b(?!\s*\*?\w*\()", "_t names belong to POSIX", r""),
    (r"^\s*typedef\b.*\b\w+_t\s*;", "_t names belong to POSIX", r""),
    (r"\b(TODO|FIXME|XXX)\b", "finish it, or write it where the plans are", r""),
    (r"\b(u|nano)?sleep\s*\(", "a sleep hides a race; use the fake clock or wait for an event",
     r"tests/(unit|prop|fault|sim|fuzz)/"),
    (r"\b(clock_gettime|gettimeofday|time)\s*\(\s*(CLOCK|NULL|&|0)",
     "above net/ the time is an argument",
     r"(base|chunk|wire|config|image|store|shaper|transfer|hub|reflector)/(?!main\.c)"),
]


def named(path, comment):
    """Does `comment` begin with the file's path, or the end of it from a folder on?"""
    match = re.match(r"(\S+) [–-] \S", comment)
    return bool(match) and ("/" + path).endswith("/" + match.group(1)) and (
        "/" in match.group(1) or "/" not in path)


def check_opening_c(path, lines):
    if len(lines) < 2 or lines[0] != f"/* {SPDX} */":
        return [f"{path}:1: begin with /* {SPDX} */"]
    if not lines[1].startswith("/* ") or not named(path, lines[1][3:]):
        return [f"{path}:2: say in one sentence what this is: /* {path} – … */"]
    if path.endswith(".h") and "#pragma once" not in lines:
        return [f"{path}: has no #pragma once"]
    return []


def check_opening_hash(path, lines):
    head = lines[1:3] if lines and lines[0].startswith("#!") else lines[0:2]
    if len(head) < 2 or head[0] != f"# {SPDX}":
        return [f"{path}: begin with # {SPDX}"]
    if not head[1].startswith("# ") or not named(path, head[1][2:]):
        return [f"{path}: say in one sentence what this is: # {path} – …"]
    return []


def code_of(line):
    """The line without strings and one-line comments, which may say what they like."""
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return re.sub(r"/\*.*?\*/|//.*|/\*.*|^\s*\*.*", "", line)


def check_banned(path, lines):
    offences = []
    for number, line in enumerate(lines, 1):
        for pattern, why, where in BANNED:
            text = line if "TODO" in pattern else code_of(line)
            if re.match(where, path) and re.search(pattern, text):
                offences.append(f"{path}:{number}: {why}: {line.strip()}")
    return offences


def prove_sight():
    good = [f"/* {SPDX} */", "/* base/x.c – what it is. */"]
    assert not check_opening_c("base/x.c", good)
    assert not check_opening_c("tests/support/x.c", [good[0], "/* support/x.c – what it is. */"])
    assert check_opening_c("base/x.c", [good[0], "/* y.c – what it is. */"])
    assert check_opening_c("base/x.h", [good[0], "/* base/x.h – what it is. */"])
    assert check_opening_c("base/x.c", good[1:])
    assert check_opening_hash("tests/run", ["#!/bin/sh", "echo"])
    assert check_banned("base/x.c", ["typedef struct { int a; } thing;"])
    assert check_banned("base/x.c", ["    sprintf(out, x);"])
    assert check_banned("wire/x.c", ["    uint64_t s = time(NULL);"])
    assert check_banned("tests/unit/base/test_x.c", ["    usleep(10);"])
    assert not check_banned("net/x.c", ["    clock_gettime(CLOCK_MONOTONIC, &t);"])
    assert not check_banned("base/x.c", ['    say("no strcpy() here"); /* nor sprintf() */'])


def main():
    root = sys.argv[1]
    offences = []
    prove_sight()
    for path in tree.files(root, (".c", ".h", ".def")):
        lines = tree.lines(root, path)
        offences += check_opening_c(path, lines) if not path.endswith(".def") else []
        offences += check_banned(path, lines)
    for path in tree.files(root, (".py", ".sh", ".cmake", "CMakeLists.txt")) + tree.scripts(root):
        if not path.endswith("__init__.py"):
            offences += check_opening_hash(path, tree.lines(root, path))
    offences += check_opening_hash("CMakeLists.txt", tree.lines(root, "CMakeLists.txt"))
    tree.finish(offences)


if __name__ == "__main__":
    main()
