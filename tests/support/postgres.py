"""A real PostgreSQL server of the machine, for tests: in a folder of its own, on a Unix socket.

Nothing listens on a network, and the server is stopped by its own pid.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.kit import packages
from tests.support import debian
from tests.support.waiting import eventually

_ROOM = 512 * 1024 * 1024  # bytes that a cluster and a test's data may take in memory
_HBA = """
local all guarded scram-sha-256
local all all trust
local replication all trust
"""


def programs() -> Path:
    """Return the folder of the newest server's real programs (Debian's wrappers hide the pids)."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        packages.install("postgresql")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return max(found, key=lambda path: int(path.parent.parent.name)).parent


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    home: Path  # the data directory is home/data, the socket lies in home, the log is home/log
    bin: Path
    pid: int

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes libpq find this server."""
        return {"PGHOST": str(self.home), "PGUSER": "postgres"}

    @property
    def log(self) -> str:
        return (self.home / "log").read_text(errors="replace")

    def sql(self, text: str, database: str = "postgres") -> str:
        """Given SQL, return what psql prints: rows on lines, columns parted by `|`."""
        done = subprocess.run(
            self.psql(database),
            input=text,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"psql: {done.stderr}")
        return done.stdout.strip()

    def psql(self, database: str = "postgres") -> Sequence[str]:
        """Return psql's command, reading SQL from standard input."""
        quoted = database.replace("\\", "\\\\").replace("'", "\\'")
        return (str(self.bin / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", f"dbname='{quoted}'")

    def contents(self, database: str, *options: str) -> str:
        """Given a database, return all that pg_dump knows of it, definitions and rows, without
        what differs from one run to the next.
        """
        connection = self.psql(database)[-1]
        done = subprocess.run(
            [self.bin / "pg_dump", *options, f"--dbname={connection}"],
            env={**os.environ, **self.environment},
            capture_output=True,
            check=True,
            text=True,
        )
        by_chance = ("\\restrict", "\\unrestrict")
        lines = done.stdout.splitlines()
        return "\n".join(line for line in lines if not line.startswith(by_chance))


def initialise(room: int = _ROOM) -> Path:
    """Given the bytes that its data may take, make a home with an empty cluster and return it."""
    programs()  # installing them makes the user
    home = debian.home(room, "postgres")
    initdb = [str(programs() / "initdb"), "-D", str(home / "data"), "-U", "postgres"]
    options = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
    subprocess.run(
        [*debian.unprivileged("postgres"), *initdb, *options],
        cwd=home,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (home / "data" / "pg_hba.conf").write_text(_HBA)
    return home


def server_command(home: Path) -> Sequence[str]:
    """Given a home, return the server's command: no network, no durability, few buffers."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(home),
        "fsync": "off",
        "shared_buffers": "16MB",
        "max_connections": "30",
        "autovacuum": "off",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return (str(programs() / "postgres"), "-D", str(home / "data"), *options)


@contextmanager
def running(before: Sequence[str] = (), room: int = _ROOM) -> Iterator[Server]:
    """Given words to put before the server's command (as whose child it then runs) and the bytes
    that its data may take, start a server on a new cluster; at the end it is stopped and its files
    are removed.
    """
    home = initialise(room)
    try:
        with (home / "log").open("wb") as log:
            argv = [*before, *debian.unprivileged("postgres"), *server_command(home)]
            process = subprocess.Popen(argv, cwd=home, stdout=log, stderr=log)
        server = Server(home=home, bin=programs(), pid=process.pid)
        try:
            eventually(lambda: "ready to accept connections" in server.log, f"start of {home}")
            yield server
        finally:
            if before:
                process.kill()  # PID 1 of a namespace takes everything in it along
            else:
                process.send_signal(signal.SIGQUIT)
            process.wait(timeout=120)
    finally:
        shutil.rmtree(home)


@contextmanager
def standby_of(server: Server) -> Iterator[Server]:
    """Start a standby of a server, with all that it has until now; it is stopped at the end."""
    home = debian.home(_ROOM, "postgres")
    try:
        copy = [str(server.bin / "pg_basebackup"), "-D", str(home / "data"), "-R", "-X", "stream"]
        subprocess.run(
            [*debian.unprivileged("postgres"), *copy, "--checkpoint=fast"],
            env={**os.environ, **server.environment},
            cwd=home,
            check=True,
        )
        argv = [*debian.unprivileged("postgres"), *server_command(home), "-c", "hot_standby=on"]
        with debian.process(argv, home) as process:
            found = Server(home=home, bin=server.bin, pid=process.pid)
            ready = "ready to accept read-only connections"
            eventually(lambda: ready in found.log.replace("read only", "read-only"), "the standby")
            # It takes connections some moments before it asks its primary for what comes.
            following = "SELECT count(*) FROM pg_stat_wal_receiver"
            eventually(lambda: found.sql(following) == "1", "the standby to follow its primary")
            yield found
    finally:
        shutil.rmtree(home)
