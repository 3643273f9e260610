"""A real MariaDB server of the machine, for tests: in a folder of its own, on a Unix socket.

It writes a binary log, so that dumps can say their position. root has a password, PASSWORD.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import debian
from tests.support.waiting import eventually

PASSWORD = 'it\'s "$(secret)" \\s # ü🐘'  # noqa: S105 - of a server that lives for seconds
_ROOM = 1024 * 1024 * 1024
_PROGRAMS = {
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
    "mariadb-dump": "mariadb-client",
}
# Small and without durability; the machine's own option files are not read.
_OPTIONS = (
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--skip-networking",
    "--character-set-server=utf8mb4",
    "--log-bin=binlog",
    "--server-id=1",
    "--event-scheduler=OFF",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    home: Path  # the data directory is home/data, the socket home/socket, the log home/log
    pid: int

    @property
    def socket(self) -> Path:
        return self.home / "socket"

    @property
    def environment(self) -> Mapping[str, str]:
        """What the official image has, and what makes the tools find this server."""
        return {"MARIADB_ROOT_PASSWORD": PASSWORD, "MYSQL_UNIX_PORT": str(self.socket)}

    def sql(self, text: str, database: str = "") -> str:
        """Given SQL, return what the client prints: rows on lines, columns parted by tabs."""
        done = subprocess.run(
            [*self.client(), *([database] if database else [])],
            input=text,
            env={**os.environ, "MYSQL_PWD": PASSWORD},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"mariadb: {done.stderr}")
        return done.stdout.strip()

    def client(self) -> Sequence[str]:
        """Return the client's command, reading SQL from standard input; MYSQL_PWD is not set."""
        login = ("--no-defaults", f"--socket={self.socket}", "--user=root")
        return (
            "mariadb",
            *login,
            "--batch",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
        )


@contextmanager
def running(options: Sequence[str] = _OPTIONS, room: int = _ROOM) -> Iterator[Server]:
    """Start a server with new data; at the end it is stopped and its files are removed."""
    debian.require(_PROGRAMS)
    home = debian.home(room)
    # Of its own: a server that starts removes the temporary tables that others have in theirs.
    own = [f"--datadir={home / 'data'}", f"--tmpdir={home}"]
    try:
        install = [
            "mariadb-install-db",
            "--no-defaults",
            *own,
            "--auth-root-authentication-method=normal",
        ]
        subprocess.run(
            [*debian.unprivileged(), *install], cwd=home, check=True, capture_output=True
        )
        server = ["mariadbd", "--no-defaults", *own, f"--socket={home / 'socket'}"]
        pid_file = f"--pid-file={home / 'pid'}"
        argv = [*debian.unprivileged(), *server, pid_file, *options]
        with debian.process(argv, home) as process:
            found = Server(home=home, pid=process.pid)
            log = home / "log"
            eventually(
                lambda: "ready for connections" in log.read_text("utf-8", "replace"), "MariaDB"
            )
            quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
            subprocess.run(
                [*found.client(), f"--execute=ALTER USER root@localhost IDENTIFIED BY '{quoted}'"],
                check=True,
            )
            yield found
    finally:
        shutil.rmtree(home)
