"""What the administrator bounds: in plans that are made and in plans that are frozen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.builders import (
    NOW,
    dump_status,
    look,
    minutes,
    plan,
    planned_dump,
    planned_hook,
    planned_hooks,
    seen,
    status,
)
from tests.unit.domain import policies

from backstay.api.backup import BackupPhase
from backstay.api.dump_status import DumpState
from backstay.api.point import PointResult, PointStatus
from backstay.api.repository_store import PlannedRepository, Repository
from backstay.api.rolling import PlannedCopy, PlannedRolling, Rolling, RollingDestination
from backstay.api.store import ROLLING
from backstay.domain import policy
from backstay.domain.ceilings import beyond, limited, limited_plan
from backstay.domain.jobs import JobSeen
from backstay.domain.run import machine
from backstay.domain.run.sights import DumpSight
from backstay.domain.run.values import CancelDump
from backstay.domain.stores.copies.actions import CancelCopy
from backstay.domain.stores.making import Making
from backstay.settings import Ceilings

MOST = Ceilings()
LONG = timedelta(days=900)
TARGET = {"kind": "Pod", "name": "db"}


def rolling(**values: Any) -> Rolling:
    return Rolling(destination=RollingDestination(host_path="/backup"), **values)


def planned(settings: Rolling) -> PlannedRolling:
    return PlannedRolling(copies=(PlannedCopy(node="n1", path="/srv"),), settings=settings)


def test_a_plan_is_kept_within_every_ceiling() -> None:
    hook = planned_hook(timeout=LONG, undo_timeout=LONG)
    hooks = planned_hooks(hook, after=(hook,), max_freeze=LONG / minutes(1))
    asked = plan(dumps=(planned_dump(max_duration=LONG),), hooks=hooks)
    asked = asked.model_copy(
        update={
            "take_timeout": LONG,
            "ready_timeout": LONG,
            "rolling": planned(rolling(start_timeout=LONG, max_duration=LONG, bandwidth="1k")),
            "repository": PlannedRepository(
                copies=(PlannedCopy(claim="data"),),
                settings=Repository(name="offsite", start_timeout=LONG, max_duration=LONG),
                id="a" * 64,
            ),
        }
    )

    found = limited_plan(asked, MOST)

    assert "900d" in str(asked.dump())
    assert "900d" not in str(found.dump()), "no length of time is without a ceiling"
    assert found.rolling is not None
    assert found.rolling.settings.bandwidth == "1M"


def test_what_is_within_the_ceilings_stays_as_it_is() -> None:
    asked = plan(dumps=(planned_dump(),), hooks=planned_hooks(planned_hook()))
    asked = asked.model_copy(update={"rolling": planned(rolling(bandwidth="2Mi"))})

    assert limited_plan(asked, MOST) == asked
    assert limited_plan(plan(), MOST) == plan()


def test_a_copy_without_a_bandwidth_goes_as_fast_as_it_can() -> None:
    found = limited_plan(plan().model_copy(update={"rolling": planned(rolling())}), MOST)

    assert found.rolling is not None
    assert found.rolling.settings.bandwidth is None


def test_a_dump_that_was_frozen_with_a_longer_deadline_ends_at_the_ceiling() -> None:
    dump = planned_dump(max_duration=LONG)
    entry = dump_status(started_at=NOW - MOST.dump_duration - minutes(2), state=DumpState.RUNNING)
    begun = status(BackupPhase.DUMPING, plan=plan(dumps=(dump,)), dumps=(entry,))

    before = machine.decide(seen(begun, dump=look(DumpSight.RUNNING)))
    after = machine.decide(seen(limited(begun, MOST), dump=look(DumpSight.RUNNING)))

    assert before.actions == ()
    assert [type(action) for action in after.actions] == [CancelDump]


def test_a_copy_whose_job_does_not_end_in_time_is_ended() -> None:
    mine = plan().model_copy(update={"claims": (), "rolling": planned(rolling())})
    entry = PointStatus(
        source="n1:/srv",
        store=ROLLING,
        attempt=1,
        result=PointResult.PENDING,
        requested_at=NOW - timedelta(hours=25),
    )
    begun = status(BackupPhase.COPYING, plan=mine, points=(entry,))
    job = JobSeen(name="copy", exists=True, started=True)

    step = machine.decide(seen(begun, copy=Making(job)))

    assert step.actions == (CancelCopy("n1:/srv"),)
    assert "maxDuration" in (step.status.points[0].message or "")


@pytest.mark.parametrize(
    ("values", "reported"),
    [
        (
            {
                "dumps": [
                    {
                        "name": "x",
                        "target": TARGET,
                        "file": "/d/x",
                        "command": {"argv": ["sleep"]},
                        "maxDuration": "900d",
                    }
                ]
            },
            "spec.dumps[x].maxDuration is 900d, at most 1d",
        ),
        (
            {"hooks": {"after": [{"name": "h", "command": ["x"], "timeout": "2h"}]}},
            "spec.hooks.after[h].timeout is 2h, at most 1h",
        ),
        (
            {"hooks": {"maxFreeze": "61m"}},
            "spec.hooks.maxFreeze is 1h1m, at most 1h",
        ),
        ({"snapshot": {"takeTimeout": "900d"}}, "spec.snapshot.takeTimeout is 900d, at most 2h"),
        ({"snapshot": {"readyTimeout": "8d"}}, "spec.snapshot.readyTimeout is 8d, at most 7d"),
        (
            {"rolling": {"destination": {"hostPath": "/b"}, "bandwidth": "1k"}},
            "spec.rolling.bandwidth is 1k, at least 1M",
        ),
        (
            {"rolling": {"destination": {"hostPath": "/b"}, "maxDuration": "30d"}},
            "spec.rolling.maxDuration is 30d, at most 7d",
        ),
    ],
)
def test_a_policy_beyond_a_ceiling_runs_and_names_field_value_and_ceiling(
    values: dict[str, Any], reported: str
) -> None:
    status, reason, message = policies.ready(
        policy.decide(policies.seen(policies.spec(**values), ceilings=MOST))
    )

    assert (status, reason) == ("True", "Limited")
    assert reported in message


def test_defaults_of_the_api_are_within_the_ceilings_by_default() -> None:
    dump = {"name": "x", "target": TARGET, "file": "/d/x", "command": {"argv": ["id"]}}
    hooks = {"before": [{"name": "h", "target": TARGET, "command": ["x"]}]}
    snapshots = policies.spec(dumps=[dump], hooks=hooks)
    copies = policies.spec(rolling={"destination": {"hostPath": "/b"}})

    assert beyond(snapshots, MOST) is None
    assert beyond(copies, MOST) is None
