"""Whose data a point holds: points of another source under the same name are another series."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import record, snapshot
from tests.unit.domain.retention.series import NOW, point

from backstay.api.common import format_time
from backstay.domain.objects import Obj
from backstay.domain.records.record import ClaimRecord
from backstay.domain.retention.claims import Stopped
from backstay.domain.retention.incarnations import Origin, incarnations
from backstay.domain.retention.points import Point, Rules
from backstay.domain.retention.replaced import accepted, replaced, report, split
from backstay.domain.stores.snapshots import upkeep
from backstay.domain.stores.snapshots.carriers import point_of
from backstay.domain.stores.snapshots.judging import Seen

A, B = Origin(("uid-a", "pv-a")), Origin(("uid-b", "pv-b"))
DAY = timedelta(days=1)


def numbers(*origins: Origin, accepted: Sequence[str] = ()) -> list[int]:
    """Oldest first."""
    given_ = [((NOW + n * DAY, ""), origin) for n, origin in enumerate(origins)]
    return incarnations(given_, accepted)


def test_another_claim_of_that_name_begins_a_new_one() -> None:
    assert numbers(A, A, B, B) == [0, 0, 1, 1]


def test_the_same_volume_under_a_new_claim_is_the_same_source() -> None:
    assert numbers(A, Origin(("uid-b", "pv-a")), Origin(("uid-b", "pv-a"))) == [0, 0, 0]


def test_a_claim_that_a_restore_of_ours_made_goes_on_with_what_it_restored() -> None:
    restored = replace(B, continues="uid-a")
    assert numbers(A, restored, B) == [0, 0, 0]
    # also with the first one after an empty one was made in between
    assert numbers(A, Origin(("uid-empty",)), restored) == [0, 1, 0]


def test_points_that_say_nothing_of_their_source_begin_none() -> None:
    assert numbers(Origin(), A, Origin(), B, Origin()) == [0, 0, 0, 1, 1]
    # They are of the source of the point before them, which need not be the one that began last.
    assert numbers(A, B, A, Origin()) == [0, 1, 0, 0]


def test_another_server_on_the_same_claim_begins_a_new_one() -> None:
    first, second = (replace(A, servers={"shop": i}) for i in ("7001", "7002"))
    assert numbers(first, A, first, second, A, second) == [0, 0, 0, 1, 1, 1]
    # a dump that is new, or of a server that reports no identity, is no other server
    assert numbers(A, first, replace(A, servers={"other": "9"}), first) == [0, 0, 0, 0]
    assert numbers(first, second, accepted=["7002"]) == [0, 0]


def test_what_a_person_accepts_goes_on_with_the_one_before() -> None:
    assert numbers(A, B, B, accepted=["uid-b"]) == [0, 0, 0]
    assert numbers(A, B, Origin(("uid-c",)), accepted=["uid-b"]) == [0, 0, 1]


ORIGINS = st.sampled_from([Origin(), A, B, replace(B, continues="uid-a"), Origin(("uid-c",))])


@given(st.lists(ORIGINS, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(origins: list[Origin], random: object) -> None:
    given_ = [((NOW + n * DAY, ""), origin) for n, origin in enumerate(origins)]
    shuffled = list(enumerate(given_))
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = incarnations([pair for _, pair in shuffled])
    expected = incarnations(given_)
    assert [expected[i] for i, _ in shuffled] == again


# ---- what retention makes of it ------------------------------------------------------------


def claim(uid: str) -> ClaimRecord:
    return ClaimRecord("data", uid, "10Gi", "fast", ("ReadWriteOnce",), "Filesystem")


def taken(day: int, uid: str) -> Obj:
    made = format_time(NOW - timedelta(days=30 - day))
    return snapshot(f"d{day:02d}", made, notes={"record": record(claim=claim(uid))})


def judged(snapshots: Sequence[Obj], keep: Rules, **values: object) -> tuple[set[str], Stopped]:
    """The names that a pass marks or sweeps, and what stops it."""
    seen = Seen(
        now=NOW,
        rules=keep,
        snapshots=snapshots,
        contents={},
        running=frozenset(),
        requests=frozenset(),
        looked=False,
        **values,  # type: ignore[arg-type]
    )
    found, stopped = upkeep.judged(seen)
    going = {v.point.name for _, v in found if v.set_annotations or v.sweep}
    return going, stopped


LAST_THREE = Rules(zone=UTC, last=3)


def test_points_of_an_empty_claim_push_out_none_of_the_one_before() -> None:
    old = [taken(day, "uid-a") for day in range(7)]
    new = [taken(day, "uid-b") for day in range(7, 20)]

    going, stopped = judged([*old, *new], LAST_THREE, released=frozenset())

    assert not going & {f"d{day:02d}" for day in range(7)}
    (found,) = stopped.replaced
    assert (found.claim, found.id, found.frozen) == ("data", "uid-b", 7)
    # and of its own it keeps what the rules say
    assert {h.marks for h in stopped.held} == {10}


def test_a_person_who_says_that_it_is_the_same_claim_has_one_series_again() -> None:
    old = [taken(day, "uid-a") for day in range(3)]
    new = [taken(day, "uid-b") for day in range(3, 6)]

    going, stopped = judged([*old, *new], LAST_THREE, same={"data": frozenset({"uid-b"})})

    assert going == {"d00", "d01", "d02"}
    assert stopped.replaced == []


def test_the_newest_good_point_of_the_old_claim_stays_even_past_a_date_set_by_hand() -> None:
    old = [taken(day, "uid-a") for day in range(3)]
    for one in old:
        one["metadata"]["labels"]["backstay.dev/delete-after"] = "2026-01-01"

    going, _ = judged([*old, taken(9, "uid-b")], LAST_THREE)

    assert going == {"d00", "d01"}


def test_the_report_names_the_command_and_keeps_what_was_accepted_before() -> None:
    policy: Obj = {
        "metadata": {
            "name": "shop",
            "namespace": "prod",
            "annotations": {"backstay.dev/accept-claim": "logs@uid-l, broken,@x,data@uid-a"},
        }
    }
    text = policy["metadata"]["annotations"]["backstay.dev/accept-claim"]
    assert accepted(text) == {"logs": {"uid-l"}, "data": {"uid-a"}}
    points = [point_of(taken(0, "uid-a")), point_of(taken(1, "uid-b"))]
    found = replaced(split(points, ()))
    assert found is not None
    brake = report([found], policy)
    assert brake is not None
    assert "claim data is another one than that of 1 older points" in brake.message
    assert "backstay.dev/accept-claim=logs@uid-l,data@uid-a,data@uid-b " in brake.message
    assert report([], policy) is None


def test_a_restore_makes_the_series_that_it_goes_on_with_the_one_of_now() -> None:
    back = ClaimRecord("data", "uid-c", "10Gi", "fast", (), "Filesystem", continues="uid-a")
    restored = snapshot("r", format_time(NOW), notes={"record": record(claim=back)})
    points = [point_of(s) for s in (taken(0, "uid-a"), taken(1, "uid-b"), restored)]
    assert [[p.name for p in part] for part in split(points, ())] == [["d01"], ["d00", "r"]]


def test_one_source_is_one_part() -> None:
    points: list[Point] = [point("a", NOW), point("b", NOW - DAY)]
    assert split(points, ()) == [points]
    assert split([], ()) == [[]]
    assert replaced([points]) is None
