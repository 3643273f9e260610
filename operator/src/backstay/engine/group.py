"""Tasks that live and die together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_together(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Given coroutines, run all until all have returned or the first one raises.

    Raise what that one raised, itself and not in an exception group, after the others were
    cancelled and have ended. Cancellation of the caller is handed on in the same way.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def to_the_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns, or raise what it raises. A cancellation of the caller does
    not reach it, and is raised only when it has ended: for what must not stop half way.
    """
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()  # seen, so that nobody complains of it
        raise cancelled
    return task.result()
