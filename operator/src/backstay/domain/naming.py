"""Names that never collide, always pass the API server, and sort by time.

Invariants: every function is pure and stable across versions (a name is the key under which a
restarted operator finds what it made); shortening is injective but for sha256 collisions: text
that merely looks like a shortened one is shortened as well, so nobody can pick a name that
lands on another's.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final

LABEL_VALUE_LIMIT: Final = 63
OBJECT_NAME_LIMIT: Final = 253
BACKUP_NAME_LIMIT: Final = 200
POD_NAME_LIMIT: Final = 63
JOB_NAME_LIMIT: Final = 63

_HASH_CHARS: Final = 10
_SLOT_CHARS: Final = len("-20261122-0032")
_ALTERNATIVE_CHARS: Final = len("-abcde")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", re.ASCII)
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SHORTENED: Final = re.compile(r".*-[0-9a-f]{10}", re.DOTALL)
_SNAPSHOT: Final = re.compile(r".+-[0-9]{8}-[0-9]{4}-[0-9a-f]{5}-[1-9][0-9]*")


def label_value(full: str) -> str:
    """Given any text, return a valid label value: the text itself where it is one, else
    52 characters of it, `-` and 10 hex digits of its sha256 (63 characters in all).

    The caller keeps the full text in the annotation of the same key where the two differ.
    """
    looks_shortened = len(full) == LABEL_VALUE_LIMIT and _SHORTENED.fullmatch(full)
    if len(full) <= LABEL_VALUE_LIMIT and _LABEL_VALUE.fullmatch(full) and not looks_shortened:
        return full
    width = LABEL_VALUE_LIMIT - _HASH_CHARS - 1
    head = re.sub(r"[^-A-Za-z0-9_.]", "_", full[:width], flags=re.ASCII)
    head = re.sub(r"^[^A-Za-z0-9]", "x", head, flags=re.ASCII)
    # Always exactly 63 characters: only texts of that length can be mistaken for a short form.
    return head.ljust(width, "_") + "-" + _digest(full, _HASH_CHARS)


def shorten(name: str, limit: int) -> str:
    """Given a DNS-1123 subdomain and the room for it (characters, more than 11), return it, or
    its beginning, `-` and 10 hex digits of its sha256: exactly `limit` characters.
    """
    if len(name) < limit or (len(name) == limit and not _SHORTENED.fullmatch(name)):
        return name
    head = name[: limit - _HASH_CHARS - 1]
    stem = head.rstrip("-.")
    # A dot or dash before our dash would be an invalid name; the length must stay the same.
    return stem + "0" * (len(head) - len(stem)) + "-" + _digest(name, _HASH_CHARS)


def backup_name(policy: str, slot: datetime, zone: tzinfo) -> str:
    """Given a policy's name, a slot (aware) and the policy's zone, return
    `<policy>-YYYYMMDD-HHMM` in that zone, at most 200 characters; names sort by time.
    """
    base = shorten(policy, BACKUP_NAME_LIMIT - _SLOT_CHARS - _ALTERNATIVE_CHARS)
    return f"{base}-{_stamp(slot, zone)}"


def backup_name_alternative(policy: str, slot: datetime, zone: tzinfo) -> str:
    """Given the same as for backup_name, return that name, `-` and 5 hex digits of the slot.

    Two instants share a local time in a doubled hour or after the policy's zone was changed;
    the second takes this name.
    """
    instant = slot.astimezone(UTC).isoformat(timespec="seconds")
    return f"{backup_name(policy, slot, zone)}-{_digest(instant, 5)}"


def backup_names(policy: str, slot: datetime, zone: tzinfo) -> tuple[str, str]:
    """Given the same, return the names that its run may have, the first one first."""
    return backup_name(policy, slot, zone), backup_name_alternative(policy, slot, zone)


def backup_names_again(
    policy: str, slot: datetime, zone: tzinfo, times: int = 1
) -> tuple[str, str]:
    """Given the same, and how often a clock was ahead, return two more such names, for the run of a
    slot that has run before its time; the second is for where somebody else has the first.
    """
    instant = slot.astimezone(UTC).isoformat(timespec="seconds")
    base, nth = backup_name(policy, slot, zone), f" {times}" if times > 1 else ""
    return (
        f"{base}-{_digest(f'{instant} again{nth}', 5)}",
        f"{base}-{_digest(f'{instant} once more{nth}', 5)}",
    )


def manual_name(policy: str, token: str) -> str:
    """Given a policy's name and the text by which a person asked for a run, return the name of its
    Backup.
    """
    suffix = f"-manual-{_digest(token, _HASH_CHARS)}"
    return shorten(policy, BACKUP_NAME_LIMIT - len(suffix)) + suffix


def imported_name(policy: str, taken: datetime, zone: tzinfo, snapshot_uid: str) -> str:
    """Given a policy's name, when a snapshot of another tool was taken (aware), the policy's zone
    and the snapshot's uid, return the name of its Backup: as backup_name, `-` and 5 of the uid.
    """
    return f"{backup_name(policy, taken, zone)}-{_of_uid(snapshot_uid, 5)}"


def identity_labels(full: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Given identities by label key, return the labels, and the annotations of the same keys for
    those that are no label values as they stand.
    """
    values = {key: label_value(text) for key, text in full.items()}
    return values, {key: text for key, text in full.items() if values[key] != text}


