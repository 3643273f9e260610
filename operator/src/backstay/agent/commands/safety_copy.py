"""The copy of what is in a directory before a restore goes over it.

Invariant: that copy is there to go back to, so what it is of need not be sound: a database that
cannot be copied as of one moment is taken as the files that are there, and its point says so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from backstay.agent.commands.copy import copy
from backstay.agent.fs.sqlite import DatabaseBusy
from backstay.agent.tasks import CopyTask
from backstay.domain.errors import BackstayError, DataError, Transient, UserError
from backstay.domain.labels import DATABASES_AS_FILES
from backstay.domain.restore.acknowledgement import Acknowledged, Word


def keep_what_is_there(
    task: CopyTask, acknowledged: Acknowledged, now: datetime
) -> dict[str, Any] | None:
    """Given the task of that copy, what a person acknowledged, and now, make the copy and return
    its result. Where it fails and that is passed over, make one of what can be read; return None
    where that fails too.

    Raise what copy() raises, naming the word to add; Transient as it is.
    """
    try:
        return _copy(task, now)
    except Transient:
        raise
    except (BackstayError, OSError) as error:
        reported = f"what is there cannot be copied first: {error}"
        if isinstance(error, UserError):
            acknowledged.pass_over(Word.NO_SAFETY_COPY, UserError(error.reason, reported))
        else:
            acknowledged.pass_over(Word.NO_SAFETY_COPY, DataError(reported))
    try:
        return _copy(replace(task, allow_unreadable=True), now)
    except (BackstayError, OSError):
        return None  # Why is said already.


def _copy(task: CopyTask, now: datetime) -> dict[str, Any]:
    try:
        return copy(task, now)
    except DatabaseBusy:
        # Nobody writes there any more, or what he writes is overwritten: the files are what is left
        # of it. All live ones, as another may be damaged too.
        marked = {**task.annotations, DATABASES_AS_FILES: "true"}
        return copy(replace(task, databases_as_files=True, annotations=marked), now)
