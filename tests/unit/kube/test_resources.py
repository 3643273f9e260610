"""Where kinds live on the API server."""

from __future__ import annotations

import pytest

from backstay.domain.errors import UserError
from backstay.kube import resources as r


@pytest.mark.parametrize(
    ("resource", "address", "path"),
    [
        (r.BACKUP, (), "/apis/backstay.dev/v1alpha1/backups"),
        (r.BACKUP, ("shop",), "/apis/backstay.dev/v1alpha1/namespaces/shop/backups"),
        (
            r.BACKUP,
            ("shop", "b1", "status"),
            "/apis/backstay.dev/v1alpha1/namespaces/shop/backups/b1/status",
        ),
        (r.POD, ("shop", "pg-0", "exec"), "/api/v1/namespaces/shop/pods/pg-0/exec"),
        (r.NODE, (None, "n1"), "/api/v1/nodes/n1"),
        (r.NODE, ("ignored", "n1"), "/api/v1/nodes/n1"),
        (
            r.VOLUME_SNAPSHOT_CONTENT,
            (None, "snapcontent-1"),
            "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/snapcontent-1",
        ),
        (r.POD, ("shop", "a?b#c"), "/api/v1/namespaces/shop/pods/a%3Fb%23c"),
    ],
)
def test_paths(resource: r.Resource, address: tuple[str, ...], path: str) -> None:
    assert resource.path(*address) == path


@pytest.mark.parametrize("name", ["", ".", "..", "../secrets/x", "a/b", "/"])
def test_a_name_cannot_leave_its_collection(name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a Pod"):
        r.POD.path("shop", name)
    with pytest.raises(UserError, match="cannot be the namespace of a Pod"):
        r.POD.path(name, "pg-0")


def test_one_object_of_a_namespaced_kind_needs_its_namespace() -> None:
    with pytest.raises(UserError, match="Pod 'pg-0' needs a namespace"):
        r.POD.path(None, "pg-0")


def test_api_version_of_the_core_group_has_no_slash() -> None:
    assert r.POD.api_version == "v1"
    assert r.JOB.api_version == "batch/v1"


def test_addresses_in_messages() -> None:
    assert r.POD.describe("shop", "pg-0") == "Pod shop/pg-0"
    assert r.POD.describe(None, None) == "Pod *"
    assert r.NODE.describe("shop", "n1") == "Node n1"
