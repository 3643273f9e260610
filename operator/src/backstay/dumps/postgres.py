"""PostgreSQL, one database in the custom format; scripts/postgres.sh does the work.

Connection and password are what the container's environment says; nothing secret passes here.
"""

from __future__ import annotations

from datetime import timedelta

from backstay.dumps.base import Command, DumpTask, command

_SCRIPT = "postgres"


class Postgres:
    """See `backstay.dumps.base.Engine`."""

    def start(self, task: DumpTask, database: str) -> Command:
        # Up to whole seconds: a positive duration is never zero.
        seconds = -(-task.max_duration // timedelta(seconds=1))
        return command(_SCRIPT, "start", task, str(seconds), database)

    def result(self, task: DumpTask) -> Command:
        return command(_SCRIPT, "result", task)

    def cancel(self, task: DumpTask) -> Command:
        return command(_SCRIPT, "cancel", task)

    def probe(self) -> Command:
        return command(_SCRIPT, "probe", None)
