"""Work spread over processes: Python's threads would take turns.

Invariants: the workers are forked for one call, so they see everything that their parent has in
memory; they die with it, so a killed run writes nothing more; the first error ends the call, and
so does the end of a worker. (multiprocessing.Pool waits for a killed one for ever, and now and then
for those that it ends itself.)
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from backstay.agent.fs.failures import Defect, worded
from backstay.agent.fs.syscalls import die_with_parent
from backstay.domain.errors import BackstayError, DataError, UserError

Unit = TypeVar("Unit")
Answer = TypeVar("Answer")

_task: tuple[Callable[[Any], Any], Sequence[Any]] | None = None


def spread(
    function: Callable[[Unit], Answer], units: Sequence[Unit], processes: int
) -> Generator[Answer]:
    """Given a function, what to call it with and the number of processes, yield the answers as
    they come. Raise what the function raises, in words where a process of its own ran it (an error
    of ours keeps its kind), and DataError if a process is killed.
    """
    global _task  # noqa: PLW0603 - the way into a forked process that needs no copying
    count = min(processes, len(units))
    if count <= 1:
        yield from map(function, units)
        return
    _task = (function, units)
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(count, context, _begin, (os.getpid(),))
    try:
        for done in as_completed([pool.submit(_call, index) for index in range(len(units))]):
            error, answer = done.result()
            if error is not None:
                raise error.rebuilt()
            yield answer
    except BrokenProcessPool as error:
        raise DataError(
            "a process of this run was killed; if it had too little memory, give it more"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        _task = None


class _Failure:
    """An error on its way between processes: ours do not survive pickling by themselves."""

    def __init__(self, error: BackstayError) -> None:
        self.kind = type(error)
        self.reason = error.reason if isinstance(error, UserError) else None
        self.message = error.message

    def rebuilt(self) -> BackstayError:
        if self.reason is not None:
            return UserError(self.reason, self.message)
        return self.kind(self.message)


def _begin(parent: int) -> None:
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked


def _call(index: int) -> tuple[_Failure | None, Any]:
    if _task is None:
        raise RuntimeError("not a process of spread()")
    function, units = _task
    try:
        return None, function(units[index])
    except Exception as error:  # noqa: BLE001 - which entry was at work only this process knows
        found = worded(error)
        if isinstance(found, Defect):
            traceback.print_exc()
        return _Failure(found), None


def apart(units: Sequence[Unit], count: int) -> list[Unit]:
    """Given units in order, return them so that `count` processes, which take one each in turn,
    work in as many parts of them.
    """
    step = -(-len(units) // count)
    return [unit for first in range(step) for unit in units[first::step]]


def batches(items: Iterable[tuple[Unit, int]], weight: int) -> list[list[Unit]]:
    """Given items with their weights, return lists of them in order, each of about `weight`."""
    found: list[list[Unit]] = []
    total = weight
    for item, own in items:
        if total >= weight:
            found.append([])
            total = 0
        found[-1].append(item)
        total += own
    return found
