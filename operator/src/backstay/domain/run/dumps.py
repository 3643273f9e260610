"""The dumps of one attempt of a run: one after the other, each placed, started and followed.

Invariants:

- Where a dump runs, pod and container id, is written down one round before it is started.
- A dump counts only in the container it was started in: a new container id ends it.
- Every wait has an end: TARGET_WAIT for a pod, maxDuration and DEADLINE_SLACK for a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backstay.api.backup import BackupStatus
from backstay.api.common import changed
from backstay.api.dump_status import (
    NOTE_MAX,
    NOTES_MAX,
    POSITION_MAX,
    SERVER_MAX,
    VERSION_MAX,
    DumpState,
    DumpStatus,
)
from backstay.api.plan import PlannedDump
from backstay.api.snapshot import Consistency
from backstay.domain.run.sights import DumpSeen, DumpSight
from backstay.domain.run.status import (
    current_dump,
    dump_entry,
    format_size,
    plan_of,
    short,
    with_dump,
)
from backstay.domain.run.values import AT_ONCE, POLL, Action, CancelDump, Decision, Seen, StartDump
from backstay.domain.sources.places import DumpPlace
from backstay.domain.sources.server_data import ASKED, data_trouble

TARGET_WAIT: Final = timedelta(minutes=2)
"""How long a dump's target may be without a running pod, as during a restart."""
DEADLINE_SLACK: Final = timedelta(seconds=60)
"""The script has the dump's own deadline inside; ours is for when the script is gone."""
PROGRESS: Final = timedelta(seconds=15)
"""Between two reports of how much is written."""
NOWHERE: Final = DumpPlace("", "", "", "", "", "")
"""Of a dump whose target has no running container yet."""


def follow(seen: Seen) -> Decision | None:
    """Given a run that dumps, return what to do for the dump of now; None if all have ended."""
    status = seen.status
    dump = current_dump(status)
    if dump is None:
        return None
    look = seen.dump or DumpSeen(DumpSight.UNREACHABLE, message="its pod was not looked at")
    entry = dump_entry(status, dump.name)
    if entry is None or entry.attempt < status.attempt:
        return _place_dump(seen, dump, look, seen.now)
    if not entry.container_id:
        return _place_dump(seen, dump, look, entry.started_at)
    return _follow_started(seen, dump, entry, look)


def _place_dump(seen: Seen, dump: PlannedDump, look: DumpSeen, since: datetime) -> Decision:
    """Write down where the dump will run, before it is started; nowhere while its target is away.

    The wait for the target is its own: the dumps before it may have taken hours.
    """
    status = seen.status
    if look.place is not None:
        entry = _entry_at(dump, look.place, status.attempt, seen.now)
        return Decision(with_dump(status, entry), after=AT_ONCE)
    entry = _entry_at(dump, NOWHERE, status.attempt, since)
    if look.sight is DumpSight.UNREACHABLE and seen.now - since < TARGET_WAIT:
        waiting = changed(status, message=short(f"dump {dump.name}: {look.message}"))
        return Decision(with_dump(waiting, entry), (), POLL)
    failed = changed(entry, state=DumpState.FAILED, message=short(look.message))
    return Decision(with_dump(status, failed), after=AT_ONCE)


def _follow_started(seen: Seen, dump: PlannedDump, entry: DumpStatus, look: DumpSeen) -> Decision:
    status = seen.status
    place = _place_of(entry)

    def ended(message: str, *actions: Action) -> Decision:
        failed = changed(entry, state=DumpState.FAILED, message=short(message))
        return Decision(with_dump(status, failed), actions, AT_ONCE)

    def waiting(message: str | None, *actions: Action) -> Decision:
        if seen.now - entry.started_at > dump.max_duration + DEADLINE_SLACK:
            late = f"no result within maxDuration ({dump.max_duration})"
            why = f"{late}: {message}" if message else late
            return ended(why, CancelDump(dump, place, status.attempt))
        note = short(f"dump {dump.name}: {message}") if message else None
        return Decision(changed(status, message=note), actions, POLL)

    if look.place is not None and look.place.container_id != entry.container_id:
        return ended("its container was restarted or replaced during the dump")
    match look.sight:
        case DumpSight.DONE:
            return Decision(_done(status, dump, entry, look), after=AT_ONCE)
        case DumpSight.FAILED | DumpSight.INTERRUPTED | DumpSight.SUPERSEDED:
            return ended(look.message)
        case DumpSight.NONE if not look.task_lives:
            return waiting(look.message or None, StartDump(dump, place, status.attempt))
        case DumpSight.RUNNING:
            step = waiting(None)
            return step if step.after == AT_ONCE else _progress(seen, entry, look)
        case DumpSight.NONE:
            return waiting(None)
        case DumpSight.BUSY:
            # The lock is another run's: starting again is how we learn that it is free.
            return waiting(look.message, StartDump(dump, place, status.attempt))
        case DumpSight.UNREACHABLE:
            return waiting(look.message)


