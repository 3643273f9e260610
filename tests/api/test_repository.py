"""BackupRepositories in a claim, with the real agent, restic and a real API server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.support.repositories import NAME, PASSWORD, WRONG, Repositories, contents, events, ready
from tests.support.rolling_world import World

from backstay.domain.errors import UserError
from backstay.domain.objects import dig
from backstay.kube.resources import BACKUP_REPOSITORY, NAMESPACE
from backstay.steps.repositories import usable


@pytest.fixture
def repositories(world: World) -> Repositories:
    return Repositories(world)


def touched(folder: Path) -> dict[str, int]:
    """By path: when something was last written to a file, or made or removed in a directory."""
    return {str(path): path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


async def test_a_repository_that_is_missing_is_made_once_and_is_ready(
    repositories: Repositories,
) -> None:
    made = await repositories.in_a_claim()

    status, reason, message = ready(made)
    assert (status, reason) == ("True", "Initialised"), message
    assert len(made["status"]["id"]) == 64
    assert made["status"]["format"] == 2
    assert made["status"]["restic"].startswith("0.")
    assert made["status"]["snapshots"] == 0
    assert made["status"]["openedAt"]
    assert made["status"]["observedGeneration"] == 1
    assert await repositories.jobs() == []

    opened = await repositories.again()

    assert ready(opened)[:2] == ("True", "Opened")
    assert opened["status"]["id"] == made["status"]["id"]
    assert repositories.opened == 2


async def test_its_numbers_are_those_of_the_repository(repositories: Repositories) -> None:
    made = await repositories.in_a_claim()
    assert made["status"]["snapshots"] == 0

    repositories.back_up()
    repositories.back_up()
    opened = await repositories.again()

    assert opened["status"]["snapshots"] == 2
    assert opened["status"]["bytes"] > 0
    assert ready(opened)[2] == f"repository {made['status']['id'][:8]} has 2 snapshots"


async def test_without_leave_to_make_one_a_missing_repository_is_reported_and_not_made(
    repositories: Repositories,
) -> None:
    found = await repositories.in_a_claim(initialise="Never")

    status, reason, message = ready(found)
    assert (status, reason) == ("False", "NoRepository")
    assert "set spec.initialise to IfMissing" in message
    assert contents(repositories.folder) == {}

    made = await repositories.change(initialise="IfMissing")

    assert ready(made)[:2] == ("True", "Initialised")
    assert made["status"]["observedGeneration"] == 2


async def test_a_wrong_password_is_named_and_the_right_one_ends_it(
    repositories: Repositories,
) -> None:
    made = await repositories.in_a_claim()
    before = contents(repositories.folder)
    await repositories.secret(RESTIC_PASSWORD=WRONG)

    refused = await repositories.again()

    status, reason, message = ready(refused)
    assert (status, reason) == ("False", "WrongPassword")
    assert "the Secret is restic" in message
    assert refused["status"]["id"] == made["status"]["id"]
    assert contents(repositories.folder) == before

    await repositories.secret(RESTIC_PASSWORD=PASSWORD)
    assert ready(await repositories.again())[:2] == ("True", "Opened")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (None, "the Secret is missing"),
        ({}, "the Secret is missing"),
        ({"OTHER": "x"}, "has no key that restic takes; it needs RESTIC_PASSWORD"),
        ({"AWS_ACCESS_KEY_ID": "x"}, "the Secret lacks RESTIC_PASSWORD"),
        ({"RESTIC_PASSWORD": " "}, "the Secret lacks RESTIC_PASSWORD"),
    ],
    ids=["none", "empty", "others", "incomplete", "blank"],
)
async def test_a_secret_that_is_missing_or_incomplete_is_named_with_the_key(
    repositories: Repositories, keys: dict[str, str] | None, words: str
) -> None:
    repositories.folder.mkdir(parents=True)
    if keys is not None:
        await repositories.secret(**keys)

    found = await repositories.make(claim={"name": "disk"})

    status, reason, message = ready(found)
    assert (status, reason) == ("False", "SecretIncomplete")
    assert words in message
    assert "the Secret is restic" in message
    assert contents(repositories.folder) == {}
    assert "id" not in found["status"]

    await repositories.secret(RESTIC_PASSWORD=PASSWORD)
    assert ready(await repositories.again())[:2] == ("True", "Initialised")


async def test_keys_that_are_not_used_are_named_and_no_value_of_the_secret_is_shown(
    repositories: Repositories,
) -> None:
    repositories.folder.mkdir(parents=True)
    values = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_PASSWORD_COMMAND": "id > /tmp/x", "MINE": "s3cr"}
    await repositories.secret(**values)

    found = await repositories.make(claim={"name": "disk"})

    assert ready(found)[:2] == ("True", "Initialised")
    expected = "keys of Secret restic that are not used: MINE, RESTIC_PASSWORD_COMMAND"
    assert expected in ready(found)[2]
    logs = "".join(repositories.world.client.logs.values())
    posted = await events(repositories)
    assert posted.keys() == {"Opening", "Initialised"}
    shown = json.dumps([found, repositories.world.node.ran, posted]) + logs
    assert all(value not in shown for value in values.values())


async def test_a_repository_that_was_there_and_is_gone_is_never_made_again(
    repositories: Repositories, tmp_path: Path
) -> None:
    made = await repositories.in_a_claim()
    shutil.move(repositories.folder, tmp_path / "aside")
    repositories.folder.mkdir()

    gone = await repositories.again()

    status, reason, message = ready(gone)
    assert (status, reason) == ("False", "Vanished")
    assert f"bring repository {made['status']['id'][:8]} back" in message
    assert contents(repositories.folder) == {}
    assert gone["status"]["id"] == made["status"]["id"]
    # Nor does another spec make it a new one.
    assert ready(await repositories.change(limits={"movers": 2}))[1] == "Vanished"
    assert contents(repositories.folder) == {}

    repositories.folder.rmdir()
    shutil.move(tmp_path / "aside", repositories.folder)
    assert ready(await repositories.again())[:2] == ("True", "Opened")


async def test_another_repository_in_its_place_is_not_used(
    repositories: Repositories, tmp_path: Path
) -> None:
    made = await repositories.in_a_claim()
    shutil.move(repositories.folder, tmp_path / "aside")
    repositories.restic("init")
    foreign = contents(repositories.folder)

    replaced = await repositories.again()

    status, reason, message = ready(replaced)
    assert (status, reason) == ("False", "Replaced")
    assert "to accept the one that is there, delete this BackupRepository" in message
    assert replaced["status"]["id"] == made["status"]["id"]
    assert contents(repositories.folder) == foreign

    # As the message says.
    await repositories.delete()
    accepted = await repositories.make(claim={"name": "disk"})
    assert ready(accepted)[:2] == ("True", "Opened")
    assert accepted["status"]["id"] != made["status"]["id"]


async def test_nothing_at_all_is_written_to_a_read_only_repository(
    repositories: Repositories,
) -> None:
    await repositories.secret(RESTIC_PASSWORD=PASSWORD)
    repositories.folder.mkdir(parents=True)
    readonly = {"claim": {"name": "disk"}, "access": "ReadOnly", "initialise": "Never"}

    empty = await repositories.make(**readonly)
    assert ready(empty)[:2] == ("False", "NoRepository")
    assert "none is made where spec.access is ReadOnly" in ready(empty)[2]
    assert contents(repositories.folder) == {}

    repositories.restic("init")
    repositories.back_up()
    before = touched(repositories.folder)
    opened = await repositories.again()

    assert ready(opened)[:2] == ("True", "Opened")
    assert opened["status"]["snapshots"] == 1
    # Not even a lock, which would be gone by now.
    assert touched(repositories.folder) == before
    with pytest.raises(UserError, match=r"spec\.access is ReadOnly") as refused:
        await usable(repositories.world.client, repositories.namespace, NAME, write=True)
    assert refused.value.reason == "RepositoryReadOnly"
    read = await usable(repositories.world.client, repositories.namespace, NAME, write=False)
    assert read.id == opened["status"]["id"]


async def test_to_delete_one_deletes_nothing_that_is_stored(repositories: Repositories) -> None:
    made = await repositories.in_a_claim()
    repositories.back_up()
    before = contents(repositories.folder)

    await repositories.delete()
    await repositories.world.look(repositories.key)
    assert await repositories.jobs() == []
    assert contents(repositories.folder) == before

    again = await repositories.make(claim={"name": "disk"})
    assert ready(again)[:2] == ("True", "Opened")
    assert again["status"]["id"] == made["status"]["id"]
    assert again["status"]["snapshots"] == 1


async def test_a_repository_is_known_in_its_own_namespace_only_and_so_is_its_secret(
    repositories: Repositories,
) -> None:
    await repositories.in_a_claim()
    client, other = repositories.world.client, f"{repositories.namespace}-other"
    await client.create(NAMESPACE, {"metadata": {"name": other}})

    with pytest.raises(UserError, match=f"no BackupRepository {NAME} in namespace {other}"):
        await usable(client, other, NAME, write=False)

    theirs = Repositories(repositories.world, other)
    shutil.copytree(repositories.folder, theirs.folder)
    found = await theirs.make(claim={"name": "disk"})

    assert ready(found)[:2] == ("False", "SecretIncomplete")
    assert (repositories.opened, theirs.opened) == (1, 1)


async def test_only_one_that_is_ready_can_be_used(repositories: Repositories) -> None:
    await repositories.in_a_claim(initialise="Never")

    with pytest.raises(UserError, match="NoRepository: there is no repository") as refused:
        await usable(repositories.world.client, repositories.namespace, NAME, write=True)

    assert refused.value.reason == "RepositoryNotReady"
    obj = await repositories.world.client.get(BACKUP_REPOSITORY, NAME, repositories.namespace)
    assert dig(obj, "status", "id") is None
