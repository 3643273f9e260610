"""Bad input about repositories."""

from __future__ import annotations

from typing import Any, Final

from tests.api.bad.common import DURATION, GONE, OBJECT, Row

IN_A_CLAIM: Final[dict[str, Any]] = {
    "secretRef": {"name": "restic"},
    "claim": {"name": "nfs", "subPath": "restic/shop"},
    "access": "ReadOnly",
    "initialise": "Never",
}
CA: Final = {"configMapName": "tls"}
ONE_CA: Final = "needs exactly one of secretName and configMapName"
ONE_VOLUME: Final = "a volume needs exactly one of secretName, claimName and nfs"
VOLUME: Final = "spec.mover.volumes[0]"
PATH: Final = "must be a relative path"


def repository(changes: dict[str, Any], field: str, message: str) -> Row:
    return Row("BackupRepository", changes, field, message)


def at(path: str, value: Any, field: str, message: str) -> Row:
    return repository({f"spec.{path}": value}, field, message)


def volume(value: dict[str, Any], field: str, message: str) -> Row:
    return at("mover.volumes", [value], field, message)


BAD: Final = [
    at("secretRef", GONE, "spec.secretRef", "Required value"),
    at("secretRef.name", "", "spec.secretRef.name", "at least 1 chars long"),
    # No Secret of another namespace can be named at all.
    at("secretRef.name", "other/s3", "spec.secretRef.name", OBJECT),
    at("maintenanceSecretRef.name", "../s3", "spec.maintenanceSecretRef.name", OBJECT),
    at("pathSuffix", "/absolute", "spec.pathSuffix", PATH),
    at("pathSuffix", "a/../../b", "spec.pathSuffix", PATH),
    at("access", "WriteOnly", "spec.access", '"ReadWrite", "ReadOnly", "AppendOnly"'),
    at("access", "ReadOnly", "spec", "a ReadOnly repository is never made: set initialise: Never"),
    at("initialise", "Always", "spec.initialise", '"IfMissing", "Never"'),
    at("claim", {"name": "nfs"}, "spec", "set claim.subPath instead"),
    repository(
        {"spec.claim": {"name": "nfs"}, "spec.pathSuffix": GONE},
        "spec",
        "customCA is for a server: a repository in a claim has none, leave it out",
    ),
    repository(
        {
            "spec.claim": {"name": "nfs", "subPath": "../up"},
            "spec.pathSuffix": GONE,
            "spec.customCA": GONE,
        },
        "spec.claim.subPath",
        PATH,
    ),
    at("customCA", {"key": "ca.crt"}, "spec.customCA", ONE_CA),
    at("customCA", {**CA, "secretName": "tls"}, "spec.customCA", ONE_CA),
    at("customCA.key", "", "spec.customCA.key", "at least 1 chars long"),
    at("limits.movers", 0, "spec.limits.movers", "greater than or equal to 1"),
    at("limits.uploadKiB", -1, "spec.limits.uploadKiB", "greater than or equal to 0"),
    at("maintenance.prune", "weekly", "spec.maintenance.prune", DURATION),
    at("maintenance.maxUnused", "5 percent", "spec.maintenance.maxUnused", "a share such as 5%"),
    at("maintenance.readParts", 367, "spec.maintenance.readParts", "less than or equal to 366"),
    volume({"mountPath": "x"}, VOLUME, ONE_VOLUME),
    volume({"mountPath": "x", "secretName": "a", "claimName": "b"}, VOLUME, ONE_VOLUME),
    volume({"mountPath": "../etc", "secretName": "a"}, f"{VOLUME}.mountPath", "must"),
    volume({"mountPath": "x", "hostPath": {"path": "/"}}, "", 'unknown field "spec.mover.volumes'),
    volume(
        {"mountPath": "x", "nfs": {"server": "nas", "path": "export"}},
        f"{VOLUME}.nfs.path",
        "must be an absolute path",
    ),
    at(
        "mover.volumes",
        [{"mountPath": "x", "secretName": "a"}, {"mountPath": "x", "secretName": "b"}],
        "spec.mover",
        "two volumes have the same mountPath: give each its own",
    ),
    at("mover.podLabels", {"a b": "c"}, "spec.mover.podLabels", "must"),
]