def _done(
    status: BackupStatus, dump: PlannedDump, entry: DumpStatus, look: DumpSeen
) -> BackupStatus:
    """The status with a dump that is done, or failed if a restore of its claims would mislead."""
    if why := _data_trouble(status, dump, look):
        # It may be that of any claim of the run: none of them is taken.
        failed = changed(entry, state=DumpState.FAILED, claim="", message=short(why))
        return with_dump(status, failed)
    done = changed(
        entry,
        state=DumpState.DONE,
        bytes=look.bytes,
        sha256=look.sha256,
        seconds=look.seconds,
        versions={k: v[:VERSION_MAX] for k, v in look.versions.items()} or None,
        format=look.format,
        compression=look.compression,
        compressed=look.compressed,
        position=_whole(look.position),
        server=_identity(look.server),
        notes=bounded(look.notes),
        path=look.path or entry.path,
        uid=look.uid,
        gid=look.gid,
    )
    return with_dump(changed(status, message=None), done)


def _data_trouble(status: BackupStatus, dump: PlannedDump, look: DumpSeen) -> str:
    """Why snapshots of this run would hold a part only of what the server keeps, "" if not so."""
    plan = plan_of(status)
    if plan.consistency is Consistency.PER_CLAIM or dump.engine not in ASKED or not look.place:
        return ""
    claims = [c.name for c in plan.claims]
    frozen = [g.claims for g in plan.together]
    return data_trouble(look.data, look.place.mounts, look.points, claims, frozen)


def _whole(position: str | None) -> str | None:
    """Given a position, return it, or None where it is too long: a shortened one would be wrong."""
    return position if position is None or len(position) <= POSITION_MAX else None


def _identity(server: str | None) -> str | None:
    """Given a server's identity, return it, or None where it is too long: shortened, it would be
    another's.
    """
    return server if server and len(server) <= SERVER_MAX else None


def bounded(notes: Sequence[str]) -> tuple[str, ...]:
    """Return as many notes, and as much of each, as a status may hold."""
    return tuple(note[:NOTE_MAX] for note in notes[:NOTES_MAX])


def _progress(seen: Seen, entry: DumpStatus, look: DumpSeen) -> Decision:
    """Report how much is written, now and then; the open stream wakes us when it ends."""
    now, status = seen.now, seen.status
    if look.bytes is not None and now - (entry.progress_at or entry.started_at) >= PROGRESS:
        entry = changed(entry, bytes=look.bytes, progress_at=now)
        status = with_dump(status, entry)
    note = None
    if entry.progress_at is not None:
        note = f"dump {entry.name}: {format_size(entry.bytes or 0)} written"
    pause = PROGRESS if look.task_lives else POLL
    return Decision(changed(status, message=note), (), pause)


def _entry_at(dump: PlannedDump, place: DumpPlace, attempt: int, now: datetime) -> DumpStatus:
    return DumpStatus(
        name=dump.name,
        attempt=attempt,
        state=DumpState.RUNNING,
        engine=dump.engine,
        pod=place.pod,
        pod_uid=place.pod_uid,
        container=place.container,
        container_id=place.container_id,
        claim=place.claim,
        path=place.path,
        file=dump.file,
        started_at=now,
    )


def _place_of(entry: DumpStatus) -> DumpPlace:
    return DumpPlace(
        pod=entry.pod,
        pod_uid=entry.pod_uid,
        container=entry.container,
        container_id=entry.container_id,
        claim=entry.claim,
        path=entry.path,
    )
