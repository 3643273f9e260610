"""Points of a repository become Backups where there are none: after a cluster was lost."""

from __future__ import annotations

import logging
import time

import pytest
from tests.support.kept_points import KeptPoints, in_short_lives, lose
from tests.support.repositories import NAME
from tests.support.rolling_world import World
from tests.support.stored_points import ID, stored
from tests.support.uploads import POLICY, point

from backstay.domain import objects
from backstay.domain.stores.copies.agent_result import AgentResult
from backstay.domain.stores.repository.imports import Place, Scope, imported
from backstay.domain.stores.repository.inventory import inventory_of, unknown
from backstay.domain.stores.repository.listing import to_line
from backstay.domain.stores.repository.work import Outcome
from backstay.kube.login import Login
from backstay.kube.resources import BACKUP_REPOSITORY
from backstay.reconcile import keys
from backstay.reconcile.repository_outcome import write_outcome

log = logging.getLogger(__name__)
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def kept(world: World) -> KeptPoints:
    return KeptPoints(world)


async def found_again(kept: KeptPoints, **spec: object) -> None:
    """Name the repository in the empty namespace, and let it be listed."""
    whole = {"claim": {"name": "disk"}, "initialise": "Never", "access": "ReadOnly", **spec}
    await kept.repositories.make(**whole)
    await kept.rest()


async def test_what_is_in_a_repository_is_listed_as_backups_without_a_policy(
    kept: KeptPoints,
) -> None:
    await kept.begin()
    first = await kept.taken("first")
    await kept.days(1)
    second = await kept.taken("second")
    await lose(kept)
    assert await kept.backups() == []

    await found_again(kept)

    assert await kept.backups() == ["first", "second"]
    for before in (first, second):
        after = await kept.backup(objects.name(before))
        assert after["spec"]["policy"] == POLICY
        assert after["spec"]["trigger"] == "Imported"
        assert after["spec"]["scheduledFor"] == before["spec"]["scheduledFor"]
        assert after["status"]["phase"] == "Completed"
        old, new = point(before), point(after)
        same = ("source", "store", "ref", "takenAt", "bytes", "result")
        assert {k: new[k] for k in same} == {k: old[k] for k in same}
        ids = ("id", "data", "record", "tree", "files", "source")
        assert {k: new["stored"].get(k) for k in ids} == {k: old["stored"].get(k) for k in ids}
    obj = await kept.repositories.get()
    assert (obj["status"]["points"], obj["status"]["foreign"]) == (2, 0)
    status, reason, message = await kept.says("Listed")
    assert (status, reason, message) == ("True", "Listed", "2 points, 0 snapshots of others")


async def test_killed_again_and_again_every_run_becomes_one_backup(
    kept: KeptPoints, credentials: Login
) -> None:
    await kept.begin()
    for name in ("first", "second", "third"):
        await kept.taken(name)
    await lose(kept)
    whole = {"claim": {"name": "disk"}, "initialise": "Never", "access": "ReadOnly"}
    spec = {"secretRef": {"name": "restic"}, **whole}
    await kept.world.create(BACKUP_REPOSITORY, NAME, spec)

    died = await in_short_lives(kept, credentials)

    # Of each record its making and its status, at the least, some of them in each life.
    assert died >= 3
    assert await kept.backups() == ["first", "second", "third"]
    for name in await kept.backups():
        found = await kept.backup(name)
        assert found["status"]["phase"] == "Completed"
        assert point(found)["stored"]["repository"] == NAME


async def test_a_writable_repository_gives_back_what_is_of_this_very_namespace(
    kept: KeptPoints,
) -> None:
    await kept.begin(retention={"last": 1})
    await kept.taken("first")
    await kept.taken("second")
    await lose(kept)

    await found_again(kept, access="ReadWrite")

    assert await kept.backups() == ["first", "second"]
    # Without a policy nothing goes, and with it all goes on as before.
    await kept.days(3)
    assert await kept.backups() == ["first", "second"]
    await kept.policy_of_repository()
    await kept.taken("third")
    await kept.days(4)
    assert await kept.backups() == ["third"]
    assert len(await kept.ids()) == 2


async def test_a_thousand_points_become_backups(kept: KeptPoints) -> None:
    """The times are logged: making them is the API server's, which other tests ask as well."""
    place = Place(kept.namespace, "", NAME, ID)
    lines = [to_line(one) for n in range(1000) for one in stored(f"run{n}")]
    listed = AgentResult(True, "Listed", "", {"snapshots": len(lines)})
    began = time.monotonic()
    found = unknown(inventory_of(lines, listed), [], ID)
    made, refused = imported(found, place, Scope.ALL, [])
    planned = time.monotonic()

    await write_outcome(kept.world.client, Outcome((), made), kept.world.add, "offsite")

    log.info("read in %.2f s, made in %.2f s", planned - began, time.monotonic() - planned)
    assert refused == {}
    assert len(await kept.backups()) == 1000
    last = await kept.backup("run999")
    assert last["status"]["phase"] == "Completed"
    assert keys.retention(kept.namespace, "shop") in kept.world.due
