"""What a retention pass reads of the record of every point."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from backstay.domain.retention.forms import form_of
from backstay.domain.retention.incarnations import Origin


@dataclass(frozen=True, slots=True)
class Glance:
    """What a retention pass reads of a record. The default: nothing."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of its dumps by name."""
    forms: Mapping[str, str] = field(default_factory=dict)
    """How each was written, in words (`form_of`)."""
    origin: Origin = field(default_factory=Origin)


def glance(text: str | None) -> Glance:
    """Given the annotation's text (None: there is none), return what a pass reads of every point.

    What cannot be read says nothing here: the record as a whole is reported elsewhere.
    """
    try:
        raw = json.loads(text or "{}")
        dumps = [dump for dump in raw.get("dumps") or () if isinstance(dump["bytes"], int)]
        claim = raw.get("claim") or {}
        return Glance(
            {dump["name"]: dump["bytes"] for dump in dumps},
            {
                dump["name"]: form_of(*map(dump.get, ("format", "compression", "compressed")))
                for dump in dumps
            },
            Origin(
                tuple(str(claim[key]) for key in ("uid", "volume") if claim.get(key)),
                str(claim.get("continues") or ""),
                {dump["name"]: str(dump["server"]) for dump in dumps if dump.get("server")},
            ),
        )
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return Glance()
