"""Which snapshot of a repository a restore is of: by its id, or the newest of a claim, or of a host
and path, at a time.

Invariants: what is chosen is of what was named, and never the next best; of our own data only what
a record calls whole counts; a refusal says what there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from backstay.domain.errors import UserError
from backstay.domain.restore.acknowledgement import Acknowledged, Word
from backstay.domain.stores.repository.listing import Kind, Snapshot, at_time
from backstay.domain.stores.repository.points import sort

REPOSITORY: Final = "spec.from.repository"
BACKUP: Final = "spec.from.backup"
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Want:
    """What a restore names of a repository."""

    namespace: str
    claim: str
    """As it was called when it was backed up."""
    snapshot: str = ""
    """An id, or its first digits."""
    as_of: datetime | None = None
    previous: int = 0
    host: str = ""
    path: str = ""
    field: str = REPOSITORY
    """Where in the request it is named."""

    @property
    def foreign(self) -> bool:
        """Whether it is chosen among the snapshots of whomever, by host and path."""
        return bool(self.host or self.path)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A snapshot of data, and its record if it has one that can be read."""

    data: Snapshot
    record: Mapping[str, Any] | None = None

    @property
    def of(self) -> tuple[str, str]:
        """Namespace and name of the claim that its record calls it of, ("", "") if none does."""
        claim = (self.record or {}).get("claim")
        name = claim.get("name") if isinstance(claim, dict) else None
        return str((self.record or {}).get("namespace") or ""), str(name or "")


@dataclass(frozen=True, slots=True)
class Contents:
    """The snapshots of a repository, those of ours with what their records say."""

    snapshots: Sequence[Snapshot]
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By the id of the data that a record calls whole."""
    broken: Mapping[str, str] = field(default_factory=dict)
    """Records that do not count, by id: why."""

    def chosen(self, data: Snapshot) -> Chosen:
        """Given a snapshot of data, return it with its record."""
        return Chosen(data, self.records.get(data.id))

    def called(self, id: str) -> Snapshot | None:
        """Given a full id, return what is called that, or was before its tags were changed."""
        return next((s for s in self.snapshots if id and id in (s.id, s.original)), None)

    @property
    def of_data(self) -> list[Snapshot]:
        """Return what data can be restored from: what is foreign, and what a record calls whole."""
        return [s for s in self.snapshots if s.kind is Kind.FOREIGN or s.id in self.records]


def contents(snapshots: Sequence[Snapshot]) -> Contents:
    """Given all snapshots of a repository, return them with their records."""
    found = sort(snapshots)
    records = {point.data.id: point.said for point in found.points}
    return Contents(snapshots, records, found.broken)


def choose(there: Contents, want: Want, said: Acknowledged) -> Chosen:
    """Given what there is, what is wanted and what was acknowledged, return the snapshot.

    Raise UserError, naming the field and what there is, if nothing matches, or several things do.
    """
    if want.snapshot:
        return _by_id(there, want, said)
    fitting = _by_host_and_path(there, want) if want.foreign else _of_claim(there, want)
    return there.chosen(_at(fitting, want))


def _by_id(there: Contents, want: Want, said: Acknowledged) -> Chosen:
    start = want.snapshot
    found = [s for s in there.snapshots if start in (s.id[: len(start)], s.original[: len(start)])]
    if len(found) > 1:
        shown = ", ".join(s.id[:16] for s in found[:_SHOWN])
        raise UserError(
            "SnapshotAmbiguous",
            f"{_field(want)}: {len(found)} snapshots begin with {want.snapshot}: {shown}; give "
            "more digits",
        )
    if not found:
        raise UserError(
            "SnapshotMissing",
            f"{_field(want)}: there is no snapshot {want.snapshot}; {_what_there_is(there)}",
        )
    chosen = there.chosen(_data_of(there, want, found[0]))
    if chosen.data.kind is Kind.DATA and chosen.record is None:
        why = (
            f"{_field(want)}: snapshot {chosen.data.id[:16]} has no record, so that nobody knows "
            "whether all of its source is in it"
        )
        said.pass_over(Word.UNVERIFIED, UserError("SnapshotNotRecorded", why))
    namespace, claim = chosen.of
    if claim and claim != want.claim:
        raise UserError(
            "ClaimNotInSnapshot",
            f"spec.claims: snapshot {chosen.data.id[:16]} is of claim {claim} of namespace "
            f"{namespace}, not of {want.claim}",
        )
    return chosen


def _field(want: Want) -> str:
    return f"{REPOSITORY}.snapshot" if want.field == REPOSITORY else want.field


def _data_of(there: Contents, want: Want, one: Snapshot) -> Snapshot:
    """The data that a snapshot is of: of a record, what it is the record of."""
    if one.kind is not Kind.RECORD:
        return one
    data = one.tag("data")
    found = there.called(data)
    if found is None:
        raise UserError(
            "SnapshotMissing",
            f"{_field(want)}: snapshot {one.id[:16]} is a record, whose data {data[:16]} is "
            f"missing; {_what_there_is(there)}",
        )
    return found


def _of_claim(there: Contents, want: Want) -> list[Snapshot]:
    """The points of a claim of the request's namespace."""
    by_claim: dict[tuple[str, str], list[Snapshot]] = {}
    for data in there.of_data:
        by_claim.setdefault(there.chosen(data).of, []).append(data)
    if found := by_claim.get((want.namespace, want.claim)):
        return found
    if elsewhere := [one for one in by_claim if one[1] == want.claim]:
        hosts = {s.host for one in elsewhere for s in by_claim[one]}
        raise UserError(
            "ClaimOfAnotherNamespace",
            f"spec.claims: the repository has points of claim {want.claim} only of namespace "
            f"{', '.join(sorted(one[0] for one in elsewhere))}; if it is that, set "
            f"{REPOSITORY}.host to {' or '.join(sorted(hosts))}",
        )
    broken = f"; {len(there.broken)} records do not count" if there.broken else ""
    raise UserError(
        "ClaimNotInRepository",
        f"spec.claims: the repository has no point of claim {want.claim}{broken}; "
        f"{_what_there_is(there)}",
    )


