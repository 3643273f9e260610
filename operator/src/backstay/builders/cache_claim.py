"""The claim that keeps restic's cache between Jobs of a repository."""

from __future__ import annotations

from typing import Final

from backstay.api.common import size_text
from backstay.api.repository import RepositorySpec
from backstay.builders.jobs import reference
from backstay.domain import labels, naming, objects
from backstay.domain.objects import Obj

SIZE: Final = 2**30
"""Bytes, where spec.cache.size is left out: enough for an index of some terabytes."""


def cache_claim(owner: Obj, spec: RepositorySpec) -> Obj:
    """Given a BackupRepository as read and its spec, return the claim, which goes with it."""
    name = objects.name(owner)
    identity, notes = naming.identity_labels({labels.REPOSITORY: name})
    claim: Obj = {
        "accessModes": list(spec.cache.access_modes) or ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size_text(spec.cache.size or SIZE)}},
    }
    if spec.cache.storage_class_name is not None:
        claim["storageClassName"] = spec.cache.storage_class_name
    return {
        "metadata": {
            "name": naming.cache_name(name, objects.uid(owner)),
            "namespace": objects.namespace(owner),
            "labels": identity,
            "annotations": notes,
            "ownerReferences": [reference(owner)],
        },
        "spec": claim,
    }
