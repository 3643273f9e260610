"""Points that docs/how-to/rebind-an-orphan.md brings back keep their own dates, whatever a driver
reports a snapshot that it finds again: the moment of rebinding, or nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from tests.support import snapshot_player
from tests.support.adoption import P, prefixed, snapshots
from tests.support.builders import snapshot
from tests.support.rebinding import (
    Rebind,
    ago,
    make_orphan,
    make_policy,
    now,
    rebinding,
    run_pass,
)
from tests.support.snapshot_player import Reported, playing
from tests.support.stored import bind, store

from backstay.domain import labels, objects
from backstay.domain.calendar import Tier, period_of
from backstay.kube.client import Client

POINTS: Final = 4
"""More than three of them marked in one pass would be held; each has a pass of its own."""


def months() -> list[datetime]:
    """The first of this month and of those before it, oldest first, at half past midnight."""
    found = [now().replace(day=1, hour=0, minute=32, second=0)]
    while len(found) < POINTS:
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found[::-1]


def before(step: timedelta) -> list[datetime]:
    """Half past midnight of as many days, so far from each other and from today."""
    today = now().replace(hour=0, minute=32, second=0)
    return [today - step * number for number in range(POINTS, 0, -1)]


def taken(tier: Tier) -> list[datetime]:
    """Moments of as many periods of the tier, oldest first."""
    if tier is Tier.MONTHLY:
        return months()
    return before(timedelta(weeks=1) if tier is Tier.WEEKLY else timedelta(days=1))


MOMENT: Final = snapshot_player.now
NOTHING: Final = snapshot_player.nothing


@pytest.mark.parametrize(
    ("tier", "adopted", "reported"),
    [
        (Tier.MONTHLY, False, MOMENT),
        (Tier.MONTHLY, False, NOTHING),
        # of another tool: no record, only the labels
        (Tier.MONTHLY, True, MOMENT),
        (Tier.MONTHLY, True, NOTHING),
        (Tier.WEEKLY, True, MOMENT),
        (Tier.DAILY, True, MOMENT),
    ],
)
async def test_points_that_the_page_rebinds_keep_their_own_periods(
    client: Client,
    namespace: str,
    restore: Rebind,
    tier: Tier,
    *,
    adopted: bool,
    reported: Reported,
) -> None:
    await make_policy(client, namespace, **{tier: 12})
    lost = {}
    for number, at in enumerate(taken(tier)):
        period = period_of(tier, at, UTC).value
        name = await make_orphan(
            client,
            namespace,
            f"p{number}",
            (now() - at) / timedelta(days=1),
            extra={tier: period},
            adopted=adopted,
        )
        lost[name] = period

    async with playing(client, reported):
        # one by one, as people do, with a pass after each: the brake on many marks sees none
        for content in lost:
            await restore(content)
            await run_pass(client, namespace)
    await bind(
        client,
        await store(client, namespace, snapshot("tonight", ago(0), bound=f"{namespace}-tonight")),
    )
    await run_pass(client, namespace)

    found = await snapshots(client, namespace)
    assert set(found) == {f"p{number}" for number in range(POINTS)} | {"tonight"}
    kept = [prefixed(s, P).get(tier) for n, s in sorted(found.items()) if n != "tonight"]
    assert kept == list(lost.values())
    assert not any(labels.DELETE_AFTER in objects.labels(s) for s in found.values())


@pytest.fixture
def restore(kubeconfig: Path, tmp_path: Path) -> Rebind:
    """Return what rebinds one content by the page."""
    return rebinding(kubeconfig, tmp_path)
