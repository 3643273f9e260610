"""A proxy between restic and the S3 server: it does something where a test says so.

It has the server's own certificate, and passes requests on as they were signed.
"""

from __future__ import annotations

import http.client
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from hack.cluster.kit import s3

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a request is answered with in the server's place."""

    status: int
    body: bytes


Action = Callable[[], "Refusal | None"]
"""What is done at a request; it is passed on if this returns None."""


def refusal(status: int, code: str, message: str = "no") -> Refusal:
    """Given a status, S3's code and its message, return the answer."""
    words = f"<Code>{code}</Code><Message>{message}</Message>"
    return Refusal(status, f'<?xml version="1.0"?><Error>{words}</Error>'.encode())


@dataclass(slots=True)
class Rule:
    """What is done at some requests."""

    wanted: re.Pattern[str]
    """Of METHOD and path, such as `PUT /bucket/repository/locks/`."""
    before: Action | None
    """At a request that has not reached the server."""
    after: Action | None
    """At one whose answer has not reached restic, which loses it if this returns something."""
    skip: int
    times: int
    seen: int = 0

    def is_due(self) -> bool:
        self.seen += 1
        return self.skip < self.seen <= self.skip + self.times


@dataclass(slots=True)
class Between:
    """The proxy, and what came through it."""

    access: s3.Access
    endpoint: str
    requests: list[str] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    ahead: timedelta = timedelta(0)
    """By how much the server's clock is wrong, as it says itself."""
    failed: list[Exception] = field(default_factory=list)
    """What went wrong in something that a test does."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def at(
        self,
        wanted: str,
        before: Action | None = None,
        *,
        after: Action | None = None,
        skip: int = 0,
        times: int = 1_000_000,
    ) -> None:
        """Given requests as a pattern, have something done at `times` of them after the first
        `skip`.
        """
        self.rules.append(Rule(re.compile(wanted), before, after, skip, times))

    def noted(self, request: str) -> Rule | None:
        """Given a request that has come, return what is to be done at it."""
        with self._lock:
            self.requests.append(request)
            due = [rule for rule in self.rules if rule.wanted.search(request) and rule.is_due()]
        return due[0] if due else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    between: Between

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - of the test, which fails by it
            self.between.failed.append(error)
            self.close_connection = True

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rule = self.between.noted(f"{self.command} {self.path}")
        found = rule.before() if rule is not None and rule.before is not None else None
        if found is not None:
            self._answer(found.status, [("Content-Type", "application/xml")], found.body)
            return
        status, headers, content = self._ask(body)
        if rule is not None and rule.after is not None and rule.after() is not None:
            self.close_connection = True
            return
        self._answer(status, headers, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815 - as the base has it

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        access = self.between.access
        trust = ssl.create_default_context(cafile=access.ca)
        host = urlsplit(access.endpoint).netloc
        connection = http.client.HTTPSConnection(host, timeout=60, context=trust)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP | {"expect"}:
                    connection.putheader(name, value)
            if "Content-Length" in self.headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        length = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in headers:
            if name.lower() == "date":
                self.send_header(name, _moved(value, self.between.ahead))
            elif name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        whole = length[0] if self.command == "HEAD" and length else str(len(body))
        self.send_header("Content-Length", whole)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the tests look at what was asked for."""


def _moved(date: str, ahead: timedelta) -> str:
    return format_datetime(parsedate_to_datetime(date) + ahead, usegmt=True)


@contextmanager
def standing_between(access: s3.Access) -> Iterator[Between]:
    """Given how the server is reached, have a proxy beside it while the block runs."""
    host = urlsplit(access.endpoint).hostname
    assert host is not None
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer((host, 0), handler, bind_and_activate=False)
    server.daemon_threads = True
    server.request_queue_size = 64
    server.server_bind()
    server.server_activate()
    pki = Path(access.ca).parent
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    # The handshake is the connection's own thread's, so that one that never shakes stops no other.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    found = Between(access, f"https://{host}:{server.server_address[1]}")
    handler.between = found  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert found.failed == []
