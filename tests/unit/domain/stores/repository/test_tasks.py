"""What Jobs of a repository are asked: the contract of docs/design/0036-repository-agent.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.repository_looks import ID, spec

from backstay.domain.jobs import DumpWish, Step
from backstay.domain.stores.repository import tasks
from backstay.domain.stores.repository.choice import Want


def read(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(step.task)
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"pathSuffix": "team/shop"}, {"pathSuffix": "team/shop"}),
        ({"claim": {"name": "nfs"}}, {"local": "/repository"}),
        ({"claim": {"name": "nfs", "subPath": "a/b"}}, {"local": "/repository/a/b"}),
        ({"customCA": {"secretName": "tls"}}, {"ca": "/run/backstay/ca/ca.crt"}),
        ({"access": "ReadOnly", "initialise": "Never"}, {"readOnly": True}),
        (
            {"limits": {"uploadKiB": 512, "downloadKiB": 1024}},
            {"uploadKiB": 512, "downloadKiB": 1024},
        ),
    ],
)
def test_every_task_says_where_the_repository_is_and_what_may_be_done_to_it(
    values: dict[str, Any], expected: dict[str, Any]
) -> None:
    plain = {
        "secret": "/run/backstay/secret",
        "pathSuffix": "",
        "local": "",
        "ca": "",
        "cache": "/cache",
        "id": ID,
        "readOnly": False,
        "uploadKiB": 0,
        "downloadKiB": 0,
    }

    assert tasks.repository_json(spec(**values), ID) == {**plain, **expected}
    assert read(tasks.list_(spec(**values), ID)) == {"repository": {**plain, **expected}}


def test_a_backup_says_what_is_stored_and_as_what() -> None:
    wish = tasks.BackupWish(
        run="u-1",
        attempt=2,
        host="team/data",
        tags=("policy=shop",),
        root="/data",
        path="",
        record={"version": 1},
        taken=datetime(2026, 11, 30, 1, 2, 3, tzinfo=UTC),
        exclude=("*.tmp",),
        minimum_percent=50,
        files=10,
        dumps=(DumpWish("shop", "backstay/shop.dump", "ab" * 32),),
    )

    step = tasks.backup(spec(), ID, wish)
    task = read(step)

    assert step.verb == "repository-backup"
    assert (task["run"], task["attempt"], task["host"]) == ("u-1", 2, "team/data")
    assert task["time"] == "2026-11-30T01:02:03+00:00"
    assert task["source"] == {
        "root": "/data",
        "path": "",
        "exclude": ["*.tmp"],
        "allowUnreadable": False,
        "requireMount": False,
    }
    # What nobody knows is left out: 0 would be a number to compare with.
    assert task["shrink"] == {"percent": 50, "allow": False, "files": 10}
    assert task["dumps"] == [{"name": "shop", "path": "backstay/shop.dump", "sha256": "ab" * 32}]
    assert task["record"] == {"version": 1}


def test_a_backup_of_what_is_read_has_no_moment_of_its_own() -> None:
    wish = tasks.BackupWish("u", 1, "h", (), "/data", "", {})

    assert "time" not in read(tasks.backup(spec(), ID, wish))


def test_a_restore_says_what_goes_where_and_whose_halves_it_goes_on_with() -> None:
    wish = tasks.RestoreWish(
        snapshot=ID, restore="u-1", root="/target", path="aside", source="/data/uploads",
        include=("a",), acknowledge=("Unverified",),
    )  # fmt: skip

    step = tasks.restore(spec(), ID, wish)
    task = read(step)

    assert step.verb == "repository-restore"
    assert (task["snapshot"], task["path"], task["restore"]) == (ID, "/data/uploads", "u-1")
    assert task["target"] == {"root": "/target", "path": "aside"}
    assert (task["include"], task["acknowledge"]) == (["a"], ["Unverified"])
    assert (task["delete"], task["overwrite"]) == (False, False)


def test_a_search_names_what_each_claim_is_to_be_of_and_nothing_else() -> None:
    moment = datetime(2026, 11, 30, 1, tzinfo=UTC)
    wants = [
        Want("team", "data"),
        Want("team", "web", as_of=moment, previous=1, host="volsync"),
    ]

    step = tasks.find(spec(), ID, wants, ["Unverified"])
    task = read(step)

    assert step.verb == "repository-find"
    plain, chosen = task["wants"]
    assert plain == {"namespace": "team", "claim": "data", "field": "spec.from.repository"}
    assert chosen | plain == {
        **plain,
        "asOf": "2026-11-30T01:00:00+00:00",
        "previous": 1,
        "host": "volsync",
    }
    assert task["acknowledge"] == ["Unverified"]


@pytest.mark.parametrize(
    ("maintenance", "expected"),
    [
        ({}, {"maxUnused": "5%"}),
        ({"maxUnused": "10Gi"}, {"maxUnused": "10G"}),
        ({"maxUnused": "unlimited"}, {"maxUnused": "unlimited"}),
        ({"maxRepack": "1Gi"}, {"maxUnused": "5%", "maxRepack": str(2**30)}),
    ],
)
def test_prune_has_its_limits_in_restics_words(
    maintenance: dict[str, str], expected: dict[str, str]
) -> None:
    wish = tasks.MaintainWish(prune=True)

    assert read(tasks.maintain(spec(maintenance=maintenance), ID, wish))["prune"] == expected


def test_maintenance_is_asked_for_nothing_that_is_not_wished_for() -> None:
    task = read(tasks.maintain(spec(), ID, tasks.MaintainWish(forget=[ID])))

    assert task.keys() == {"repository", "forget", "unlockAll"}
    assert task["forget"] == [ID]
    more = tasks.MaintainWish(check=tasks.Check(3, 14), unlock=["l1"], unlock_all=True)
    task = read(tasks.maintain(spec(), ID, more))
    assert task["check"] == {"part": 3, "of": 14}
    assert (task["unlock"], task["unlockAll"]) == (["l1"], True)
