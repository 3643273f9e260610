"""Patches, times and points as they are read from what Kubernetes writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.builders import record, snapshot

from backstay.api.policy import PolicySpec
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain import labels
from backstay.domain.errors import DataError, UserError
from backstay.domain.merge_patch import merge_diff
from backstay.domain.retention.from_spec import rules_of
from backstay.domain.retention.points import Rules
from backstay.domain.stores.snapshots.carriers import (
    identity,
    is_good,
    point_of,
    record_of,
)
from backstay.domain.times import parse_time


def merged(target: Any, patch: Any) -> Any:
    """MergePatch as RFC 7386, section 2 has it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


KEYS = st.sampled_from("abc")
# No null (it means "absent", and the wire forms have none) and, as a field has one JSON type,
# no bool beside its equal among the numbers.
LEAVES = st.integers(2, 4) | st.booleans() | st.sampled_from(["", "x", "y"])
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)


@given(OBJECTS, OBJECTS)
@settings(max_examples=50, deadline=None)
def test_a_patch_makes_the_new_of_the_old(old: dict[str, Any], new: dict[str, Any]) -> None:
    patch = merge_diff(old, new)

    assert merged(old, patch) == new
    assert bool(patch) is (old != new)


@given(OBJECTS, OBJECTS)
@settings(max_examples=50, deadline=None)
def test_a_patch_leaves_out_what_is_the_same(old: dict[str, Any], new: dict[str, Any]) -> None:
    patch = merge_diff(old, new)

    assert not any(key in patch for key in old if old[key] == new.get(key))


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({"a": 1, "b": 2}, {"b": 2}, {"a": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"a": [1, 2]}, {"a": [2]}, {"a": [2]}),
        ({}, {"a": {}}, {"a": {}}),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
    ],
)
def test_patches_look_like_this(
    old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert merge_diff(old, new) == patch


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T00:32:00Z",
        "2026-11-22T01:32:00+01:00",
        "2026-11-22T00:32:00.000000000Z",
    ],
)
def test_times_are_read_as_kubernetes_writes_them(text: str) -> None:
    found = parse_time(text)

    assert found == datetime(2026, 11, 22, 0, 32, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("soon", "is not an RFC 3339 time"),
        ("2026-11-22T00:32:00", "has no time zone"),
        ("0001-01-01T00:00:00+14:00", "is too far"),
        ("9999-12-31T23:59:59-12:00", "is too far"),
    ],
)
def test_a_time_that_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_time(text)


def test_a_snapshot_is_read_as_a_point_of_its_series() -> None:
    raw = snapshot(
        "a",
        "2026-11-22T01:32:00+01:00",
        notes={"pvc": "a long name", "marked-at": "m", "in-use": "u"},
        deletionTimestamp="2026-11-23T00:00:00Z",
    )

    point = point_of(raw)

    assert (point.namespace, point.name, point.uid) == ("team", "a", "uid-a")
    assert (point.resource_version, point.claim) == ("1", "a long name")
    assert point.taken == datetime(2026, 11, 22, 1, 32, tzinfo=timezone(timedelta(hours=1)))
    assert (point.ready, point.deleting) == (True, True)
    assert (point.marked_at, point.in_use) == ("m", "u")
    assert point.labels == raw["metadata"]["labels"]


def test_a_snapshot_that_is_not_taken_was_taken_when_it_was_made() -> None:
    raw = snapshot("a", "2026-11-22T00:32:00Z")
    del raw["status"]

    point = point_of(raw)

    assert (point.taken, point.ready) == (datetime(2026, 11, 22, 0, 32, tzinfo=UTC), False)


@pytest.mark.parametrize(
    ("values", "good"),
    [
        ({}, True),
        ({"result": "failed"}, False),
        ({"result": None}, False),
        ({"ready": False}, False),
        ({"deletionTimestamp": "2026-11-23T00:00:00Z"}, False),
    ],
)
def test_a_good_backup_is_labelled_good_ready_and_stays(values: Any, good: bool) -> None:
    assert is_good(point_of(snapshot("a", "2026-11-22T00:32:00Z", **values))) is good


def test_the_full_name_stands_in_the_annotation() -> None:
    short = snapshot("a", "2026-11-22T00:32:00Z")
    long = snapshot("a", "2026-11-22T00:32:00Z", notes={"policy": "p" * 80})

    assert identity(short, labels.POLICY) == "shop"
    assert identity(long, labels.POLICY) == "p" * 80
    assert identity({}, labels.POLICY) == ""


@pytest.mark.parametrize("text", [None, "", "{", '{"policy": 1}'])
def test_a_record_that_cannot_be_read_is_none(text: str | None) -> None:
    notes = {} if text is None else {"record": text}

    assert record_of(snapshot("a", "2026-11-22T00:32:00Z", notes=notes)) is None


def test_a_record_is_read_from_its_carrier() -> None:
    found = record_of(snapshot("a", "2026-11-22T00:32:00Z", notes={"record": record()}))

    assert found is not None
    assert (found.policy, found.claim.name) == ("shop", "data")


def spec(**values: Any) -> PolicySpec:
    return PolicySpec.model_validate({"source": {"claims": {"names": ["data"]}}, **values})


def test_rules_are_those_of_the_policy_in_its_zone() -> None:
    retention = {"daily": 7, "weekly": 4, "monthly": 12, "adhocDays": 9, "failed": 2}
    wanted = spec(schedule={"cron": "@daily", "timeZone": "Europe/Vienna"}, retention=retention)

    rules = rules_of(wanted, SNAPSHOT)

    assert str(rules.zone) == "Europe/Vienna"
    assert (rules.daily, rules.weekly, rules.monthly) == (7, 4, 12)
    assert (rules.last, rules.within, rules.hourly, rules.yearly) == (0, timedelta(0), 0, 0)
    assert (rules.adhoc_days, rules.failed, rules.keeps_all) == (9, 2, False)


def test_every_rule_of_the_policy_is_read() -> None:
    rules = rules_of(
        spec(retention={"last": 2, "within": "1d12h", "hourly": 24, "yearly": 5}),
        SNAPSHOT,
    )

    assert (rules.last, rules.within) == (2, timedelta(hours=36))
    assert (rules.hourly, rules.daily, rules.yearly) == (24, 0, 5)


def test_a_policy_without_retention_keeps_everything() -> None:
    assert rules_of(spec(), ROLLING) == Rules.keep_everything(ZoneInfo("UTC"))
    assert str(rules_of(spec(), SNAPSHOT).zone) == "UTC"


def test_an_unknown_zone_is_the_users_error() -> None:
    unknown = spec(schedule={"cron": "@daily", "timeZone": "Mars/Olympus"})

    with pytest.raises(UserError, match="Mars/Olympus"):
        rules_of(unknown, SNAPSHOT)


def test_a_stores_own_retention_overrides_the_policys() -> None:
    both = spec(
        retention={"daily": 7},
        snapshot={"retention": {"hourly": 24}},
        rolling={"destination": {"claim": {"name": "nas"}}},
    )
    assert both.stores == (SNAPSHOT, ROLLING)
    snapshots, copies = (rules_of(both, store) for store in both.stores)
    assert (snapshots.hourly, snapshots.daily) == (24, 0)
    assert (copies.hourly, copies.daily) == (0, 7)


def test_a_policy_keeps_snapshots_unless_it_names_another_store() -> None:
    assert spec().stores == (SNAPSHOT,)
    assert spec(snapshot={}).stores == (SNAPSHOT,)
    copies = spec(rolling={"destination": {"claim": {"name": "nas"}}})
    assert (copies.stores, copies.snapshots) == ((ROLLING,), None)
