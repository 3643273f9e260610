"""Lives of an operator that are cheap enough to end a hundred times.

Each is a process of its own, forked from one that has imported everything, and dies by SIGKILL.
It carries out the retention of one policy as the operator's queue does, pass after pass until one
has nothing more to do, but without the pauses in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TypeAlias

from tests.support.passes import retention_reconciler

from backstay.domain.errors import Conflict, Transient
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import login
from backstay.reconcile import keys
from backstay.reconcile.sweeps import SweepReconciler

PAUSE = 0.02
"""Seconds between two passes: what the API server and its controllers need."""
LONGEST_PAUSE = 0.5
LONGEST = 200.0
"""Seconds until a life that always finds something to do is given up."""
READS = frozenset({"get", "list"})

KILLED = -9

Life: TypeAlias = ForkServerProcess
_forks = multiprocessing.get_context("forkserver")
# The test runner itself is imported by each child, so it belongs to what is loaded once.
_forks.set_forkserver_preload(["pytest", __name__])


def start(kubeconfig: Path, namespace: str, policy: str) -> Life:
    """Given how to reach the API server and a policy's address, start a life."""
    life = _forks.Process(target=_live, args=(str(kubeconfig), namespace, policy), daemon=True)
    life.start()
    return life


def kill(life: Life) -> None:
    """Given a life, send it SIGKILL, if it has not ended by itself."""
    with contextlib.suppress(ValueError):  # closed by `ended`
        life.kill()


async def ended(life: Life) -> int:
    """Given a life, wait for its end and return its exit code: 0 if there was nothing left to do,
    KILLED if it was.
    """
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(life.sentinel, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(life.sentinel)
    life.join()
    code = life.exitcode
    assert code is not None
    life.close()
    return code


def _live(kubeconfig: str, namespace: str, policy: str) -> None:
    os.environ["SSL_CERT_FILE"] = os.devnull  # nobody speaks TLS, and loading the CAs takes long
    asyncio.run(_pass_until_idle(Path(kubeconfig), namespace, policy))


async def _pass_until_idle(kubeconfig: Path, namespace: str, policy: str) -> None:
    clock = SystemClock()
    writes: list[str] = []

    def note(verb: str, plural: str, _status: int, _seconds: float) -> None:
        if verb not in READS:
            writes.append(plural)

    async with Client(await login(kubeconfig), clock, on_request=note) as client:
        retention = retention_reconciler(client, clock)
        sweeps = SweepReconciler(client, clock)
        pause, limit = PAUSE, clock.monotonic() + LONGEST
        while clock.monotonic() < limit:
            writes.clear()
            with contextlib.suppress(Conflict, Transient):
                again = await retention.reconcile(keys.retention(namespace, policy))
                again = await sweeps.reconcile(keys.sweeps()) or again
                if again is None and not writes:
                    return
            # Ever longer: several lives that never pause leave nothing to those they wait for.
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError(f"{policy}: still busy after {LONGEST} s")
