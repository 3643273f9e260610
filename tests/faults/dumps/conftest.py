"""The shells and servers that the dump scripts are tested with."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.dumps.harness import SHELLS, Container, Shell, end_started
from tests.support import debian, mariadb, postgres


@pytest.fixture(scope="session")
def shells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shell]:
    debian.require({name: name for name in (*SHELLS, "zstd")})
    applets = tmp_path_factory.mktemp("busybox")
    busybox = shutil.which("busybox")
    assert busybox is not None
    subprocess.run([busybox, "--install", "-s", str(applets)], check=True)
    tools = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    return {
        "dash": Shell(("dash",), tools),
        "bash": Shell(("bash", "--posix"), tools),
        # As on Alpine: busybox is the shell and all of the tools.
        "busybox": Shell((busybox, "ash"), str(applets)),
    }


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, so that flushing costs nothing."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="backstay-", dir=memory if memory.is_dir() else None))
    yield path
    end_started()
    shutil.rmtree(path)


@pytest.fixture(params=SHELLS)
def container(request: pytest.FixtureRequest, shells: dict[str, Shell], folder: Path) -> Container:
    """A container without a database, once for each shell."""
    return Container(shells[request.param], folder)


@pytest.fixture
def dash(shells: dict[str, Shell], folder: Path) -> Container:
    """A container without a database, for what does not depend on the shell."""
    return Container(shells["dash"], folder)


@pytest.fixture(params=[True, False], ids=["compressed", "uncompressed"])
def compress(request: pytest.FixtureRequest) -> bool:
    """What the policy says of compression: each once."""
    return bool(request.param)


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    with postgres.running() as found:
        yield found


@pytest.fixture(scope="session")
def maria() -> Iterator[mariadb.Server]:
    with mariadb.running() as found:
        yield found
