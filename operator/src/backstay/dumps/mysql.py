"""MySQL and MariaDB: any number of databases as SQL."""

from __future__ import annotations

from backstay.api.dumps import Mysql
from backstay.dumps.base import Words


def words(spec: Mysql) -> Words:
    """Given a spec, return the arguments of scripts/mysql.sh; no database means all."""
    return ("--", *spec.databases)
