"""The claim that a point is made of instead of the live volume."""

from __future__ import annotations

from collections.abc import Sequence

from backstay.domain import labels, objects
from backstay.domain.objects import Obj


def temporary_claim(
    *,
    name: str,
    owner: Obj,
    data_source: Obj,
    storage_class: str | None,
    access_modes: Sequence[str],
    size: str,
) -> Obj:
    """Given a name, the Backup, what the claim is made of (a dataSource) and a size (a Kubernetes
    quantity), return the claim. It has no label of its source, whose policies would find it.
    """
    return {
        "metadata": {
            "name": name,
            "namespace": objects.namespace(owner),
            "labels": {labels.TEMPORARY: objects.uid(owner)},
            "annotations": {labels.TEMPORARY: name},
            # It holds no data that is not elsewhere: it may go with its Backup, whoever runs.
            "ownerReferences": [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": owner["kind"],
                    "name": objects.name(owner),
                    "uid": objects.uid(owner),
                }
            ],
        },
        "spec": {
            "accessModes": list(access_modes),
            "resources": {"requests": {"storage": size}},
            "dataSource": data_source,
            **({"storageClassName": storage_class} if storage_class is not None else {}),
        },
    }
