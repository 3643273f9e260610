"""A record in a tag comes back as it was, and what is none is refused."""

from __future__ import annotations

import base64
import json
import re
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.errors import DataError
from backstay.domain.stores.repository.record import LIMIT, decode, encode, to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)
RECORDS = st.dictionaries(st.text(max_size=9), VALUES, max_size=5)


@given(RECORDS)
def test_a_record_comes_back_as_it_was_in_letters_that_no_tag_splits(record: object) -> None:
    assert isinstance(record, dict)
    text = encode(record)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert decode(text) == record


@given(RECORDS)
def test_one_record_has_one_text(record: object) -> None:
    assert isinstance(record, dict)
    assert encode(dict(reversed(record.items()))) == encode(record)


def packed(raw: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(raw, 9)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b",
        "a b",
        "x" * (LIMIT + 1),
        "AAAA",
        packed(b"[1]"),
        packed(b"no json"),
        packed(b"\xff"),
        packed(b"{}")[:-4],
        packed(b"[" * 100_000),
        # A little text that unpacks to a megabyte.
        packed(b'{"a": "' + b"x" * (1 << 20) + b'"}'),
        base64.urlsafe_b64encode(zlib.compress(b"{}") + b"more").rstrip(b"=").decode(),
    ],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="record"):
        decode(text)


@given(st.text(max_size=300))
def test_any_text_is_a_record_or_is_refused(text: str) -> None:
    with suppress(DataError):
        assert isinstance(decode(text), dict)


@pytest.mark.parametrize("length", [0, 1000, 65_000, 66_000, 1 << 20])
def test_what_was_encoded_can_be_decoded_however_well_it_packs(length: int) -> None:
    record = {"a": "x" * length}
    if len(to_json(record)) > 64 * 1024:
        with pytest.raises(DataError, match="more than"):
            encode(record)
    else:
        assert decode(encode(record)) == record


def test_what_restic_keeps_beside_the_tag_is_the_same_record() -> None:
    record = {"b": [1, "ä"], "a": None}
    assert json.loads(to_json(record)) == decode(encode(record)) == record
