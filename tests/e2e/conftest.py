"""The real cluster: two nodes, a CSI driver with snapshots, and the operator inside, installed by
its chart. BACKSTAY_E2E_KUBECONFIG names another cluster on purpose; one that does not look like
a test cluster is refused.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.disks import Disks
from tests.e2e.kube import Kube
from tests.e2e.offsite import S3
from tests.e2e.shop import Shop
from tests.support.sampling import sampled

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "hack/cluster/cluster"
TEST_CONTEXTS = re.compile(r"^(backstay-test|kind-.*|k3d-.*|minikube)$")


@pytest.hookimpl(trylast=True)  # -k and -m come first: who names one test gets it
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take a slice of the sweeps: each of their points is a test of its own here."""
    sweep = [item for item in items if item.get_closest_marker("sweep")]
    taken = sampled(sweep)
    left = [item for item in sweep if item not in taken]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """Yield the kubeconfig of a test cluster that is up, with the operator in it.

    The local cluster is removed again if it was not up before. Workers side by side share the one
    that hack/e2e has brought up.
    """
    given = os.environ.get("BACKSTAY_E2E_KUBECONFIG")
    if given:
        path = Path(given)
        context = Kube(path).run("config", "current-context").strip()
        if not TEST_CONTEXTS.match(context):
            pytest.exit(f"BACKSTAY_E2E_KUBECONFIG: context {context} is no test cluster", 2)
        yield path
        return
    if "PYTEST_XDIST_WORKER" in os.environ:
        yield _local_kubeconfig()
        return
    was_up = subprocess.run([CLUSTER, "status"], capture_output=True, check=False).returncode == 0
    subprocess.run([CLUSTER, "up", "--s3"], check=True)
    subprocess.run([ROOT / "hack/deploy"], check=True)
    yield _local_kubeconfig()
    if not was_up:
        subprocess.run([CLUSTER, "down"], check=True)


def _local_kubeconfig() -> Path:
    """Return the local cluster's kubeconfig. Raise CalledProcessError if none is up."""
    found = subprocess.run([CLUSTER, "kubeconfig"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(found.stdout.strip())


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kube:
    return Kube(kubeconfig)


@pytest.fixture(scope="session")
def disks() -> Disks:
    """Return a look at the disk snapshots of the local cluster's CSI driver."""
    if os.environ.get("BACKSTAY_E2E_KUBECONFIG"):
        pytest.skip("only the local cluster's disks can be looked at from here")
    text = subprocess.run(
        [CLUSTER, "status", "-o", "json"], check=True, capture_output=True, text=True
    ).stdout
    return Disks(Path(json.loads(text)["storage"]))


@pytest.fixture(scope="session")
def s3(kubectl: Kube) -> S3:
    """Return the S3 server of the local cluster."""
    if os.environ.get("BACKSTAY_E2E_KUBECONFIG"):
        pytest.skip("only the local cluster has an S3 server of the tests' own")
    assert kubectl.list("nodes")
    return S3(CLUSTER)


@pytest.fixture(scope="module")
def shop(kubectl: Kube) -> Iterator[Shop]:
    """Return a namespace with a PostgreSQL that has data, for all tests of a module."""
    with _namespace(kubectl) as found:
        found.start_database()
        yield found


@pytest.fixture
def namespace(kubectl: Kube) -> Iterator[Shop]:
    """Return a namespace of the test's own, without a database."""
    with _namespace(kubectl) as found:
        yield found


def _namespace(kubectl: Kube) -> Shop:
    return Shop(kubectl.within(f"e2e-{secrets.token_hex(4)}"))
