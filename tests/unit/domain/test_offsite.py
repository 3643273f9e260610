"""The condition OffsiteFresh: what is late, what stands for it, when to look again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.builders import NOW, minutes

from backstay.api.policy import PolicySpec
from backstay.api.policy_status import PolicyStatus
from backstay.api.store import REPOSITORY, SNAPSHOT
from backstay.domain.offsite import OFFSITE_FRESH, judged
from backstay.domain.schedule.policy_seen import GoodPoint, RunSeen, Seen

HOUR = timedelta(hours=1)


def policy(**repository: Any) -> PolicySpec:
    return PolicySpec.model_validate(
        {
            "source": {"claims": {"names": ["a"]}},
            "snapshot": {},
            "repository": {"name": "offsite", "lateAfter": "1h", **repository},
        }
    )


def seen(
    *runs: RunSeen, points: tuple[GoodPoint, ...] = (), spec: PolicySpec | None = None
) -> Seen:
    return Seen(
        now=NOW,
        created=NOW - 10 * HOUR,
        generation=3,
        status=PolicyStatus(),
        spec=spec or policy(),
        problem=None,
        runs=runs,
        points=points,
    )


def ran(name: str, started: datetime, *uploads: str) -> RunSeen:
    return RunSeen(
        name, None, finished=False, started=started, complete=False, uploads=uploads or ("a",)
    )


def stored(taken: datetime, source: str = "a", store: str = REPOSITORY) -> GoodPoint:
    return GoodPoint(source, store, taken, "r")


def verdict(of: Seen) -> tuple[str, str, str]:
    status, _ = judged(of, of.status)
    (found,) = [c for c in status.conditions if c.type == OFFSITE_FRESH]
    return found.status, found.reason, found.message


def test_nothing_is_known_before_the_first_copy() -> None:
    assert verdict(seen(ran("r", NOW - minutes(5))))[:2] == ("Unknown", "NoneYet")


def test_a_run_without_its_copy_is_late_after_late_after_and_named() -> None:
    status, reason, message = verdict(seen(ran("r-1", NOW - 2 * HOUR)))

    assert (status, reason) == ("False", "Late")
    assert "a: it has none, and Backup r-1 made none in time" in message


def test_it_is_fresh_while_the_newest_run_still_has_time() -> None:
    before = stored(NOW - 2 * HOUR + minutes(1))
    found = seen(ran("r-1", NOW - 2 * HOUR), ran("r-2", NOW - minutes(50)), points=(before,))

    assert verdict(found)[:2] == ("True", "InTime")


def test_a_newer_copy_stands_for_an_older_run() -> None:
    found = seen(
        ran("r-1", NOW - 3 * HOUR), ran("r-2", NOW - 2 * HOUR), points=(stored(NOW - HOUR),)
    )

    assert verdict(found)[0] == "True"


def test_an_older_copy_does_not() -> None:
    found = seen(ran("r-2", NOW - 2 * HOUR), points=(stored(NOW - 3 * HOUR),))

    assert verdict(found)[0] == "False"


def test_a_snapshot_is_no_copy() -> None:
    found = seen(ran("r-2", NOW - 2 * HOUR), points=(stored(NOW, store=SNAPSHOT),))

    assert verdict(found)[0] == "False"


def test_a_claim_that_no_run_has_any_more_is_not_missed() -> None:
    found = seen(
        ran("r-1", NOW - 3 * HOUR, "a", "gone"),
        ran("r-2", NOW - 2 * HOUR, "a"),
        points=(stored(NOW - HOUR),),
    )

    assert verdict(found)[0] == "True"


def test_each_source_is_judged_by_itself() -> None:
    found = seen(ran("r-1", NOW - 2 * HOUR, "a", "b"), points=(stored(NOW - HOUR, "b"),))

    assert verdict(found)[2].startswith("a: ")


@pytest.mark.parametrize("ago", [0, 30, 59])
def test_it_is_looked_at_again_when_the_next_run_may_be_late(ago: int) -> None:
    of = seen(ran("r", NOW - minutes(ago)), ran("old", NOW - 3 * HOUR))

    assert judged(of, of.status)[1] == HOUR - minutes(ago)


def test_a_policy_without_repository_says_nothing_of_it_any_more() -> None:
    of = seen(ran("r", NOW - 2 * HOUR))
    status, _ = judged(of, of.status)
    without = seen(spec=PolicySpec.model_validate({"source": {"claims": {}}, "snapshot": {}}))

    assert judged(without, status)[0].conditions == ()
