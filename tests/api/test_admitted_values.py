"""What the API server admits, the operator can read, and can write the status of.

Three readers look at one text: the schema, our CEL rules and our models. Where they differ, an
object is stored that nobody can work on.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.bad import odd
from tests.api.bad.common import GOOD
from tests.api.bad.repositories import IN_A_CLAIM

from backstay.api.kinds import KINDS
from backstay.api.policy import PolicySpec
from backstay.domain import objects
from backstay.domain.errors import BackstayError, UserError
from backstay.domain.schedule.slots import Timing
from backstay.engine.system_clock import SystemClock
from backstay.kube.client import Client
from backstay.kube.login import login
from backstay.kube.resources import (
    BACKUP,
    BACKUP_POLICY,
    BACKUP_REPOSITORY,
    NAMESPACE,
    RESTORE_REQUEST,
)

Document: TypeAlias = tuple[str, dict[str, Any]]
Path_: TypeAlias = tuple[Any, ...]

ROOT: Final = Path(__file__).parents[2]
TOGETHER: Final = 40
RESOURCES: Final = {r.kind: r for r in (BACKUP_POLICY, BACKUP, RESTORE_REQUEST, BACKUP_REPOSITORY)}
MODELS: Final = {kind.meta.kind: kind.spec for kind in KINDS}
STATUS: Final[dict[str, Any]] = {
    "BackupPolicy": {"observedGeneration": 1},
    "Backup": {"attempt": 1},
    "RestoreRequest": {"observedGeneration": 1},
    "BackupRepository": {"observedGeneration": 1},
}
TARGET: Final = {"kind": "Pod", "name": "x", "container": "c", "prefer": "Standby"}
SERVER: Final = {"host": "h", "port": 5, "user": "u"}
ENGINES: Final[tuple[dict[str, Any], ...]] = (
    {"postgres": {**SERVER, "password": {"file": "/x"}, "databases": ["d"], "format": "custom"}},
    {"mysql": {"password": {"secretKeyRef": {"name": "s", "key": "k"}}, "databases": ["d"]}},
    {"mongodb": {"database": "d", "authenticationDatabase": "d"}},
    {"redis": {"password": {"env": "X"}}, "compress": False},
    {"sqlite": {"database": "/d"}},
    {"command": {"argv": ["x"], "output": "stdout"}, "compress": True},
)
ROLLING: Final[dict[str, Any]] = {
    "destination": {"claim": {"name": "x", "subPath": "z"}},
    "exclude": ["x"],
    "bandwidth": "1M",
    "keepFree": {"bytes": "1Gi", "inodes": 3},
    "minimumPercent": 3,
    "startTimeout": "1m",
    "maxDuration": "3h",
    "scrub": {"days": 3},
}
REPOSITORY: Final = {
    "name": "offsite",
    "copyMethod": "Snapshot",
    "retention": {"daily": 3, "adhocDays": 3},
    "exclude": ["/cache"],
    "allowUnreadable": True,
    "minimumPercent": 3,
    "volume": {"storageClassName": "x", "accessModes": ["ReadWriteOnce"], "size": "1Gi"},
    "startTimeout": "1m",
    "maxDuration": "3h",
}
FROM: Final = {"backup": "b"}
NOT_AFTER: Final = "2030-01-01T00:00:00Z"
SELECTOR: Final = {
    "matchLabels": {"a/b": "c"},
    "matchExpressions": [{"key": "a", "operator": "In", "values": ["x"]}],
}


def documents() -> list[Document]:
    """Good specs that have every field between them."""
    examples = (yaml.safe_load_all(p.read_text()) for p in sorted(ROOT.glob("examples/*.yaml")))
    found = [(one["kind"], one["spec"]) for many in examples for one in many]
    window = {"start": "@daily", "duration": "1h"}
    policies: list[dict[str, Any]] = [
        {
            "schedule": {
                "cron": "@daily",
                "timeZone": "UTC",
                "jitter": "5m",
                "blackouts": [window],
            },
            "source": {"hostPath": {"node": "n", "paths": ["/a", "/b"]}},
            "rolling": ROLLING,
            "retention": {"within": "3d", "last": 1},
        },
        {
            "source": {"claims": {"names": ["a"], "selector": SELECTOR}},
            "adopt": {"labelPrefix": "a.b"},
            "snapshot": {"className": "x", "takeTimeout": "1m", "readyTimeout": "1h"},
        },
        {"source": {"claims": {"names": ["a"]}}, "snapshot": {}, "repository": REPOSITORY},
    ]
    dump = {"name": "d", "target": TARGET, "file": "/d/x", "maxDuration": "1h", "minFree": "1Gi"}
    policies += [
        {"source": {"claims": {"ofDumps": True}}, "dumps": [{**dump, **engine}]}
        for engine in ENGINES
    ]
    new = {"claim": "data", "to": {"newClaim": {"name": "r", "storageClassName": "x"}}}
    place = {"inPlace": {"keepDays": 3}, "source": "n:/x", "node": "n", "paths": ["a/b"]}
    restores: list[dict[str, Any]] = [
        {"from": FROM, "notAfter": NOT_AFTER, "claims": [new]},
        {"from": FROM, "notAfter": NOT_AFTER, "directory": place},
        {"from": FROM, "directory": {"claim": {"name": "x", "subPath": "y"}}},
        {"from": {"volumeSnapshot": "s"}, "claims": [new]},
        {"from": {"backup": "b", "store": "Rolling"}, "claims": [new]},
    ]
    backups = [
        {"policy": "a", "keepDays": 3},
        {"policy": "a", "trigger": "Scheduled", "scheduledFor": NOT_AFTER},
        {"policy": "a", "trigger": "Imported", "scheduledFor": NOT_AFTER},
    ]
    return [
        *GOOD.items(),
        *found,
        *(("BackupPolicy", one) for one in policies),
        *(("RestoreRequest", one) for one in restores),
        ("BackupRepository", IN_A_CLAIM),
        *(("Backup", one) for one in backups),
    ]


def leaves(node: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every value below a node, with where it is."""
    children: Any = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for key, child in children:
        yield (*path, key), child
        yield from leaves(child, (*path, key))


