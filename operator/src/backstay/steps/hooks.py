"""Start hooks in their containers, release them, and read their outcome; see
steps/exec_streams.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from backstay.api.hooks import Stage
from backstay.domain.errors import Conflict, DataError, NotFound, Transient, UserError
from backstay.domain.run.sights import HookPlace, HookSeen, HookSight
from backstay.dumps import hooks
from backstay.dumps.hooks import HookTask
from backstay.steps.exec_streams import Streams, Where


class HookKey(NamedTuple):
    """One hook of one attempt of one run, on its way in or out."""

    run: str
    attempt: int
    stage: Stage
    hook: str
    release: bool


class Hooking:
    """Runs the hook protocol over exec."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def start(
        self,
        namespace: str,
        task: HookTask,
        place: HookPlace,
        max_freeze: timedelta,
        wake: Callable[[], None],
    ) -> None:
        """Given a hook and its place, start it unless a stream of it is open; wake at its end."""
        self._streams.open(
            _key(task, release=False),
            _where(namespace, place),
            hooks.start(task, max_freeze),
            # The stream stays open while the hook holds: its script waits there for the release.
            limit=task.hook.timeout + max_freeze + task.hook.undo_timeout,
            wake=wake,
        )

    def release(
        self, namespace: str, task: HookTask, place: HookPlace, wake: Callable[[], None]
    ) -> None:
        """Given a hook and where to reach it, release it; wake when that is said or done."""
        self._streams.open(
            _key(task, release=True),
            _where(namespace, place),
            hooks.release(task),
            limit=task.hook.undo_timeout,
            wake=wake,
        )

    async def look(self, namespace: str, task: HookTask, place: HookPlace) -> HookSeen:
        """Given a hook and where it runs, return how it stands. Never raises for the hook."""
        keys = _key(task, release=False), _key(task, release=True)
        # Before the script is asked: of a stream that ends in between, the answer has the result.
        # The other way round, such a hook would look as if it had never been started.
        lives = any(map(self._streams.lives, keys))
        where = _where(namespace, place)
        try:
            found = hooks.parse_answer(await self._streams.ask(where, hooks.result(task)))
            # What is written down counts before what was printed: it says the same after a restart.
            if found.state is hooks.State.NONE:
                found = self._refusal(task) or found
        except UserError as error:
            return HookSeen(HookSight.FAILED, place, message=error.message)
        except (Transient, NotFound, Conflict, DataError) as error:
            return HookSeen(HookSight.UNREACHABLE, place, lives, message=error.message)
        trouble = next(filter(None, map(self._streams.trouble, keys)), "")
        return HookSeen(
            HookSight(found.state),
            place,
            task_lives=lives,
            seconds=found.seconds,
            message=found.message or trouble,
        )

    def _refusal(self, task: HookTask) -> hooks.HookAnswer | None:
        """A failure that the script could only say: it has no place to write it down."""
        for release in (False, True):
            printed = self._streams.printed(_key(task, release=release))
            said = hooks.parse_answer(printed) if printed is not None else None
            if said is not None and said.state is hooks.State.FAILED:
                return said
        return None


def _key(task: HookTask, *, release: bool) -> HookKey:
    return HookKey(task.run, task.attempt, task.stage, task.hook.name, release)


def _where(namespace: str, place: HookPlace) -> Where:
    return Where(namespace, place.pod, place.container)
