"""A real Redis server of the machine, for tests: in a folder of its own, on a Unix socket."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import debian
from tests.support.waiting import eventually

PASSWORD = 'it\'s "$(secret)" ü🐘'  # noqa: S105 - of a server that lives for seconds
_ROOM = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, or one that loads a file."""

    home: Path

    @property
    def socket(self) -> Path:
        return self.home / "socket"

    def ask(self, *words: str | bytes) -> bytes:
        """Given a command, return what the server says."""
        client = ("redis-cli", "-s", str(self.socket), "--no-raw", *words)
        environment = {"PATH": "/usr/bin:/bin", "REDISCLI_AUTH": PASSWORD}
        done = subprocess.run(client, env=environment, capture_output=True, check=True)
        return done.stdout.strip()


@contextmanager
def running(rdb: bytes = b"", settings: Sequence[str] = ()) -> Iterator[Server]:
    """Given the RDB file that it starts with and further settings, start a server; it ends with the
    block.
    """
    debian.require({"redis-server": "redis-server", "redis-cli": "redis-tools"})
    home = debian.home(_ROOM)
    try:
        if rdb:
            (home / "dump.rdb").write_bytes(rdb)
            (home / "dump.rdb").chmod(0o644)
        settings = (*settings, "--port", "0", "--unixsocket", str(home / "socket"), "--save", "")
        # By default it waits five seconds for more replicas.
        argv = ["redis-server", *settings, "--repl-diskless-sync-delay", "0"]
        argv += ["--dir", str(home), "--requirepass", PASSWORD]
        with debian.process([*debian.unprivileged(), *argv], home) as _:
            log = home / "log"
            eventually(lambda: b"eady to accept connections" in log.read_bytes(), "Redis")
            eventually((home / "socket").exists, "Redis's socket")
            yield Server(home)
    finally:
        shutil.rmtree(home)
