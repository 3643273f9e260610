"""Lost and found: contents of ours that outlived their snapshot or their namespace, and those that
are about to be lost although their snapshot is there.

Invariants: an orphan is exactly what the sweep leaves alone for good (`deletion.Step.FROZEN` with
the snapshot known to be gone): nothing proves that its disk may go, so a person has to decide. A
content is ours if it carries a label of ours, or if it was never labelled and its snapshot's name
is one that our runs make: whoever lost the snapshot before the content was labelled finds it here
as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from backstay.domain import labels, naming, objects
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj, dig
from backstay.domain.records.annotation import parse_record
from backstay.domain.records.record import DumpRecord, Record
from backstay.domain.stores.snapshots.carriers import identity
from backstay.domain.stores.snapshots.content import content_of
from backstay.domain.stores.snapshots.deletion import DeletionPolicy, Step, plan_sweep
from backstay.domain.stores.snapshots.moments import moment_of

NAMESPACES_MAX: Final = 100
OTHERS: Final = "*"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A content that nothing refers to any more, and what its record says is inside."""

    content: str
    why: str
    namespace: str
    snapshot: str
    policy: str
    claim: str
    backup: str
    taken: datetime | None
    """Aware; None where nothing says so."""
    driver: str
    handle: str
    deletion_policy: str
    result: str = ""
    """The result of its run by its label: good, failed or pending; "": it has none."""
    dumps: tuple[DumpRecord, ...] = ()
    problem: str = ""
    """Why the record could not be read."""


class Census:
    """Counts orphans while pages of contents and snapshots go by, in any order.

    Only those that the policy's label finds are seen: whether a suspect has lost its snapshot,
    or the snapshot its label, is to be asked by name.
    """

    def __init__(self) -> None:
        self._suspects: dict[str, Suspect] = {}
        self._snapshots: set[str] = set()

    def see_content(self, content: Obj) -> None:
        """Given a content of ours, remember it if it could be an orphan."""
        uid = dig(content, "spec", "volumeSnapshotRef", "uid")
        if uid is not None and uid not in self._snapshots and _is_lost(content, {}):
            self._suspects[str(uid)] = Suspect(*_address(content), str(uid))

    def see_snapshot(self, snapshot: Obj) -> None:
        """Given a snapshot, remember that it is there."""
        self._snapshots.add(objects.uid(snapshot))

    def suspects(self) -> list[Suspect]:
        """Return the snapshots that contents speak of and that were not seen, in order."""
        return sorted(s for uid, s in self._suspects.items() if uid not in self._snapshots)


class Suspect(NamedTuple):
    """A snapshot that a content speaks of."""

    namespace: str
    name: str
    uid: str


def per_namespace(lost: Iterable[Suspect]) -> dict[str, int]:
    """Given orphans, return how many there are of each namespace. Those of the fewest share the
    name OTHERS where there are more namespaces than NAMESPACES_MAX: a metric's labels are bounded.
    """
    counts = Counter(s.namespace for s in lost)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    found = dict(ranked[:NAMESPACES_MAX])
    if rest := sum(count for _, count in ranked[NAMESPACES_MAX:]):
        found[OTHERS] = rest
    return found


def orphans(
    contents: Sequence[Obj], snapshots: Sequence[Obj], namespaces: Mapping[str, str]
) -> list[Orphan]:
    """Given contents, all snapshots of the namespaces that they refer to, and the uid of every
    namespace by name, return the orphans, by namespace, claim and time.

    The contents must have been read before the snapshots: a content is made after its snapshot.
    """
    names = {(objects.namespace(s), objects.name(s)): objects.uid(s) for s in snapshots}
    found = [
        _orphan(content, why, namespaces)
        for content in contents
        if (why := _why(content, names, namespaces))
    ]
    return sorted(found, key=lambda o: (o.namespace, o.claim, o.taken or _EPOCH, o.content))


def is_ours(content: Obj) -> bool:
    """Given a content, return whether a run of ours made it, as far as it can say."""
    if any(key.startswith(labels.PREFIX) for key in objects.labels(content)):
        return True
    return naming.is_snapshot_name(_address(content)[1])


def _is_lost(content: Obj, names: Mapping[tuple[str, str], str]) -> bool:
    if not is_ours(content):
        return False
    uid = dig(content, "spec", "volumeSnapshotRef", "uid")
    if uid is None or names.get(_address(content)) == uid:
        return False  # Without a uid it waits for the snapshot that is to bind it.
    return plan_sweep(None, content_of(content), ()).step is Step.FROZEN


