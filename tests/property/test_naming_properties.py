"""Names are valid, stable and injective for any input."""

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from backstay.domain import naming

LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

words = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,70}[a-z0-9])?", fullmatch=True)
names = st.lists(words, min_size=1, max_size=4).map(lambda w: ".".join(w)[:253].rstrip("-."))
texts = st.one_of(names, st.text("aZ09-_. /\n\0\u00e4\u0661\U0001f4be", max_size=100))
MINUTES_OF_A_CENTURY = 100 * 365 * 24 * 60
slots = st.integers(min_value=0, max_value=MINUTES_OF_A_CENTURY).map(
    lambda minutes: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(texts)
def test_a_label_value_is_valid_and_stable(full: str) -> None:
    found = naming.label_value(full)
    assert len(found) <= 63
    assert LABEL.fullmatch(found)
    assert naming.label_value(full) == found


@given(texts, texts)
def test_different_texts_have_different_label_values(one: str, two: str) -> None:
    taken = naming.label_value(one)
    assert (taken == naming.label_value(two)) == (one == two)
    assert (naming.label_value(taken) == taken) == (taken == one)


@given(names, st.integers(min_value=12, max_value=253))
def test_a_shortened_name_is_valid_and_injective(name: str, limit: int) -> None:
    found = naming.shorten(name, limit)
    assert len(found) <= limit
    assert SUBDOMAIN.fullmatch(found)
    assert (naming.shorten(found, limit) == found) == (found == name)


@given(names, slots, st.uuids(), st.integers(min_value=1, max_value=999))
def test_object_names_are_valid(claim: str, slot: datetime, uid: object, attempt: int) -> None:
    snapshot = naming.snapshot_name(claim, slot, UTC, str(uid), attempt)
    assert len(snapshot) <= 253
    assert SUBDOMAIN.fullmatch(snapshot)
    assert naming.is_snapshot_name(snapshot)
    backup = naming.backup_name_alternative(claim, slot, UTC)
    assert len(backup) <= 200
    assert SUBDOMAIN.fullmatch(backup)
    pod = naming.verify_pod_name(str(uid), claim)
    assert len(pod) <= 63
    assert SUBDOMAIN.fullmatch(pod)


@given(names, names, slots, slots)
def test_backup_names_are_injective_and_sort_by_time(
    one: str, two: str, early: datetime, late: datetime
) -> None:
    early, late = sorted((early, late))
    first, second = naming.backup_name(one, early, UTC), naming.backup_name(one, late, UTC)
    assert (first < second) == (early < late)
    assert (first == naming.backup_name(two, early, UTC)) == (one == two)
    assert naming.backup_name_alternative(one, early, UTC) not in {first, second}


@given(names, names, slots, slots)
def test_no_run_of_a_slot_takes_the_name_of_another(
    one: str, two: str, early: datetime, late: datetime
) -> None:
    runs = {(policy, slot) for policy in (one, two) for slot in (early, late)}
    found = [
        name
        for policy, slot in runs
        for names_of in (naming.backup_names, naming.backup_names_again)
        for name in names_of(policy, slot, UTC)
    ]
    assert len(set(found)) == len(found)
    assert all(len(name) <= 200 and SUBDOMAIN.fullmatch(name) for name in found)
