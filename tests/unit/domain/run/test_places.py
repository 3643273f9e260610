"""In which of its target's pods a dump runs, and where it is looked for afterwards."""

from __future__ import annotations

import pytest
from tests.support.builders import planned_dump

from backstay.domain.errors import Transient, UserError
from backstay.domain.objects import Obj
from backstay.steps.containers import choose_place

DUMP = planned_dump()


def pod(name: str, claim: str = "data") -> Obj:
    """A running pod of `planned_dump`'s target whose file lies on the claim."""
    container = {"name": "postgres", "volumeMounts": [{"name": "disk", "mountPath": "/data"}]}
    volume = {"name": "disk", "persistentVolumeClaim": {"claimName": claim}}
    running = {"name": "postgres", "containerID": f"cri://{name}", "state": {"running": {}}}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"containers": [container], "volumes": [volume]},
        "status": {"phase": "Running", "containerStatuses": [running]},
    }


PODS = [pod("pg-0", "data-0"), pod("pg-1", "data-1"), pod("pg-2", "data-1")]


@pytest.mark.parametrize(
    ("claims", "prefer", "chosen"),
    [
        (["data-0", "data-1"], "", "pg-0"),
        (["data-0", "data-1"], "uid-pg-2", "pg-2"),
        (["data-0", "data-1"], "uid-gone", "pg-0"),
        (["data-1"], "", "pg-1"),
        (["data-1"], "uid-pg-2", "pg-2"),
        (["data-1"], "uid-pg-0", "pg-1"),
    ],
    ids=[
        "the first",
        "where it was started",
        "where it was started is gone",
        "the first with the claim",
        "where it was started, on the claim",
        "where it was started has another claim now",
    ],
)
def test_a_dump_stays_in_the_pod_it_was_started_in(
    claims: list[str], prefer: str, chosen: str
) -> None:
    place = choose_place(PODS, DUMP, claims, prefer=prefer)

    assert (place.pod, place.container_id) == (chosen, f"cri://{chosen}")
    assert place.claim in claims


def test_no_pod_with_another_claim_stands_in_for_one_with_the_claim() -> None:
    with pytest.raises(UserError, match="lies on claim data-0"):
        choose_place(PODS, DUMP, ["data-7"], prefer="uid-pg-0")


def test_no_pod_at_all_may_be_a_restart() -> None:
    with pytest.raises(Transient, match="dump shop has no running pod"):
        choose_place([], DUMP, ["data-0"])
