"""Whether a repository's server can be reached at all, found out before restic tries for minutes.

Invariants: it sends no credentials; it takes ten seconds at most; what it trusts is what restic
trusts, no less; a kind of repository that it does not know is left to restic.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlsplit

from backstay.domain.stores.repository.failures import RepositoryError
from backstay.domain.stores.repository.reasons import Reason

SECONDS: Final = 10.0
SKEW: Final = 900.0
"""Seconds that two clocks may be apart, as S3 has it."""
_READ: Final = 4096
Clock = Callable[[], float]
_NOW: Final = time.time  # noqa: TID251 - the agent's clock, where none is handed in
_PORTS: Final = {"http": 80, "https": 443}
_NEVER: Final = "correct RESTIC_REPOSITORY, or what keeps the server from being reached"


@dataclass(frozen=True, slots=True)
class Server:
    """Where a repository's server is."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says to a nobody."""

    status: int
    date: str
    body: bytes
    """The begin of it."""


def server_of(repository: str) -> Server | None:
    """Given a repository in restic's words, return its server, None where it has none that this
    knows. Raise RepositoryError Unreachable if its URL is none.
    """
    kind, _, rest = repository.partition(":")
    if kind not in {"s3", "rest"}:
        return None
    url = rest if rest.startswith(("http://", "https://")) else f"https://{rest.lstrip('/')}"
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except ValueError as error:
        raise _unreachable("RESTIC_REPOSITORY is no URL") from error
    if not parts.hostname:
        raise _unreachable("RESTIC_REPOSITORY names no server")
    return Server(parts.hostname, port, parts.scheme == "https")


def preflight(repository: str, ca: str, *, seconds: float = SECONDS, clock: Clock = _NOW) -> None:
    """Given a repository in restic's words, the file of a custom CA ("": the system's), how long it
    may take and what says the time, raise RepositoryError Unreachable, Untrusted or ClockSkewed
    if its server cannot be used.
    """
    server = server_of(repository)
    if server is not None:
        answer = _reach(server, "/", ca, time.monotonic() + seconds)
        _check_clock(server, answer.date, clock())


def _check_clock(server: Server, date: str, now: float) -> None:
    """Servers of S3 refuse requests of another time, and who looks at the locks of others takes
    one of another time for dead. A server that says no time is not asked for it.
    """
    try:
        there = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    apart = now - there
    if abs(apart) > SKEW:
        raise RepositoryError(
            Reason.CLOCK_SKEWED,
            f"this node's clock is {abs(apart) / 60:.0f} minutes"
            f" {'ahead of' if apart > 0 else 'behind'} that of {server}: set the one that is wrong",
        )


def lacks_bucket(repository: str, ca: str, *, seconds: float = SECONDS) -> bool:
    """Given the same, return whether the server says to anybody that the bucket is missing: restic
    says only that there is no repository. Many servers do not say it to a nobody.
    """
    kind, _, rest = repository.partition(":")
    server = server_of(repository) if kind == "s3" else None
    if server is None:
        return False
    bucket = rest.partition("://")[2].partition("/")[2] or rest.lstrip("/").partition("/")[2]
    path = f"/{quote(bucket.partition('/')[0])}"
    try:
        answer = _reach(server, path, ca, time.monotonic() + seconds)
    except RepositoryError:
        return False  # it was reached a moment ago; what was asked for then stands
    return answer.status == HTTPStatus.NOT_FOUND and b"NoSuchBucket" in answer.body


def _reach(server: Server, path: str, ca: str, until: float) -> Answer:
    """The server's answer, an empty one where a proxy is asked in our place."""
    proxy = _proxy_of(server)
    with closing(_connect(proxy or server, until)) as sock:
        if proxy is not None:  # what is behind it is its to say
            return Answer(0, "", b"")
        return _ask(server, path, sock, ca, until)


def _proxy_of(server: Server) -> Server | None:
    """The proxy that restic would use, None if it connects by itself."""
    found = urllib.request.getproxies().get("https" if server.tls else "http")
    loopback = server.host == "localhost" or server.host.startswith("127.")
    if not found or loopback or urllib.request.proxy_bypass(str(server)):
        return None
    parts = urlsplit(found if "://" in found else f"http://{found}")
    return Server(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80), tls=False)


def _connect(server: Server, until: float) -> socket.socket:
    last: OSError | None = None
    for family, kind, protocol, _, address in _addresses(server, until):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(until))
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    why = "no answer in time" if isinstance(last, TimeoutError) else str(last)
    raise _unreachable(f"no connection to {server}: {why}")


def _addresses(server: Server, until: float) -> list[Any]:
    def look() -> Any:  # it has no deadline of its own
        return socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)

    try:
        return list(_in_time(look, _left(until)))
    except TimeoutError as error:
        raise _unreachable(f"the name {server.host} was not resolved in time") from error
    except (OSError, UnicodeError) as error:
        raise _unreachable(f"the name {server.host} cannot be resolved: {error}") from error


def _in_time(call: Callable[[], Any], seconds: float) -> Any:
    """What a call returns or raises, TimeoutError if it takes longer than it may."""
    found: list[Any] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            found.append(call())
        except (OSError, UnicodeError) as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError
    return found[0]


def _ask(server: Server, path: str, sock: socket.socket, ca: str, until: float) -> Answer:
    """Have the server show its certificate, and answer one request, whatever the answer is."""
    sock.settimeout(_left(until))
    connection = http.client.HTTPConnection(server.host, server.port)
    try:
        if server.tls:
            sock = _trust(ca).wrap_socket(sock, server_hostname=server.host)
        sock.settimeout(_left(until))
        connection.sock = sock
        connection.request("GET", path, headers={"User-Agent": "backstay"})
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheader("Date", ""), answer.read(_READ))
    except ssl.SSLCertVerificationError as error:
        raise RepositoryError(
            Reason.UNTRUSTED,
            f"the certificate of {server} is not trusted: {error.verify_message}; give its CA"
            " (spec.customCA), or correct it",
        ) from error
    except TimeoutError as error:
        raise _unreachable(f"{server} takes connections, but does not answer") from error
    except (OSError, http.client.HTTPException) as error:
        kind = "HTTPS" if server.tls else "HTTP"
        raise _unreachable(f"{server} does not speak {kind}: {error}") from error
    finally:
        connection.close()


def _trust(ca: str) -> ssl.SSLContext:
    try:
        # A custom CA stands in place of the system's, as restic has it.
        context = ssl.create_default_context(cafile=ca or None)
    except (ssl.SSLError, OSError) as error:
        raise RepositoryError(
            Reason.UNTRUSTED, f"the custom CA is no certificate in PEM: {error}"
        ) from error
    # Go takes any certificate that it is given for a CA, and is less strict about its form.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _left(until: float) -> float:
    return max(0.1, until - time.monotonic())


def _unreachable(why: str) -> RepositoryError:
    return RepositoryError(Reason.UNREACHABLE, f"{why}; {_NEVER}")
