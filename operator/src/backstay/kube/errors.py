"""The one translator from what HTTP and sockets say to the error tree.

Rules: what a person must change in the input is UserError; what may pass is Transient; lost
preconditions are Conflict. 401 and 403 are Refused, not UserError: rights and admission rules are
set right outside of the object that we work on, so nothing would trigger another try. So is 422
where an admission policy says it, which names no field. A full quota and a namespace on its way
out answer 403 as well, and pass without anybody's edit of a rule: they are Transient alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import aiohttp

from backstay.domain.errors import (
    AlreadyExists,
    BackstayError,
    Conflict,
    DataError,
    NotFound,
    NotServed,
    Refused,
    Transient,
    UserError,
)
from backstay.domain.objects import dig

TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
"""What a request raises when it gets no answer."""


class Busy(Transient):
    """The server or the line is at fault: the same read may well work in a moment."""


_BUSY = frozenset({408, 429})
_MEANING: dict[int, type[BackstayError]] = {
    401: Refused,
    403: Refused,
    404: NotFound,
    409: Conflict,
    410: Transient,
    412: Conflict,
}


def from_response(status: int, body: bytes, headers: Mapping[str, str], what: str) -> BackstayError:
    """Given a response that is no success and what was tried, return the error to raise."""
    state = _state(body)
    message = f"{what}: {dig(state, 'message') or _first_words(body)} (HTTP {status})"
    reason = str(dig(state, "reason", default=""))
    if status in _BUSY or status >= 500:
        return Busy(message, retry_after(state, headers))
    if status == 404 and state.get("kind") != "Status":
        # A path that no handler has. A missing object is answered with a Status.
        return NotServed(
            f"{what}: the API server does not serve this kind; is its CustomResourceDefinition "
            "there?"
        )
    if status == 422:
        causes = dig(state, "details", "causes", default=[])
        if causes and not any(cause.get("field") for cause in causes):
            return Refused(message)
        return UserError(reason or "Invalid", message)
    if status == 409 and reason == "AlreadyExists":
        return AlreadyExists(message)
    if status == 403 and _passes(state):
        return Transient(message)
    return _MEANING.get(status, DataError)(message)


def _passes(state: Mapping[str, Any]) -> bool:
    """Whether a 403 comes from the current state, not from a rule: by the text of the API server's
    quota, which gives no reason, and by the cause that the namespace's end has.
    """
    causes = {cause.get("reason") for cause in dig(state, "details", "causes", default=[])}
    return "NamespaceTerminating" in causes or "exceeded quota" in str(dig(state, "message"))


def from_transport(error: BaseException, what: str) -> Busy:
    """Given why no answer came and what was tried, return the error to raise.

    The request may or may not have been carried out: read again before repeating a write.
    """
    if isinstance(error, TimeoutError):
        return Busy(f"{what}: the API server did not answer in time")
    cause = str(error) or type(error).__name__
    return Busy(f"{what}: no connection to the API server: {cause}")


def retry_after(state: Mapping[str, Any], headers: Mapping[str, str]) -> timedelta | None:
    """Given a Status object and headers, return how long the server asks to wait, if it does."""
    seconds = headers.get("Retry-After") or dig(state, "details", "retryAfterSeconds")
    try:
        # RFC 9110 also allows a date here; the API server never sends one.
        return timedelta(seconds=max(0, int(seconds))) if seconds is not None else None
    except (ValueError, OverflowError):
        return None


def _state(body: bytes) -> dict[str, Any]:
    """Return the body as a Status object, {} for what a proxy in between may have sent."""
    try:
        state = json.loads(body)
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _first_words(body: bytes) -> str:
    return body[:200].decode(errors="replace").strip() or "no explanation"
