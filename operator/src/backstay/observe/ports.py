"""The two HTTP ports: probes for the kubelet, metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from backstay.observe import metrics

Runner = web.AppRunner
Check = Callable[[], str | None]
"""Returns what is wrong, None if nothing is."""


def probes(alive: Check, ready: Check) -> web.Application:
    """Given both checks, return the application that answers /healthz and /readyz."""
    app = web.Application()
    app.router.add_get("/healthz", _answer(alive))
    app.router.add_get("/readyz", _answer(ready))
    return app


def metrics_page() -> web.Application:
    """Return the application that answers /metrics."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE}
        )

    app = web.Application()
    app.router.add_get("/metrics", page)
    return app


async def serve(app: web.Application, address: str, port: int) -> web.AppRunner:
    """Given an application and where to listen, serve it; return what to clean up."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    return runner


def _answer(check: Check) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        wrong = check()
        return web.Response(text=wrong or "ok", status=503 if wrong else 200)

    return answer
