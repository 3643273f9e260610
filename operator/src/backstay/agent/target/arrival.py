"""What a restore does after rsync: owners, attributes, modes and times, and the comparison.

Invariants: the manifest says what an entry is, not the copy, whose file system may not keep all of
it; a tenant may write to the target meanwhile, so each entry is changed by a descriptor, or by a
name below an open directory, and never through a link; nothing is touched but what was chosen and
the directories that had to be made for it. What the target's file system does not keep is reported,
whatever else differs is a failure.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from backstay.agent.fs import attributes
from backstay.agent.fs.abilities import EVERYTHING, Abilities
from backstay.agent.fs.copy_file import hash_file
from backstay.agent.fs.failures import reason_of
from backstay.agent.fs.listing import ROOT, Known, Listing
from backstay.agent.fs.metadata import set_metadata
from backstay.agent.fs.parallel import batches, spread
from backstay.agent.fs.paths import DIRECTORY, NOT_THERE, Descent, printable
from backstay.agent.results import examples
from backstay.agent.target.special_files import make_special_files
from backstay.agent.target.wanted import Wanted
from backstay.agent.tree.check import Fault, faults, faults_below
from backstay.domain.errors import DataError

_BATCH: Final = 512
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID
_OPENED: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
SPECIAL: Final = "special"
"""The kind of fault of a pipe, socket, device or symlink that the target cannot have."""
LINKS: Final = "links"
"""That of names which were one file."""
_WORDS: Final = {
    attributes.OWNER: "owner",
    attributes.MODE: "mode",
    attributes.TIME: "time",
    attributes.ATTRIBUTES: "attributes",
    SPECIAL: "what is no file",
    LINKS: "hard links",
}


@dataclass(slots=True)
class Arrived:
    """How a target is after all."""

    failures: list[bytes] = field(default_factory=list)
    """A line for each entry that is not as recorded."""
    not_kept: dict[str, list[bytes]] = field(default_factory=dict)
    """Lines of entries that lack what the target does not keep, by kind."""

    @property
    def notes(self) -> dict[str, object]:
        """Return what is not kept, as answers have it."""
        return {kind: examples(lines) for kind, lines in sorted(self.not_kept.items())}

    @property
    def words(self) -> str:
        """Return what is not kept as the end of a sentence, "" if all is."""
        if not self.not_kept:
            return ""
        reported = [
            f"{_WORDS[kind]} of {len(lines)} (as {os.fsdecode(min(lines))[:200]})"
            for kind, lines in sorted(self.not_kept.items())
        ]
        return f"; not kept by the file system there: {', '.join(reported)}"


def arrive(
    target: int, copy: int, wanted: Wanted, processes: int, able: Abilities = EVERYTHING
) -> Arrived:
    """Given a directory with the content of a copy, what it is to have, and which links it is able
    to have, make the rest, and return how it is then.
    """
    wanted = wanted.as_source()
    refused = make_special_files(target, wanted, able)
    listings = {**_by_directory(wanted.single), **wanted.directories}
    units = batches([(path, len(one.names) + 4) for path, one in listings.items()], _BATCH)
    # Directories last: what is put into one moves its time.
    for directories in (False, True):
        for _ in spread(
            lambda unit, those=directories: _set_some_metadata(  # type: ignore[misc]
                target, copy, {path: listings[path] for path in unit}, directories=those
            ),
            units,
            processes,
        ):
            pass
    arrived = Arrived(not_kept={SPECIAL: sorted(refused)} if refused else {})
    for path, fault in compare(target, wanted, processes):
        line = path + b": " + os.fsencode(fault.why)
        if fault.kind:
            arrived.not_kept.setdefault(fault.kind, []).append(line)
        elif path not in refused:
            arrived.failures.append(line)
    if not able.hard_links and (apart := _linked(wanted)):
        arrived.not_kept[LINKS] = apart
    return arrived


def _linked(wanted: Wanted) -> list[bytes]:
    """The names that share an inode with another one."""
    found: dict[int, list[bytes]] = defaultdict(list)
    for path, known in wanted.entries():
        if known.stat.links > 1 and not known.stat.is_directory:
            found[known.stat.inode].append(path)
    return sorted(path for paths in found.values() if len(paths) > 1 for path in paths)


def _by_directory(single: Mapping[bytes, Known]) -> dict[bytes, Listing]:
    found: dict[bytes, dict[bytes, Known]] = defaultdict(dict)
    for path, known in single.items():
        parent, _, name = path.rpartition(b"/")
        found[parent][name or ROOT] = known
    return {
        parent: Listing(
            list(those),
            [one.stat for one in those.values()],
            [one.extra for one in those.values()],
            {name: one.note for name, one in those.items() if one.note},
            {name: one.record for name, one in those.items() if one.record},
        )
        for parent, those in found.items()
    }


def _set_some_metadata(
    target: int, copy: int, listings: Mapping[bytes, Listing], *, directories: bool
) -> None:
    new, old = Descent(target), Descent(copy)
    for path, listing in listings.items():
        for at, name in enumerate(listing.names):
            known = listing.known(at)
            if known.stat.is_directory != directories or "omitted" in known.note:
                continue
            try:
                _set_one_metadata(new(path), name, known, old, path)
            except OSError as error:
                if error.errno not in NOT_THERE:
                    shown = printable(os.path.join(path, name))
                    raise DataError(f"{error.strerror}: {shown}") from error
                # It is not there, or something else by now: the comparison says so.
    new.close()
    old.close()


def _set_one_metadata(directory: int, name: bytes, known: Known, old: Descent, path: bytes) -> None:
    there: attributes.Values = {}
    if attributes.needs_copy(known.record):
        there = attributes.read(f"/proc/self/fd/{old(path)}/{os.fsdecode(name)}")
    values, _ = attributes.values_of(known.record, there)
    one = known.stat
    if not one.is_regular and not one.is_directory:
        # Neither can be opened; none of what is done by that path follows a link.
        now = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_IFMT(now.st_mode) == stat.S_IFMT(one.mode):
            set_metadata(f"/proc/self/fd/{directory}/{os.fsdecode(name)}", one, values, fresh=False)
        return
    fd = os.open(name, DIRECTORY if one.is_directory else _OPENED, dir_fd=directory)
    try:
        if stat.S_IFMT(os.fstat(fd).st_mode) != stat.S_IFMT(one.mode):
            return
        # What gives rights to who runs it gets them only with the content that had them. A later
        # write takes them away again, unless root's.
        if _gives_rights(known) and hash_file(fd)[0] != known.extra:
            return
        set_metadata(fd, one, values, fresh=False)
    finally:
        os.close(fd)


def _gives_rights(known: Known) -> bool:
    if not known.stat.is_regular:
        return False
    return bool(known.stat.mode & _SET_ID) or "security.capability" in known.record


def compare(
    target: int, wanted: Wanted, processes: int, *, hashes: bool = True
) -> Iterator[tuple[bytes, Fault]]:
    """Given an open directory and what it is to have, yield how it differs."""
    wanted = wanted.as_source()
    # Opened again: btrfs shows the entries that were there when a directory was opened.
    root = os.open(".", DIRECTORY, dir_fd=target)
    try:
        yield from faults_below(root, wanted.directories, hashes=hashes, processes=processes)
        yield from _single_faults(root, wanted.single, hashes=hashes)
    finally:
        os.close(root)


def _single_faults(
    root: int, single: Mapping[bytes, Known], *, hashes: bool
) -> Iterator[tuple[bytes, Fault]]:
    descent = Descent(root)
    for path, known in single.items():
        parent, _, name = path.rpartition(b"/")
        try:
            for fault in faults(descent(parent), name or ROOT, known, hashes=hashes):
                yield path, fault
        except OSError as error:
            yield path, Fault("", reason_of(error))
    descent.close()
