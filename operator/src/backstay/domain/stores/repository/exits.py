"""What restic ends with, and what that means: the one place that knows its exit codes and words.

Invariants: an exit code that is not here is a failure; no code alone makes a snapshot good, least
of all 3, after which one is in the repository that looks good and lacks what could not be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from backstay.domain.stores.repository.reasons import Outcome, Reason, outcome_of

DONE: Final = 0
FAILED: Final = 1
PARTIAL: Final = 3
NO_REPOSITORY: Final = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why restic failed, in a word and in words for a person."""

    reason: Reason
    words: str

    @property
    def outcome(self) -> Outcome:
        return outcome_of(self.reason)


EXITS: Final[Mapping[int, Verdict]] = MappingProxyType(
    {
        FAILED: Verdict(Reason.FAILED, "restic failed"),
        2: Verdict(Reason.FAILED, "restic crashed"),
        # Of backup: what it could not read. Of forget: what it could not remove, since 0.19.0.
        PARTIAL: Verdict(Reason.FAILED, "restic did only a part of it"),
        NO_REPOSITORY: Verdict(Reason.NO_REPOSITORY, "there is no repository"),
        11: Verdict(Reason.LOCKED, "the repository is locked by another restic"),
        12: Verdict(
            Reason.WRONG_PASSWORD,
            "RESTIC_PASSWORD opens no key of the repository: correct it in the Secret",
        ),
        # Since 0.19.0; before, it was 1.
        130: Verdict(Reason.INTERRUPTED, "restic was interrupted"),
    }
)
"""Every exit code but 0 that restic documents (doc/075_scripting.rst of 0.19.1)."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What restic or a server says where the exit code alone says too little."""

    pattern: re.Pattern[str]
    verdict: Verdict


def _sign(reason: Reason, pattern: str, words: str) -> Sign:
    return Sign(re.compile(pattern, re.IGNORECASE), Verdict(reason, words))


# The first that is found counts: a refusal is often said as a part of what looks like an outage.
SIGNS: Final = (
    _sign(
        Reason.UNTRUSTED,
        r"x509:|certificate signed by unknown authority|tls: failed to verify",
        "the server's certificate is not trusted: give its CA, or correct it",
    ),
    _sign(
        Reason.BUCKET_MISSING,
        r"NoSuchBucket|specified bucket does not exist|ContainerNotFound"
        r"|specified container does not exist|bucket [^ ]+ (?:not found|does not exist)|MakeBucket",
        "the bucket is missing: create it, or correct RESTIC_REPOSITORY",
    ),
    _sign(
        Reason.FULL,
        r"\b507\b|insufficient storage|QuotaExceeded|quota exceeded|exceeded.{0,20}quota"
        r"|StorageFull|minimum free drive threshold",
        "there is no room left where the repository is",
    ),
    _sign(
        Reason.CLOCK_SKEWED,
        r"RequestTimeTooSkewed|request time and the (?:server's|current) time is too large",
        "the server's clock and this node's are too far apart: set the clock that is wrong",
    ),
    _sign(
        Reason.ACCESS_DENIED,
        r"AccessDenied|access denied|InvalidAccessKeyId|access key id you provided does not exist"
        r"|SignatureDoesNotMatch|request signature we calculated does not match"
        r"|InvalidToken|ExpiredToken|token.{0,20}(?:expired|is invalid)|AuthenticationFailed"
        r"|AuthorizationFailure|AllAccessDisabled|\b(?:401|403)\b|unauthorized|forbidden"
        r"|b2_authorize_account|invalid_grant|static credentials are empty",
        "the server refuses the credentials of the Secret: correct them, or their rights",
    ),
    _sign(
        Reason.BAD_EXCLUDE,
        r"invalid pattern\(s\) provided",
        "a pattern of exclude is none of restic's",
    ),
    _sign(
        Reason.SOURCE_EMPTY,
        r"snapshot is empty",
        "the source is empty, or all of it is excluded",
    ),
    _sign(
        # It was there when restic was started in it.
        Reason.SOURCE_UNREADABLE,
        r"all (?:source|target) directories/files do not exist|open \.: permission denied",
        "the source's top directory cannot be read: give the mover the rights for that",
    ),
    _sign(
        Reason.RESTIC_TOO_OLD,
        r"unsupported repository version|repository version \d+ not supported",
        "the repository has a format that this restic does not know: use a newer image",
    ),
    _sign(
        Reason.DAMAGED,
        r"ciphertext verification failed|invalid data returned|does not match ID"
        r"|circuit breaker open|unexpected pack|load index.*error|file is too short",
        "something in the repository is damaged: check it",
    ),
    _sign(
        Reason.UNREACHABLE,
        r"connection refused|no such host|i/o timeout|connection reset|no route to host"
        r"|network is unreachable|handshake timeout|server misbehaving|broken pipe|dial tcp"
        r"|\b(?:500|502|503|504)\b|service unavailable|SlowDown|InternalError"
        r"|deadline exceeded|\bEOF\b|server closed",
        "the repository's server does not answer as it should",
    ),
)
_NO_SPACE: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_CACHE_FULL: Final = Verdict(Reason.CACHE_FULL, "restic's cache is full: give it more room")
_FULL: Final = Verdict(Reason.FULL, "there is no room left where the repository is")
_TOO_LATE: Final = Verdict(Reason.UNREACHABLE, "restic did not end in time")
_RETRYING: Final = "returned error, retrying after"
_RECOVERED: Final = "operation successful after"
_HOPELESS: Final = frozenset(
    {
        Reason.ACCESS_DENIED,
        Reason.BUCKET_MISSING,
        Reason.CACHE_FULL,
        Reason.CLOCK_SKEWED,
        Reason.FULL,
        Reason.UNTRUSTED,
    }
)
_ASK_THE_TEXT: Final = frozenset({Reason.FAILED, Reason.NO_REPOSITORY})


