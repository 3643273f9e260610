"""repository-open: what can be used, what cannot, why, and that nothing else makes a repository."""

from __future__ import annotations

from tests.faults.repository.harness import Depot


def test_a_repository_is_made_once_and_opened_after_that(depot: Depot) -> None:
    first = depot.agent("repository-open", initialise=True)
    again = depot.agent("repository-open", initialise=True)

    assert (first.code, first.reason) == (0, "Initialised"), first
    assert (again.code, again.reason) == (0, "Opened"), again
    assert again.result["id"] == first.result["id"]
    assert first.result["format"] == 2
    assert first.result["snapshots"] == 0
    assert first.result["locks"] == []
    assert first.result["ignored"] == []
