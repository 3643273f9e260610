"""Which store a request is restored from."""

from __future__ import annotations

from typing import Any

import pytest

from backstay.api.point import PointGone, PointResult, PointStatus
from backstay.api.restore import ClaimDestination, ClaimRestore, DirectoryRestore, NewClaim
from backstay.api.restore_status import RestoreTarget
from backstay.api.store import ROLLING, SNAPSHOT
from backstay.domain.errors import UserError
from backstay.domain.restore.choice import choose_store
from backstay.domain.restore.wishes import Wish

FILLS = {
    "Snapshot": {RestoreTarget.NEW_CLAIM},
    "Rolling": {RestoreTarget.NEW_CLAIM, RestoreTarget.DIRECTORY},
}
CLAIM = Wish(
    RestoreTarget.NEW_CLAIM,
    "data",
    claim=ClaimRestore(claim="data", to=ClaimDestination(new_claim=NewClaim(name="new"))),
)
DIRECTORY = Wish(RestoreTarget.DIRECTORY, None, directory=DirectoryRestore(path="/srv/x"))
GOOD, FAILED, PENDING = PointResult.GOOD, PointResult.FAILED, PointResult.PENDING


def point(
    store: str, result: PointResult = GOOD, source: str = "data", **values: Any
) -> PointStatus:
    return PointStatus(source=source, store=store, attempt=1, result=result, **values)


@pytest.mark.parametrize(
    ("wish", "points", "store"),
    [
        (CLAIM, [point(ROLLING), point(SNAPSHOT)], "Snapshot"),
        (DIRECTORY, [point(ROLLING), point(SNAPSHOT)], "Rolling"),
        (CLAIM, [point(ROLLING), point(SNAPSHOT, FAILED)], "Rolling"),
        (CLAIM, [point(ROLLING), point(SNAPSHOT, gone=PointGone.MISSING)], "Rolling"),
        (CLAIM, [point(ROLLING, source="data/sub")], "Rolling"),
        (CLAIM, [point(ROLLING), point(SNAPSHOT, PENDING)], "Snapshot"),
        (CLAIM, [point(ROLLING, FAILED)], "Rolling"),
        (DIRECTORY, [point(ROLLING, FAILED), point(SNAPSHOT)], "Rolling"),
        (CLAIM, [point(ROLLING, source="database")], "Rolling"),
        (CLAIM, [], "Snapshot"),
    ],
    ids=[
        "the first that fits",
        "the one that can",
        "the other failed",
        "the other is missing",
        "a directory of the claim",
        "the first is not done yet",
        "it failed and says so",
        "it alone could have",
        "of another claim only",
        "nothing at all",
    ],
)
def test_the_first_store_that_has_a_point_and_can_fill_the_target_is_taken(
    wish: Wish, points: list[PointStatus], store: str
) -> None:
    assert choose_store(wish, points, None, FILLS) == store


def test_the_store_that_the_request_names_is_taken() -> None:
    assert choose_store(CLAIM, [point(ROLLING), point(SNAPSHOT)], "Rolling", FILLS) == "Rolling"


@pytest.mark.parametrize(
    ("wish", "pinned", "reason", "words"),
    [
        (DIRECTORY, None, "NoStoreFits", "to a directory from Snapshot, where the Backup has"),
        (DIRECTORY, "Snapshot", "StoreDoesNotFit", "to a directory, only those of Rolling"),
        (CLAIM, "Tape", "StoreNotFound", "name one of Rolling, Snapshot"),
    ],
)
def test_where_no_store_fits_the_refusal_says_which_would(
    wish: Wish, pinned: str | None, reason: str, words: str
) -> None:
    with pytest.raises(UserError) as refused:
        choose_store(wish, [point(SNAPSHOT)], pinned, FILLS)

    assert refused.value.reason == reason
    assert words in refused.value.message
