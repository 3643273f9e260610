"""A real S3 server over TLS for these tests, and repositories in it or in a directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hack.cluster.kit import layout, s3, tools
from hack.cluster.kit.s3_client import Client
from tests.faults.repository.between import Between, standing_between
from tests.faults.repository.harness import PASSWORD, Depot, credentials, fill
from tests.faults.repository.restoring import furnish_all_kinds
from tests.support.cheap_restic import cheap_repository
from tests.support.s3_server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("s3") / "cluster")
    yield found
    found.stop()


@pytest.fixture
def access(server: Server) -> s3.Access:
    """Return how the server is reached, which a test may have stopped."""
    return server.start()


@pytest.fixture
def admin(access: s3.Access) -> Client:
    return access.client(s3.ADMIN)


@pytest.fixture(scope="session")
def restic() -> Path:
    """The directory of the restic that the image has, or of the one in BACKSTAY_RESTIC."""
    chosen = os.environ.get("BACKSTAY_RESTIC")
    cached = tools.ensure(layout.cache_from(os.environ), ["restic"])["restic"]
    return Path(chosen or cached).parent


@pytest.fixture
def between(access: s3.Access) -> Iterator[Between]:
    """A proxy in front of the server, which does nothing yet."""
    with standing_between(access) as found:
        yield found


class Furnish(Protocol):
    def __call__(self, user: str = s3.WRITER, suffix: str = "") -> Depot: ...


@pytest.fixture
def furnish(access: s3.Access, restic: Path, tmp_path: Path) -> Furnish:
    """Given a user and a suffix (this test's own if none is given), a depot in the server."""

    def make(user: str = s3.WRITER, suffix: str = "") -> Depot:
        depot = Depot(tmp_path, restic, ca=access.ca, suffix=suffix or tmp_path.name)
        where = f"s3:{access.endpoint}/{s3.BUCKET}"
        depot.give(RESTIC_REPOSITORY=where, **credentials(access, user))
        return depot

    return make


@pytest.fixture
def depot(furnish: Furnish) -> Depot:
    """A place for a repository in the server, and files to back up."""
    found = furnish()
    fill(found.source)
    return found


@pytest.fixture
def made(depot: Depot, admin: Client) -> Depot:
    """A repository that is there, and known."""
    known, files = cheap_repository(depot.restic / "restic", PASSWORD)
    for path, content in files.items():
        answer = admin.send("PUT", f"/{s3.BUCKET}/{depot.suffix}/{path}", body=content)
        assert answer.status == 200, answer
    return depot.known_as(known)


@pytest.fixture
def watched_by(made: Depot, between: Between) -> Depot:
    """The same, reached by way of the proxy."""
    made.give(RESTIC_REPOSITORY=f"s3:{between.endpoint}/{s3.BUCKET}")
    return made


@pytest.fixture
def kept(tmp_path: Path, restic: Path) -> Depot:
    """A repository in a directory, which is known, and one of everything to store in it."""
    found = Depot(tmp_path, restic, local=str(tmp_path / "repository"))
    found.give(RESTIC_PASSWORD=PASSWORD)
    known, files = cheap_repository(restic / "restic", PASSWORD)
    for path, content in files.items():
        file = Path(found.local, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    furnish_all_kinds(found.source)
    return found.known_as(known)
