"""Retention of points in a repository, on a real API server with the real agent and restic."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.kept_points import KeptPoints, in_short_lives
from tests.support.rolling_world import World
from tests.support.uploads import point

from backstay.domain.stores.repository.use import has_ended
from backstay.kube.login import Login

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def kept(world: World) -> KeptPoints:
    return KeptPoints(world)


async def test_a_point_that_no_rule_keeps_is_forgotten_and_its_backup_goes(
    kept: KeptPoints,
) -> None:
    await kept.begin()
    first = await kept.taken("first")
    await kept.days(1)
    second = await kept.taken("second")
    assert len(await kept.ids()) == 4

    await kept.days(1)
    assert "marked" in (await kept.backup("first"))["status"]["until"]
    assert len(await kept.ids()) == 4
    await kept.days(2)

    left = point(second)["stored"]
    assert await kept.ids() == {left["data"], left["record"]}
    assert await kept.backups() == ["second"]
    assert point(first)["stored"]["data"] not in await kept.ids()
    status, reason, message = await kept.says("Maintained")
    assert (status, reason) == ("True", "Maintained"), message
    assert "2 snapshots forgotten" in message


async def test_killed_again_and_again_it_forgets_what_is_due_and_nothing_else(
    kept: KeptPoints, credentials: Login
) -> None:
    await kept.begin()
    await kept.taken("first")
    await kept.days(1)
    second = point(await kept.taken("second"))["stored"]
    await kept.days(1)
    await kept.clock.advance(timedelta(days=2).total_seconds())

    died = await in_short_lives(kept, credentials)

    # The announcement, the intent, the Job, what the Backup shows, the status, the Job's end, and
    # the Backup's: at the least, of which one or two are in each life.
    assert died >= 3
    assert await kept.ids() == {second["data"], second["record"]}
    assert await kept.backups() == ["second"]
    assert (await kept.says("Maintained"))[:2] == ("True", "Maintained")
    assert (await kept.policy_says("PointsMissing"))[0] != "True"
    # One that has ended may be left, for an hour as any other.
    assert all(map(has_ended, await kept.repositories.jobs()))


async def test_what_a_person_holds_stays_until_it_is_released(kept: KeptPoints) -> None:
    await kept.begin()
    await kept.taken("first")
    await kept.label("first", hold="true")
    await kept.days(1)
    await kept.taken("second")

    await kept.days(3)
    assert (await kept.backup("first"))["status"]["until"] == "held"
    assert len(await kept.ids()) == 4

    await kept.label("first", hold=None)
    await kept.days(3)
    assert await kept.backups() == ["second"]
    assert len(await kept.ids()) == 2


async def test_what_was_forgotten_by_hand_is_reported_and_goes_when_a_person_accepts_it(
    kept: KeptPoints,
) -> None:
    await kept.begin(retention={"last": 5})
    first = point(await kept.taken("first"))["stored"]
    await kept.days(1)
    await kept.taken("second")
    await kept.restic("forget", first["record"])

    await kept.days(1)

    lost = await kept.backup("first")
    assert lost["status"]["phase"] == "Gone"
    assert (point(lost)["gone"], point(lost)["stored"]["missing"]) == ("Missing", True)
    assert "does not show its snapshots" in point(lost)["message"]
    status, reason, message = await kept.policy_says("PointsMissing")
    assert (status, reason) == ("True", "NotFound")
    assert "restic forget run by hand" in message
    # Its data is not touched: it is nobody's to remove.
    assert first["data"] in await kept.ids()

    plan = message.split("release-retention=")[1].split()[0]
    await kept.annotate_policy("release-retention", plan)

    assert await kept.backups() == ["second"]
    assert (await kept.policy_says("PointsMissing"))[0] == "False"
    assert first["data"] in await kept.ids()


async def test_a_point_is_followed_when_somebody_changes_its_tags(kept: KeptPoints) -> None:
    await kept.begin()
    before = point(await kept.taken("first"))["stored"]
    await kept.restic("tag", "--add", "by-hand", before["data"])
    await kept.days(1)

    after = point(await kept.backup("first"))
    assert after["stored"]["data"] != before["data"]
    assert after["stored"]["data"] in await kept.ids()
    assert after["ref"] == after["stored"]["data"][:8]
    assert "gone" not in after

    second = point(await kept.taken("second"))["stored"]
    await kept.days(4)

    assert await kept.ids() == {second["data"], second["record"]}
    assert await kept.backups() == ["second"]


async def test_forged_records_count_for_nothing_and_push_nothing_out(
    kept: KeptPoints, tmp_path: Path
) -> None:
    await kept.begin(retention={"last": 2})
    await kept.taken("first")
    await kept.days(1)
    second = await kept.taken("second")
    ours = await kept.ids()
    (record,) = [s for s in await kept.every() if s["id"] == point(second)["stored"]["record"]]
    forged = tmp_path / "forged"
    forged.mkdir()
    (forged / "a").write_text("nothing of ours")
    for number in range(6):
        # As whoever has the password and no right to delete can make them: a whole point each,
        # which copies a real one's, and a record of data that is not there.
        run = f"forged-{number}/data"
        tags = ("backstay", f"run={run}", "attempt=1", "policy=offsite", "claim=data")
        words = [w for tag in tags for w in ("--tag", tag)]
        said = json.loads(
            (await kept.restic("backup", "--json", *words, str(forged))).splitlines()[-1]
        )
        data = said["snapshot_id"]
        tree = next(s["tree"] for s in await kept.every() if s["id"] == data)
        text = next(t for t in record["tags"] if t.startswith("record="))
        named = data if number else "f" * 64
        says = ("backstay-point", f"run={run}", "attempt=1", f"data={named}", f"tree={tree}", text)
        words = [w for tag in says for w in ("--tag", tag)]
        await kept.restic("backup", *words, str(forged))

    await kept.days(4)

    assert await kept.backups() == ["first", "second"]
    assert ours < await kept.ids()
    assert len(await kept.ids()) == len(ours) + 12
    status, reason, message = await kept.says("Listed")
    assert (status, reason) == ("True", "RecordsRefused"), message
    assert (await kept.policy_says("RetentionHeld"))[0] != "True"
