"""How the operator works on a BackupRepository: one Job at a time, whatever comes in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from tests.support.clock import VirtualClock
from tests.support.killing import Killed, killing
from tests.support.node import NodeClient
from tests.support.repositories import CACHE, Repositories, caches, contents, events, ready
from tests.support.rolling_world import World

from backstay.api.common import format_time
from backstay.domain import objects
from backstay.domain.objects import Obj
from backstay.domain.stores.repository.use import has_ended
from backstay.engine.system_clock import SystemClock
from backstay.kube.login import Login
from backstay.kube.resources import EVENT, JOB, NAMESPACE


@pytest.fixture
def repositories(world: World) -> Repositories:
    return Repositories(world)


async def test_one_that_cannot_be_used_is_looked_at_ever_more_seldom(
    repositories: Repositories,
) -> None:
    clock = VirtualClock(SystemClock().now())
    repositories.world.restart(clock)
    found = await repositories.in_a_claim(initialise="Never")
    assert ready(found)[1] == "NoRepository"

    waits = []
    for _ in range(8):
        tried = len(repositories.ran)
        after = await repositories.world.look(repositories.key)
        # Looks in between, such as at each resync, start nothing.
        assert await repositories.jobs() == []
        assert after is not None
        waits.append(after)
        await clock.advance(after.total_seconds())
        await repositories.settle()
        assert len(repositories.ran) == tried + 1

    assert timedelta(seconds=14) < waits[0] <= timedelta(seconds=15)
    assert waits == sorted(waits)
    assert timedelta(seconds=299) < waits[-1] <= timedelta(minutes=5)
    # One Event says it, not one for each look.
    assert (await events(repositories)).keys() == {"Opening", "NoRepository"}


async def test_one_that_is_ready_is_opened_again_within_the_hours(
    repositories: Repositories,
) -> None:
    clock = VirtualClock(SystemClock().now())
    repositories.world.restart(clock)
    await repositories.in_a_claim()

    after = await repositories.world.look(repositories.key)
    assert after is not None
    assert timedelta(minutes=1) < after <= timedelta(minutes=30)
    await clock.advance(3599)
    await repositories.settle()
    assert repositories.opened == 1

    await clock.advance(601)
    assert ready(await repositories.settle())[1] == "Opened"
    assert repositories.opened == 2


@pytest.mark.timeout(300)
async def test_killed_before_any_write_it_ends_with_one_repository_that_is_ready(
    repositories: Repositories, credentials: Login
) -> None:
    world = repositories.world
    kills = 0
    killed = True
    while killed:
        place = Repositories(world, f"{world.namespace}-{kills}")
        await world.client.create(NAMESPACE, {"metadata": {"name": place.namespace}})
        async with dying(world, credentials, kills):
            try:
                await place.in_a_claim(cache=CACHE)
                killed = False
            except Killed:
                pass
        found = await place.settle()

        assert ready(found)[0] == "True", (kills, ready(found))
        (config,) = [p for p in contents(place.folder) if p.endswith("config")]
        assert config == "config"
        # One that has ended may be left, for an hour as any other.
        assert all(has_ended(job) for job in await place.jobs()), kills
        assert len(await caches(place)) == 1, kills
        assert found["status"]["jobs"] == len(place.ran), kills
        assert "job" not in found["status"]
        kills += 1
    # The cache, the decision, its Event, the Job; the answer, its Event, and the Job's end.
    assert kills >= 7


@asynccontextmanager
async def dying(world: World, credentials: Login, at: int) -> AsyncIterator[None]:
    """An operator that ends before its write number `at`, and then another one."""
    async with NodeClient(credentials, SystemClock(), fence=killing(at)) as mortal:
        mortal.logs = world.client.logs
        world.restart(client=mortal)
        yield
    world.restart()


async def test_a_job_that_ends_without_a_word_is_reported_and_another_one_is_tried(
    repositories: Repositories,
) -> None:
    job = await repositories.begin()
    await repositories.world.node.kill(job)
    found = await repositories.look()

    status, reason, message = ready(found)
    assert (status, reason) == ("False", "JobFailed")
    assert message.startswith(f"Job {objects.name(job)} has ended without an answer")

    assert ready(await repositories.again())[:2] == ("True", "Initialised")


async def test_a_job_that_cannot_start_is_reported_with_what_the_cluster_says_of_it(
    repositories: Repositories,
) -> None:
    job = await repositories.begin()
    await warn(repositories, job, "FailedCreate", "pods is forbidden: exceeded quota: few")
    repositories.world.client.late = timedelta(minutes=5)

    found = await repositories.look()

    status, reason, message = ready(found)
    assert (status, reason) == ("Unknown", "JobWaits")
    assert message.startswith(f"Job {objects.name(job)} has not started: FailedCreate: pods is")

    repositories.world.client.late = timedelta(0)
    assert ready(await repositories.settle())[:2] == ("True", "Initialised")


async def warn(repositories: Repositories, job: Obj, reason: str, message: str) -> None:
    """Post a warning as a controller does."""
    now, namespace = format_time(SystemClock().now()), repositories.namespace
    about = {"kind": "Job", "namespace": namespace, "name": objects.name(job)}
    body = {
        "metadata": {"name": f"{objects.name(job)}.{reason.lower()}", "namespace": namespace},
        "involvedObject": {**about, "uid": objects.uid(job)},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    await repositories.world.client.create(EVENT, body)


async def test_a_job_of_somebody_else_under_its_name_is_left_alone(
    repositories: Repositories,
) -> None:
    job = await repositories.begin()
    name, uid = objects.name(job), objects.uid(job)
    client = repositories.world.client
    await client.delete(JOB, name, repositories.namespace, uid=uid, propagation="Background")
    container = {"name": "theirs", "image": "none"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    body = {"metadata": job["metadata"] | {"annotations": {}}, "spec": {"template": template}}
    body["metadata"] = {k: body["metadata"][k] for k in ("name", "namespace")}
    theirs = await client.create(JOB, body)

    found = await repositories.look()

    assert ready(found)[1] == "JobFailed"
    assert "was made by somebody else; another one is tried" in ready(found)[2]
    left = await client.get(JOB, name, repositories.namespace)
    assert objects.uid(left) == objects.uid(theirs)


async def test_a_job_of_an_older_spec_says_nothing_about_the_new_one(
    repositories: Repositories,
) -> None:
    old = await repositories.begin(initialise="Never")

    found = await repositories.change(initialise="IfMissing")

    assert ready(found)[:2] == ("True", "Initialised")
    assert objects.name(old) not in {objects.name(j) for j in repositories.world.node.ran}
    assert await repositories.jobs() == []
