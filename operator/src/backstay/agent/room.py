"""Whether a destination has room for what is about to be copied."""

from __future__ import annotations

import os

from backstay.agent.files import BIG
from backstay.agent.listing import Stat
from backstay.agent.paths import Descent
from backstay.agent.spot import Plan
from backstay.agent.tasks import CopyTask
from backstay.domain.errors import UserError

_DIRECTORY_BYTES = 4096  # what ext4 takes for each; others take less


def check_room(task: CopyTask, plan: Plan) -> None:
    """Given a plan, raise UserError if its destination has too few bytes or inodes for it."""
    size, inodes = _need(plan)
    found = os.fstatvfs(plan.new)
    free = found.f_bavail * found.f_frsize
    # One in user space may not say at all how big it is.
    if found.f_blocks and size + task.keep_bytes > free:
        raise UserError(
            "TooLittleSpace",
            f"spec.rolling.destination: {free} bytes are free, this copy needs up to {size} and"
            f" spec.rolling.keepFree.bytes is {task.keep_bytes}; make room or keep fewer points",
        )
    # btrfs has no fixed number and says 0.
    if found.f_files and inodes + task.keep_inodes > found.f_favail:
        raise UserError(
            "TooFewInodes",
            f"spec.rolling.destination: {found.f_favail} inodes are free, this copy needs up to"
            f" {inodes} and spec.rolling.keepFree.inodes is {task.keep_inodes}; make a file system"
            " with more of them or keep fewer points",
        )


def _need(plan: Plan) -> tuple[int, int]:
    """Bytes and inodes that the tree takes at most."""
    shares = plan.old is not None and (plan.onto or plan.able.reflinks)
    block = max(1, os.fstatvfs(plan.new).f_frsize)
    source = Descent(plan.source)
    # A snapshot has its directories already, a tree of links makes those that no pruned one left.
    made = plan.scan.changed.keys() - (plan.before.keys() if plan.onto else set())
    directories = len((made | plan.unchanged.keys()) - plan.spare)
    size, files = 0, 0
    seen: set[int] = set()
    for path, listing in plan.scan.changed.items():
        before = plan.before.get(path)
        for name, one in zip(listing.names, listing.stats, strict=True):
            at = before.find(name) if before is not None else None
            kept = before is not None and at is not None and before.stats[at] == one
            if kept or one.is_directory or (one.links > 1 and one.inode in seen):
                continue
            seen.add(one.inode)
            files += 1
            if one.is_regular and not (shares and at is not None and one.size >= BIG):
                needed = _allocated(source, path, name, one) if plan.able.holes else one.size
                size += -(-needed // block) * block
    source.close()
    return size + _DIRECTORY_BYTES * directories, files + directories


def _allocated(source: Descent, path: bytes, name: bytes, one: Stat) -> int:
    """How much of a file is no hole; looked up for big ones only."""
    if one.size < BIG:
        return one.size
    try:
        found = os.stat(name, dir_fd=source(path), follow_symlinks=False)
    except OSError:
        return one.size  # gone or hidden: the copy will tell
    return min(one.size, found.st_blocks * 512)
