"""Repositories of restic's own making whose password costs next to nothing to check.

restic makes its passwords dear to guess: half a second of a processor for each command. A test that
runs it a dozen times gets the same repository with a key file of its own, which differs in that
cost alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

_COST: Final = {"N": 2, "r": 1, "p": 1}
_MODULUS: Final = (1 << 130) - 5
_CLAMP: Final = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


@cache
def cheap_repository(restic: Path, password: str) -> tuple[str, dict[str, bytes]]:
    """Given restic's binary and a password, return the id of a repository that it made, and its
    files by path. All that is made in one process is the same.
    """
    with TemporaryDirectory() as folder:
        top = Path(folder, "repository")
        environment = {
            "PATH": os.environ["PATH"],
            "RESTIC_REPOSITORY": str(top),
            "RESTIC_PASSWORD": password,
            "RESTIC_CACHE_DIR": str(Path(folder, "cache")),
        }

        def run(*words: str) -> dict[str, Any]:
            argv = [str(restic), "--json", *words]
            found: dict[str, Any] = json.loads(
                subprocess.run(argv, env=environment, capture_output=True, check=True).stdout
            )
            return found

        made = run("init")
        key = _key_file(run("cat", "masterkey"), password.encode())
        files = {"config": (top / "config").read_bytes()}
    return made["id"], {**files, f"keys/{hashlib.sha256(key).hexdigest()}": key}


def lay_out(files: dict[str, bytes], top: Path) -> None:
    """Given a repository's files, put them into a directory as restic has them there."""
    folders = ("keys", "locks", "snapshots", "index", *(f"data/{n:02x}" for n in range(256)))
    for name in folders:
        (top / name).mkdir(parents=True)
    for path, content in files.items():
        (top / path).write_bytes(content)


def _key_file(master: dict[str, Any], password: bytes) -> bytes:
    salt = secrets.token_bytes(64)
    derived = hashlib.scrypt(
        password, salt=salt, n=_COST["N"], r=_COST["r"], p=_COST["p"], dklen=64
    )
    return json.dumps(
        {
            "created": "2026-01-01T00:00:00Z",
            "username": "root",
            "hostname": "test",
            "kdf": "scrypt",
            **_COST,
            "salt": base64.b64encode(salt).decode(),
            "data": base64.b64encode(_sealed(json.dumps(master).encode(), derived)).decode(),
        }
    ).encode()


def _sealed(text: bytes, key: bytes) -> bytes:
    """A text as restic encrypts: AES-256 in counter mode, and Poly1305-AES over that."""
    nonce = secrets.token_bytes(16)
    sealed = _aes("aes-256-ctr", key[:32], text, "-iv", nonce.hex())
    mask = _aes("aes-128-ecb", key[32:48], nonce, "-nopad")
    return nonce + sealed + _poly1305(sealed, key[48:], mask)


def _aes(kind: str, key: bytes, text: bytes, *words: str) -> bytes:
    argv = ["openssl", "enc", f"-{kind}", "-K", key.hex(), *words]
    return subprocess.run(argv, input=text, capture_output=True, check=True).stdout


def _poly1305(text: bytes, r: bytes, s: bytes) -> bytes:
    factor, total = int.from_bytes(r, "little") & _CLAMP, 0
    for at in range(0, len(text), 16):
        total = (total + int.from_bytes(text[at : at + 16] + b"\1", "little")) * factor % _MODULUS
    return ((total + int.from_bytes(s, "little")) % (1 << 128)).to_bytes(16, "little")
