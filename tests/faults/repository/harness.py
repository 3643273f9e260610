"""The agent as a Job runs it, on real repositories of a real S3 server or in a directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hack.cluster.kit import s3

from backstay.domain.times import parse_time

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "correct-horse-battery"  # noqa: S105 - of repositories that are gone after the tests


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command answered."""

    code: int
    result: dict[str, Any]
    lines: list[str]
    errors: str

    @property
    def reason(self) -> str:
        return str(self.result["reason"])

    @property
    def everything(self) -> str:
        """All that the Job has let anybody see."""
        return "\n".join([*self.lines, json.dumps(self.result, ensure_ascii=False), self.errors])


@dataclass(frozen=True, slots=True)
class Depot:
    """A repository's Secret and place, and the agent that works on it."""

    folder: Path
    """Of this test, for the Secret, the cache and what is backed up."""
    restic: Path
    """The directory that restic is in."""
    ca: str = ""
    suffix: str = ""
    local: str = ""
    id: str = ""
    path: tuple[str, ...] = ()
    """Directories that come before restic's in PATH."""
    more: Mapping[str, str] = field(default_factory=dict)
    """What else the Job's environment has."""

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    @property
    def source(self) -> Path:
        return self.folder / "data"

    def give(self, **keys: str | None) -> None:
        """Given keys and their values, have the Secret have them; None takes one away."""
        self.secret.mkdir(exist_ok=True)
        for key, value in keys.items():
            if value is None:
                (self.secret / key).unlink()
            else:
                (self.secret / key).write_text(value)

    def known_as(self, one: str) -> Depot:
        return replace(self, id=one)

    def task(self, **more: Any) -> dict[str, Any]:
        repository = {
            "secret": str(self.secret),
            "pathSuffix": self.suffix,
            "local": self.local,
            "ca": self.ca,
            "cache": str(self.folder / "cache"),
            "id": self.id,
        }
        return {"repository": repository, **more}

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.pathsep.join([*self.path, str(self.restic), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT / "operator/src"),
            **self.more,
        }

    def start(self, verb: str, task: Mapping[str, Any], **how: Any) -> subprocess.Popen[str]:
        """Given a command and its task, start it as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "backstay.agent", verb],
            env={**self.environment(), "BACKSTAY_TASK": json.dumps(task)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **how,
        )

    def agent(self, verb: str, **more: Any) -> Outcome:
        """Given a command and what its task has besides the repository, run it to its end; insist
        that it lets nobody see a secret.
        """
        outcome = finished(self.start(verb, self.task(**more)))
        for value in self.secrets():
            assert value not in outcome.everything
        return outcome

    def secrets(self) -> list[str]:
        """Return the values of the Secret that nobody may see."""
        names = ("RESTIC_PASSWORD", "AWS_SECRET_ACCESS_KEY")
        return [path.read_text() for path in self.secret.glob("*") if path.name in names]

    def by_hand(self) -> dict[str, str]:
        """Return the environment of a restic that is run by hand."""
        keys = {path.name: path.read_text() for path in self.secret.iterdir()}
        place = self.local or keys["RESTIC_REPOSITORY"]
        return {
            **keys,
            "RESTIC_REPOSITORY": f"{place}/{self.suffix}" if self.suffix else place,
            "RESTIC_CACHE_DIR": str(self.folder / "own-cache"),
            "PATH": os.environ["PATH"],
            **({"RESTIC_CACERT": self.ca} if self.ca else {}),
        }

    def run(self, *words: str, cwd: Path | None = None) -> str:
        """Given arguments, run restic by hand; insist that it works, and return its output."""
        env = self.by_hand()
        argv = [str(self.restic / "restic"), *words]
        done = subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def snapshots(self) -> list[dict[str, Any]]:
        """Return the snapshots as restic itself lists them, the oldest first.

        restic's own order is none within a second, in which a test takes several.
        """
        found: list[dict[str, Any]] = json.loads(self.run("snapshots", "--json", "--no-lock"))
        return sorted(found, key=lambda one: (parse_time(str(one["time"])), str(one["id"])))


def ids(depot: Depot) -> list[str]:
    """Return the ids of a repository's snapshots, the oldest first."""
    return [snapshot["id"] for snapshot in depot.snapshots()]


def finished(process: subprocess.Popen[str]) -> Outcome:
    """Given a running command, wait for its end; return what it answered."""
    out, errors = process.communicate()
    assert out, errors
    lines = out.splitlines()
    assert len(lines[-1]) <= 4096
    return Outcome(process.returncode, json.loads(lines[-1]), lines[:-1], errors)


def credentials(access: s3.Access, user: str) -> dict[str, str]:
    """Given how the server is reached and a user, return the keys of a Secret for them."""
    return {
        "AWS_ACCESS_KEY_ID": access.keys[user].id,
        "AWS_SECRET_ACCESS_KEY": access.keys[user].secret,
        "RESTIC_PASSWORD": PASSWORD,
    }


def fill(top: Path, names: Sequence[str] = ("a", "sub/b", "sub/c")) -> None:
    """Given a directory, give it files."""
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 500)
