"""What a pass over one policy's snapshots sees, and what it leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC
from typing import Any

from tests.support.builders import NOW, content
from tests.support.planned import planned

from backstay.domain import labels, objects
from backstay.domain.objects import Obj
from backstay.domain.retention.points import Rules
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.content import MIRRORED_NOTES, Patch
from backstay.domain.stores.snapshots.deletion import Step
from backstay.domain.stores.snapshots.judging import Seen

RULES = Rules(zone=UTC, daily=2, failed=1)
PREFIX = labels.PREFIX
TODAY, OLD = "2026-11-22T00:32:00Z", "2026-11-18T00:32:00Z"
OVERDUE = {"delete-after": "2026-11-20"}


def seen(
    *snapshots: Obj,
    contents: Iterable[Obj] | None = None,
    rules: Rules | None = RULES,
    **values: Any,
) -> Seen:
    """Given snapshots, return what a pass sees of them, each with its content unless given."""
    bound = [content(s) for s in snapshots] if contents is None else contents
    defaults: dict[str, Any] = {"running": frozenset(), "requests": frozenset(), "now": NOW}
    return Seen(
        rules=rules,
        snapshots=snapshots,
        contents={objects.name(c): c for c in bound},
        **defaults | values,
    )


def by_name(world: Seen) -> dict[str, upkeep.Item]:
    """Given what a pass sees, return what it does to each point."""
    return {item.point.name: item for item in planned(world).items}


def mirrored(of: Obj, *, policy: str = "Retain", **notes: str) -> Obj:
    """Given a snapshot, return its content as an earlier pass left it."""
    made = content(of, policy=policy, **notes)
    carried = {k: v for k, v in objects.annotations(of).items() if k in MIRRORED_NOTES}
    if labels.MARKED_AT in objects.annotations(of):
        carried[labels.MARKED_AT] = objects.annotations(of)[labels.MARKED_AT]
    made["metadata"]["annotations"] |= carried
    made["metadata"]["labels"] |= objects.labels(of)
    return made


def apply(patch: Patch | None, to: Obj) -> Obj:
    """Given a patch and its object, return that after it, under a new resourceVersion."""
    if patch is None:
        return to
    metadata = {**to["metadata"], "resourceVersion": "2"}
    for key, changes in (("labels", patch.labels), ("annotations", patch.annotations)):
        merged = {**to["metadata"].get(key, {}), **changes}
        metadata[key] = {k: v for k, v in merged.items() if v is not None}
    return {**to, "metadata": metadata, "spec": {**to["spec"], **patch.spec}}


def after(world: Seen) -> Seen:
    """Given what a pass sees, return that once its patches are written; it sweeps nothing."""
    snapshots, contents = list(world.snapshots), dict(world.contents)
    for index, item in enumerate(planned(world).items):
        assert item.point.name == objects.name(snapshots[index])
        snapshots[index] = apply(item.snapshot, snapshots[index])
        if item.content is not None:
            name = objects.name(item.content.obj)
            contents[name] = apply(item.content, contents[name])
    return replace(world, snapshots=snapshots, contents=contents)


def writes(world: Seen) -> list[str]:
    """Given what a pass sees, return the points that it writes something to."""
    return [
        item.point.name
        for item in planned(world).items
        if item.snapshot or item.content or (item.sweep and item.sweep.step is not Step.NOTHING)
    ]
