"""Which of several pods is taken: by the labels of database operators, else by asking."""

from __future__ import annotations

import pytest
from tests.support.builders import planned_dump, planned_hook, target
from tests.unit.domain.run.test_places import pod

from backstay.api.common import changed
from backstay.api.plan import PlannedDump
from backstay.api.target import Preference
from backstay.domain.objects import Obj
from backstay.domain.sources.places import DumpPlace
from backstay.domain.sources.roles import role_of
from backstay.dumps import roles
from backstay.steps.containers import choose_by_asking, choose_hook_place, choose_place

PRIMARY, STANDBY = Preference.PRIMARY, Preference.STANDBY


def labelled(name: str, claim: str, **labels: str) -> Obj:
    made = pod(name, claim)
    made["metadata"]["labels"] = labels
    return made


def dump(prefer: Preference) -> PlannedDump:
    return planned_dump(target=changed(target(), prefer=prefer))


@pytest.mark.parametrize(
    ("labels", "role"),
    [
        ({"cnpg.io/instanceRole": "primary", "role": "replica"}, PRIMARY),
        ({"spilo-role": "master"}, PRIMARY),
        ({"spilo-role": "replica"}, STANDBY),
        ({"mysql.oracle.com/cluster-role": "SECONDARY"}, STANDBY),
        ({"k8s.mariadb.com/role": "primary"}, PRIMARY),
        ({"kubedb.com/role": "standby"}, STANDBY),
        ({"redisfailovers-role": "slave"}, STANDBY),
        ({"role": "master"}, PRIMARY),
        ({"role": "pgbouncer"}, None),
        ({}, None),
    ],
)
def test_labels_of_database_operators_report_the_role(
    labels: dict[str, str], role: Preference | None
) -> None:
    assert role_of(labelled("pg-0", "data-0", **labels)) is role


@pytest.mark.parametrize(("prefer", "chosen"), [(PRIMARY, "pg-1"), (STANDBY, "pg-0")])
def test_the_preferred_role_is_dumped_and_its_own_claim_is_the_one_that_counts(
    prefer: Preference, chosen: str
) -> None:
    pods = [
        labelled("pg-0", "data-0", role="replica"),
        labelled("pg-1", "data-1", role="primary"),
        labelled("pg-2", "data-2", role="replica"),
    ]

    place = choose_place(pods, dump(prefer), None)

    assert (place.pod, place.claim) == (chosen, f"data-{chosen[-1]}")


def test_a_pod_with_a_claim_of_the_run_comes_before_the_preferred_role() -> None:
    pods = [
        labelled("pg-0", "data-0", role="replica"),
        labelled("pg-1", "data-1", role="primary"),
    ]

    assert choose_place(pods, dump(PRIMARY), ["data-0"]).pod == "pg-0"


@pytest.mark.parametrize(("prefer", "chosen"), [(PRIMARY, "pg-1"), (STANDBY, "pg-0")])
async def test_without_labels_the_databases_are_asked(prefer: Preference, chosen: str) -> None:
    answers = {"pg-0": STANDBY, "pg-1": PRIMARY, "pg-2": None}

    async def ask(_: PlannedDump, place: DumpPlace) -> Preference | None:
        return answers[place.pod]

    pods = [pod(name, f"data-{name[-1]}") for name in answers]

    assert (await choose_by_asking(pods, dump(prefer), None, ask=ask)).pod == chosen


@pytest.mark.parametrize("case", ["one pod", "labels", "started"])
async def test_nobody_is_asked_where_that_would_change_nothing(case: str) -> None:
    async def ask(_: PlannedDump, place: DumpPlace) -> Preference | None:
        raise AssertionError(f"{place.pod} was asked")

    pods = [pod("pg-0", "data-0"), pod("pg-1", "data-1")]
    if case == "one pod":
        pods = pods[:1]
    if case == "labels":
        pods = [labelled("pg-0", "data-0", role="primary"), pods[1]]
    prefer = "uid-pg-1" if case == "started" else ""

    place = await choose_by_asking(pods, dump(PRIMARY), None, prefer=prefer, ask=ask)

    assert place.pod == ("pg-1" if case == "started" else "pg-0")


@pytest.mark.parametrize(
    ("printed", "role"), [(b"t\n", STANDBY), (b"f\n", PRIMARY), (b"", None), (b"x", None)]
)
def test_postgres_says_whether_it_is_in_recovery(printed: bytes, role: Preference | None) -> None:
    assert roles.parse_role(printed) is role


def test_engines_that_cannot_be_asked_are_not() -> None:
    assert roles.probe("redis") is None


def test_a_hook_runs_where_a_claim_of_the_run_is_and_stands_for_that_claim() -> None:
    pods = [
        labelled("pg-0", "data-0", role="primary"),
        labelled("pg-1", "data-1", role="replica"),
    ]

    place = choose_hook_place(pods, planned_hook(), ["data-1", "logs"], field="f")

    assert (place.pod, place.claims) == ("pg-1", ("data-1",))


def test_a_hook_follows_the_dump_of_its_target() -> None:
    pods = [pod("pg-0", "data-0"), pod("pg-1", "data-1")]

    place = choose_hook_place(
        pods, planned_hook(), ["data-0", "data-1"], field="f", prefer="uid-pg-1"
    )

    assert place.pod == "pg-1"
