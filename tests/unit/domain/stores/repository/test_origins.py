"""What a record says of its source, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.api.repository_store import StoredSource
from backstay.domain.stores.repository.origins import origin_of


def test_a_source_is_known_by_claim_servers_and_dumps() -> None:
    dump = {"name": "shop", "bytes": 9, "server": "7301", "format": "custom", "compressed": False}
    said = {"claim": {"uid": "u", "volume": "v", "continues": "w"}, "dumps": [dump]}

    assert origin_of(said) == {
        "ids": ["u", "v"],
        "continues": "w",
        "servers": {"shop": "7301"},
        "dumps": {"shop": 9},
        "forms": {"shop": "custom"},
    }


@pytest.mark.parametrize(
    ("dump", "form"),
    [
        ({"format": "custom", "compressed": True}, "custom, compressed"),
        # Of before: what was written then was compressed inside.
        ({"format": "custom"}, "custom, compressed"),
        ({"format": ["custom"], "compressed": "no"}, ""),
    ],
)
def test_the_form_of_a_dump_is_what_its_size_is_compared_by(
    dump: dict[str, Any], form: str
) -> None:
    assert origin_of({"dumps": [{"name": "shop", **dump}]})["forms"] == {"shop": form}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
dumps = st.fixed_dictionaries(
    {"name": st.text(max_size=20) | anything},
    optional=dict.fromkeys(("bytes", "server", "format", "compressed"), anything),
)


@given(
    claim=anything | st.dictionaries(st.sampled_from(["uid", "volume", "continues"]), anything),
    said=st.lists(dumps, max_size=4) | anything,
)
def test_whatever_was_written_there_is_an_answer(claim: object, said: object) -> None:
    found = origin_of({"claim": claim, "dumps": said})

    assert set(found["forms"]) >= set(found["dumps"])
    assert all(len(form) <= 64 for form in found["forms"].values())
    assert StoredSource.model_fields.keys() >= found.keys()
