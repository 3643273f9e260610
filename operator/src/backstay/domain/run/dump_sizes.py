"""How much smaller dumps are because they are written in another way: that is no loss of data."""

from __future__ import annotations

from collections.abc import Iterable

from backstay.api.dump_status import DumpStatus
from backstay.domain.retention.forms import form_of


def smaller_by_form(then: Iterable[DumpStatus], now: Iterable[DumpStatus]) -> int:
    """Given the dumps of an older run and of this one, return by how many bytes those have become
    smaller that are compressed now, or of another format.
    """
    before = {dump.name: dump for dump in then}
    return sum(
        max(0, (before[dump.name].bytes or 0) - (dump.bytes or 0))
        for dump in now
        if dump.name in before and _form(dump) != _form(before[dump.name])
    )


def _form(dump: DumpStatus) -> str:
    return form_of(dump.format, dump.compression, dump.compressed)
