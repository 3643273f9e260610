"""What a target of a restore is to have, after the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from backstay.agent.fs import attributes
from backstay.agent.fs.listing import Known, Listing


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a target is to have."""

    directories: Mapping[bytes, Listing]
    """Whole ones."""
    single: Mapping[bytes, Known] = field(default_factory=dict)
    """Entries by themselves, among them the chosen directories' own, by path."""

    def as_source(self) -> Wanted:
        """Return it with what the source had, whatever the copies lack."""
        return Wanted(
            {path: _as_source(one) for path, one in self.directories.items()},
            {path: _bare(known) for path, known in self.single.items()},
        )

    def entries(self) -> Iterator[tuple[bytes, Known]]:
        """Yield all entries with their paths, the single ones last."""
        for path, listing in self.directories.items():
            prefix = path + b"/" if path else b""
            for at, name in enumerate(listing.names):
                yield prefix + name, listing.known(at)
        yield from self.single.items()


def _as_source(listing: Listing) -> Listing:
    notes = {name: note for name, note in listing.notes.items() if "absent" not in note}
    records = {name: _whole(record) for name, record in listing.records.items()}
    return replace(listing, notes=notes, records=records)


def _bare(known: Known) -> Known:
    note = {} if "absent" in known.note else known.note
    return known._replace(note=note, record=_whole(known.record))


def _whole(record: attributes.Record) -> attributes.Record:
    return {
        name: "=" + word[1:] if word[0] == attributes.LACKS else word
        for name, word in record.items()
        if name not in attributes.INODE
    }
