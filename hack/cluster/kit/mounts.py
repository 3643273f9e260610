"""Mounts and loop devices below an instance's root."""

import time
from pathlib import Path

from .command import run
from .errors import KitError

_MOUNTINFO = Path("/proc/self/mountinfo")


def parse_mountinfo(text: str) -> list[str]:
    """Given /proc/self/mountinfo, return the mount points in mount order (proc(5))."""
    return [_unescape(line.split()[4]) for line in text.splitlines()]


def _unescape(path: str) -> str:
    # The kernel writes blank, tab, newline and backslash as three octal digits.
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path


def below(root: Path) -> list[str]:
    """Given a folder, return the mount points in it, in mount order."""
    points = parse_mountinfo(_MOUNTINFO.read_text())
    return [point for point in points if point == str(root) or point.startswith(f"{root}/")]


def unmount_below(root: Path, *, seconds: float = 10) -> None:
    """Given a folder, unmount everything in it, the newest first.

    Raise KitError with the mount point if one is still busy after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while points := below(root):
        for point in reversed(points):
            try:
                run(["umount", point])
            except KitError as error:
                if time.monotonic() > deadline:
                    raise KitError(
                        f"{error}\nsome process uses {point}: leave that folder and try again"
                    ) from error
        time.sleep(0.05)


def detach_loops(image: Path) -> None:
    """Given a disk image, detach every loop device that is bound to it."""
    for line in run(["losetup", "-j", image]).splitlines() if image.exists() else []:
        run(["losetup", "-d", line.split(":", 1)[0]])


def ensure_btrfs(image: Path, target: Path, size: str) -> None:
    """Given an image file, leave it mounted at `target`; make it (sparse) if it is missing."""
    target.mkdir(parents=True, exist_ok=True)
    if not image.exists():
        partial = image.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        run(["truncate", "-s", size, partial])
        run(["mkfs.btrfs", "-q", partial])
        partial.rename(image)
    if str(target) not in below(target):
        run(["mount", "-o", "loop", image, target])
