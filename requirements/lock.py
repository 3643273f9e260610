"""Write the lock files of this folder from pyproject.toml, with uv.

Invariants: dev.txt is solved first and the other two start from its pins, so that what is tested is
what ships. A pin stays until it is asked to move (--upgrade), however new the registry's releases
are: uv takes pins and hashes from the lock that it finds. No lock names a registry.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "requirements"
# Hatchling asks for this one only when it builds an editable install.
EDITABLE_BUILD = "editables"
OPTIONS = [
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
    "--no-config",
    "--quiet",
]


def build_requirements() -> str:
    """Return the requirements of pyproject's build system, one a line."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return "\n".join([*project["build-system"]["requires"], EDITABLE_BUILD]) + "\n"


def compile_lock(target: Path, seed: Path, sources: list[str], *, upgrade: bool) -> None:
    """Given a lock to start from and uv's sources ("-" is the build system), write target.

    Raise CalledProcessError if uv finds no solution; its words are on standard error.
    """
    if not upgrade and seed.exists() and seed != target:
        shutil.copyfile(seed, target)
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "compile", *OPTIONS]
    command = [*uv, *(["--upgrade"] if upgrade else []), f"--output-file={target}", *sources]
    subprocess.run(command, cwd=ROOT, check=True, text=True, input=build_requirements())


def write_locks(folder: Path, *, upgrade: bool) -> None:
    """Given a folder, write dev.txt, runtime.txt and build.txt into it."""
    dev, runtime, build = (folder / f"{name}.txt" for name in ("dev", "runtime", "build"))
    compile_lock(dev, FOLDER / "dev.txt", ["pyproject.toml", "--extra=dev", "-"], upgrade=upgrade)
    compile_lock(runtime, dev, ["pyproject.toml"], upgrade=False)
    compile_lock(build, dev, ["-"], upgrade=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="move every pin to its newest")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write")
    options = parser.parse_args()
    write_locks(options.folder, upgrade=options.upgrade)


if __name__ == "__main__":
    main()
