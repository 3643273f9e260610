"""The verb repository-restore: a snapshot, a directory or paths of it, into a volume.

Invariants: nothing is written before all that can be known to stand against it was looked at; what
a killed try has left is gone on with, and what is anybody else's is not mixed with; it counts when
restic has restored and read again all of it, as many files and bytes are there as were stored, and
the dumps are those on record. What a person acknowledged is passed over, and reported.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backstay.agent.commands.repository_restore_task import RestoreTask
from backstay.agent.commands.repository_stored import Stored, look_at
from backstay.agent.commands.verify_claim import Task, verify
from backstay.agent.fs.failures import writing_to
from backstay.agent.fs.syscalls import syncfs
from backstay.agent.restic.engine import Restic
from backstay.agent.restic.filling import Complaints, Wanted, fill
from backstay.agent.restic.opening import opened
from backstay.agent.restic.snapshots import read_snapshots
from backstay.agent.results import answer
from backstay.agent.target.counting import Counted, count
from backstay.agent.target.fresh_volume import OWN, Volume, room_for
from backstay.domain.errors import BackstayError, DataError
from backstay.domain.restore.acknowledgement import Word, with_word
from backstay.domain.stores.repository.choice import Chosen, contents
from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

FIELD = "spec.claims[].to"


@dataclass(frozen=True, slots=True)
class Work:
    """A restore under way."""

    task: RestoreTask
    restic: Restic
    stored: Stored
    volume: Volume

    @property
    def wanted(self) -> Wanted:
        """What goes where, as restic is asked for it."""
        task = self.task
        return Wanted(
            self.stored.snapshot.id, task.source, self.volume.target, task.include, task.delete
        )


def repository_restore(task: RestoreTask) -> dict[str, Any]:
    """Given a task, restore and return the answer.

    Raise RepositoryError where the snapshot, a path or the target is not as asked, DataError if
    what is there is not what was stored.
    """
    volume = Volume(Path(task.root), task.path)
    with opened(task.repository) as found, writing_to(FIELD, task.root):
        stored = look_at(found.restic, _chosen(found.restic, task), task.source, task.include)
        work = Work(task, found.restic, stored, volume)
        _insist_on_room(work)
        volume.prepare(task.restore, overwrite=task.overwrite)
        complaints = fill(found.restic, work.wanted, lock=not task.repository.read_only)
        _judge(work, complaints)
        counted = _compare(work)
        words = _verify_dumps(work)
    _finish(work)
    said = task.said
    return answer(
        "Restored",
        f"restored {counted or stored.counted} of snapshot {stored.snapshot.id[:8]}{words}"
        f"{_owners()}{said.in_words}",
        snapshot=stored.snapshot.id,
        files=(counted or stored.counted).files,
        bytes=(counted or stored.counted).bytes,
        acknowledged=said.used,
    )


def _chosen(restic: Restic, task: RestoreTask) -> Chosen:
    there = contents(read_snapshots(restic).snapshots)
    data = there.called(task.snapshot)
    if data is None:
        raise RepositoryError(
            Reason.SNAPSHOT_MISSING,
            f"snapshot {task.snapshot[:16]} is not in the repository any more; nothing of ours "
            "forgets one that is being restored, so look who else uses the repository",
        )
    return there.chosen(data)


def _insist_on_room(work: Work) -> None:
    if lacks := room_for(work.volume.root, work.stored.counted.bytes):
        refusal = RepositoryError(
            Reason.NO_ROOM, f"{FIELD}: {lacks}; make the claim larger (to.newClaim.size)"
        )
        _pass_over(work, Word.TOO_LITTLE_ROOM, refusal)


def _judge(work: Work, complaints: Complaints) -> None:
    """Given what restic could not restore, raise RepositoryError if there is any."""
    if complaints.count:
        examples = "; ".join(complaints.examples)
        why = f"{complaints.count} entries were not restored as they were stored: {examples}"
        failure = RepositoryError(complaints.reason, why, examples=complaints.examples)
        _pass_over(work, Word.UNVERIFIED, failure)


def _compare(work: Work) -> Counted | None:
    """Compare what is there with what was stored; None where other things are there as well."""
    task, stored = work.task, work.stored
    alone = task.delete or not task.overwrite
    if not alone and task.include:
        return None
    without = OWN if not task.path else ()
    try:
        found = count(work.volume.target, without=without)
    except PermissionError as error:
        _pass_over(work, Word.UNVERIFIED, DataError(f"what is there cannot be counted: {error}"))
        return None
    if not alone:
        as_stored = found.holds(stored.counted)
    else:
        # What restic counted when it stored has lost+found, if it was not left out.
        as_stored = found == stored.counted or found == stored.exactly(work.restic, without)
    if not as_stored:
        why = f"there are {found}, and {stored.counted} were stored"
        _pass_over(work, Word.UNVERIFIED, RepositoryError(Reason.DIFFERENT, why))
    return found if alone else None


def _verify_dumps(work: Work) -> str:
    """Compare the dumps that the record names with what is there; return that in words."""
    dumps = tuple(d for d in work.stored.dumps if work.task.includes(d.path))
    if not dumps:
        return ""
    try:
        return f"; {verify(Task(work.volume.root, dumps))}"
    except DataError as error:
        _pass_over(work, Word.UNVERIFIED, RepositoryError(Reason.DIFFERENT, error.message))
        return ""


def _pass_over(work: Work, word: Word, error: BackstayError) -> None:
    """Note that an error is passed over. Where nobody said its word, raise it, naming that."""
    if word in work.task.said.words:
        work.task.said.used.setdefault(word, error.message)
        return
    message = f"{with_word(error.message, word)}, in another request"
    if isinstance(error, RepositoryError):
        raise RepositoryError(error.reason, message, **error.more) from error
    raise RepositoryError(Reason.DIFFERENT, message) from error


def _finish(work: Work) -> None:
    """Have all of it on the disk before anybody is handed it, and the mark away."""
    top = os.open(work.volume.target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        look = work.stored.top
        if look is not None and not work.task.overwrite:
            # An unprivileged mover is refused the owner, as of all files, and does not own the
            # directory whose mode it would change.
            with suppress(PermissionError):
                os.chown(top, look.uid, look.gid)
                os.chmod(top, look.mode)
        syncfs(top)
        work.volume.finish()
        syncfs(top)
    finally:
        os.close(top)


def _owners() -> str:
    """What an unprivileged mover cannot restore, in words."""
    user = os.geteuid()
    if user == 0:
        return ""
    return f"; all of it belongs to user {user}, as whom the mover runs"
