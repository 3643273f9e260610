"""No value of a Secret is passed on, in whatever way a program writes it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.agent.restic.redaction import FEWEST, Redaction

SECRETS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs"]), min_size=FEWEST, max_size=40
)


@given(SECRETS, st.text(max_size=20), st.text(max_size=20))
def test_a_value_is_found_wherever_it_stands(value: str, before: str, after: str) -> None:
    redact = Redaction({"RESTIC_PASSWORD": value})
    for form in (value, quote(value, safe=""), json.dumps(value)[1:-1]):
        # What is left of it may come about by chance, from the name that stands in its place.
        kept = redact(f"{before}{form}{after}").replace("[RESTIC_PASSWORD]", "")
        assert form not in kept or form in before + after


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("RESTIC_PASSWORD", "correct-horse\n", "not correct-horse"),
        ("RESTIC_REPOSITORY", "rest:https://me:s3cr3t-word@host/", "https://me:s3cr3t-word@host/"),
        ("RESTIC_REPOSITORY", "rest:https://me:s3cr3t-word@host/", "password s3cr3t-word is wrong"),
        (
            "GOOGLE_APPLICATION_CREDENTIALS",
            '{"private_key": "-----BEGIN-0123456789-----"}',
            "bad key -----BEGIN-0123456789-----",
        ),
        ("RCLONE_CONFIG", "[s3]\nsecret_access_key = abc\n", "secret_access_key = abc"),
    ],
)
def test_a_part_that_is_secret_by_itself_is_found(key: str, value: str, said: str) -> None:
    found = Redaction({key: value})(said)
    assert f"[{key}]" in found
    for secret in ("correct-horse", "s3cr3t-word", "0123456789", "= abc"):
        assert secret not in found


def test_what_everybody_writes_is_left_as_it_is() -> None:
    redact = Redaction({"AWS_DEFAULT_REGION": "us-east-1", "RESTIC_PASSWORD": "abc"})
    assert redact("us-east-1, abc") == "us-east-1, abc"
    assert Redaction({})("as it is") == "as it is"


def test_the_longer_of_two_values_is_replaced_whole() -> None:
    redact = Redaction({"B2_ACCOUNT_ID": "abcdef", "B2_ACCOUNT_KEY": "abcdefghij"})
    assert redact("abcdefghij") == "[B2_ACCOUNT_KEY]"
