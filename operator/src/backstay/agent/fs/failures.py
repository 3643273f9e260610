"""What failed, in words: the reason, the call, the entry, and what a person can do about it.

Invariants: an error that leaves the agent says first why, then where; a long path is shortened in
its middle; the number of a descriptor, which says nothing to anybody, is in none. What reads the
source says so (`SourceError`), so that everything else in a copy is the destination's.

Which entry is at work is noted in passing (`at`), because the calls that fail have a descriptor and
a name at most.
"""

# ruff: noqa: N818 - an error is named after what it is about, as in domain/errors.py

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, ParamSpec, TypeVar

from backstay.agent.fs.paths import VANISHED, printable
from backstay.domain.errors import BackstayError, DataError, UserError

P = ParamSpec("P")
T = TypeVar("T")

SHOWN: Final = 160
"""Characters of a path that a message has."""
_DESCRIPTOR: Final = re.compile(r"/proc/(?:self|\d+)/fd/\d+/?")
_CALL: Final = re.compile(r"\b(?:os|fcntl|shutil|subprocess)\.(\w+)\(")
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}

_at: tuple[bytes, bytes] | None = None
"""Directory and name of the entry that this process works on."""
_DESTINATION: Final = "spec.rolling.destination"
_field = _DESTINATION
"""What a person named the place that is written to by."""
_whole = ""
"""That place, for what names no entry in it."""


class SourceError(OSError):
    """The source could not be read."""

    call: str = ""


class Defect(DataError):
    """Something that nobody thought of."""


def at(directory: bytes, name: bytes = b"") -> None:
    """Note which entry is worked on from here on: one assignment, for it is done for each."""
    global _at  # noqa: PLW0603 - of this process, which works on one entry at a time
    _at = directory, name


@contextmanager
def writing_to(field: str, path: str) -> Iterator[None]:
    """Given what is written to inside, by its field and its path, have errors name it; what was
    worked on before is not at work there, nor the other way round.
    """
    global _field, _whole, _at
    before = _field, _whole
    _field, _whole, _at = field, path, None
    yield
    (_field, _whole), _at = before, None  # not after an error, which is still to be reported


def entry_at_work() -> bytes | None:
    """Return the path of the entry that is worked on, None if there is none."""
    return os.path.join(*_at) if _at is not None else None


def from_source(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Given a call that reads the source, and its arguments, return its value. Raise SourceError
    where it cannot be read; what has vanished is no error of that kind.
    """
    try:
        return call(*arguments, **options)
    except OSError as error:
        if not _is_source_error(error):
            raise
        raise as_source_error(error, call_of(error) or getattr(call, "__name__", "")) from error


@contextmanager
def reading_source() -> Iterator[None]:
    """Have every OSError inside be the source's."""
    try:
        yield
    except OSError as error:
        if not _is_source_error(error):
            raise
        raise as_source_error(error) from error


def _is_source_error(error: OSError) -> bool:
    """Whether an error of a call on the source is yet to be marked as one."""
    return not isinstance(error, SourceError) and error.errno not in VANISHED


def as_source_error(error: OSError, call: str = "") -> SourceError:
    """Given an error of a call on the source, return it as such."""
    found = SourceError(error.errno, error.strerror)
    found.call = call or call_of(error)
    return found


@contextmanager
def named(path: os.PathLike[str]) -> Iterator[None]:
    """Have every OSError inside name that path, as one of a descriptor names none."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str):
            raise
        found = OSError(error.errno, error.strerror, os.fspath(path))
        found.call = call_of(error)  # type: ignore[attr-defined]
        raise found from error


def shown(path: bytes) -> str:
    """Given a path, return it for a message: one line, shortened in its middle if it is long."""
    text = printable(path) or "."
    if len(text) <= SHOWN:
        return text
    half = SHOWN // 2
    return f"{text[:half]}[...]{text[-half:]}"


def reason_of(error: OSError) -> str:
    """Given an error, return why in the system's words, and in which call."""
    call = getattr(error, "call", "") or call_of(error)
    why = error.strerror or os.strerror(error.errno or 0)
    return f"{why} ({call})" if call else why


def call_of(error: BaseException) -> str:
    """Given an error, return the name of the call that raised it, "" if that is unknown."""
    import traceback  # noqa: PLC0415 - needed only when something failed

    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    line = last.line or ""
    if line.startswith("raise "):
        return last.name.lstrip("_")
    found = _CALL.search(line)
    if found is None and "scandir" in "".join(frame.line or "" for frame in frames[-2:]):
        return "readdir"
    return found[1] if found else ""


def worded(error: Exception) -> BackstayError:
    """Given any error that leaves a command, or a process of one, return it in words."""
    if isinstance(error, BackstayError):
        return error
    if isinstance(error, SourceError):
        return DataError(source_words(error, entry_at_work() or b""))
    if isinstance(error, OSError):
        return _of_destination(error)
    entry = entry_at_work()
    where = f" at {shown(entry)}" if entry is not None else ""
    kind = type(error).__name__
    said = f"{kind}{where}: {str(error)[:300]}"
    return Defect(f"{said}; this is a defect of Backstay, please report it")


def source_words(error: OSError, path: bytes) -> str:
    """Given an error of the source and the path there, return it in words."""
    if error.errno == errno.ENAMETOOLONG:
        remedy = "shorten it"
    elif error.errno in {errno.EACCES, errno.EPERM}:
        remedy = "let root read it (a file server may map root to nobody)"
    else:
        remedy = "check its disk or file server"
    return (
        f"{reason_of(error)} at {shown(path)} of the source: {remedy}, exclude it"
        " (spec.rolling.exclude), or have copies made without what cannot be read"
        " (spec.rolling.allowUnreadable)"
    )


def _of_destination(error: OSError) -> BackstayError:
    why, where = reason_of(error), _place_of(error)
    if error.errno == errno.EROFS:
        return UserError(
            "DestinationReadOnly" if _field == _DESTINATION else "TargetReadOnly",
            f"{why}{where}: the disk has become read-only, as after an error; see the node's kernel"
            f" log, and mount it writable again ({_field})",
        )
    if error.errno in _FULL:
        remedy = f"make room there ({_field}), or keep fewer points"
    elif error.errno == errno.EIO:
        remedy = f"the disk fails ({_field}): see the node's kernel log"
    elif error.errno == errno.EFBIG:
        remedy = f"it is too large for the file system there ({_field})"
    elif error.errno == errno.ENAMETOOLONG:
        remedy = f"its name or path is too long there ({_field}): shorten it"
    else:
        remedy = f"the file system there does not do this ({_field})"
    return DataError(f"{why}{where}: {remedy}")


def _place_of(error: OSError) -> str:
    """Where an error happened: what is at work, and else the path that the call had."""
    entry = entry_at_work()
    if entry is not None:
        return f" at {shown(entry)}"
    named: Any = error.filename  # the number of a descriptor, if the call had that
    path = os.fsencode(named) if isinstance(named, str | bytes | os.PathLike) else b""
    if not path or _DESCRIPTOR.search(os.fsdecode(path)):
        path = os.fsencode(_whole)
    return f" at {shown(path)}" if path else ""


def without_descriptors(text: str) -> str:
    """Given a message, return it without the paths through a descriptor that programs print."""
    return _DESCRIPTOR.sub("", text)
