"""How dumps are written: only sizes of dumps that are alike in that can be compared."""

from __future__ import annotations


def form_of(format: str | None, compression: str | None, compressed: bool | None) -> str:
    """Given what a record says of a dump, return in words how it was written."""
    # A record of before says only what the file as a whole is compressed by. Inside, archives were.
    if compressed is None:
        compressed = compression in ("zstd", "gzip") or format in ("custom", "archive")
    return packed(format or "") if compressed else format or ""


def packed(form: str) -> str:
    """Given a form, return that of the same dump compressed."""
    return f"{form}, compressed"
