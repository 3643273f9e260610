"""Which series of rolling copies a policy's status has room for, and what happens to others."""

from __future__ import annotations

from datetime import timedelta

from tests.support.builders import NOW, minutes, plan, spec, status

from backstay.api.backup import BackupPhase
from backstay.api.common import changed
from backstay.api.point import PointResult, PointStatus
from backstay.api.policy_status import SHOWN_MAX, PolicyStatus
from backstay.api.rolling import PlannedCopy, PlannedRolling, Rolling, RollingDestination
from backstay.api.rolling_status import CopiesStatus, CopyStatus
from backstay.api.store import ROLLING
from backstay.domain.records.lifecycle import Run
from backstay.domain.stores.copies import upkeep
from backstay.domain.stores.copies.chores import Verb
from backstay.domain.stores.copies.seen import Seen
from backstay.domain.stores.copies.series import Kept, kept_of, looks_of
from backstay.domain.subject import Subject

SETTINGS = Rolling(destination=RollingDestination(host_path="/backup"))


def copy(claim: str) -> PlannedCopy:
    return PlannedCopy(claim=claim, path="")


def run(claim: str, number: int, *, good: bool = True) -> Run:
    """A run that copied one claim, so many minutes ago."""
    planned = PlannedRolling(copies=(copy(claim),), settings=SETTINGS)
    entry = PointStatus(
        source=copy(claim).series,
        store=ROLLING,
        attempt=1,
        result=PointResult.FAILED,
    )
    if good:
        mirror = CopyStatus(uid=f"u{number}", version="v")
        entry = changed(
            entry,
            ref="2026-11-22T003205Z",
            result=PointResult.GOOD,
            taken_at=NOW - minutes(number),
            rolling=mirror,
        )
    of = changed(plan(), claims=(), rolling=planned)
    phase = BackupPhase.COMPLETED if good else BackupPhase.FAILED
    obj = {"metadata": {"name": f"r-{number:03}", "namespace": "team", "uid": f"u{number}"}}
    return Subject(obj, spec(), status(phase, plan=of, points=(entry,)))


def kept(runs: list[Run], *claims: str) -> list[Kept]:
    return kept_of("team", "shop", runs, [(copy(claim), SETTINGS) for claim in claims])


def names(found: list[Kept]) -> list[str]:
    return [k.series.holder for k in found]


def test_what_the_policy_names_comes_first_then_what_was_copied_last() -> None:
    runs = [run("old", 9), run("failed", 8, good=False), run("new", 1), run("named", 10)]

    assert names(kept(runs, "never", "named")) == ["never", "named", "new", "old", "failed"]


def test_what_nothing_speaks_of_any_more_is_forgotten() -> None:
    found = kept([run("old", 9), run("failed", 8, good=False)], "named")
    looks = [CopiesStatus(source=copy(c).series) for c in ("old", "failed", "named", "gone")]

    left = looks_of(PolicyStatus(copies=tuple(looks)), found)

    assert set(left) == {copy(c).series for c in ("old", "failed", "named")}


def test_series_without_room_in_the_status_are_left_alone() -> None:
    runs = [run(f"c-{n:03}", n) for n in range(SHOWN_MAX + 2)]
    found = kept(runs, f"c-{SHOWN_MAX + 1:03}")
    seen = Seen(now=NOW, rules=None, kept=found, policy={"metadata": {"name": "shop"}})

    chores = upkeep.look(seen).chores

    listed = [c.kept.series.holder for c in chores if c.verb is Verb.LIST]
    assert len(listed) == SHOWN_MAX
    assert listed[:2] == [f"c-{SHOWN_MAX + 1:03}", "c-000"]
    looks = [CopiesStatus(source=c.kept.copy.series, listed_at=NOW) for c in chores]
    assert len(looks_of(PolicyStatus(copies=tuple(looks)), found)) == SHOWN_MAX
    later = Seen(
        now=NOW + timedelta(seconds=1),
        rules=None,
        kept=found,
        policy={"metadata": {"name": "shop"}},
        looks={look.source: look for look in looks},
    )
    assert not [c for c in upkeep.look(later).chores if c.verb is Verb.LIST]


def test_a_list_dated_by_a_clock_that_was_ahead_is_due_and_a_rebuild_is_not_ignored() -> None:
    found = kept([run("data", 1)], "data")
    ahead = NOW + timedelta(days=365)
    look = CopiesStatus(source=copy("data").series, listed_at=ahead, scrubbed_at=ahead)
    seen = Seen(
        now=NOW,
        rules=None,
        kept=found,
        policy={"metadata": {"name": "shop"}},
        looks={look.source: look},
        rebuilt_at=NOW,
    )

    (chore,) = upkeep.look(seen).chores

    assert (chore.verb, chore.imports) == (Verb.LIST, True)