def _orphan(content: Obj, why: str, namespaces: Mapping[str, str]) -> Orphan:
    record, problem = _record(content)
    namespace, snapshot = _address(content)
    home = namespaces.get(namespace)
    if record is not None and home is not None and record.namespace_uid != home:
        why = f"namespace {namespace} was deleted and made again"
    return Orphan(
        content=objects.name(content),
        why=why + _of_sweeps(content) + _rest(content),
        namespace=namespace,
        snapshot=snapshot,
        policy=identity(content, labels.POLICY) or (record.policy if record else ""),
        claim=identity(content, labels.PVC) or (record.claim.name if record else ""),
        backup=identity(content, labels.BACKUP) or (record.backup if record else ""),
        taken=moment_of(content),
        driver=str(dig(content, "spec", "driver", default="")),
        handle=content_of(content).handle or "",
        deletion_policy=str(dig(content, "spec", "deletionPolicy", default="")),
        result=objects.labels(content).get(labels.RESULT, ""),
        dumps=record.dumps if record else (),
        problem=problem,
    )


def _why(content: Obj, names: Mapping[tuple[str, str], str], namespaces: Mapping[str, str]) -> str:
    """Why a content is to be shown, "" if it is as it should be."""
    namespace, snapshot = _address(content)
    if not _is_lost(content, names):
        return _danger(content, names)
    if namespace not in namespaces:
        return f"namespace {namespace} is gone"
    if (namespace, snapshot) in names:
        return f"snapshot {snapshot} is another one of that name"
    return f"snapshot {snapshot} is gone"


def _danger(content: Obj, names: Mapping[tuple[str, str], str]) -> str:
    """How a content whose snapshot is there is about to be lost, "" if it is not."""
    uid = dig(content, "spec", "volumeSnapshotRef", "uid")
    result = objects.labels(content).get(labels.RESULT)
    address = _address(content)
    if result is None or uid is None or names.get(address) != uid:
        return ""
    found = content_of(content)
    if plan_sweep(None, found, ()).step is not Step.FROZEN:
        return ""  # A sweep has begun: its policy's pass goes on with it, or takes it back.
    if found.deleting:
        return f"snapshot {address[1]} is there"
    if result == labels.Result.GOOD and found.deletion_policy is DeletionPolicy.DELETE:
        return f"its deletionPolicy is Delete: its disk snapshot goes with snapshot {address[1]}"
    return ""


def _of_sweeps(content: Obj) -> str:
    """What a sweep has to do with it, for the person who decides what happens to it."""
    read = content_of(content)
    if read.ref_uid is not None and read.names_swept(read.ref_uid):
        if read.is_proven:
            return "; a sweep took the snapshot, but the content is held since"
        return "; a sweep took the snapshot, but delete-after was changed or taken off since"
    if read.delete_after:
        return f"; it was to go after {read.delete_after}, but nothing proves that a sweep took it"
    if labels.SWEEP in objects.annotations(content):
        return "; a sweep was about to begin, but nothing proves that it took it"
    return ""


def _rest(content: Obj) -> str:
    """What there is to say of a content besides why it is shown."""
    said = ", and it is being deleted" if _is_going(content) else ""
    carried = objects.labels(content)
    if not any(key.startswith(labels.PREFIX) for key in carried):
        return f"{said}; it was never labelled: by its name a run of Backstay's made it"
    if carried.get(labels.RESULT) == labels.Result.PENDING:
        return f"{said}; its run ended before it was known to be ready"
    return f"{said}; its run failed" if carried.get(labels.RESULT) == labels.Result.FAILED else said


def _is_going(content: Obj) -> bool:
    return bool(dig(content, "metadata", "deletionTimestamp"))


def _record(content: Obj) -> tuple[Record | None, str]:
    text = objects.annotations(content).get(labels.RECORD)
    if text is None:
        return None, "it carries no record"
    try:
        return parse_record(text), ""
    except DataError as error:
        return None, error.message


def _address(content: Obj) -> tuple[str, str]:
    ref = dig(content, "spec", "volumeSnapshotRef", default={})
    return str(dig(ref, "namespace", default="")), str(dig(ref, "name", default=""))
