"""How a dump reaches its server. A password is never among it: only where to find one."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from backstay.api.common import Model
from backstay.api.shapes import NAME_MAX, WORDS, EnvironmentName, FilePath, ObjectName, SecretKey


class SecretKeyRef(Model):
    """One key of a Secret in the policy's namespace."""

    name: ObjectName = Field(description="The Secret.")
    key: SecretKey = Field(description="The key whose value is the password.")


class PasswordSource(Model):
    """Where a password is found; the password itself is in no object of ours."""

    cel_rules: ClassVar = (
        (
            "[has(self.env), has(self.file), has(self.secretKeyRef)].exists_one(x, x)",
            "password needs exactly one of env, file and secretKeyRef",
        ),
    )

    env: EnvironmentName | None = Field(
        default=None, description="Environment variable of the container that holds it."
    )
    file: FilePath | None = Field(
        default=None,
        description="File in the container that holds it, such as a mounted Secret; a newline at "
        "its end is not part of it.",
    )
    secret_key_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret that holds it. The operator may read no Secret unless its service "
        "account is granted `get` on that one; it hands the value to the dump on standard input.",
    )


HostName = Annotated[str, Field(min_length=1, max_length=NAME_MAX), WORDS]
UserName = Annotated[str, Field(min_length=1, max_length=128), WORDS]


class Server(Model):
    """How a dump reaches its server, from inside the container."""

    host: HostName | None = Field(
        default=None,
        description="Host, or absolute path of the socket (PostgreSQL: of its folder); left out, "
        "what the tool takes by itself in this container.",
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="Port of the server.")
    user: UserName | None = Field(
        default=None, description="User; left out, as the container's environment says."
    )
    password: PasswordSource | None = Field(
        default=None,
        description="Where the user's password is; left out, as the container's environment says.",
    )
