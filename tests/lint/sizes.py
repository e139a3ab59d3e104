#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# tests/lint/sizes.py – no function, file or line longer than a reader can hold.
#
# usage: sizes.py SOURCE_DIR [BUILD_DIR]
# Fails above the caps, mentions what is above the aims. A function is what stands between a "{"
# and a "}" that each have a line's first column to themselves, which is how clang-format sets it.
import re
import sys

from lib import tree

FUNCTION_AIM, FUNCTION_CAP = 40, 60
FILE_AIM, FILE_CAP = 500, 800
HEADER_AIM = 150
PARAMETERS_CAP = 6
COLUMNS_CAP = 100


def signature_above(lines, brace):
    """The text between the previous declaration and the "{" in line `brace`."""
    first = brace
    while first > 0 and lines[first - 1].strip() and not re.match(r"[#}/]|.*[;*]/?$",
                                                                  lines[first - 1]):
        first -= 1
    return " ".join(line.strip() for line in lines[first:brace])


def functions(lines):
    """(name, first line, body length, parameter count) of each function, lines from 1."""
    start = None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            signature = signature_above(lines, start)
            name = re.search(r"(\w+)\s*\(", signature)
            inside = signature[signature.find("("):]
            yield (name.group(1) if name else "?", start + 1, number - start - 1,
                   parameters(inside))
            start = None


def parameters(text):
    """How many parameters stand in "(…)"; commas inside inner parentheses do not separate."""
    depth, count = 0, 1
    for char in text:
        depth += (char == "(") - (char == ")")
        count += char == "," and depth == 1
    return count


def check_c(path, lines):
    offences, advice = [], []
    if len(lines) > FILE_CAP:
        offences.append(f"{path}: {len(lines)} lines, the cap is {FILE_CAP}")
    elif len(lines) > FILE_AIM:
        advice.append(f"{path}: {len(lines)} lines, better under {FILE_AIM}")
    elif path.endswith(".h") and len(lines) > HEADER_AIM:
        advice.append(f"{path}: {len(lines)} lines, a header is better under {HEADER_AIM}")
    for name, line, length, count in functions(lines):
        where = f"{path}:{line}: {name}()"
        if length > FUNCTION_CAP:
            offences.append(f"{where} has {length} lines, the cap is {FUNCTION_CAP}")
        elif length > FUNCTION_AIM:
            advice.append(f"{where} has {length} lines, better under {FUNCTION_AIM}")
        # on_x() is a shim whose signature a library dictates.
        if count > PARAMETERS_CAP and not name.startswith("on_"):
            offences.append(f"{where} takes {count} parameters, the cap is {PARAMETERS_CAP}")
    return offences, advice


def check_columns(path, lines):
    return [f"{path}:{number}: {len(line)} columns, the cap is {COLUMNS_CAP}"
            for number, line in enumerate(lines, 1) if len(line) > COLUMNS_CAP]


def prove_sight():
    long_body = ["static int x(int a)", "{"] + ["    a++;"] * 61 + ["}"]
    many = ["int y(int a, int b, int c,", "      int (*d)(int, int), int e, int f, int g)",
            "{", "}"]
    fine = ["int z(int a, int (*b)(int, int), int c, int d, int e, int f)", "{", "}"]
    assert len(check_c("x.c", long_body)[0]) == 1
    assert "7 parameters" in check_c("x.c", many)[0][0]
    assert check_c("x.c", fine) == ([], [])
    assert len(check_c("x.c", ["int i;"] * 801)[0]) == 1
    assert check_columns("x.c", ["x" * 101]) and not check_columns("x.c", ["–" * 100])


def main():
    root = sys.argv[1]
    offences, advice = [], []
    prove_sight()
    for path in tree.files(root, (".c", ".h")):
        bad, hints = check_c(path, tree.lines(root, path))
        offences += bad
        advice += hints
    for path in tree.files(root, (".c", ".h", ".def", ".py", ".sh", ".cmake", ".txt")):
        offences += check_columns(path, tree.lines(root, path))
    tree.finish(offences, advice)


if __name__ == "__main__":
    main()
