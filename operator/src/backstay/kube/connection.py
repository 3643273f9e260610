"""The connections to one API server: a request is sent once, and every answer's clock is noted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp

from backstay.domain.clock import Clock
from backstay.domain.errors import DataError
from backstay.domain.objects import Obj
from backstay.kube.errors import TRANSPORT_ERRORS, from_response, from_transport
from backstay.kube.login import Login
from backstay.kube.resources import Resource

OnRequest = Callable[[str, str, int, float], None]
"""Called after each request: verb, plural, HTTP status (0: no answer), seconds."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `what` says in messages what was tried."""

    method: str
    verb: str
    resource: Resource
    path: str
    what: str
    query: Mapping[str, str | int] | None = None
    body: Obj | None = None
    content_type: str = "application/json"
    accept: str = "application/json"


class Connection:
    """Sends requests to the server that a login names.

    Given the login, a clock, the timeout of one request, and optionally `on_request` for metrics.
    To be made inside the running loop, and to be closed.
    """

    def __init__(
        self,
        login: Login,
        clock: Clock,
        *,
        timeout: timedelta,
        on_request: OnRequest | None = None,
    ) -> None:
        self._login = login
        self._clock = clock
        self._on_request = on_request
        self._pool = login.pool()
        seconds = timeout.total_seconds()
        self._timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(10.0, seconds))
        self._date_text = ""
        self.server_date: datetime | None = None
        """The server's clock as of its last answer (whole seconds, UTC)."""
        self.skew: timedelta | None = None
        """How far our clock was ahead of that one then."""

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()

    async def send(self, request: Request) -> Obj:
        """Send once; return the JSON object of a success, raise what the answer means."""
        body = await self.answer(request)
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise DataError(f"{request.what}: the answer is not JSON: {body[:100]!r}") from error
        if not isinstance(answer, dict):
            raise DataError(f"{request.what}: the answer is no object: {body[:100]!r}")
        return answer

    async def answer(self, request: Request) -> bytes:
        """Send once; return the body of a success, raise what any other answer means."""
        started = self._clock.monotonic()
        status = 0
        try:
            status, headers, body = await self._exchange(request)
        except TRANSPORT_ERRORS as error:
            raise from_transport(error, request.what) from error
        finally:
            if self._on_request is not None:
                seconds = self._clock.monotonic() - started
                self._on_request(request.verb, request.resource.plural, status, seconds)
        if not 200 <= status <= 299:
            raise from_response(status, body, headers, request.what)
        return body

    async def _exchange(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        query = f"?{urlencode(request.query)}" if request.query else ""
        headers = await self._login.headers()
        headers |= {"Accept": request.accept, "Content-Type": request.content_type}
        response: Any = await self._pool.request(
            request.method,
            f"{self._login.host}{request.path}{query}",
            headers=headers,
            body=request.body,
            _request_timeout=self._timeout,
        )
        self._note_date(response.headers)
        return response.status, response.headers, await response.read()

    def _note_date(self, headers: Mapping[str, str]) -> None:
        text = headers.get("Date", "")
        if text != self._date_text:  # It has whole seconds, and a pass many answers in each.
            try:
                self.server_date = parsedate_to_datetime(text).astimezone(UTC)
            except ValueError:
                return  # a proxy may drop it: then the last one stands
            self._date_text = text
        if self.server_date is not None:
            self.skew = self._clock.now() - self.server_date
