"""Which claims of a run belong together, and what is refused for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstay.domain.errors import UserError
from backstay.domain.objects import Obj
from backstay.domain.sources.together import Writer, groups, writers


def pod(*containers: Obj, phase: str = "Running", init: tuple[Obj, ...] = ()) -> Obj:
    names = ("data", "wal", "shared", "raw")
    volumes: list[Obj] = [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in names]
    volumes[2]["persistentVolumeClaim"]["readOnly"] = True
    volumes.append({"name": "tmp", "emptyDir": {}})
    return {
        "metadata": {"name": "pg-0", "uid": "uid-pg-0"},
        "spec": {"containers": list(containers), "initContainers": list(init), "volumes": volumes},
        "status": {"phase": phase},
    }


def container(*mounts: str, name: str = "postgres", **more: Any) -> Obj:
    return {
        "name": name,
        "volumeMounts": [{"name": m, "mountPath": f"/{m}"} for m in mounts],
        **more,
    }


def test_a_writer_is_a_container_with_claims_that_it_may_write_to() -> None:
    raw = container("data", "tmp", "shared", volumeDevices=[{"name": "raw", "devicePath": "/x"}])
    raw["volumeMounts"].append({"name": "wal", "mountPath": "/wal", "readOnly": True})
    sidecar = container("wal", name="sidecar", restartPolicy="Always")
    found = writers([pod(raw, container("tmp", name="none"), init=(sidecar, container("data")))])
    assert found == [
        Writer("pg-0", "uid-pg-0", "sidecar", frozenset({"wal"})),
        Writer("pg-0", "uid-pg-0", "postgres", frozenset({"data", "raw"})),
    ]


@pytest.mark.parametrize(
    ("phase", "count"), [("Pending", 1), ("Running", 1), ("Succeeded", 0), ("Failed", 0)]
)
def test_a_pod_that_is_over_writes_no_more(phase: str, count: int) -> None:
    assert len(writers([pod(container("data"), phase=phase)])) == count


PG = Writer("pg-0", "uid-pg-0", "postgres", frozenset({"data", "wal", "other"}))


def test_two_claims_of_one_container_are_refused_with_the_remedy() -> None:
    with pytest.raises(UserError) as caught:
        groups([PG], ("data", "wal"), (), ())
    assert caught.value.reason == "ClaimsNotTogether"
    words = ("container postgres of pod pg-0", "data, wal", "freezes: true", "PerClaim")
    assert all(w in caught.value.message for w in words)


def test_a_hook_that_freezes_only_some_of_them_is_not_enough() -> None:
    with pytest.raises(UserError, match="data, wal"):
        groups([PG], ("data", "wal"), (("data",), ("wal",)), ())


@pytest.mark.parametrize("held", [("data", "wal"), ("data", "wal", "x"), ()])
def test_claims_that_a_hook_freezes_together_are_a_group(held: tuple[str, ...]) -> None:
    assert groups([PG], ("data", "wal"), (held,), ()) == (("data", "wal"),)


def test_one_claim_of_the_run_in_a_container_is_no_group() -> None:
    assert groups([PG], ("data", "x"), (), ()) == ()


def test_where_a_dump_asks_the_database_the_answer_decides() -> None:
    assert groups([PG], ("data", "wal"), (), {("uid-pg-0", "postgres")}) == ()


def test_groups_that_share_a_claim_have_to_be_frozen_as_one() -> None:
    other = Writer("b", "uid-b", "b", frozenset({"wal", "more"}))
    run = ("data", "wal", "more")
    assert groups([PG, other], run, (run,), ()) == (("data", "more", "wal"),)
    with pytest.raises(UserError, match="no hook freezes all of data, more, wal"):
        groups([PG, other], run, (("data", "wal"), ("wal", "more")), ())


NAMES = st.sampled_from("abcdef")


@given(
    st.lists(st.frozensets(NAMES), max_size=6),
    st.frozensets(NAMES),
    st.lists(st.frozensets(NAMES), max_size=3),
)
def test_whatever_is_not_refused_is_frozen_as_one(
    written: list[frozenset[str]], claims: frozenset[str], held: list[frozenset[str]]
) -> None:
    found = [Writer(f"p{n}", f"u{n}", "c", w) for n, w in enumerate(written)]
    try:
        made = groups(found, claims, held, ())
    except UserError:
        return
    for writer in found:
        mine = writer.claims & claims
        if len(mine) > 1:
            assert sum(mine <= set(group) for group in made) == 1
    for group in made:
        assert any(not h or set(group) <= h for h in held)
    assert len([c for g in made for c in g]) == len({c for g in made for c in g})
