"""Looking into objects of which any part may be missing."""

from __future__ import annotations

import pytest

from backstay.domain import objects
from backstay.domain.objects import Obj

CLAIM: Obj = {
    "metadata": {
        "name": "data",
        "namespace": "shop",
        "uid": "u1",
        "resourceVersion": "7",
        "labels": {"app": "shop"},
        "annotations": None,
    },
    "spec": {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": None},
}


def test_what_is_there_is_found() -> None:
    assert objects.name(CLAIM) == "data"
    assert objects.namespace(CLAIM) == "shop"
    assert objects.uid(CLAIM) == "u1"
    assert objects.version(CLAIM) == "7"
    assert objects.labels(CLAIM) == {"app": "shop"}
    assert objects.dig(CLAIM, "spec", "resources", "requests", "storage") == "1Gi"


@pytest.mark.parametrize("nothing", [{}, {"metadata": None}, {"metadata": {}}])
def test_what_is_missing_is_empty(nothing: Obj) -> None:
    assert objects.meta(nothing) == {}
    assert objects.labels(nothing) == {}
    assert objects.annotations(nothing) == {}
    assert [f(nothing) for f in (objects.name, objects.uid, objects.version)] == ["", "", ""]


@pytest.mark.parametrize(
    "path",
    [("none",), ("spec", "volumeName"), ("spec", "volumeName", "x"), ("metadata", "name", "x")],
)
def test_null_and_dead_ends_count_as_missing(path: tuple[str, ...]) -> None:
    assert objects.dig(CLAIM, *path) is None
    assert objects.dig(CLAIM, *path, default=0) == 0


def test_copies_do_not_change_the_object() -> None:
    objects.labels(CLAIM)["app"] = "other"
    assert CLAIM["metadata"]["labels"] == {"app": "shop"}
