"""Rolling copies of directories of nodes, on a real cluster with two nodes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from tests.e2e.kube import Kube
from tests.e2e.rolling import DESTINATION, NODE, SOURCES, Uploads

from backstay.cli import main as kubectl_backstay


@pytest.fixture(scope="module", autouse=True)
def destination(kubectl: Kube) -> None:
    """Make the nodes' disk usable, as an administrator does it."""
    SOURCES.mkdir(parents=True, exist_ok=True)
    DESTINATION.mkdir(parents=True, exist_ok=True)
    command = ["init-destination", "--node", NODE, "--path", str(DESTINATION)]
    assert kubectl_backstay([*command, "--kubeconfig", str(kubectl.kubeconfig)]) == 0


@pytest.fixture
def uploads(kubectl: Kube) -> Iterator[Uploads]:
    with Uploads(kubectl.within(f"e2e-{secrets.token_hex(4)}")) as found:
        yield found


def test_a_directory_is_copied_on_its_node(uploads: Uploads) -> None:
    uploads.write(a="one", sub__b="two")
    uploads.policy()

    done = uploads.finished(uploads.backup())

    copy = uploads.copy(done)
    assert (copy / "a").read_text() == "one"
    assert (copy / "sub/b").read_text() == "two"
