"""A directory that has a whole point in place goes on with the copies of the one that is gone.

Invariant: only points that are of the same source as the one that was restored get the new
directory's word, all of them, so that it outlasts each of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from backstay.agent.destination.layout import folder_of, locked
from backstay.agent.destination.points import read_points, write_point
from backstay.agent.fs.identity import identity_of
from backstay.agent.tasks import Where
from backstay.domain.errors import BackstayError
from backstay.domain.stores.copies.points import RollingPoint

_WORDS_MAX: Final = 8


def continue_copies(where: Where, point: RollingPoint, directory: int) -> str:
    """Given the destination, the point that was restored in place and the directory that has it
    now, have its copies be those of this directory too. Return what to report, "" if all is
    well.
    """
    if point.series.kind != "hostPath" or not point.source:
        return ""  # What a claim is, the operator knows.
    words = identity_of(directory)
    if not words or {*point.source} & {*words}:
        return ""
    try:
        with locked(where, point.series, exclusive=True):
            folder = folder_of(where.path, point.series)
            for one in read_points(folder).found:
                if {*one.source} & {*point.source} and not {*one.source} & {*words}:
                    source = (*one.source, *words)[-_WORDS_MAX:]
                    write_point(folder, replace(one, source=source))
    except (BackstayError, OSError) as error:
        return (
            "; the next copy will take it for another directory, as that could not be noted on"
            f" the copies (see the condition SourceReplaced then): {error}"
        )
    return ""
