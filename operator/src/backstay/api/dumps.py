"""Dumps: one model per engine.

A dump names exactly one engine, by the field that holds the engine's model. What these models
hold is data to the scripts that read it and never code.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from backstay.api.common import Duration, Model, Size
from backstay.api.server import PasswordSource, SecretKeyRef, Server, UserName
from backstay.api.shapes import (
    DatabaseName,
    FilePath,
    LabelName,
)
from backstay.api.target import Target

DATABASES_MAX: Final = 64
"""Databases that one dump may name."""


class PostgresFormat(StrEnum):
    """Formats of pg_dump."""

    CUSTOM = "custom"
    PLAIN = "plain"


class Globals(StrEnum):
    """What happens to roles and tablespaces, which belong to no database."""

    INCLUDE = "include"
    OMIT = "omit"
    ONLY = "only"


class Postgres(Server):
    """PostgreSQL by pg_dump."""

    cel_rules: ClassVar = (
        (
            "!has(self.format) || self.format != 'custom' || "
            "(has(self.databases) && size(self.databases) == 1)",
            "format custom holds one database: name it, give each database a dump of its own, or "
            "use format plain",
        ),
        (
            "!has(self.format) || self.format != 'custom' || !has(self.globals) || "
            "self.globals == 'omit'",
            "format custom cannot hold roles and tablespaces: use format plain, or a second dump "
            "with globals only",
        ),
        (
            "!has(self.globals) || self.globals != 'only' || "
            "!has(self.databases) || size(self.databases) == 0",
            "globals only holds no database: leave databases out",
        ),
    )

    databases: tuple[DatabaseName, ...] = Field(
        default=(),
        description="Databases to dump; left out, all that accept connections. The user is PGUSER "
        "or POSTGRES_USER of the container's environment, else postgres; the password PGPASSWORD "
        "or POSTGRES_PASSWORD.",
        max_length=DATABASES_MAX,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    format: PostgresFormat | None = Field(
        default=None,
        description="custom: an archive of one database for pg_restore. plain: SQL for psql, of "
        "any number of databases. Left out: custom for one database, else plain.",
    )
    globals: Globals | None = Field(
        default=None,
        description="Roles and tablespaces: include, omit, or only these. Left out: include when "
        "all databases are dumped, else omit.",
    )

    def layout(self) -> tuple[PostgresFormat, Globals]:
        """Return format and globals with what was left out decided."""
        wanted = self.globals or (Globals.OMIT if self.databases else Globals.INCLUDE)
        alone = len(self.databases) == 1 and wanted is Globals.OMIT
        return self.format or (PostgresFormat.CUSTOM if alone else PostgresFormat.PLAIN), wanted


class Mysql(Server):
    """MySQL or MariaDB by mariadb-dump or mysqldump, whichever the container has."""

    user: UserName | None = Field(default=None, description="User; left out, root.")
    databases: tuple[DatabaseName, ...] = Field(
        default=(),
        description="Databases to dump; left out, all but the server's own views. The user is "
        "root, its password MARIADB_ROOT_PASSWORD or MYSQL_ROOT_PASSWORD of the container's "
        "environment.",
        max_length=DATABASES_MAX,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


class Mongodb(Server):
    """MongoDB by mongodump."""

    database: DatabaseName | None = Field(
        default=None,
        description="Database to dump; left out, all, with the oplog where the server is a member "
        "of a replica set. User and password are MONGO_INITDB_ROOT_USERNAME and "
        "MONGO_INITDB_ROOT_PASSWORD of the container's environment.",
    )
    authentication_database: DatabaseName | None = Field(
        default=None, description="Database that knows the user; left out, admin."
    )


class Redis(Server):
    """Redis or Valkey by redis-cli --rdb: everything that the server holds."""

    user: UserName | None = Field(
        default=None,
        description="User; left out, the server's default user: the container's environment is "
        "not asked.",
    )
    password: PasswordSource | None = Field(
        default=None,
        description="Where the user's password is; left out, the first of REDISCLI_AUTH, "
        "REDIS_PASSWORD and VALKEY_PASSWORD (or NAME_FILE) in the container's environment.",
    )


class Sqlite(Model):
    """SQLite by VACUUM INTO."""

    database: FilePath = Field(description="Absolute path of the database in the container.")


class Output(StrEnum):
    """Where a command's dump comes from."""

    STDOUT = "stdout"
    FILE = "file"