def judge(code: int, said: Sequence[str], *, cache: str = "", late: bool = False) -> Verdict:
    """Given an exit code other than 0 (negative: the signal that killed restic), what restic said
    with the last line last, the directory of its cache, and whether it was ended for its
    deadline, return why it failed.
    """
    found = EXITS.get(code)
    # It was interrupted by us, so what it was waiting for is why.
    ask = {*_ASK_THE_TEXT, Reason.INTERRUPTED} if late else _ASK_THE_TEXT
    if found is not None and found.reason not in ask:
        return found
    sign = _signs(said, cache)
    if code == NO_REPOSITORY:
        # Of some servers restic can say that it is the bucket that is missing.
        return sign if sign and sign.reason is Reason.BUCKET_MISSING else EXITS[code]
    if sign is not None:
        return sign
    if late:
        return _TOO_LATE
    if code < 0:
        remedy = ", as the kernel does where memory runs out" if code == -9 else ""
        return Verdict(Reason.FAILED, f"restic was ended by signal {-code}{remedy}")
    return found or Verdict(Reason.FAILED, f"restic ended with the unknown status {code}")


def is_hopeless(line: str, *, cache: str = "") -> bool:
    """Given a line that restic has said, and the directory of its cache, return whether it is about
    to repeat for a quarter of an hour what a person has to change something for first.
    """
    if _RETRYING not in line:
        return False
    found = _sign_in(line, cache)
    return found is not None and found.reason in _HOPELESS


def has_recovered(line: str) -> bool:
    """Given a line, return whether it says that what restic repeated has worked at last."""
    return _RECOVERED in line


def _signs(said: Sequence[str], cache: str) -> Verdict | None:
    """What the lines say, an outage only where they say nothing else; of several the last."""
    outage = None
    for line in reversed(said):
        found = _sign_in(line, cache)
        if found is not None and found.reason is not Reason.UNREACHABLE:
            return found
        outage = outage or found
    return outage


def _sign_in(line: str, cache: str) -> Verdict | None:
    if _NO_SPACE.search(line):
        return _CACHE_FULL if cache and cache.rstrip("/") + "/" in line else _FULL
    return next((sign.verdict for sign in SIGNS if sign.pattern.search(line)), None)
