"""File systems for rolling copies: real ones on loop devices, made and removed by the tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hack.cluster.kit.packages import FILE_SYSTEMS, ROLLING, ensure, extend_path
from tests.faults.rolling import harness
from tests.faults.rolling.harness import Place
from tests.faults.rolling.kinds import Disks, disks


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    if os.geteuid() != 0:
        pytest.skip("copies keep owners and devices, and disks are mounted: needs root")
    extend_path()
    ensure(ROLLING)


@pytest.fixture(scope="session")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with harness.disk(tmp_path_factory.mktemp("ext4"), "ext4") as mount:
        yield mount


@pytest.fixture(scope="session")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with harness.disk(tmp_path_factory.mktemp("xfs"), "xfs") as mount:
        yield mount


@pytest.fixture(scope="session")
def btrfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with harness.disk(tmp_path_factory.mktemp("btrfs"), "btrfs") as mount:
        yield mount


@pytest.fixture(scope="session")
def disk() -> Iterator[Disks]:
    """File systems in memory, so that flushing costs little."""
    ensure(FILE_SYSTEMS)
    folder = Path(tempfile.mkdtemp(prefix="backstay-", dir="/dev/shm"))
    try:
        with disks(folder) as found:
            yield found
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, so that flushing costs nothing."""
    path = Path(tempfile.mkdtemp(prefix="backstay-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


def place_on(mount: Path, source: Path) -> Place:
    """Given a file system and an empty source, return a place with a fresh destination there."""
    destination = Path(tempfile.mkdtemp(dir=mount))
    source.mkdir()
    place = Place(source, destination)
    place.init()
    return place


@pytest.fixture
def in_memory(memory: Path) -> Place:
    """A place where the kind of file system does not matter."""
    return place_on(memory, memory / "source")


@pytest.fixture(params=["ext4", "xfs", "btrfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place on each kind of file system; its source is on the machine's own."""
    return place_on(request.getfixturevalue(request.param), tmp_path / "source")


@pytest.fixture
def on_ext4(ext4: Path, tmp_path: Path) -> Place:
    """For what does not depend on the destination's file system."""
    return place_on(ext4, tmp_path / "source")
