"""Where kinds live on the API server."""

from __future__ import annotations

import pytest

from backstay.domain.errors import UserError
from backstay.kube import resources


@pytest.mark.parametrize(
    ("resource", "address", "path"),
    [
        (resources.BACKUP, (), "/apis/backstay.dev/v1alpha1/backups"),
        (resources.BACKUP, ("shop",), "/apis/backstay.dev/v1alpha1/namespaces/shop/backups"),
        (
            resources.BACKUP,
            ("shop", "b1", "status"),
            "/apis/backstay.dev/v1alpha1/namespaces/shop/backups/b1/status",
        ),
        (resources.POD, ("shop", "pg-0", "exec"), "/api/v1/namespaces/shop/pods/pg-0/exec"),
        (resources.NODE, (None, "n1"), "/api/v1/nodes/n1"),
        (resources.NODE, ("ignored", "n1"), "/api/v1/nodes/n1"),
        (
            resources.VOLUME_SNAPSHOT_CONTENT,
            (None, "snapcontent-1"),
            "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/snapcontent-1",
        ),
        (resources.POD, ("shop", "a?b#c"), "/api/v1/namespaces/shop/pods/a%3Fb%23c"),
    ],
)
def test_paths(resource: resources.Resource, address: tuple[str, ...], path: str) -> None:
    assert resource.path(*address) == path


@pytest.mark.parametrize("name", ["", ".", "..", "../secrets/x", "a/b", "/"])
def test_a_name_cannot_leave_its_collection(name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a Pod"):
        resources.POD.path("shop", name)
    with pytest.raises(UserError, match="cannot be the namespace of a Pod"):
        resources.POD.path(name, "pg-0")


def test_one_object_of_a_namespaced_kind_needs_its_namespace() -> None:
    with pytest.raises(UserError, match="Pod 'pg-0' needs a namespace"):
        resources.POD.path(None, "pg-0")


def test_api_version_of_the_core_group_has_no_slash() -> None:
    assert resources.POD.api_version == "v1"
    assert resources.JOB.api_version == "batch/v1"


def test_addresses_in_messages() -> None:
    assert resources.POD.describe("shop", "pg-0") == "Pod shop/pg-0"
    assert resources.POD.describe(None, None) == "Pod *"
    assert resources.NODE.describe("shop", "n1") == "Node n1"