def snapshot_name(claim: str, slot: datetime, zone: tzinfo, run_uid: str, attempt: int) -> str:
    """Given a claim's name, the run's slot (aware), the policy's zone, the run's uid and the
    attempt (1, 2, ...), return the name of its VolumeSnapshot, at most 253 characters.
    """
    suffix = f"-{_stamp(slot, zone)}-{_of_uid(run_uid, 5)}-{attempt}"
    return shorten(claim, OBJECT_NAME_LIMIT - len(suffix)) + suffix


def is_snapshot_name(name: str) -> bool:
    """Given the name of a VolumeSnapshot, return whether snapshot_name makes such names."""
    return bool(_SNAPSHOT.fullmatch(name))


def verify_pod_name(request_uid: str, claim: str) -> str:
    """Given a RestoreRequest's uid and a claim's name, return the name of the Pod that proves
    the restored claim; at most 63 characters, so that it is its host name as well.
    """
    prefix = f"verify-{_of_uid(request_uid, 8)}-"
    return prefix + shorten(claim, POD_NAME_LIMIT - len(prefix))


def object_name(text: str) -> str:
    """Given any text, return it where it can name an object, else what of it can."""
    name = text if _SUBDOMAIN.fullmatch(text) else re.sub(r"[^a-z0-9]+", "-", text).strip("-")
    return shorten(name, OBJECT_NAME_LIMIT)


def run_name(backup: str, run_uid: str) -> str:
    """Given a Backup's name and uid, return the name of its rolling copies' trees, at most 200
    characters: a recreated record is another run.
    """
    return f"{shorten(backup, 190)}-{_of_uid(run_uid, 5)}"


def agent_job_name(what: str, about: str, *identity: str) -> str:
    """Given a word, a name for people and what distinguishes the work, return the name of its Job;
    at most 63 characters, so that its Pods can carry it as a label.
    """
    digest = _digest("\n".join((what, about, *identity)), 10)
    suffix = f"-{what}-{digest}"
    return shorten(about, JOB_NAME_LIMIT - len(suffix)) + suffix


def cache_name(repository: str, uid: str) -> str:
    """Given a BackupRepository's name and uid, return the name of its claim for the cache: one that
    is made again has another.
    """
    suffix = f"-cache-{_of_uid(uid, 5)}"
    return shorten(repository, OBJECT_NAME_LIMIT - len(suffix)) + suffix


def mover_hosts(repository_uid: str) -> str:
    """Given the uid of a BackupRepository, return what the host names of its Pods begin with."""
    return f"backstay-{_digest(repository_uid, 12)}-"


def mover_host(repository_uid: str, job: str) -> str:
    """Given the uid of a BackupRepository and the name of a Job on it, return the host name of its
    Pods: restic writes it into its locks.
    """
    return mover_hosts(repository_uid) + _digest(job, 12)


def _stamp(instant: datetime, zone: tzinfo) -> str:
    return instant.astimezone(zone).strftime("%Y%m%d-%H%M")


def digest(text: str) -> str:
    """Given any text, return 16 hex digits that stand for it in names."""
    return _digest(text, 16)


def _digest(text: str, chars: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:chars]


def _of_uid(uid: str, chars: int) -> str:
    """The uid's own first characters: a person finds the run by them. Any other text is hashed."""
    head = uid[:chars]
    return head if re.fullmatch(rf"[0-9a-f]{{{chars}}}", head) else _digest(uid, chars)
