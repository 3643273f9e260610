"""VolumeSnapshots, and the patches that carry a verdict onto them and their contents."""

from __future__ import annotations

from collections.abc import Mapping

from backstay.domain.objects import Obj, version


def volume_snapshot(
    *,
    name: str,
    namespace: str,
    claim: str,
    class_name: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> Obj:
    """Given names, labels and annotations, return a VolumeSnapshot of the claim.

    It has no owner: neither policy nor record may take a backup with them.
    """
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(labels),
            "annotations": dict(annotations),
        },
        "spec": {
            "volumeSnapshotClassName": class_name,
            "source": {"persistentVolumeClaimName": claim},
        },
    }


def metadata_patch(
    obj: Obj,
    *,
    labels: Mapping[str, str | None] | None = None,
    annotations: Mapping[str, str | None] | None = None,
    spec: Mapping[str, str] | None = None,
) -> Obj:
    """Given an object as read and what to set (None removes), return the tested merge patch."""
    metadata: Obj = {"resourceVersion": version(obj)}
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    patch: Obj = {"metadata": metadata}
    if spec:
        patch["spec"] = dict(spec)
    return patch
