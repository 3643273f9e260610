"""Names fit, say who they belong to, and sort by time."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from backstay.domain import naming

VIENNA = ZoneInfo("Europe/Vienna")
SLOT = datetime(2026, 11, 21, 23, 32, tzinfo=UTC)
UID = "0f4c6b5e-1111-4222-8333-444455556666"


@pytest.mark.parametrize("full", ["data-pg-0", "", "a" * 63, "A.b_c-9", "x"])
def test_a_value_that_fits_is_kept_as_it_is(full: str) -> None:
    assert naming.label_value(full) == full


def test_a_long_value_is_its_beginning_and_a_hash() -> None:
    found = naming.label_value("data-" + "x" * 200)
    assert len(found) == 63
    assert found.startswith("data-" + "x" * 47 + "-")
    assert found == naming.label_value("data-" + "x" * 200)


def test_a_value_that_looks_shortened_cannot_take_anothers_place() -> None:
    short = naming.label_value("b" * 64)
    assert naming.label_value(short) != short


def test_a_backup_is_named_after_the_local_time_of_its_slot() -> None:
    assert naming.backup_name("shop", SLOT, VIENNA) == "shop-20261122-0032"


def test_the_two_passes_through_a_doubled_hour_have_different_alternatives() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert naming.backup_name("shop", first, VIENNA) == naming.backup_name("shop", second, VIENNA)
    one = naming.backup_name_alternative("shop", first, VIENNA)
    two = naming.backup_name_alternative("shop", second, VIENNA)
    assert one != two
    assert one.startswith("shop-20261025-0230-")
    assert len(one) == len("shop-20261025-0230-") + 5


def test_names_of_the_longest_policies_fit() -> None:
    assert len(naming.backup_name("p" * 253, SLOT, VIENNA)) <= 200
    assert len(naming.backup_name_alternative("p" * 253, SLOT, VIENNA)) == 200


def test_a_snapshot_is_named_after_claim_slot_run_and_attempt() -> None:
    assert naming.snapshot_name("data", SLOT, VIENNA, UID, 2) == "data-20261122-0032-0f4c6-2"
    assert len(naming.snapshot_name("d" * 253, SLOT, VIENNA, UID, 12)) == 253


def test_a_verify_pod_is_named_after_request_and_claim_and_fits_a_host_name() -> None:
    assert naming.verify_pod_name(UID, "data") == "verify-0f4c6b5e-data"
    assert len(naming.verify_pod_name(UID, "d" * 253)) == 63


def test_a_uid_that_is_none_still_gives_a_valid_name() -> None:
    assert naming.verify_pod_name("Not/A-uid", "data").startswith("verify-")
    assert "/" not in naming.verify_pod_name("Not/A-uid", "data")


def test_shortening_never_leaves_a_dot_before_the_dash() -> None:
    found = naming.shorten("a" * 8 + ".-." + "b" * 30, 20)
    assert len(found) == 20
    assert ".-" not in found
