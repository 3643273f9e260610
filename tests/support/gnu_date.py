"""What GNU date says of moments in a time zone: a calendar that shares no code with ours."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path


def texts(zone: str, moments: Sequence[datetime], form: str) -> list[str]:
    """Given an IANA zone, moments and a format of `date`, return each moment in it."""
    lines = "".join(f"@{int(moment.timestamp())}\n" for moment in moments)
    done = subprocess.run(
        ["date", "--file=-", f"+{form}"],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": zone, "TZDIR": str(_zone_files()), "LC_ALL": "C"},
    )
    found = done.stdout.splitlines()
    assert len(found) == len(moments), done.stderr
    return found


def _zone_files() -> Path:
    """Those of the package tzdata: date takes a zone that it does not know for UTC."""
    spec = find_spec("tzdata")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "zoneinfo"
