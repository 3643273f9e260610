"""Run a command in a container.

Invariants:

- Each exec has its own session: nothing here can disturb the REST client's connections.
- The stream proves nothing but what its Status says. When the connection breaks the command runs on
  (it is not even signalled), so a lost connection is Transient and the caller looks at what the
  command left behind; a command with effects brings its own lock and deadline.
- Standard input and output flow at the same time, so neither side can block the other.

To be known by who sends much: a command that ends, or waits, with more than about 100 KiB of its
input unread blocks the whole stream on its way through API server and kubelet, and its Status
never comes (kubectl exec -i hangs alike). So it must drain its input before it ends:
`COMMAND; status=$?; cat >/dev/null; exit $status`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlencode

import aiohttp

from backstay.domain.errors import (
    BackstayError,
    Conflict,
    NotFound,
    Refused,
    Transient,
    UserError,
)
from backstay.kube.client import Fence, unfenced
from backstay.kube.errors import TRANSPORT_ERRORS, from_response, from_transport
from backstay.kube.exec_frames import PROTOCOL, ExecAccumulator, ExecResult, stdin_messages
from backstay.kube.login import Login
from backstay.kube.resources import POD

log = logging.getLogger(__name__)

LIMIT = 1024 * 1024
HEARTBEAT = 20.0
"""Seconds between pings: a load balancer closes an idle line after minutes."""
FAREWELL = 0.5
"""Seconds for a polite end: the result is known by then."""

__all__ = ["Exec", "ExecResult"]


class Exec:
    """Runs commands in containers of the cluster that `login` names, if `fence` allows."""

    def __init__(self, login: Login, *, fence: Fence = unfenced) -> None:
        self._login = login
        self._fence = fence

    async def run(
        self,
        namespace: str,
        pod: str,
        container: str,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: timedelta,  # noqa: ASYNC109 - part of the result: it decides what is raised
        limit: int = LIMIT,
    ) -> ExecResult:
        """Given a container and a command, run it there; return its end and its last output.

        `limit` is how many bytes of each output stream are kept (the last ones). Raise NotFound
        if there is no such pod or container, UserError if it has no such program, Transient if
        the connection was lost or `timeout` passed: the command may then still run.
        """
        what = f"exec in {POD.describe(namespace, pod)} ({container})"
        url = self._url(namespace, pod, container, argv, has_stdin=bool(stdin))
        output = ExecAccumulator(limit)
        self._fence()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._converse(url, stdin, output)
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(error, what) from error
        except TimeoutError as error:
            if not output.finished:
                seconds = timeout.total_seconds()
                message = f"{what}: not finished after {seconds:g} s; the command may still run"
                raise Transient(message) from error
        except TRANSPORT_ERRORS as error:
            if not output.finished:
                raise from_transport(error, what) from error
        return output.result(what)

    def _url(
        self, namespace: str, pod: str, container: str, argv: Sequence[str], *, has_stdin: bool
    ) -> str:
        query = [("container", container), ("stdout", "true"), ("stderr", "true")]
        if has_stdin:
            query.append(("stdin", "true"))
        query += [("command", word) for word in argv]
        return f"{self._login.host}{POD.path(namespace, pod, 'exec')}?{urlencode(query)}"

    async def _converse(self, url: str, stdin: bytes, output: ExecAccumulator) -> None:
        headers = await self._login.headers()
        async with (
            aiohttp.ClientSession(trust_env=True) as session,
            session.ws_connect(
                url,
                protocols=(PROTOCOL,),
                headers=headers,
                ssl=self._login.tls,
                server_hostname=self._login.server_name,
                proxy=self._login.proxy,
                heartbeat=HEARTBEAT,
                timeout=aiohttp.ClientWSTimeout(ws_close=FAREWELL),
                max_msg_size=0,
            ) as socket,
        ):
            if socket.protocol != PROTOCOL:
                raise UserError(
                    "ClusterTooOld",
                    f"the API server does not speak {PROTOCOL}: Backstay needs Kubernetes >= 1.32",
                )
            sender = asyncio.create_task(_send(socket, stdin))
            try:
                await _receive(socket, output)
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)


async def _send(socket: aiohttp.ClientWebSocketResponse, stdin: bytes) -> None:
    if not stdin:
        return
    # A command may end without reading all of its input; the receiver learns how it ended.
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        for message in stdin_messages(stdin):
            await socket.send_bytes(message)
            # Sending need not wait; without this a lost connection would be noticed at the end.
            await asyncio.sleep(0)


async def _receive(socket: aiohttp.ClientWebSocketResponse, output: ExecAccumulator) -> None:
    """Take in messages until the Status, which is always the last, or until the line breaks."""
    async for message in socket:
        if message.type is aiohttp.WSMsgType.BINARY:
            output.feed(message.data)
            if output.finished:
                return
        elif message.type is aiohttp.WSMsgType.ERROR:
            log.info("exec: the connection broke: %s", socket.exception())
            return


def _refused(error: aiohttp.WSServerHandshakeError, what: str) -> BackstayError:
    """Return what a handshake that is no 101 means. Its body, the reason, is lost to aiohttp."""
    if error.status in (400, 404):
        # 400 is "container X is not valid for pod Y", or a pod that has no node yet or has ended.
        return NotFound(f"{what}: no such pod or container, or not running (HTTP {error.status})")
    if error.status == 409:
        return Conflict(f"{what}: the pod is changing (HTTP 409)")
    if error.status in (401, 403):
        why = "the operator may not create pods/exec there, or an admission rule denies it"
        return Refused(f"{what}: {why} (HTTP {error.status})")
    return from_response(error.status, b"", error.headers or {}, what)
