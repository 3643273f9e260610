"""Ask a database whether it is the primary, where its pod's labels do not say."""

from __future__ import annotations

from backstay.api.target import Preference
from backstay.dumps.base import Command

_POSTGRES = """
unset PGOPTIONS PGCLIENTENCODING
export PGUSER="${PGUSER:-${POSTGRES_USER:-postgres}}"
export PGPASSWORD="${PGPASSWORD:-${POSTGRES_PASSWORD:-}}"
if [ -z "$PGPASSWORD" ] && [ -r "${POSTGRES_PASSWORD_FILE:-}" ]; then
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
fi
exec psql --no-psqlrc --no-password --tuples-only --no-align --dbname=postgres \\
    --command='select pg_is_in_recovery()'
"""

_PROBES = {"postgres": Command(argv=("/bin/sh", "-c", _POSTGRES), stdin=b"")}
_ROLES = {b"t": Preference.STANDBY, b"f": Preference.PRIMARY}


def probe(engine: str) -> Command | None:
    """Given an engine, return the command whose answer gives the role, None if there is none."""
    return _PROBES.get(engine)


def parse_role(stdout: bytes) -> Preference | None:
    """Given what the probe printed, return the role, None if it says none."""
    return _ROLES.get(stdout.strip())
