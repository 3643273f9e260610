"""Hooks in memory, as dumps/scripts/hooks.sh has them: one per (attempt, stage, name)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from backstay.api.hooks import PlannedHook, Stage
from backstay.domain.run.sights import HookSeen, HookSight
from backstay.domain.sources.places import HookPlace

Later: TypeAlias = Callable[[int | None, Callable[[], None]], None]
Key: TypeAlias = tuple[int, Stage, str]


@dataclass(frozen=True, slots=True)
class HookFate:
    """How one hook goes: seconds of its command, and of what undoes it."""

    seconds: int = 1
    passes: bool = True
    undo: int = 1
    undo_passes: bool = True
    killed: bool = False
    """All of its shells are killed while it holds: nobody is left to release it."""


@dataclass(slots=True)
class Hook:
    """One hook that was started, in the container that it was started in."""

    name: str
    holds: bool
    fate: HookFate
    sight: HookSight = HookSight.RUNNING
    frozen: bool = False
    released: bool = False
    undoing: bool = False


class HookWorld:
    """The hooks of a container; `later` has something happen after so many seconds."""

    def __init__(self, later: Later, fates: list[HookFate]) -> None:
        self.streams: set[Key] = set()
        self.starts: list[Key] = []
        self.undone: list[Key] = []
        self._later = later
        self._fates: Iterator[HookFate] = iter(fates)
        self._hooks: dict[Key, Hook] = {}

    def frozen(self) -> frozenset[str]:
        """The names of the hooks that hold now."""
        return frozenset(hook.name for hook in self._hooks.values() if hook.frozen)

    def restart_container(self) -> None:
        """What was held is lost, and nobody knows of it any more."""
        self._hooks = {}

    def look(self, attempt: int, stage: Stage, hook: PlannedHook, place: HookPlace) -> HookSeen:
        key = attempt, stage, hook.name
        found = self._hooks.get(key)
        sight = found.sight if found else HookSight.NONE
        return HookSeen(sight, place, key in self.streams, seconds=1, message=sight.value)

    def start(self, attempt: int, stage: Stage, hook: PlannedHook, max_freeze: timedelta) -> None:
        key = attempt, stage, hook.name
        if key in self._hooks:
            return
        fate = next(self._fates, HookFate())
        new = self._hooks[key] = Hook(hook.name, hook.holds, fate)
        self.streams.add(key)
        self.starts.append(key)
        # A command may have frozen something before it fails, or is ended at its timeout.
        new.frozen = hook.holds

        def ran() -> None:
            if fate.passes and not hook.holds:
                self._end(key, new, HookSight.DONE)
            elif fate.passes:
                new.sight = HookSight.HELD
                if new.released:
                    self._undo(key, new, HookSight.DONE)
                elif fate.killed:
                    new.sight = HookSight.INTERRUPTED
                    self.streams.discard(key)
                else:
                    left = max_freeze - timedelta(seconds=fate.seconds)
                    wait = max(0, round(left.total_seconds()))
                    self._later(wait, lambda: self._undo(key, new, HookSight.BROKEN))
            elif hook.holds:
                self._undo(key, new, HookSight.FAILED)
            else:
                self._end(key, new, HookSight.FAILED)

        self._later(fate.seconds, ran)

    def release(self, attempt: int, hook: PlannedHook) -> None:
        key = attempt, Stage.BEFORE, hook.name
        found = self._hooks.get(key)
        if found is None:
            found = self._hooks[key] = Hook(hook.name, hook.holds, HookFate(), HookSight.RUNNING)
            self._undo(key, found, HookSight.BROKEN)
        elif found.sight is HookSight.INTERRUPTED:
            found.sight = HookSight.HELD
            self._undo(key, found, HookSight.BROKEN)
        else:
            found.released = True
            if found.sight is HookSight.HELD:
                self._undo(key, found, HookSight.DONE)

    def _undo(self, key: Key, hook: Hook, sight: HookSight) -> None:
        if hook.undoing:
            return
        hook.undoing = True

        def undone() -> None:
            if self._hooks.get(key) is not hook:
                return  # its container is gone
            hook.frozen = False
            self.undone.append(key)
            bad = HookSight.FAILED if sight is HookSight.DONE else sight
            self._end(key, hook, sight if hook.fate.undo_passes else bad)

        self._later(hook.fate.undo, undone)

    def _end(self, key: Key, hook: Hook, sight: HookSight) -> None:
        hook.sight = sight
        self.streams.discard(key)
