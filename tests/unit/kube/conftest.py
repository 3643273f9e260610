"""An HTTP server on loopback that answers as a test sets it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from backstay.kube.login import Login, login

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[Login]]


@pytest.fixture
async def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Given a handler of all requests, serve it and return how to log in there."""
    # Nobody speaks TLS here, and loading the system's CAs takes longer than most tests.
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> Login:
        async def answer(request: web.Request) -> web.StreamResponse:
            return await handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return await login(write_kubeconfig(tmp_path / "kubeconfig", f"http://{host}:{port}"))

    yield start
    for runner in runners:
        await runner.cleanup()


def write_kubeconfig(path: Path, server: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": "of-the-test"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path
