# SPDX-License-Identifier: Apache-2.0
# quickstart.d/programs.py – builds the programs into build/release, quietly unless it fails.

import os
import shutil
import subprocess

TARGETS = ("albedo", "albedo-hub", "albedo-reflector", "albedo-linkemu")
TAIL = 30


class BuildFailed(Exception):
    """The text ends with what the compiler said last."""


def _run(argv, root, log):
    return subprocess.run(argv, cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                          check=False).returncode == 0


def build(root, log_path):
    """Build; the programs are then in the directory returned."""
    folder = root / "build/release"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    configure = ["cmake", "--preset", "release",
                 f"-DCMAKE_C_COMPILER_LAUNCHER={shutil.which('ccache') or ''}"]
    compile_all = ["cmake", "--build", str(folder), "-j", str(os.cpu_count()),
                   "--target", *TARGETS]
    with open(log_path, "wb") as log:
        is_built = _run(configure, root, log) and _run(compile_all, root, log)
    if not is_built:
        lines = log_path.read_text(errors="replace").splitlines()[-TAIL:]
        raise BuildFailed("\n".join([*lines, "", f"the build failed; all it said: {log_path}"]))
    log_path.unlink()
    return folder / "bin"
