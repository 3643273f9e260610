"""Which events ask for which looks."""

from __future__ import annotations

from typing import Any

import pytest

from backstay.domain import labels
from backstay.handlers import concerns_retention, is_news


def policy(*, generation: int = 2, observed: int | None = 2, **notes: str) -> dict[str, Any]:
    return {
        "metadata": {
            "generation": generation,
            "annotations": {labels.PREFIX + k.replace("_", "-"): v for k, v in notes.items()},
        },
        "status": {} if observed is None else {"observedGeneration": observed},
    }


@pytest.mark.parametrize(
    ("event", "changed", "concerns"),
    [
        ("MODIFIED", policy(), False),
        ("MODIFIED", policy(generation=3), True),
        ("ADDED", policy(generation=1, observed=None), True),
        ("DELETED", policy(), True),
        ("MODIFIED", policy(release_retention="abc"), True),
        ("MODIFIED", policy(accept_size="data@2026-11-22T00:32:05Z"), True),
        (None, policy(generation=3), False),
    ],
)
def test_a_pass_follows_what_a_person_did_and_no_status_of_ours(
    event: str | None, changed: dict[str, Any], concerns: bool
) -> None:
    assert concerns_retention(event, changed) is concerns


@pytest.mark.parametrize(
    ("ours", "deleted", "news"),
    [(False, False, True), (True, False, False), (True, True, True), (False, True, True)],
)
def test_what_we_wrote_ourselves_is_no_news_unless_it_is_being_deleted(
    ours: bool, deleted: bool, news: bool
) -> None:
    shown = policy()
    if deleted:
        shown["metadata"]["deletionTimestamp"] = "2026-11-22T00:32:00Z"

    assert is_news(shown, lambda _: ours) is news
