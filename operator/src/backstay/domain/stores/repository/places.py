"""Where a Job of a repository has what it needs: the contract of design note 0036."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

SECRET: Final = PurePosixPath("/run/backstay/secret")
CA: Final = PurePosixPath("/run/backstay/ca/ca.crt")
CACHE: Final = PurePosixPath("/cache")
REPOSITORY: Final = PurePosixPath("/repository")
"""The root of the claim that the repository is in."""
DATA: Final = PurePosixPath("/data")
"""What is backed up, or filled."""
