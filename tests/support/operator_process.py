"""The operator as a process: `python -m backstay` against a kubeconfig, ended by its pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path


class OperatorProcess:
    """A running operator. `log` is where its words go."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self.log = log

    def kill(self) -> None:
        """SIGKILL: no farewell, the Lease is not given back."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    def running(self) -> bool:
        """Return whether it has not ended."""
        return self._process.returncode is None

    async def ended(self) -> int:
        """Wait for its end; return the exit code, -9 if it was killed."""
        return await self._process.wait()


@contextlib.asynccontextmanager
async def running_operator(
    kubeconfig: Path, namespace: str, *, lease: str, log: Path, resync: str = "PT5M"
) -> AsyncIterator[OperatorProcess]:
    """Given how to reach the API server, the operator's namespace and its Lease's name, run an
    operator; it is killed when the block ends.
    """
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "BACKSTAY_NAMESPACE": namespace,
        "BACKSTAY_LEASE_NAME": lease,
        "BACKSTAY_BIND_ADDRESS": "127.0.0.1",
        "BACKSTAY_PROBE_PORT": "0",
        "BACKSTAY_METRICS_PORT": "0",
        "BACKSTAY_RESYNC_INTERVAL": resync,
    }
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "backstay", env=environment, stdout=output, stderr=output
        )
    operator = OperatorProcess(process, log)
    try:
        yield operator
    finally:
        operator.kill()
        await operator.ended()
