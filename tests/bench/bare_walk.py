"""The bare walk that an unchanged run is measured against: scandir and lstat, two processes.

A program of its own: `python bare_walk.py ROOT`. It compares nothing and writes nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import sys


def walk(top: str) -> int:
    """Given a directory, stat everything below it and return how many entries there are."""
    count = 0
    stack = [top]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
    return count


def main(root: str) -> None:
    tops = [root]
    count = 0
    while tops and len(tops) < 256:
        with os.scandir(tops.pop(0)) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    tops.append(entry.path)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        count += sum(pool.imap_unordered(walk, tops))
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main(sys.argv[1])
