"""Two places overlap where one is within the other, by parts of a path and not by text."""

from __future__ import annotations

import pytest

from backstay.domain.run.shared_places import Place, Taken, in_claim, in_the_way, on_node

NODE = on_node("n1", "/srv/a")


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (NODE, on_node("n1", "/srv/a"), True),
        (NODE, on_node("n1", "/srv"), True),
        (NODE, on_node("n1", "/srv/a/b/c"), True),
        (NODE, on_node("n1", "/srv/ab"), False),
        (NODE, on_node("n2", "/srv/a"), False),
        (NODE, in_claim("shop", "n1", "srv/a"), False),
        (in_claim("shop", "data"), in_claim("shop", "data", "x"), True),
        (in_claim("shop", "data", "x"), in_claim("shop", "data", "y"), False),
        (in_claim("shop", "data"), in_claim("other", "data"), False),
    ],
)
def test_places_overlap_within_one_holder_only(one: Place, other: Place, overlap: bool) -> None:
    assert one.overlaps(other) is overlap
    assert other.overlaps(one) is overlap


def test_a_tenant_never_learns_the_names_of_others() -> None:
    taken = [Taken("RestoreRequest", "other", "secret", on_node("n1", "/srv"))]

    assert in_the_way("shop", NODE, taken) == "a RestoreRequest of another namespace"
    assert in_the_way("other", NODE, taken) == "RestoreRequest secret"
    assert in_the_way("shop", on_node("n1", "/var"), taken) == ""
