"""The operator with the rights that it is installed with, at work on repositories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.accounts import installed_rules, make_operator, without
from tests.support.kubectl import Kubectl
from tests.support.node import NodeClient
from tests.support.repositories import CACHE, Repositories, caches, ready
from tests.support.rolling_world import World

from backstay.domain import objects
from backstay.domain.errors import Refused
from backstay.domain.objects import Obj
from backstay.engine.system_clock import SystemClock
from backstay.kube.resources import SECRET

JOBS = [rule for rule in installed_rules() if "jobs" in rule["resources"]]


@pytest.fixture
def repositories(world: World) -> Repositories:
    return Repositories(world)


@pytest.fixture
def kubectl(kubeconfig: Path, world: World) -> Kubectl:
    return Kubectl(kubeconfig, world.namespace)


@asynccontextmanager
async def operating(
    world: World, kubectl: Kubectl, folder: Path, rules: list[Obj]
) -> AsyncIterator[NodeClient]:
    """The operator as an account that has these rules."""
    access = await make_operator(kubectl, folder, rules)
    async with NodeClient(access, SystemClock()) as client:
        client.logs = world.client.logs
        world.restart(client=client)
        yield client
    world.restart()


async def test_the_installed_rights_are_enough_and_it_cannot_read_secrets(
    repositories: Repositories, kubectl: Kubectl, tmp_path: Path
) -> None:
    async with operating(repositories.world, kubectl, tmp_path, installed_rules()) as client:
        made = await repositories.in_a_claim(cache=CACHE)

        assert ready(made)[:2] == ("True", "Initialised")
        assert len(await caches(repositories)) == 1
        assert await repositories.jobs() == []
        with pytest.raises(Refused):
            await client.get(SECRET, "restic", repositories.namespace)


def test_no_rule_that_is_installed_is_about_secrets() -> None:
    assert [r for r in installed_rules() if {"secrets", "*"} & set(r["resources"])] == []


async def test_without_the_right_to_make_jobs_it_says_so(
    repositories: Repositories, kubectl: Kubectl, tmp_path: Path
) -> None:
    no_create = [{**r, "verbs": [v for v in r["verbs"] if v != "create"]} for r in JOBS]
    rules = [*without(installed_rules(), "jobs"), *no_create]
    async with operating(repositories.world, kubectl, tmp_path, rules):
        with pytest.raises(Refused):
            await repositories.begin()
        status, reason, message = ready(await repositories.get())
        assert (status, reason) == ("Unknown", "JobWaits")
        assert "has not started: create Job" in message
        assert 'cannot create resource "jobs"' in message
        decided = (await repositories.get())["status"]["job"]

    # Once it has the right, it makes the very Job that it has decided on.
    assert ready(await repositories.settle())[:2] == ("True", "Initialised")
    assert repositories.opened == 1
    assert decided in [objects.name(job) for job in repositories.world.node.ran]


async def test_without_the_right_to_see_jobs_it_says_so(
    repositories: Repositories, kubectl: Kubectl, tmp_path: Path
) -> None:
    await repositories.begin()
    rules = without(installed_rules(), "jobs")
    async with operating(repositories.world, kubectl, tmp_path, rules):
        with pytest.raises(Refused):
            await repositories.look()

    status, reason, message = ready(await repositories.get())
    assert (status, reason) == ("False", "Forbidden")
    assert 'cannot get resource "jobs"' in message