def _by_host_and_path(there: Contents, want: Want) -> list[Snapshot]:
    """The snapshots of a host and a path, of one each, whoever made them."""
    found = [
        s
        for s in there.of_data
        if want.host in ("", s.host) and (not want.path or want.path in s.paths)
    ]
    if not found:
        named = _named(host=want.host, path=want.path)
        raise UserError(
            "SnapshotMissing",
            f"{REPOSITORY}: the repository has no snapshot of {named}; {_what_there_is(there)}",
        )
    # A wrong one among several would be somebody else's data.
    _insist_on_one("host", {s.host for s in found}, needed=not want.host)
    _insist_on_one("path", {" ".join(s.paths) for s in found}, needed=not want.path)
    return found


def _insist_on_one(name: str, values: set[str], *, needed: bool) -> None:
    if needed and len(values) > 1:
        shown = ", ".join(sorted(values)[:_SHOWN])
        raise UserError(
            f"{name.capitalize()}Needed",
            f"{REPOSITORY}.{name}: there are snapshots of several: set it to one of {shown}",
        )


def _at(fitting: Sequence[Snapshot], want: Want) -> Snapshot:
    """The newest at the time that is wanted, or so many further back."""
    newest_first = sorted(fitting, key=_by_time, reverse=True)
    as_of = want.as_of
    older = [s for s in newest_first if as_of is None or s.time <= as_of]
    if not older:
        raise UserError(
            "NothingThatOld",
            f"{REPOSITORY}.asOf: there is no snapshot of it at or before {_at_time(want.as_of)}; "
            f"the oldest of {len(fitting)} is of {_at_time(newest_first[-1].time)}",
        )
    if want.previous >= len(older):
        raise UserError(
            "NothingThatOld",
            f"{REPOSITORY}.previous: there are only {len(older)} snapshots of it, so set it to "
            f"{len(older) - 1} at most; the oldest is of {_at_time(older[-1].time)}",
        )
    return older[want.previous]


def _at_time(value: datetime | None) -> str:
    return at_time(value) if value is not None else ""


def _by_time(snapshot: Snapshot) -> tuple[datetime, str]:
    return snapshot.time, snapshot.id


def _named(*, host: str, path: str) -> str:
    return " and ".join(text for text in (host and f"host {host}", path and f"path {path}") if text)


def _what_there_is(there: Contents) -> str:
    """What can be restored, in words: claims of ours, and hosts and paths of others."""
    ours, theirs = Counter[str](), Counter[str]()
    for data in there.of_data:
        namespace, claim = there.chosen(data).of
        if claim:
            ours[f"claim {claim} of namespace {namespace}"] += 1
        else:
            theirs[_named(host=data.host, path=" ".join(data.paths))] += 1
    if not ours and not theirs:
        return "there is nothing in it that can be restored"
    return f"there is {_counted([*ours.most_common(), *theirs.most_common()])}"


def _counted(found: Iterable[tuple[str, int]]) -> str:
    shown = [f"{what} ({count})" for what, count in found]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
