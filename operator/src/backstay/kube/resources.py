"""The kinds that Backstay reads and writes, and their places on the API server.

Invariant: a path never leaves its collection, whatever a name contains. Names come from specs
that users write; an empty one would address the whole collection, and "../x" another kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from backstay.domain.errors import UserError


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind. `group` is "" for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """Return what objects of this kind carry as apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self,
        namespace: str | None = None,
        name: str | None = None,
        subresource: str | None = None,
    ) -> str:
        """Given what to address, return its URL path.

        Without a name it is the collection, without a namespace that of all namespaces. The
        namespace of a cluster-scoped kind is ignored. Raise UserError if a name cannot be one,
        or if one object of a namespaced kind is asked for without its namespace.
        """
        root = f"/apis/{self.group}" if self.group else "/api"
        parts = [root, self.version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", self._segment(namespace, "namespace")]
        elif self.namespaced and name is not None:
            raise UserError("InvalidName", f"{self.kind} {name!r} needs a namespace: give one")
        parts.append(self.plural)
        if name is not None:
            parts.append(self._segment(name, "name"))
            if subresource is not None:
                parts.append(subresource)
        return "/".join(parts)

    def describe(self, namespace: str | None, name: str | None) -> str:
        """Given an address, return it for messages: "PersistentVolumeClaim shop/data"."""
        place = f"{namespace}/" if self.namespaced and namespace else ""
        return f"{self.kind} {place}{name or '*'}"

    def _segment(self, value: str, what: str) -> str:
        if value in ("", ".", "..") or "/" in value:
            raise UserError(
                "InvalidName",
                f"{value!r} cannot be the {what} of a {self.kind}: "
                "use lower case letters, digits, '-' and '.'",
            )
        return quote(value, safe="")


_OURS = ("backstay.dev", "v1alpha1")
_SNAPSHOTS = ("snapshot.storage.k8s.io", "v1")
_CORE = ("", "v1")
_APPS = ("apps", "v1")

BACKUP_POLICY = Resource(*_OURS, "backuppolicies", "BackupPolicy", namespaced=True)
BACKUP = Resource(*_OURS, "backups", "Backup", namespaced=True)
RESTORE_REQUEST = Resource(*_OURS, "restorerequests", "RestoreRequest", namespaced=True)
BACKUP_REPOSITORY = Resource(*_OURS, "backuprepositories", "BackupRepository", namespaced=True)

VOLUME_SNAPSHOT = Resource(*_SNAPSHOTS, "volumesnapshots", "VolumeSnapshot", namespaced=True)
VOLUME_SNAPSHOT_CONTENT = Resource(
    *_SNAPSHOTS, "volumesnapshotcontents", "VolumeSnapshotContent", namespaced=False
)
VOLUME_SNAPSHOT_CLASS = Resource(
    *_SNAPSHOTS, "volumesnapshotclasses", "VolumeSnapshotClass", namespaced=False
)

PERSISTENT_VOLUME_CLAIM = Resource(
    *_CORE, "persistentvolumeclaims", "PersistentVolumeClaim", namespaced=True
)
PERSISTENT_VOLUME = Resource(*_CORE, "persistentvolumes", "PersistentVolume", namespaced=False)
POD = Resource(*_CORE, "pods", "Pod", namespaced=True)
SECRET = Resource(*_CORE, "secrets", "Secret", namespaced=True)
NAMESPACE = Resource(*_CORE, "namespaces", "Namespace", namespaced=False)
NODE = Resource(*_CORE, "nodes", "Node", namespaced=False)
EVENT = Resource(*_CORE, "events", "Event", namespaced=True)
STORAGE_CLASS = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
DEPLOYMENT = Resource(*_APPS, "deployments", "Deployment", namespaced=True)
STATEFUL_SET = Resource(*_APPS, "statefulsets", "StatefulSet", namespaced=True)
DEFINITION = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)
LEASE = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
CRON_JOB = Resource("batch", "v1", "cronjobs", "CronJob", namespaced=True)
JOB = Resource("batch", "v1", "jobs", "Job", namespaced=True)
SELF_SUBJECT_ACCESS_REVIEW = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
)
"""A question, and nothing that is stored."""
