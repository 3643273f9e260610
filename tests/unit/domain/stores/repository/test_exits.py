"""What restic's exit codes and words mean, each distinguished from the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.stores.repository.exits import EXITS, has_recovered, is_hopeless, judge
from backstay.domain.stores.repository.reasons import EXIT_STATUS, Outcome, Reason, outcome_of

CACHE = "/cache"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1, Reason.FAILED),
        (2, Reason.FAILED),
        (3, Reason.FAILED),
        (10, Reason.NO_REPOSITORY),
        (11, Reason.LOCKED),
        (12, Reason.WRONG_PASSWORD),
        (130, Reason.INTERRUPTED),
        (4, Reason.FAILED),
        (255, Reason.FAILED),
        (-9, Reason.FAILED),
        (-15, Reason.FAILED),
    ],
)
def test_each_code_has_its_reason(code: int, reason: Reason) -> None:
    assert judge(code, []).reason is reason


def test_a_code_that_nobody_documents_is_named() -> None:
    assert "77" in judge(77, []).words
    assert "memory" in judge(-9, []).words


SAID = {
    "Fatal: unable to open repository: x509: certificate signed by unknown authority": (
        Reason.UNTRUSTED
    ),
    "client.PutObject: The specified bucket does not exist": Reason.BUCKET_MISSING,
    "NoSuchBucket": Reason.BUCKET_MISSING,
    "client.PutObject: Storage backend has reached its minimum free drive threshold.": Reason.FULL,
    "unexpected HTTP response (507): 507 Insufficient Storage": Reason.FULL,
    "Error response code QuotaExceeded.": Reason.FULL,
    "write /repository/data/00: no space left on device": Reason.FULL,
    "write /repository/data/00: disk quota exceeded": Reason.FULL,
    "write /cache/pack: no space left on device": Reason.CACHE_FULL,
    "Stat: Access Denied.": Reason.ACCESS_DENIED,
    "The Access Key Id you provided does not exist in our records.": Reason.ACCESS_DENIED,
    "The request signature we calculated does not match": Reason.ACCESS_DENIED,
    "unexpected HTTP response (403): 403 Forbidden": Reason.ACCESS_DENIED,
    "The difference between the request time and the server's time is too large.": (
        Reason.CLOCK_SKEWED
    ),
    "Fatal: invalid pattern(s) provided:": Reason.BAD_EXCLUDE,
    "Fatal: all source directories/files do not exist": Reason.SOURCE_UNREADABLE,
    "Fatal: all target directories/files do not exist": Reason.SOURCE_UNREADABLE,
    "Fatal: unable to save snapshot: openfile for readdirnames failed: open .: permission denied": (
        Reason.SOURCE_UNREADABLE
    ),
    "snapshot is empty": Reason.SOURCE_EMPTY,
    "Fatal: config cannot be loaded: unsupported repository version": Reason.RESTIC_TOO_OLD,
    "ciphertext verification failed": Reason.DAMAGED,
    "dial tcp 10.0.0.1:443: connect: connection refused": Reason.UNREACHABLE,
    "dial tcp: lookup s3: no such host": Reason.UNREACHABLE,
    "something that nobody has seen": Reason.FAILED,
}


@pytest.mark.parametrize("line", SAID)
def test_where_the_code_says_too_little_the_words_count(line: str) -> None:
    assert judge(1, ["before", line], cache=CACHE).reason is SAID[line]


def test_an_outage_counts_only_where_nothing_else_was_said() -> None:
    lines = ["Access Denied.", "connection refused"]
    assert judge(1, lines).reason is Reason.ACCESS_DENIED
    assert judge(1, ["connection refused", "signal terminated"]).reason is Reason.UNREACHABLE


def test_of_several_refusals_the_last_counts() -> None:
    assert judge(1, ["Access Denied.", "no space left on device"]).reason is Reason.FULL


def test_no_repository_is_said_only_where_the_bucket_is_there() -> None:
    assert judge(10, ["The specified bucket does not exist"]).reason is Reason.BUCKET_MISSING
    # Whatever else it says on its way: 10 is about the repository, and is known only by that.
    assert judge(10, ["connection refused"]).reason is Reason.NO_REPOSITORY


@pytest.mark.parametrize("code", [130, 1, -9, -15])
def test_one_that_was_ended_for_its_deadline_is_judged_by_what_it_was_waiting_for(
    code: int,
) -> None:
    assert judge(code, ["Access Denied."], late=True).reason is Reason.ACCESS_DENIED
    assert judge(code, [], late=True).reason is Reason.UNREACHABLE


def test_a_code_that_says_it_all_is_not_changed_by_words() -> None:
    for code, reason in ((11, Reason.LOCKED), (12, Reason.WRONG_PASSWORD)):
        assert judge(code, ["Access Denied.", "NoSuchBucket"]).reason is reason


RETRYING = "Save(<data/b1164ed668>) returned error, retrying after 1.36s: client.PutObject: "


@pytest.mark.parametrize(
    ("words", "hopeless"),
    [
        ("Bucket quota exceeded", True),
        ("The specified bucket does not exist", True),
        ("Access Denied.", True),
        ("The difference between the request time and the server's time is too large.", True),
        ("x509: certificate has expired", True),
        ("connection refused", False),
        ("503 Service Unavailable", False),
        ("We encountered an internal error", False),
    ],
)
def test_what_time_alone_may_heal_is_repeated_and_nothing_else(words: str, hopeless: bool) -> None:
    assert is_hopeless(RETRYING + words) is hopeless
    assert not is_hopeless(words)


def test_a_success_after_repetitions_is_known() -> None:
    assert has_recovered("Save(<data/b1164ed668>) operation successful after 3 retries")
    assert not has_recovered(RETRYING)


@given(
    st.integers(-64, 255).filter(bool),
    st.lists(st.text(max_size=80), max_size=5),
    st.booleans(),
    st.text(max_size=10),
)
def test_whatever_it_ends_with_and_says_has_a_reason_that_no_success_has(
    code: int, said: list[str], late: bool, cache: str
) -> None:
    verdict = judge(code, said, late=late, cache=cache)
    assert verdict.words
    assert EXIT_STATUS[verdict.outcome] in {1, 3, 75}


def test_every_reason_says_whether_another_try_is_good_for_something() -> None:
    found = {reason: outcome_of(reason) for reason in Reason}
    assert {reason for reason, outcome in found.items() if outcome is Outcome.BUSY} == {
        Reason.UNREACHABLE,
        Reason.LOCKED,
        Reason.FULL,
        Reason.CACHE_FULL,
        Reason.CLOCK_SKEWED,
        Reason.INTERRUPTED,
    }
    assert found[Reason.WRONG_PASSWORD] is found[Reason.VANISHED] is Outcome.REFUSED
    assert all(verdict.reason in found for verdict in EXITS.values())
