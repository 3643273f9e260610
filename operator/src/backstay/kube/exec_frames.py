"""What the exec protocol says, without a socket.

Protocol v5.channel.k8s.io (KEP-4006): each binary message is one channel byte and its payload.
0 stdin, 1 stdout, 2 stderr, 3 the result as a Status object, 4 resize, and 255 to close the
channel that the payload names, which is the only way to end stdin without ending the exec.

Invariants: output is bounded, whatever the command prints; a result is known if and only if
channel 3 delivered a whole Status: a closed socket says nothing about the command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from backstay.domain.errors import BackstayError, DataError, NotFound, Transient, UserError
from backstay.domain.objects import Obj, dig

PROTOCOL = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS, CLOSE = 0, 1, 2, 3, 255
CHUNK = 32 * 1024
"""Bytes of stdin in one message: the size that the kubelet's own buffers have."""

_LONGEST_STATUS = 64 * 1024
_NOT_STARTED = ("executable file not found", "no such file or directory", "permission denied")


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended, and the last bytes of what it printed (`truncated`: not all)."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False


class Tail:
    """The last `limit` bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.truncated = False

    def add(self, data: bytes) -> None:
        """Given more of the stream, keep its end."""
        self._kept += data
        # Trimming at twice the limit moves each byte at most once on average.
        if len(self._kept) > 2 * self._limit:
            self._trim()

    def value(self) -> bytes:
        """Return what is kept."""
        self._trim()
        return bytes(self._kept)

    def _trim(self) -> None:
        surplus = len(self._kept) - self._limit
        if surplus > 0:
            self.truncated = True
            del self._kept[:surplus]


class ExecAccumulator:
    """Collects messages of one exec; `limit` is how many bytes of each stream are kept."""

    def __init__(self, limit: int) -> None:
        self._stdout = Tail(limit)
        self._stderr = Tail(limit)
        self._status = bytearray()
        self._state: Obj | None = None

    @property
    def finished(self) -> bool:
        """Return whether the whole Status has come: the command is over."""
        return self._state is not None

    def feed(self, message: bytes) -> None:
        """Given one binary message, take it in. Raise DataError if it breaks the protocol."""
        if not message:
            raise DataError("exec: the server sent a message without a channel")
        channel, payload = message[0], message[1:]
        if channel == STDOUT:
            self._stdout.add(payload)
        elif channel == STDERR:
            self._stderr.add(payload)
        elif channel == STATUS:
            self._take_status(payload)
        elif channel != CLOSE:
            raise DataError(f"exec: the server sent a message on channel {channel}")

    def result(self, what: str) -> ExecResult:
        """Given what was tried, return how it ended.

        Raise Transient if that is not known, and what the Status means if nothing was started.
        """
        if self._state is None:
            raise Transient(f"{what}: connection lost; the command may still run")
        code = _exit_code(self._state)
        if code is None:
            raise _not_started(str(dig(self._state, "message", default=self._state)), what)
        stdout, stderr = self._stdout.value(), self._stderr.value()
        truncated = self._stdout.truncated or self._stderr.truncated
        return ExecResult(code, stdout, stderr, truncated)

    def _take_status(self, payload: bytes) -> None:
        self._status += payload
        if len(self._status) > _LONGEST_STATUS:
            raise DataError("exec: the server sent a status that does not end")
        try:
            state = json.loads(self._status)
        except ValueError:
            return  # not yet whole; if the socket closes now, the result is not known
        if isinstance(state, dict):
            self._state = state


def stdin_messages(stdin: bytes) -> Iterator[bytes]:
    """Given what the command is to read, yield the messages that send it and end stdin."""
    for start in range(0, len(stdin), CHUNK):
        yield bytes([STDIN]) + stdin[start : start + CHUNK]
    yield bytes([CLOSE, STDIN])


def _exit_code(state: Obj) -> int | None:
    """Return the exit code in a Status, None if it says that nothing ran."""
    if state.get("status") == "Success":
        return 0
    if state.get("reason") != "NonZeroExitCode":
        return None
    causes: list[Obj] = dig(state, "details", "causes", default=[])
    for cause in causes:
        if cause.get("reason") == "ExitCode" and str(cause.get("message")).isdecimal():
            return int(cause["message"])
    return None


def _not_started(message: str, what: str) -> BackstayError:
    text = f"{what}: {message}"
    if "container not found" in message:
        return NotFound(text)
    if any(words in message for words in _NOT_STARTED):
        return UserError("CommandNotStarted", text)
    return Transient(text)
