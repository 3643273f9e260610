"""BackupRepositories on a real S3 server over TLS with a CA of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hack.cluster.kit import s3
from hack.cluster.kit.certificates import ensure_authority
from tests.support.mounting import CONFIG_MAP
from tests.support.repositories import PASSWORD, WRONG, Repositories, ready
from tests.support.rolling_world import World
from tests.support.s3_server import Server

from backstay.domain.objects import Obj
from backstay.kube.resources import NAMESPACE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("s3") / "cluster")
    yield found
    found.stop()


class Bucket:
    """Where a repository is, in a bucket that tests share."""

    def __init__(self, server: Server, repositories: Repositories) -> None:
        self.server = server
        self.access = server.start()
        self.repositories = repositories
        self.prefix = secrets.token_hex(4)
        self.pem = Path(self.access.ca).read_text()

    async def secret(self, user: str = s3.WRITER, /, **others: str | None) -> None:
        """Have the Secret of a user, with keys that are others than they should be, or missing."""
        keys = {
            "RESTIC_REPOSITORY": f"s3:{self.access.endpoint}/{s3.BUCKET}/{self.prefix}",
            "RESTIC_PASSWORD": PASSWORD,
            "AWS_ACCESS_KEY_ID": self.access.keys[user].id,
            "AWS_SECRET_ACCESS_KEY": self.access.keys[user].secret,
        }
        whole = {**keys, **others}
        await self.repositories.secret(**{k: v for k, v in whole.items() if v is not None})

    async def made(self, **spec: Any) -> Obj:
        """Make a repository with its Secret, trusted by a CA that is in one."""
        await self.secret()
        await self.repositories.secret("tls", **{"ca.crt": self.pem})
        return await self.repositories.make(**{"customCA": {"secretName": "tls"}, **spec})

    def objects(self, below: str = "") -> list[str]:
        """The keys of what is stored."""
        folder = self.server.layout.s3 / "data" / s3.BUCKET / self.prefix / below
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def bucket(server: Server, world: World) -> Bucket:
    return Bucket(server, Repositories(world))


@pytest.mark.parametrize("kind", ["secretName", "configMapName"])
async def test_a_server_with_a_ca_of_its_own_is_trusted_by_it_alone(
    bucket: Bucket, kind: str
) -> None:
    repositories = bucket.repositories
    await bucket.secret()

    untrusted = await repositories.make()
    assert ready(untrusted)[:2] == ("False", "Untrusted")
    assert "give its CA (spec.customCA)" in ready(untrusted)[2]

    missing = await repositories.change(customCA={kind: "tls", "key": "root.pem"})
    what = "Secret" if kind == "secretName" else "ConfigMap"
    assert ready(missing)[:2] == ("False", "SecretIncomplete")
    assert f"its CA is root.pem of {what} tls" in ready(missing)[2]

    if kind == "secretName":
        await repositories.secret("tls", **{"root.pem": bucket.pem})
    else:
        metadata = {"name": "tls", "namespace": repositories.namespace}
        body = {"metadata": metadata, "data": {"root.pem": bucket.pem}}
        await repositories.world.client.create(CONFIG_MAP, body)
    made = await repositories.again()

    assert ready(made)[:2] == ("True", "Initialised")
    assert "config" in bucket.objects()


@pytest.fixture
def another_ca(tmp_path: Path) -> str:
    ensure_authority(tmp_path / "pki", "somebody-else")
    return (tmp_path / "pki/ca.crt").read_text()


async def test_the_ca_of_somebody_else_is_not_trusted(bucket: Bucket, another_ca: str) -> None:
    await bucket.secret()
    await bucket.repositories.secret("tls", **{"ca.crt": another_ca})

    found = await bucket.repositories.make(customCA={"secretName": "tls"})

    assert ready(found)[:2] == ("False", "Untrusted")
    assert ready(found)[2].endswith("its CA is ca.crt of Secret tls")
    assert bucket.objects() == []


async def test_a_suffix_makes_several_repositories_of_one_secret(bucket: Bucket) -> None:
    found = await bucket.made(pathSuffix="team/shop")

    assert ready(found)[:2] == ("True", "Initialised")
    assert "config" in bucket.objects("team/shop")
    assert "config" not in bucket.objects()


async def test_a_wrong_password_is_no_reason_to_make_another_repository(bucket: Bucket) -> None:
    made = await bucket.made()
    await bucket.secret(RESTIC_PASSWORD=WRONG)

    found = await bucket.repositories.again()

    assert ready(found)[:2] == ("False", "WrongPassword")
    assert found["status"]["id"] == made["status"]["id"]
    assert len(bucket.objects("keys")) == 1


@pytest.mark.parametrize(
    ("others", "reason", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": WRONG}, "AccessDenied", "the Secret is restic"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "AccessDenied", "the Secret is restic"),
        ({"RESTIC_REPOSITORY": None}, "SecretIncomplete", "lacks RESTIC_REPOSITORY"),
        (
            {"RESTIC_REPOSITORY": "s3:https://nowhere.invalid/b"},
            "Unreachable",
            "the name nowhere.invalid cannot be resolved",
        ),
    ],
    ids=["secret key", "key", "no place", "no server"],
)
async def test_what_the_secret_has_wrong_is_distinguished(
    bucket: Bucket, others: dict[str, str | None], reason: str, words: str
) -> None:
    await bucket.secret(s3.WRITER, **others)
    await bucket.repositories.secret("tls", **{"ca.crt": bucket.pem})

    found = await bucket.repositories.make(customCA={"secretName": "tls"})

    assert ready(found)[:2] == ("False", reason)
    assert words in ready(found)[2]
    assert bucket.objects() == []

    await bucket.secret()
    assert ready(await bucket.repositories.again())[:2] == ("True", "Initialised")


async def test_a_server_that_is_down_is_out_of_reach_until_it_is_back(bucket: Bucket) -> None:
    made = await bucket.made()
    bucket.server.stop()

    down = await bucket.repositories.again()

    assert ready(down)[:2] == ("False", "Unreachable")
    assert "spec.mover.podLabels" in ready(down)[2]
    assert down["status"]["id"] == made["status"]["id"]

    bucket.server.start()
    assert ready(await bucket.repositories.again())[:2] == ("True", "Opened")


async def test_a_repository_whose_objects_are_gone_has_vanished(bucket: Bucket) -> None:
    made = await bucket.made()
    await bucket.secret(RESTIC_REPOSITORY=f"s3:{bucket.access.endpoint}/{s3.BUCKET}/mistyped")

    gone = await bucket.repositories.again()

    assert ready(gone)[:2] == ("False", "Vanished")
    assert made["status"]["id"][:8] in ready(gone)[2]
    assert not (bucket.server.layout.s3 / "data" / s3.BUCKET / "mistyped").exists()


async def test_append_only_needs_no_right_to_delete(bucket: Bucket) -> None:
    await bucket.secret(s3.APPENDER)
    await bucket.repositories.secret("tls", **{"ca.crt": bucket.pem})

    made = await bucket.repositories.make(customCA={"secretName": "tls"}, access="AppendOnly")
    assert ready(made)[:2] == ("True", "Initialised")
    opened = await bucket.repositories.again()

    assert ready(opened)[:2] == ("True", "Opened")
    assert bucket.objects("locks") == []


async def test_two_namespaces_can_use_one_repository_and_know_it_as_the_same(
    bucket: Bucket, world: World
) -> None:
    made = await bucket.made()
    other = Repositories(world, f"{world.namespace}-other")
    await world.client.create(NAMESPACE, {"metadata": {"name": other.namespace}})
    theirs = Bucket(bucket.server, other)
    theirs.prefix = bucket.prefix

    found = await theirs.made(access="ReadOnly", initialise="Never")

    assert ready(found)[:2] == ("True", "Opened")
    assert found["status"]["id"] == made["status"]["id"]
