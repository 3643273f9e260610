"""What no date and no rule takes: the newest real good point, what just became good, stand-ins."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.builders import content, snapshot
from tests.unit.domain.retention.series import NOW, RULES, judged, point

from backstay.api.common import format_time
from backstay.domain.objects import Obj
from backstay.domain.retention.judge import judge
from backstay.domain.retention.points import Point
from backstay.domain.retention.reasons import Reason
from backstay.domain.retention.series import FAILED_GUARDED
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.judging import Seen
from backstay.domain.stores.snapshots.users import named_by_claims, named_by_requests

HOUR = timedelta(hours=1)
PAST = {"delete_after": "2026-01-01"}


@pytest.mark.parametrize(("hours", "goes"), [(1, False), (24, False), (24.1, True)])
@pytest.mark.parametrize("born", ["by hand", "at birth"])
def test_no_date_is_followed_within_a_day_of_becoming_good(
    hours: float, goes: bool, born: str
) -> None:
    extra = {"retain": "days", "retain-days": "0"} if born == "at birth" else {}
    young = replace(
        point("young", NOW - 48 * HOUR, **PAST, **extra), good_since=NOW - timedelta(hours=hours)
    )
    found = judged([young, point("new", NOW - HOUR)])["young"]
    assert found.sweep is goes
    if not goes:
        assert found.reasons[-1] == "past its date 2026-01-01, but not yet good for a day"


def test_a_mark_waits_for_the_day_after_becoming_good_as_well() -> None:
    marked = {"delete_after": "2026-11-20", "marked_at": "2026-11-20T00:40:00+01:00"}
    young = replace(point("young", NOW - 99 * HOUR, **marked), good_since=NOW - HOUR)
    others = [point(f"n{i}", NOW - timedelta(days=i)) for i in range(2)]
    assert not judged([young, *others])["young"].sweep


def test_the_newest_real_backup_is_guarded_not_a_safety_copy_or_another_tools_snapshot() -> None:
    mine = point("mine", NOW - 9 * HOUR, **PAST)
    other = replace(point("other", NOW - HOUR, **PAST), real=False)
    found = judged([mine, other])
    assert not found["mine"].sweep
    assert found["mine"].reasons[-1].startswith("its delete-after") or (
        "newest good" in found["mine"].reasons
    )
    # and nothing newer goes while no real one is newer
    assert not found["other"].sweep
    assert "no real backup is newer" in found["other"].reasons
    newer = judged([mine, other, point("newer", NOW - HOUR / 2)])
    assert newer["mine"].sweep
    assert newer["other"].sweep


def test_without_any_real_backup_the_newest_of_all_is_guarded() -> None:
    old, new = (
        replace(point(name, NOW - timedelta(days=d), **PAST), real=False)
        for name, d in (("old", 9), ("new", 5))
    )
    found = judged([old, new])
    assert found["old"].sweep
    assert not found["new"].sweep


def failed(count: int) -> list[Point]:
    return [point(f"f{i:02d}", NOW - timedelta(days=i), result="failed") for i in range(count)]


def test_failed_points_that_stand_in_for_a_good_one_are_bounded() -> None:
    good = point("good", NOW - timedelta(days=90))
    verdicts = {v.point.name: v for v in judge([*failed(35), good], RULES, NOW)}
    stay = {name for name, v in verdicts.items() if not v.set_annotations and not v.sweep}
    assert stay == {"good", *(f"f{i:02d}" for i in range(FAILED_GUARDED))}
    # one more a day goes, by a mark with its grace, and the good one stays
    assert "newest good" in verdicts["good"].reasons


def test_frozen_series_keep_all_stand_ins_and_say_why_they_are_frozen() -> None:
    verdicts = judge(failed(35), None, NOW, frozen="frozen: for a test")
    assert not any(v.patches or v.sweep for v in verdicts)
    assert {v.reasons[0] for v in verdicts} == {"frozen: for a test"}
    assert judge(failed(1), None, NOW)[0].reasons[0] == Reason.POLICY_GONE


# ---- good = seen to be there; in use = anything that names it -------------------------------


def seen(snapshots: list[Obj], contents: list[Obj], **values: object) -> Seen:
    return Seen(
        now=NOW,
        rules=RULES,
        snapshots=snapshots,
        contents={c["metadata"]["name"]: c for c in contents},
        running=frozenset(),
        requests=frozenset(),
        **values,  # type: ignore[arg-type]
    )


def made(name: str, days: float, **extra: str) -> Obj:
    return snapshot(name, format_time(NOW - timedelta(days=days)), extra=extra)


def test_a_point_whose_content_is_gone_going_foreign_or_unready_counts_in_nothing() -> None:
    names = ("gone", "going", "foreign", "unready", "there", "old")
    snapshots = [made(name, day) for day, name in enumerate(names)]
    contents = [content(s) for s in snapshots[1:]]
    contents[0]["metadata"]["deletionTimestamp"] = format_time(NOW)
    contents[1]["spec"]["volumeSnapshotRef"]["uid"] = "uid-of-another"
    contents[2]["status"]["readyToUse"] = False

    found, _ = upkeep.judged(seen(snapshots, contents))

    verdicts = {v.point.name: v for _, v in found}
    assert [name for name in names if verdicts[name].point.counts] == ["there", "old"]
    assert "newest good" in verdicts["there"].reasons
    assert not any(v.sweep or v.set_annotations for v in verdicts.values())


def test_a_look_without_contents_believes_what_snapshots_say() -> None:
    found, _ = upkeep.judged(seen([made("one", 0)], [], looked=False))
    assert found[0][1].point.counts


def test_a_claim_that_waits_for_a_snapshot_and_a_request_that_names_it_keep_it() -> None:
    claims: list[Obj] = [
        {
            "metadata": {"name": "restored", "namespace": "team"},
            "spec": {"dataSourceRef": {"kind": "VolumeSnapshot", "name": "waited-for"}},
            "status": {"phase": "Pending"},
        },
        {
            "metadata": {"name": "done", "namespace": "team"},
            "spec": {"dataSource": {"kind": "VolumeSnapshot", "name": "copied"}},
            "status": {"phase": "Bound"},
        },
        {"metadata": {"name": "clone"}, "spec": {"dataSource": {"kind": "X", "name": "copied"}}},
    ]
    requests: list[Obj] = [
        {"metadata": {"name": "r1", "namespace": "team"}, "spec": {"from": {"backup": "night"}}},
        {
            "metadata": {"name": "r2", "namespace": "team"},
            "spec": {"from": {"volumeSnapshot": "asked"}},
        },
        {
            "metadata": {"name": "r3", "namespace": "other"},
            "spec": {"from": {"volumeSnapshot": "copied"}},
        },
    ]
    due = {"delete-after": "2026-01-01"}
    snapshots = [
        made("waited-for", 9, **due),
        made("of-night", 9, **due, backup="night"),
        made("asked", 9, **due),
        made("copied", 9, **due),
        made("new", 0),
    ]
    named = named_by_claims(claims) | named_by_requests(snapshots, requests)

    found, _ = upkeep.judged(seen(snapshots, [content(s) for s in snapshots], named=named))

    assert {v.point.name for _, v in found if v.sweep} == {"copied"}
    reported = {v.point.name: v.reasons[-1] for _, v in found}
    assert reported["waited-for"].endswith("in use by claim restored, which waits for it")
    assert reported["of-night"].endswith("in use by RestoreRequest r1")
    assert reported["asked"].endswith("in use by RestoreRequest r2")


def test_a_content_that_a_sweep_takes_keeps_its_point_due_for_who_read_the_snapshot_before() -> (
    None
):
    due = made("due", 9, **{"delete-after": "2026-01-01"})
    snapshots = [due, made("new", 0)]
    contents = [content(s, policy="Delete") for s in snapshots]
    contents[0]["metadata"]["deletionTimestamp"] = format_time(NOW)
    contents[0]["metadata"]["labels"] = {"backstay.dev/delete-after": "2026-01-01"}

    others, _ = upkeep.judged(seen(snapshots, contents))
    assert [v.point.ready for _, v in others if v.point.name == "due"] == [False]
    contents[0]["metadata"]["labels"]["backstay.dev/swept"] = "uid-due.2026-01-01"
    ours, _ = upkeep.judged(seen(snapshots, contents))
    (verdict,) = [v for _, v in ours if v.point.name == "due"]
    assert (verdict.point.ready, verdict.sweep) == (True, True)
