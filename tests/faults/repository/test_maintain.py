"""repository-maintain: what is forgotten is named, is proven to be gone, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hack.cluster.kit import s3
from tests.faults.repository.conftest import Furnish
from tests.faults.repository.harness import PASSWORD, Depot, Outcome, fill, ids
from tests.faults.repository.watched import calls, packs, watched

UNKNOWN = "0" * 64


@pytest.fixture
def local(tmp_path: Path, restic: Path) -> Depot:
    """A repository in a directory, with three snapshots of which the first has most."""
    folder = tmp_path / "repository"
    depot = Depot(tmp_path, restic, local=str(folder))
    depot.give(RESTIC_PASSWORD=PASSWORD)
    fill(depot.source)
    found = depot.agent("repository-open", initialise=True)
    assert found.reason == "Initialised", found
    snap(depot, large=True)
    (depot.source / "large").unlink()
    snap(depot)
    snap(depot)
    return depot.known_as(found.result["id"])


def snap(depot: Depot, *, large: bool = False) -> str:
    """Take a snapshot by hand; return its id."""
    if large:
        (depot.source / "large").write_bytes(b"".join(n.to_bytes(4) for n in range(500_000)))
    before = ids(depot)
    depot.run("backup", str(depot.source))
    (new,) = set(ids(depot)) - set(before)
    return new


def said(outcome: Outcome) -> dict[str, bool]:
    """By id: whether a list shows it still."""
    lines = [json.loads(line) for line in outcome.lines]
    return {line["id"]: line["left"] for line in lines if "left" in line}


def test_exactly_what_is_named_is_forgotten_and_its_space_reclaimed(local: Depot) -> None:
    first, second, third = ids(local)
    size = sum(pack.stat().st_size for pack in packs(local))

    done = local.agent(
        "repository-maintain",
        forget=[first, UNKNOWN],
        prune={"maxUnused": "0", "maxRepack": "1G"},
        check={"part": 1, "of": 1},
    )

    assert (done.code, done.reason) == (0, "Maintained"), done
    assert said(done) == {first: False, UNKNOWN: False}
    assert ids(local) == [second, third]
    assert (done.result["forgotten"], done.result["left"]) == (2, 0)
    assert (done.result["pruned"], done.result["checked"]) == (True, True)
    assert (done.result["damaged"], done.result["locks"]) == (False, [])
    freed = size - sum(pack.stat().st_size for pack in packs(local))
    assert freed > 500_000
    assert done.result["freed"] >= freed / 2
    local.run("restore", "latest", "--target", str(local.folder / "restored"), "--verify")


@pytest.mark.parametrize(
    "task",
    [
        {"forget": ["12345678"]},
        {"forget": ["latest"]},
        {"forget": ["--keep-last=1"]},
        {"unlock": ["12345678"]},
        {"prune": {"maxUnused": "5%;x"}},
        {"prune": {"maxRepack": "--force"}},
        {"check": {"part": 0, "of": 14}},
        {"check": {"part": 15, "of": 14}},
    ],
)
def test_what_is_not_named_in_full_is_refused(local: Depot, task: dict[str, object]) -> None:
    before = ids(local)

    done = local.agent("repository-maintain", **task)

    assert (done.code, done.reason) == (2, "BadTask"), done
    assert ids(local) == before


def test_a_hundred_points_are_forgotten_and_listed_by_two_calls(local: Depot) -> None:
    real = ids(local)[:2]
    named = [f"{number:064x}" for number in range(198)]

    done = watched(local).agent("repository-maintain", forget=[*named, *real])

    assert done.code == 0, done
    assert done.result["forgotten"] == 200
    assert len(ids(local)) == 1
    mine = [c for c in calls(local) if "version" not in c and "config" not in c]
    assert [c for c in mine if "locks" not in c] == [
        f"--json --retry-lock 1s forget {' '.join([*named, *real])}",
        "--json --no-lock snapshots",
    ]


def test_who_may_not_delete_is_found_out_and_checks_all_the_same(
    furnish: Furnish, made: Depot
) -> None:
    one = snap(made)
    appender = furnish(s3.APPENDER, suffix=made.suffix).known_as(made.id)

    done = appender.agent(
        "repository-maintain",
        forget=[one],
        prune={"maxUnused": "0"},
        check={"part": 0, "of": 0},
    )

    assert (done.code, done.reason) == (3, "ReadOnly"), done
    assert said(done) == {one: True}
    assert (done.result["forgotten"], done.result["left"]) == (0, 1)
    assert (done.result["pruned"], done.result["checked"]) == (False, True)
    assert "maintenanceSecretRef" in done.result["message"]
    assert ids(made) == [one]


def test_in_a_bucket_with_an_object_lock_snapshots_go_and_their_versions_stay(
    access: s3.Access, depot: Depot
) -> None:
    depot.give(RESTIC_REPOSITORY=f"s3:{access.endpoint}/{s3.LOCKED_BUCKET}")
    opened = depot.agent("repository-open", initialise=True)
    one, other = snap(depot), snap(depot)

    done = depot.known_as(opened.result["id"]).agent(
        "repository-maintain", forget=[one], prune={"maxUnused": "0"}, check={"part": 1, "of": 1}
    )

    assert (done.code, done.reason) == (0, "Maintained"), done
    assert ids(depot) == [other]
    answer = access.client(s3.ADMIN).send(
        "GET", f"/{s3.LOCKED_BUCKET}", query={"versions": "", "prefix": f"{depot.suffix}/snapshots"}
    )
    assert one in answer.body.decode()


def test_a_damaged_pack_is_found_by_the_part_that_reads_it(local: Depot) -> None:
    pack = packs(local)[0]
    pack.chmod(0o644)
    whole = pack.read_bytes()
    pack.write_bytes(whole[:200] + b"rotten" + whole[206:])

    structure = local.agent("repository-maintain", check={"part": 0, "of": 0})
    data = local.agent("repository-maintain", check={"part": 1, "of": 1})

    assert (structure.reason, structure.result["checked"]) == ("Maintained", True), structure
    assert (data.code, data.reason) == (1, "Damaged"), data
    assert (data.result["checked"], data.result["damaged"]) == (True, True)
    assert pack.name in data.result["message"]
    pack.write_bytes(whole)
    mended = local.agent("repository-maintain", check={"part": 1, "of": 1})
    assert (mended.code, mended.result["damaged"]) == (0, False), mended


def test_a_lost_pack_is_found_without_reading_data(local: Depot) -> None:
    packs(local)[0].unlink()

    done = local.agent("repository-maintain", check={"part": 0, "of": 0})

    assert (done.code, done.reason) == (1, "Damaged"), done


def test_nothing_is_done_to_another_repository_than_the_known_one(local: Depot) -> None:
    before = ids(local)

    done = replace(local, id="a" * 64).agent("repository-maintain", forget=before)

    assert (done.code, done.reason) == (3, "Replaced"), done
    assert ids(local) == before
