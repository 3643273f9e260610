"""An S3 server for tests (versitygw): TLS by a CA of its own, three users, two buckets.

Invariants: access.json is written before the server first starts and never changes, so what a
test has read stays true until `down`; provisioning may stop anywhere and is repeated by `up`.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .certificates import ensure_authority, ensure_pair
from .errors import KitError
from .files import write
from .layout import Layout
from .processes import Service, Supervisor
from .s3_client import Answer, Client, Key

SERVICE = "versitygw"
ADMIN, WRITER, APPENDER = "admin", "writer", "appender"
"""The owner of everything; who may read, write and delete objects; who may not delete, but for
restic's locks."""
USERS = (ADMIN, WRITER, APPENDER)
BUCKET = "backstay"
LOCKED_BUCKET = "backstay-locked"
"""Versioned, and each object is immutable for a day (COMPLIANCE)."""
_REGION = "us-east-1"
_XML = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_LOCK = (
    f"<ObjectLockConfiguration {_XML}><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
    "<DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention>"
    "</Rule></ObjectLockConfiguration>"
)


@dataclass(frozen=True, slots=True)
class Access:
    """How the server is reached: its URL, the file of its CA, and a key for each of USERS."""

    endpoint: str
    ca: str
    region: str
    keys: Mapping[str, Key]

    def client(self, user: str) -> Client:
        return Client(self.endpoint, Path(self.ca), self.region, self.keys[user])

    def environment(self, user: str) -> dict[str, str]:
        """Given a user, return what restic and AWS tools read from their environment."""
        return {
            "AWS_ACCESS_KEY_ID": self.keys[user].id,
            "AWS_SECRET_ACCESS_KEY": self.keys[user].secret,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": self.ca,
            "RESTIC_CACERT": self.ca,
            "RESTIC_REPOSITORY": f"s3:{self.endpoint}/{BUCKET}",
        }

    def report(self) -> dict[str, Any]:
        return asdict(self)


def access(layout: Layout) -> Access | None:
    """Given a layout, return how its S3 server is reached, or None if it has none."""
    try:
        found = json.loads(_access_file(layout).read_text())
    except FileNotFoundError:
        return None
    return Access(**{**found, "keys": {user: Key(**key) for user, key in found["keys"].items()}})


def _access_file(layout: Layout) -> Path:
    return layout.s3 / "access.json"


def claim(layout: Layout, address: str) -> Access:
    """Given the address to listen on, return how the server is reached; make keys and CA once."""
    pki = layout.s3 / "pki"
    ensure_authority(pki, "backstay-test-s3-ca")
    ensure_pair(pki, "server", "/CN=s3", [address, "localhost"])
    found = access(layout)
    if found is None:
        keys = {user: Key(user, secrets.token_hex(20)) for user in USERS}
        endpoint = f"https://{address}:{layout.s3_port}"
        found = Access(endpoint, str(pki / "ca.crt"), _REGION, keys)
        write(_access_file(layout), json.dumps(found.report(), indent=1))
    return found


def service(layout: Layout, program: Path, found: Access) -> Service:
    """Given the binary and how it is to be reached, return the server's process."""
    folder = layout.s3
    for name in ("data", "versions", "users"):
        (folder / name).mkdir(exist_ok=True)
    root = found.keys[ADMIN]
    argv = [
        str(program), "--port", found.endpoint.removeprefix("https://"), "--region", found.region,
        "--cert", f"{folder}/pki/server.crt", "--key", f"{folder}/pki/server.key",
        # Without the cache a change of users is in force at once.
        "--iam-dir", f"{folder}/users", "--iam-cache-disable", "--quiet",
        "posix", "--versioning-dir", f"{folder}/versions", f"{folder}/data",
    ]  # fmt: skip
    return Service(
        SERVICE, argv, {"ROOT_ACCESS_KEY_ID": root.id, "ROOT_SECRET_ACCESS_KEY": root.secret}
    )


def up(layout: Layout, supervisor: Supervisor, program: Path, address: str) -> bool:
    """Given the binary and an address, leave the server running; return whether it was started."""
    found = claim(layout, address)
    started = supervisor.ensure(service(layout, program, found))
    client = found.client(ADMIN)
    supervisor.wait(SERVICE, lambda: _answers(client), seconds=30, what=f"{found.endpoint} answers")
    for user in (WRITER, APPENDER):
        _create_user(client, found.keys[user])
    _create_bucket(client, BUCKET)
    _create_bucket(client, LOCKED_BUCKET, {"x-amz-bucket-object-lock-enabled": "true"})
    _put(client, LOCKED_BUCKET, "object-lock", _LOCK)
    for bucket in (BUCKET, LOCKED_BUCKET):
        _put(client, bucket, "policy", json.dumps(policy(bucket, found.keys)))
    return started


def policy(bucket: str, keys: Mapping[str, Key]) -> dict[str, Any]:
    """Given a bucket and the users' keys, return its policy: what the admin lets others do."""
    whole = f"arn:aws:s3:::{bucket}"

    def allow(user: str, actions: Sequence[str], resource: str) -> dict[str, Any]:
        principal = {"AWS": [keys[user].id]}
        allowed = [f"s3:{action}" for action in actions]
        return {
            "Effect": "Allow", "Principal": principal, "Action": allowed, "Resource": resource,
        }  # fmt: skip

    look = ["ListBucket", "GetBucketLocation", "ListBucketMultipartUploads"]
    add = ["GetObject", "PutObject", "AbortMultipartUpload", "ListMultipartUploadParts"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            allow(WRITER, look, whole),
            allow(WRITER, [*add, "DeleteObject"], f"{whole}/*"),
            allow(APPENDER, look, whole),
            allow(APPENDER, add, f"{whole}/*"),
            # restic removes its own lock, at the top of the bucket or of a prefix.
            allow(APPENDER, ["DeleteObject"], f"{whole}/locks/*"),
            allow(APPENDER, ["DeleteObject"], f"{whole}/*/locks/*"),
        ],
    }


def _answers(client: Client) -> bool:
    try:
        return client.send("GET", "/").status == 200
    except (ConnectionError, TimeoutError):  # not for a certificate that is not trusted
        return False


def _create_user(client: Client, key: Key) -> None:
    account = f"<Account><Access>{key.id}</Access><Secret>{key.secret}</Secret>"
    body = f"{account}<Role>user</Role></Account>".encode()
    _check(f"creating user {key.id}", client.send("PATCH", "/create-user", body=body), exists=True)


def _create_bucket(client: Client, name: str, headers: Mapping[str, str] | None = None) -> None:
    answer = client.send("PUT", f"/{name}", headers=headers)
    _check(f"creating bucket {name}", answer, exists=True)


def _put(client: Client, bucket: str, what: str, body: str) -> None:
    answer = client.send("PUT", f"/{bucket}", query={what: ""}, body=body.encode())
    _check(f"setting {what} of bucket {bucket}", answer)


def _check(doing: str, answer: Answer, *, exists: bool = False) -> None:
    """Raise KitError unless the request was accepted; `exists`: or was unnecessary (409)."""
    if answer.status >= 300 and not (exists and answer.status == 409):
        raise KitError(f"{doing}: S3 server answered {answer.status}: {answer.body.decode()}")