class AnyCommand(Model):
    """Any command that makes a dump."""

    argv: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        description="Program and arguments, run as they are; [sh, -c, TEXT] for a shell's text. "
        "Anybody who may list processes in the container can read them: no secrets here.",
        min_length=1,
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    output: Output = Field(
        default=Output.STDOUT,
        description="stdout: what the command prints is the dump. file: it writes the file that "
        "the environment variable BACKSTAY_FILE names.",
    )


EngineSpec = Postgres | Mysql | Mongodb | Redis | Sqlite | AnyCommand


class EngineChoice(Model):
    """The engine of a dump: exactly one of the fields."""

    postgres: Postgres | None = Field(default=None, description="Dump PostgreSQL databases.")
    mysql: Mysql | None = Field(default=None, description="Dump MySQL or MariaDB databases.")
    mongodb: Mongodb | None = Field(default=None, description="Dump MongoDB databases.")
    redis: Redis | None = Field(default=None, description="Dump a Redis or Valkey server.")
    sqlite: Sqlite | None = Field(default=None, description="Dump an SQLite database.")
    command: AnyCommand | None = Field(default=None, description="Dump by any command.")

    @property
    def engine(self) -> str:
        """The name of the engine. Raise ValueError if there is not exactly one."""
        [name] = [name for name in ENGINE_NAMES if getattr(self, name) is not None]
        return name

    @property
    def engine_spec(self) -> EngineSpec:
        """The engine's model. Raise ValueError if there is not exactly one."""
        found: EngineSpec = getattr(self, self.engine)
        return found

    def secret_ref(self) -> SecretKeyRef | None:
        """Return what the operator has to read for this dump, if it has its password there."""
        spec = self.engine_spec
        source = spec.password if isinstance(spec, Server) else None
        return source.secret_key_ref if source else None


ENGINE_NAMES: Final = tuple(EngineChoice.model_fields)


class Dump(EngineChoice):
    """One dump, written inside the database's container onto a claim of this run."""

    cel_rules: ClassVar = (
        (
            f"[{', '.join(f'has(self.{name})' for name in ENGINE_NAMES)}].exists_one(x, x)",
            f"a dump needs exactly one of {', '.join(ENGINE_NAMES)}",
        ),
        (
            "!self.file.matches('[.](json|json[.]next|partial|failed|lock)$')",
            "file must not end in .json, .json.next, .partial, .failed or .lock: files of these "
            "names are kept beside a dump",
        ),
        (
            "!has(self.compress) || !self.compress || (!has(self.redis) && !has(self.sqlite) && "
            "(!has(self.command) || !has(self.command.output) || self.command.output == 'stdout'))",
            "compress is for postgres, mysql, mongodb, and what a command prints: the files of "
            "others are as their tools write them",
        ),
    )

    name: LabelName = Field(description="Name of the dump, unique in the policy.")
    target: Target = Field(description="Where the dump runs.")
    file: FilePath = Field(
        description="Absolute path of the dump in the container; it must lie on a claim of this "
        "run, so that the snapshot carries it."
    )
    compress: bool | None = Field(
        default=None,
        description="Compress the file. Left out: yes, but not in a policy with a repository, of "
        "which an uncompressed file takes only what has changed since the last; nor what a "
        "command prints. redis and sqlite: no.",
    )
    max_duration: Duration = Field(
        default=timedelta(hours=1), description="After this long the dump is stopped and failed."
    )
    min_free: Size = Field(
        default=64 * 1024 * 1024,
        description="Space that stays free for the database beside the dump: with less, or with "
        "no room for a dump of the last one's size and a fifth, none is started, and one that "
        "runs is stopped. 0 turns that off.",
        json_schema_extra={"default": "64Mi"},
    )
