"""A real S3 server over TLS, of this process, which tests stop and start."""

from __future__ import annotations

import os
from pathlib import Path

from hack.cluster.kit import layout, processes, s3, tools

# Of this process: another run of these tests, or another worker, has another.
_PID = os.getpid()
ADDRESS = f"127.{180 + (_PID >> 16)}.{_PID >> 8 & 255}.{_PID & 255}"


class Server:
    """The S3 server. Given a new directory, it keeps all that it has there."""

    def __init__(self, root: Path) -> None:
        self.layout = layout.Layout(root=root, index=8)
        self.layout.s3.mkdir(parents=True)
        self.layout.marker.touch()
        self._program = tools.ensure(layout.cache_from(os.environ), [s3.SERVICE])[s3.SERVICE]
        self._supervisor = processes.Supervisor(self.layout)

    def start(self) -> s3.Access:
        """Leave it running; return how it is reached, which stays the same."""
        s3.up(self.layout, self._supervisor, self._program, ADDRESS)
        found = s3.access(self.layout)
        assert found is not None
        return found

    def stop(self) -> None:
        """End it as a crash would."""
        processes.stop(processes.owned(self.layout.root), grace=0)
