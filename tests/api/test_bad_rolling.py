"""Bad input about rolling copies is answered at `kubectl apply` too."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Final

import pytest
from tests.api.test_bad_input import (
    CLAIMS,
    DUMP,
    DURATION,
    GONE,
    HOOKS,
    Row,
    apply_all,
    policy,
    restore,
)
from tests.support.kubectl import Kubectl

HOST: Final[dict[str, Any]] = {"hostPath": {"path": "/srv/a", "node": "worker-1"}}
CLAIM_SOURCE: Final[dict[str, Any]] = {"claims": {"names": ["data"]}}
HOST_PATH: Final = "spec.source.hostPath"
DESTINATION: Final = "spec.rolling.destination"


def rolling(changes: dict[str, Any], field: str, message: str) -> Row:
    """A policy of rolling copies."""
    good = {
        "spec.source": HOST,
        "spec.dumps": GONE,
        "spec.snapshot": GONE,
        "spec.hooks": GONE,
        "spec.rolling": {"destination": {"hostPath": "/backup"}, "scrub": {"days": 30}},
    }
    return Row("BackupPolicy", copy.deepcopy(good) | changes, field, message)


BAD: Final = [
    policy(
        "spec.source.hostPath",
        {"path": "/srv/a", "node": "worker-1"},
        "spec.source",
        "source needs exactly one of claims and hostPath",
    ),
    policy("spec.source", HOST, "spec", "source.hostPath has no snapshots: set rolling"),
    policy("spec.source.claims.subPath", "data", "spec", "source.claims.subPath needs rolling"),
    policy("spec.source.claims.subPath", "/data", f"{CLAIMS}.subPath", "must be a relative path"),
    rolling({"spec.dumps": [DUMP]}, "spec", "leave dumps or rolling out"),
    rolling({"spec.hooks": HOOKS}, "spec", "leave hooks or rolling out"),
    rolling({"spec.snapshot": {"className": "fast"}}, "spec", "leave it or rolling out"),
    rolling({"spec.adopt": {"labelPrefix": "backup-ns.sh"}}, "spec", "leave it or rolling out"),
    rolling({"spec.source.hostPath.path": GONE}, HOST_PATH, "exactly one of path and paths"),
    rolling({"spec.source.hostPath.paths": ["/srv/b"]}, HOST_PATH, "exactly one of path and paths"),
    rolling({"spec.source.hostPath.node": GONE}, f"{HOST_PATH}.node", "Required value"),
    rolling({"spec.source.hostPath.path": "/"}, f"{HOST_PATH}.path", "should be at least 2 chars"),
    rolling({"spec.source.hostPath.path": "srv"}, f"{HOST_PATH}.path", "absolute path of a dir"),
    rolling({"spec.source.hostPath.path": "/srv/../etc"}, f"{HOST_PATH}.path", "without '..'"),
    rolling(
        {"spec.source": {"hostPath": {"paths": ["/srv/a", "/srv/a/b"], "node": "worker-1"}}},
        HOST_PATH,
        "one of the paths lies inside another",
    ),
    rolling({"spec.rolling.destination": {}}, DESTINATION, "exactly one of hostPath and claim"),
    rolling(
        {"spec.rolling.destination.claim": {"name": "nfs"}},
        DESTINATION,
        "exactly one of hostPath and claim",
    ),
    rolling({"spec.source": CLAIM_SOURCE}, "spec", "set rolling.destination.claim"),
    rolling({"spec.rolling.bandwidth": "fast"}, "spec.rolling.bandwidth", "number of bytes above"),
    rolling({"spec.rolling.ioClass": "realtime"}, "spec.rolling.ioClass", 'supported values: "id'),
    rolling({"spec.rolling.minimumPercent": 101}, "spec.rolling.minimumPercent", "less than or eq"),
    rolling({"spec.rolling.maxDuration": "0s"}, "spec.rolling.maxDuration", DURATION),
    rolling({"spec.rolling.scrub.days": -1}, "spec.rolling.scrub.days", "greater than or equal"),
    restore({"spec.claims": GONE}, "spec", "spec needs exactly one of claims and directory"),
    restore(
        {"spec.directory": {"path": "/srv/back"}},
        "spec",
        "spec needs exactly one of claims and directory",
    ),
    restore(
        {"spec.claims": GONE, "spec.directory": {}},
        "spec.directory",
        "directory needs exactly one of path, claim and inPlace",
    ),
    restore(
        {"spec.claims": GONE, "spec.directory": {"path": "/srv/back", "inPlace": {}}},
        "spec.directory",
        "directory needs exactly one of path, claim and inPlace",
    ),
    restore(
        {"spec.claims": GONE, "spec.directory": {"inPlace": {}}},
        "spec",
        "notAfter is required in place",
    ),
    restore(
        {
            "spec.claims": GONE,
            "spec.directory": {"path": "/srv/back"},
            "spec.from": {"volumeSnapshot": "snap"},
        },
        "spec",
        "a directory is restored from a Backup: set from.backup",
    ),
    restore(
        {"spec.claims": GONE, "spec.directory": {"path": "/srv/back", "paths": ["../x"]}},
        "spec.directory.paths[0]",
        "without '..'",
    ),
]


@pytest.fixture(scope="module")
def refusals(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    kubectl = Kubectl(kubeconfig, "bad-rolling")
    assert kubectl("create", "namespace", kubectl.namespace).ok
    return apply_all(kubectl, BAD, tmp_path_factory.mktemp("bad"))


@pytest.mark.parametrize("number", range(len(BAD)), ids=lambda number: str(BAD[number]))
def test_bad_input_is_refused_with_the_field_and_the_remedy(
    refusals: dict[int, str], number: int
) -> None:
    row = BAD[number]
    assert f"{row.field}: " in refusals[number]
    assert row.message in refusals[number]


def test_a_policy_never_changes_between_snapshots_and_copies(kubeconfig: Path) -> None:
    kubectl = Kubectl(kubeconfig, "bad-rolling")
    rolled = {"destination": {"claim": {"name": "backups"}}}
    made = {
        "apiVersion": "backstay.dev/v1alpha1",
        "kind": "BackupPolicy",
        "metadata": {"name": "for-life"},
        "spec": {"source": CLAIM_SOURCE, "rolling": rolled},
    }
    assert kubectl.apply(made).ok
    answer = kubectl.apply({**made, "spec": {"source": CLAIM_SOURCE}})
    assert not answer.ok
    assert "make another policy" in answer.err
