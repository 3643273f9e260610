"""What a pass over copies does when clocks were wrong, and how many it releases at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.unit.domain.stores.copies.test_missing import COPY, NOW, kept_of, run, seen_of

from backstay.api.backup import BackupSpec, Trigger
from backstay.api.common import changed
from backstay.api.rolling_status import CopiesStatus
from backstay.domain import labels
from backstay.domain.records.lifecycle import Run
from backstay.domain.stores.copies import upkeep
from backstay.domain.stores.copies.chores import Verb

LATER = NOW + timedelta(days=400)
LOOK = CopiesStatus(source=COPY.series, listed_at=NOW, scrubbed_at=NOW)
DATED = {labels.RESULT: "good", labels.RETAIN: "daily_weekly_monthly"}


def old(day: int, **copy: object) -> Run:
    """A copy that has been good since it was made."""
    made = run(day, seq=day, **copy)
    spec = BackupSpec(policy="uploads", trigger=Trigger.IMPORTED)
    return replace(made, spec=spec)


def test_a_look_of_the_future_is_none_and_the_series_is_listed_again() -> None:
    ahead = {COPY.series: changed(LOOK, listed_at=LATER)}
    (chore,) = upkeep.look(seen_of([run(1)], looks=ahead)).chores
    assert (chore.verb, chore.imports) == (Verb.LIST, True)

    ahead = {COPY.series: changed(LOOK, scrubbed_at=LATER)}
    (chore,) = upkeep.look(seen_of([run(1)], looks=ahead)).chores
    assert chore.verb is Verb.SCRUB


def test_a_rebuild_of_the_future_is_not_listed_for_ever() -> None:
    seen = seen_of([run(1)], looks={COPY.series: LOOK}, rebuilt_at=LATER)
    assert upkeep.look(seen).chores == []


def test_copies_that_are_set_apart_make_no_room_for_more_marks() -> None:
    before = [old(day, identity=("other",)) for day in range(1, 13)]
    now = [old(day, identity=("this",)) for day in range(13, 19)]
    seen = seen_of([*before, *now])

    verdicts, held = upkeep.judged(seen, kept_of([*before, *now]))

    assert held is not None
    assert (held.marks, held.size) == (5, 6)
    assert not [v for v in verdicts if v.patches or v.sweep]


def test_a_request_that_has_not_begun_keeps_the_copies_of_its_backup() -> None:
    dated = old(1, labels=DATED | {labels.DELETE_AFTER: "2026-01-01"})
    runs = [dated, old(2)]
    seen = seen_of(runs, looks={COPY.series: LOOK})
    (chore,) = upkeep.look(seen).chores
    assert chore.verb is Verb.PRUNE

    assert upkeep.look(replace(seen, named=frozenset({dated.name}))).chores == []
