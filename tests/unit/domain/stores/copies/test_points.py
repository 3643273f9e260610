"""Series and points of rolling copies: one folder each, and labels as retention reads them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backstay.domain.errors import DataError
from backstay.domain.labels import IN_USE, MARKED_AT, PREFIX, RESTORE_REQUEST, RUN
from backstay.domain.stores.copies.kept import newest_good, why_kept
from backstay.domain.stores.copies.points import RollingPoint, Series, point_of, point_uid
from backstay.domain.stores.copies.results import judged_point, mirrored

SERIES = Series("shop", "uploads", "hostPath", "worker-1", "/srv/uploads")
names = st.from_regex(r"\A[a-z0-9]([-a-z0-9.]{0,40}[a-z0-9])?\Z")
series = st.builds(Series, names, names, st.sampled_from(["hostPath", "claim"]), names, st.text())
texts = st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=3)


def point(day: int, **more: Any) -> RollingPoint:
    made = RollingPoint(
        uid=f"uid-{day}",
        stamp=f"2026-11-{day:02}T003205Z",
        run=f"r{day}",
        tree=f"r{day}",
        taken=datetime(2026, 11, day, 0, 32, 5, tzinfo=UTC),
        series=SERIES,
        labels={"backstay.dev/result": "good", "backstay.dev/retain": "daily_weekly_monthly"},
        annotations={},
        entries=3,
        files=2,
        size=100,
    )
    return replace(made, **more)


@settings(deadline=None, max_examples=50)
@given(series, series)
def test_no_two_series_share_a_folder(one: Series, other: Series) -> None:
    assert (one.folder == other.folder) == (one == other)
    assert one.folder.count("/") == 2
    assert ".." not in one.folder.split("/")


@settings(deadline=None, max_examples=50)
@given(series)
def test_a_series_survives_json(one: Series) -> None:
    assert Series.parse(one.to_json()) == one


@settings(deadline=None, max_examples=50)
@given(texts, texts)
def test_a_point_survives_its_file_and_its_version_says_what_it_is(
    labels: dict[str, str], annotations: dict[str, str]
) -> None:
    made = point(22, labels=labels, annotations=annotations, record={"a": [1, None]})
    read = RollingPoint.parse(made.text())
    assert read == made
    assert read.version == made.version
    assert point(22).version != replace(point(22), labels={"other": "1"}).version


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[]", "object"),
        ("{", "JSON"),
        ('{"stamp": "../../x"}', "point.run"),
        (point(22).text().replace("2026-11-22T003205Z", "../x"), "point.stamp"),
        (point(22).text().replace('"tree": "r22"', '"tree": "../r22"'), "point.tree"),
        (point(22).text().replace('"entries": 3', '"entries": -3'), "point.entries"),
        (point(22).text().replace('"good"', "7"), "point.labels"),
        (point(22, size=1 << 63).text(), "point.bytes"),
        (point(22, uid="u" * 65).text(), "point.uid"),
        (point(22, labels={"a": "x" * 254}).text(), "point.labels"),
        (point(22, labels={str(n): "" for n in range(65)}).text(), "point.labels"),
        (point(22, annotations={"a": "x" * 1025}).text(), "point.annotations"),
        (point(22, annotations={str(n): "" for n in range(33)}).text(), "point.annotations"),
    ],
)
def test_a_point_that_cannot_be_understood_says_what_is_wrong(text: str, field: str) -> None:
    with pytest.raises(DataError, match=field):
        RollingPoint.parse(text)


def test_whatever_can_be_understood_can_be_shown() -> None:
    most = point(
        22,
        uid="u" * 64,
        size=(1 << 63) - 1,
        labels={str(n): "x" * 253 for n in range(64)},
        annotations={str(n): "x" * 1024 for n in range(32)},
    )
    assert mirrored(RollingPoint.parse(most.text())).rolling is not None


def test_retention_sees_a_point_as_it_sees_a_snapshot() -> None:
    marked = {"backstay.dev/marked-at": "2026-11-24T00:00:00+00:00", "backstay.dev/in-use": "u"}
    seen = point_of(point(22, annotations=marked))
    assert (seen.name, seen.claim) == ("2026-11-22T003205Z", SERIES.key)
    assert seen.counts
    assert (seen.marked_at, seen.in_use) == ("2026-11-24T00:00:00+00:00", "u")


def test_the_newest_good_point_stays_whatever_a_caller_says() -> None:
    good, newer, failed = point(20), point(21), point(22, labels={"backstay.dev/result": "failed"})
    held = point(19, labels={**good.labels, "backstay.dev/hold": "true"})
    used = point(18, annotations={"backstay.dev/in-use": "uid"})
    everyone = [used, held, good, newer, failed]
    kept = [why_kept(one, newest_good(everyone)) for one in everyone]
    assert kept == ["in use", "held", None, "newest good", None]


def test_a_uid_is_the_same_for_the_same_run_and_for_no_other() -> None:
    assert point_uid("d", SERIES, "r1", "s") == point_uid("d", SERIES, "r1", "s")
    assert len({point_uid(d, SERIES, r, s) for d in "ab" for r in "cd" for s in "ef"}) == 8


def test_a_backup_shows_all_that_retention_looks_at() -> None:
    """What a file and its mirror would not say alike, a pass would ask for again and again."""
    keys = (RUN, IN_USE, MARKED_AT, f"{PREFIX}sweep-released", RESTORE_REQUEST)
    carried = dict.fromkeys(keys, "2026-11-22T01:00:00+00:00")
    dated = point(22, annotations=carried, labels={f"{PREFIX}delete-after": "2026-11-22"}, seq=3)
    assert judged_point(SERIES, mirrored(dated)) == point_of(dated)


def test_what_a_copy_lacks_survives_its_file_and_is_shown_in_words() -> None:
    made = replace(point(22), lacks={"owner": 3, "time": 40})

    assert RollingPoint.parse(made.text()) == made
    shown = mirrored(made).rolling
    assert shown is not None
    assert shown.note == (
        "the copy's file system does not have the owner of 3, the time of 40 entries as they were;"
        " restores set them from the manifest"
    )
    whole = mirrored(point(22)).rolling
    assert whole is not None
    assert whole.note is None


def test_what_a_copy_lacks_is_refused_unless_it_is_a_number() -> None:
    raw = {**point(22).to_json(), "lacks": {"owner": "many"}}
    with pytest.raises(DataError, match=r"point\.lacks\.owner: expected a number"):
        RollingPoint.from_json(raw)