def changed(spec: dict[str, Any], path: Path_, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(spec)
    node: Any = made
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return made


DOCUMENTS: Final = documents()


@st.composite
def odd_documents(draw: st.DrawFn) -> Document:
    """A good spec with one odd value in it, seldom with two."""
    kind, spec = draw(st.sampled_from(DOCUMENTS))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
        path, value = draw(st.sampled_from(list(leaves(spec))))
        spec = changed(spec, path, draw(st.sampled_from(odd.odd_for(value))))
    return kind, spec


class Server:
    """A client, a namespace and a loop of their own: hypothesis knows no coroutines."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._count = 0
        self.admitted = 0

    def start(self, namespace: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.namespace = namespace
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        self.client = Client(await login(self._kubeconfig), SystemClock())
        await self.client.create(NAMESPACE, {"metadata": {"name": self.namespace}})

    def stop(self) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()

    def put(self, documents: list[Document]) -> None:
        """Create each of the documents, and see that whatever was admitted can be worked on."""

        async def all_of_them() -> None:
            await asyncio.gather(*(self._put(kind, spec) for kind, spec in documents))

        self.loop.run_until_complete(all_of_them())

    async def _put(self, kind: str, spec: dict[str, Any]) -> None:
        self._count += 1
        name = f"odd-{self._count}"
        body = {"metadata": {"name": name, "namespace": self.namespace}, "spec": spec}
        refused = ""
        try:
            stored = await self.client.create(RESOURCES[kind], body)
        except BackstayError as error:
            refused = str(error)
        if refused:
            assert "HTTP 5" not in refused, (kind, spec)
            return
        self.admitted += 1
        model = MODELS[kind].model_validate(stored["spec"])
        if isinstance(model, PolicySpec) and model.schedule is not None:
            # The operator may refuse it in words, and must not fail on it.
            with contextlib.suppress(UserError):
                Timing.of(model.schedule, self.namespace, name)
        patch = {
            "metadata": {"resourceVersion": objects.version(stored)},
            "status": STATUS[kind],
        }
        await self.client.patch(RESOURCES[kind], name, self.namespace, patch, subresource="status")


@pytest.fixture(scope="module")
def server(kubeconfig: Path) -> Iterator[Server]:
    made = Server(kubeconfig)
    made.start("odd-values")
    yield made
    made.stop()


def test_what_is_changed_is_good_before(server: Server) -> None:
    before = server.admitted
    server.put(DOCUMENTS)
    assert server.admitted - before == len(DOCUMENTS)


@pytest.mark.parametrize(
    ("kind", "spec", "path", "values"),
    [
        ("RestoreRequest", "notAfter", ("notAfter",), odd.TIMES),
        ("Backup", "scheduledFor", ("scheduledFor",), odd.TIMES),
        ("BackupPolicy", "schedule", ("schedule", "cron"), odd.CRONS),
        ("BackupPolicy", "schedule", ("schedule", "timeZone"), odd.ZONES),
        ("BackupPolicy", "schedule", ("schedule", "jitter"), odd.DURATIONS),
        ("BackupPolicy", "rolling", ("rolling", "bandwidth"), odd.SIZES),
        ("BackupPolicy", "dumps", ("dumps", 0, "minFree"), odd.SIZES),
        ("BackupPolicy", "dumps", ("dumps", 0, "file"), odd.PATHS),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_every_odd_value_of_a_text_is_refused_or_can_be_worked_on(
    server: Server, kind: str, spec: str, path: Path_, values: tuple[Any, ...]
) -> None:
    good = next(one for found, one in reversed(DOCUMENTS) if found == kind and spec in one)
    server.put([(kind, changed(good, path, value)) for value in values])


@given(st.lists(odd_documents(), min_size=TOGETHER, max_size=TOGETHER))
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_is_admitted_can_be_worked_on(server: Server, documents: list[Document]) -> None:
    server.put(documents)
