"""What maintenance does next, and what its answer comes to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.repository_looks import NOW, answered, condition, known, seen, spec
from tests.support.stored_points import hashed, run

from backstay.api.common import Condition, changed
from backstay.api.point import PointGone
from backstay.api.repository_status import LockStatus, RepositoryStatus
from backstay.domain import labels, naming
from backstay.domain.jobs import JobSeen
from backstay.domain.records.lifecycle import Run
from backstay.domain.retention.brakes import Brake
from backstay.domain.stores.repository.chore import LOCK_WAIT, condition_of
from backstay.domain.stores.repository.maintaining import PATIENCE, Maintaining, wish_of
from backstay.domain.stores.repository.tasks import Check, MaintainWish
from backstay.domain.stores.repository.users import users_of
from backstay.domain.stores.repository.work import POLL, Seen, plan

CHORE = Maintaining()
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ENDED = JobSeen(name="job", exists=True, started=True, succeeded=True)
UID = "0c5a7e11"


def look(**values: Any) -> Seen:
    """A look at a repository that was maintained an hour ago, with nothing to do."""
    status = values.pop("status", {})
    conditions = [condition(), *status.pop("conditions", [_says("Checked", "True", "Whole")])]
    usual = {"checked_at": NOW - HOUR, "pruned_at": NOW - HOUR, "listed_at": NOW - HOUR}
    whole = known(**usual | status, conditions=tuple(conditions))
    return seen(status=whole, created=NOW - 30 * DAY, **values)


def _says(type: str, status: str, reason: str) -> Condition:
    return Condition(
        type=type,
        status=status,
        reason=reason,
        message="",
        observed_generation=1,
        last_transition_time=NOW - HOUR,
    )


def swept(name: str, *, ago: timedelta = MINUTE, **values: Any) -> Run:
    return run(name, NOW - 9 * DAY, gone=PointGone.SWEPT, gone_at=NOW - ago, **values)


def ids(*names: str) -> list[str]:
    return [hashed(f"{what} {name}") for name in names for what in ("record", "data")]


def test_what_is_announced_is_forgotten_at_once_the_record_before_its_data() -> None:
    seen = look(runs=[swept("b", ago=MINUTE), swept("a", ago=HOUR), run("kept", NOW - DAY)])

    assert CHORE.due(seen) == NOW - HOUR
    assert wish_of(seen) == MaintainWish(forget=tuple(ids("a", "b")))


@pytest.mark.parametrize(
    "values",
    [
        {"clock": Brake("ClockSkew", "off")},
        {"spec": spec(access="ReadOnly", initialise="Never")},
        {"spec": spec(access="AppendOnly")},
        {"status": {"conditions": [_says("Checked", "False", "Damaged")]}},
        {"status": {"id": "f" * 64}},
        {"users": users_of([{"metadata": {"name": "r"}, "spec": {"from": {"backup": "a"}}}])},
        {"runs": [swept("a", carried={labels.HOLD: "true"})]},
        {"runs": [swept("a", missing=True)]},
        {"runs": [run("a", NOW - 9 * DAY)]},
    ],
)
def test_nothing_is_forgotten_that_must_not_be(values: dict[str, Any]) -> None:
    seen = look(**{"runs": [swept("a")], **values})

    assert wish_of(seen).forget == ()
    assert not wish_of(seen).prune


def test_with_a_secret_of_its_own_maintenance_forgets_in_an_append_only_repository() -> None:
    own = spec(access="AppendOnly", maintenanceSecretRef={"name": "admin"})

    assert wish_of(look(runs=[swept("a")], spec=own)).forget == tuple(ids("a"))


def test_what_killed_uploads_left_is_forgotten_with_the_rest() -> None:
    left = {"leftovers": (hashed("killed"), hashed("failed"))}
    seen = look(runs=[swept("a")], status=left)
    assert wish_of(seen).forget == (*ids("a"), *left["leftovers"])
    assert CHORE.due(look(status=left)) == NOW - HOUR

    lines = [json.dumps({"id": hashed("killed"), "left": False})]
    answer = answered("Maintained", locks=[])
    done = CHORE.ended(look(status={**left, "job": "job"}, job=ENDED, result=answer, lines=lines))
    assert done.leftovers == (hashed("failed"),)


def test_it_prunes_and_checks_as_often_as_the_spec_says() -> None:
    assert CHORE.due(look()) == NOW - HOUR + 7 * DAY
    week: dict[str, Any] = {"pruned_at": NOW - 8 * DAY}
    assert wish_of(look(status=week)) == MaintainWish(prune=True)
    week = {"checked_at": NOW - 8 * DAY, "check_part": 13}
    assert wish_of(look(status=week)) == MaintainWish(check=Check(14, 14))
    assert wish_of(look(status={**week, "check_part": 14})).check == Check(1, 14)
    never = spec(maintenance={"prune": "3650d", "check": "3650d"})
    rests = look(spec=never, status={"pruned_at": None, "checked_at": None})
    due = CHORE.due(rests)
    assert due is not None
    assert due > NOW + 3600 * DAY
    assert wish_of(rests) == MaintainWish()


def test_before_the_first_prune_and_after_an_end_without_a_word_it_checks() -> None:
    fresh: dict[str, Any] = {"pruned_at": None, "checked_at": None, "conditions": []}
    first = wish_of(look(status=fresh))
    assert (first.prune, first.check) == (False, Check(1, 14))

    killed = CHORE.ended(
        look(status={"job": "job", "pruned_at": NOW - 8 * DAY}, job=ENDED, result=None)
    )
    assert condition_of(killed, "Checked").status == "Unknown"  # type: ignore[union-attr]
    later = look(runs=[], status={})
    after = wish_of(_with(later, killed))
    assert (after.prune, after.check is not None) == (False, True)


def _with(look: Seen, status: RepositoryStatus) -> Seen:
    return replace(look, status=status)


def test_damage_stops_all_that_removes_until_a_check_finds_it_whole() -> None:
    answer = answered("Damaged", ok=False, message="pack 1", checked=True, damaged=True, locks=[])
    status = CHORE.ended(look(status={"job": "job"}, job=ENDED, result=answer))

    found = condition_of(status, "Checked")
    assert found is not None
    assert (found.status, found.reason) == ("False", "Damaged")
    assert "kubectl backstay repository check offsite -n team" in found.message
    stopped = _with(look(runs=[swept("a")]), changed(status, job=None, retry_at={}))
    assert wish_of(stopped) == MaintainWish()

    mended = answered("Maintained", checked=True, damaged=False, locks=[])
    status = CHORE.ended(_with(look(job=ENDED, result=mended), changed(status, job="job")))
    assert condition_of(status, "Checked").status == "True"  # type: ignore[union-attr]
    assert (status.checked_at, status.check_part) == (NOW, 1)


def test_movers_at_work_end_first_but_not_for_ever() -> None:
    busy = look(runs=[swept("a", ago=MINUTE)], movers=True)
    assert CHORE.due(busy) == NOW + MINUTE
    late = look(runs=[swept("a", ago=2 * HOUR)], movers=True)
    assert CHORE.due(late) == NOW - 2 * HOUR


def test_the_intent_is_written_before_movers_are_looked_at_again() -> None:
    seen = look(runs=[swept("a")])

    decided = plan(seen, (CHORE,))
    assert (decided.start, decided.status.work) == (None, "Maintain")

    begun = _with(seen, decided.status)
    assert plan(begun, (CHORE,)).start is CHORE
    waits = plan(replace(begun, movers=True), (CHORE,))
    assert (waits.start, waits.status.job, waits.after) == (None, decided.status.job, POLL)
    tired = replace(begun, movers=True, now=NOW + PATIENCE)
    given_up = plan(tired, (CHORE,)).status
    assert (given_up.job, given_up.work) == (None, None)
    assert CHORE.due(_with(seen, given_up)) == NOW + 2 * PATIENCE
    held = replace(begun, runs=[swept("a", carried={labels.HOLD: "true"})])
    assert plan(held, (CHORE,)).status.work is None


def test_what_a_job_forgot_is_shown_swept_and_missing_whatever_was_decided_since() -> None:
    lines = [json.dumps({"id": i, "left": i in ids("b")}) for i in ids("a", "b", "c")]
    runs = [swept("a"), swept("b"), run("c", NOW - 9 * DAY)]

    came = CHORE.outcome(look(runs=runs, lines=["x", *lines], job=ENDED))
    shown = {r.name: s.points[0] for r, s in came.shown}

    assert set(shown) == {"a", "c"}
    for entry in shown.values():
        assert entry.gone is PointGone.SWEPT
        assert entry.stored is not None
        assert entry.stored.missing
    assert shown["a"].gone_at == NOW - MINUTE


def test_who_may_not_delete_is_reported_with_the_remedy_and_tried_again_a_day_later() -> None:
    answer = answered("ReadOnly", ok=False, message="2 snapshots were not removed", locks=[])
    status = CHORE.ended(look(status={"job": "job"}, job=ENDED, result=answer))

    found = condition_of(status, "Maintained")
    assert found is not None
    assert (found.status, found.reason) == ("False", "ReadOnly")
    assert CHORE.due(_with(look(runs=[swept("a")]), changed(status, job=None))) == NOW + DAY
    asked = _with(look(runs=[swept("a")], asked={"prune": "now"}), changed(status, job=None))
    assert CHORE.due(asked) == NOW


# ---- locks ------------------------------------------------------------------------------------


def lock(host: str, *, exclusive: bool = False) -> LockStatus:
    return LockStatus(id=hashed(host), host=host, exclusive=exclusive)


OURS = naming.mover_host(UID, "offsite-maintain-1")
OTHERS = naming.mover_host("another", "offsite-maintain-1")


@pytest.mark.parametrize(
    ("hosts", "alive", "goes"),
    [
        ([OURS], set(), True),
        ([OURS], {OURS}, False),
        ([OURS, naming.mover_host(UID, "b")], set(), True),
        ([OURS, naming.mover_host(UID, "b")], {OURS}, False),
        ([OURS, OTHERS], set(), False),
        (["volsync-src-x7k2p"], set(), False),
        ([""], set(), False),
        ([], set(), False),
    ],
)
def test_locks_go_only_when_each_is_of_a_pod_of_ours_that_is_gone(
    hosts: list[str], alive: set[str], *, goes: bool
) -> None:
    held = tuple(map(lock, hosts))
    seen = look(status={"locks": held}, alive=frozenset(alive))

    assert wish_of(seen).unlock == (tuple(h.id for h in held) if goes else ())
    assert (CHORE.due(seen) == NOW) is goes


def test_a_lock_of_others_is_named_waited_for_and_forgotten_when_it_is_gone() -> None:
    raw = {"id": hashed("x"), "host": "elsewhere", "pid": 7, "exclusive": False, "time": "t"}
    answer = answered("Locked", ok=False, message="locked", locks=[raw])
    status = CHORE.ended(look(status={"job": "job"}, job=ENDED, result=answer))

    found = condition_of(status, "Locked")
    assert found is not None
    assert (found.status, found.reason) == ("True", "ForeignLock")
    assert "host elsewhere, process 7" in found.message
    assert "kubectl backstay repository unlock offsite -n team" in found.message
    assert status.retry_at["Maintain"] == NOW + LOCK_WAIT

    free = answered("Maintained", locks=[])
    after = CHORE.ended(_with(look(job=ENDED, result=free), changed(status, job="job")))
    assert condition_of(after, "Locked").status == "False"  # type: ignore[union-attr]
    assert (after.locks, after.retry_at) == ((), {})


def test_a_person_has_all_locks_removed_once() -> None:
    asked = look(spec=spec(unlock="now"), status={"locks": (lock("elsewhere"),)})
    assert wish_of(asked).unlock_all
    assert CHORE.due(asked) == NOW

    done = CHORE.ended(
        _with(
            look(spec=spec(unlock="now"), job=ENDED, result=answered("Maintained", locks=[])),
            changed(asked.status, job="job"),
        )
    )
    assert done.last_unlocked == "now"
    assert not wish_of(look(spec=spec(unlock="now"), status={"last_unlocked": "now"})).unlock_all


def test_the_host_of_a_pod_is_a_name_that_a_pod_may_have() -> None:
    host = naming.mover_host("a" * 36, "j" * 63)

    assert len(host) <= 63
    assert host.startswith(naming.mover_hosts("a" * 36))
