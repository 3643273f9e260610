"""Set the metadata of a built tree's directories, and check each against its listing.

Invariants: directories get their owner, mode and times last; every directory that was touched has
exactly the names that its listing has, and what may be linked from an older tree has the kind and
size that it had; a listing is encoded when its directories' records are known.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from backstay.agent.destination.manifest import Damaged
from backstay.agent.fs.attributes import (
    MODE,
    OWNER,
    Record,
    count_lacks,
    give,
    lacks,
    read,
    values_of,
)
from backstay.agent.fs.failures import at as at_entry
from backstay.agent.fs.failures import from_source
from backstay.agent.fs.inode import Stat, stat_of
from backstay.agent.fs.listing import ROOT, Listing, is_left_out
from backstay.agent.fs.metadata import set_metadata
from backstay.agent.fs.parallel import spread
from backstay.agent.fs.paths import DIRECTORY, VANISHED, Descent, printable
from backstay.agent.fs.syscalls import fsync
from backstay.agent.tree.built import Built
from backstay.agent.tree.context import Plan

_DIRECTORIES = 64  # that a process takes at a time
_KIND = 0o170000  # the bits of a mode that distinguish a file from a directory


class ChangedDirectory(NamedTuple):
    """A directory that differs from the last manifest, as the new one has it."""

    path: bytes
    digest: bytes
    block: bytes
    lacks: Mapping[str, int]
    """What its entries lack now and did not lack in the last one, by kind; the other way round it
    is negative.
    """


def set_directory_metadata(plan: Plan, built: Built) -> list[ChangedDirectory]:
    """Given a built tree, compare each directory that was touched with its listing and give the
    directories in it owner, attributes, mode and times; return what the manifest says of those
    that differ from the last one. Raise Damaged if the tree is not as its listings are.
    """
    changed = set(plan.scan.changed) | set(built.listings)
    if plan.renewed:
        changed |= plan.unchanged.keys()
    if plan.onto:
        parents = {os.path.dirname(path) for path in changed if path}
        touched = sorted(changed | parents)
    else:
        done = {path for path, one in built.intact.items() if not one.directories}
        touched = sorted(changed | (plan.unchanged.keys() - done))
    units = [touched[at : at + _DIRECTORIES] for at in range(0, len(touched), _DIRECTORIES)]
    answers = spread(lambda unit: _set_metadata_of(plan, built, unit), units, plan.processes)
    return [one for part in answers for one in part]


def _set_metadata_of(plan: Plan, built: Built, unit: list[bytes]) -> list[ChangedDirectory]:
    source = Descent(plan.source)
    answers: list[ChangedDirectory] = []
    for path in unit:
        at_entry(path)
        listing = built.listings.get(path)
        fresh = listing is not None
        new = os.open(path or b".", DIRECTORY, dir_fd=plan.new)
        try:
            known = listing or plan.before[path]
            if fresh or path not in built.intact:
                _insist(path, known, new, whole=path in plan.before)
            if plan.renewed and not fresh:
                known, fresh = replace(known, records=dict(known.records)), True
            _set_metadata_in(plan, path, known, new, source, fresh=fresh)
            if not plan.able.syncs:
                fsync(new)
        finally:
            os.close(new)
        if fresh:
            lacking = count_lacks(known.records.values())
            if path in plan.before:
                lacking.subtract(count_lacks(plan.before[path].records.values()))
            answers.append(ChangedDirectory(path, known.digest, known.encode(), lacking))
    source.close()
    return answers


def _set_metadata_in(
    plan: Plan, path: bytes, listing: Listing, new: int, source: Descent, *, fresh: bool
) -> None:
    """Set the metadata of the directories in one; `fresh`: their records are yet to be entered."""
    before = plan.before.get(path) if plan.onto else None
    for name, one in zip(listing.names, listing.stats, strict=True):
        if not one.is_directory or listing.is_omitted(name):
            continue
        full = path + b"/" + name if path and name != ROOT else name
        at_entry(path, name)
        record = _kept(before, name, one, new)
        if record is None and not fresh:
            _set_as_recorded(plan, new, name, one, listing.records.get(name, {}))
        elif record is None:
            record = _set_one_metadata(
                plan, new, (name, one), source, b"" if name == ROOT else full
            )
        if fresh and record:
            listing.records[name] = record
        elif fresh:
            listing.records.pop(name, None)


def _insist(path: bytes, listing: Listing, new: int, *, whole: bool) -> None:
    """Raise Damaged where there are other names than are recorded, or what has one has another kind
    or size: what was linked is as the older tree has it. Unless `whole`, no older tree has this
    directory, and only its hard links can be of one.
    """
    names, stored = sorted(os.fsencode(name) for name in os.listdir(new)), listing.stored()
    if names != stored:
        raise Damaged(f"{printable(path) or '.'}: {_difference(names, stored)}")
    notes = listing.notes
    for name, one in zip(listing.names, listing.stats, strict=True):
        if not whole and one.links == 1:
            continue
        size = one.size
        if name in notes:
            if is_left_out(notes[name]):
                continue
            size = notes[name].get("size", size)
        # Of every file of a tree, so without calls that can be spared.
        there = os.stat(name, dir_fd=new, follow_symlinks=False)
        kind = there.st_mode & _KIND
        if kind != one.mode & _KIND or (there.st_size != size and kind == stat.S_IFREG):
            shown = printable(os.path.join(path, name))
            raise Damaged(f"{shown}: the copy has another kind or size than its record")


def _kept(before: Listing | None, name: bytes, one: Stat, new: int) -> Record | None:
    """Given what a snapshot had (None: it is none), a directory in it and where that is now, return
    its record if it is as it must be: to set the same again would cost a copy of its metadata.
    """
    at = before.find(name) if before is not None else None
    if before is None or at is None or before.stats[at] != one:
        return None
    there = stat_of(os.stat(name, dir_fd=new, follow_symlinks=False))
    if (*there[:3], there.mtime) != (*one[:3], one.mtime):
        return None  # something was put into it, or taken out
    return before.records.get(name, {})


def _set_as_recorded(plan: Plan, new: int, name: bytes, one: Stat, record: Record) -> None:
    """Given a directory in the new tree that did not change in the source, give it the metadata of
    the older one. What is as it must be is not written again: of a pruned tree most is.
    """
    lacking = lacks(record)
    if plan.spare or record:
        path = f"/proc/self/fd/{new}/{os.fsdecode(name)}"
        values, _ = values_of(record, {})
        wanted = {key: value for key, value in values.items() if key not in lacking}
        give(path, wanted, fresh=not plan.spare)
    there = os.stat(name, dir_fd=new, follow_symlinks=False)
    if (there.st_uid, there.st_gid) != (one.uid, one.gid) and OWNER not in lacking:
        os.chown(name, one.uid, one.gid, dir_fd=new, follow_symlinks=False)
    if (there.st_mode != one.mode or record) and MODE not in lacking:
        os.chmod(name, stat.S_IMODE(one.mode), dir_fd=new)
    if there.st_mtime_ns != one.mtime or record:
        os.utime(name, ns=(one.mtime, one.mtime), dir_fd=new, follow_symlinks=False)


def _set_one_metadata(
    plan: Plan, new: int, entry: tuple[bytes, Stat], source: Descent, path: bytes
) -> Record:
    """Given a directory in the new tree, give it the source's metadata; return its record."""
    name, one = entry
    fd = os.open(name, DIRECTORY, dir_fd=new)
    try:
        try:
            original = from_source(source, path)
        except OSError as error:
            if error.errno not in VANISHED:
                raise
            original = fd  # it has just gone: its content is here, its attributes are lost
        return set_metadata(fd, one, from_source(read, original), plan.able, fresh=False)
    finally:
        os.close(fd)


def _difference(there: list[bytes], wanted: list[bytes]) -> str:
    missing, extra = set(wanted) - set(there), set(there) - set(wanted)
    example = printable(min(missing or extra or {b"?"}))
    return f"the copy misses {len(missing)} and has {len(extra)} names too many, as {example}"
