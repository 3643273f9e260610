"""The order in which a point is deleted, one write at a time (design section 4).

plan_sweep() looks at what is there and names the next write. It is repeated until it says
Nothing or Frozen; any process may die after any write and the next one goes on from what it
sees. S = a VolumeSnapshot that is due, C = its VolumeSnapshotContent, intent = annotation
`sweep` on C with S's uid:

| S | C | next |
|---|---|---|
| there | of another snapshot | Frozen |
| there | no intent, intent of another, or not Retain | WriteIntent |
| there | intent of S, Retain | DeleteSnapshot |
| there | none | DeleteSnapshot |
| there, going | intent of S, Retain; or none | Nothing: wait |
| there | intent of S, going | as if it were Retain: never written |
| gone | intent of S, handle shared, Delete | WriteIntent (Retain again) |
| gone | intent of S, handle shared, Retain | DeleteContent, keeps the disk |
| gone | intent of S, Retain | SetDelete |
| gone | intent of S, Delete | DeleteContent |
| gone | no intent, or of another snapshot | Frozen |
| gone | none | Nothing |

Invariants: the disk of a snapshot goes only after an intent was written while it was due and
the snapshot is gone; C is Retain until then, so that no controller takes the disk by itself;
once S is gone its labels cannot be read any more, so the intent alone decides. WriteIntent sets
Retain in the same patch, whatever the class says.
A content that is going with the intent of S says that S is gone: who still sees S has read it
before, and Retain, written now, would leave the disk behind.
DeleteSnapshot has uid and resourceVersion as preconditions: an edit by hand or a restore that
claims the point makes it fail (409). Then it is due no more, and the patch that mirrors its
labels onto C takes the intent away (`mirror`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """The next write; the last two are none."""

    WRITE_INTENT = "WriteIntent"
    """Patch C (resourceVersion): annotation sweep = `intent`, deletionPolicy Retain."""
    DELETE_SNAPSHOT = "DeleteSnapshot"
    """DELETE S with uid and resourceVersion as preconditions."""
    SET_DELETE = "SetDelete"
    """Patch C (resourceVersion): deletionPolicy Delete."""
    DELETE_CONTENT = "DeleteContent"
    """DELETE C with uid and resourceVersion as preconditions."""
    FROZEN = "Frozen"
    """Left alone until a person rebinds it; shown as an orphan."""
    NOTHING = "Nothing"


class DeletionPolicy(StrEnum):
    """deletionPolicy of a VolumeSnapshotContent."""

    RETAIN = "Retain"
    DELETE = "Delete"


@dataclass(frozen=True, slots=True)
class Carrier:
    """A VolumeSnapshot as far as a sweep looks at it."""

    name: str
    uid: str
    resource_version: str
    deleting: bool = False
    """metadata.deletionTimestamp is set."""


@dataclass(frozen=True, slots=True)
class Content:
    """A VolumeSnapshotContent as far as a sweep looks at it."""

    name: str
    uid: str
    resource_version: str
    driver: str
    handle: str | None
    deletion_policy: DeletionPolicy
    sweep_intent: str | None
    ref_uid: str | None
    """spec.volumeSnapshotRef.uid"""
    deleting: bool = False
    """metadata.deletionTimestamp is set."""

    def leaves_with(self, snapshot_uid: str) -> bool:
        """Whether a sweep of that snapshot has had it deleted."""
        return self.deleting and self.sweep_intent == snapshot_uid


@dataclass(frozen=True, slots=True)
class Action:
    """One write: its step, the object that it goes to, and why."""

    step: Step
    why: str
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    intent: str | None = None
    """WriteIntent only: the value of the annotation."""
    keeps_disk: bool = False
    """DeleteContent only: the policy is Retain and another content has the same disk."""


def plan_sweep(
    snapshot: Carrier | None, content: Content | None, others: Sequence[Content]
) -> Action:
    """Given a snapshot that retention sweeps (None: it is known to be gone), its content (None:
    there is none, looked for by bound name and by ref uid) and other contents (those of the same
    driver and handle matter), return the next write.
    """
    if snapshot is None:
        if content is None:
            return Action(Step.NOTHING, "nothing is left")
        return _plan_gone(content, others)
    if content is not None and content.ref_uid != snapshot.uid:
        return Action(Step.FROZEN, f"content {content.name} belongs to another snapshot")
    if content is not None and not content.leaves_with(snapshot.uid):
        retained = content.deletion_policy is DeletionPolicy.RETAIN
        if not retained or content.sweep_intent != snapshot.uid:
            return _on_content(Step.WRITE_INTENT, content, "due", intent=snapshot.uid)
    if snapshot.deleting:
        return Action(Step.NOTHING, "waits until the snapshot is gone")
    return Action(
        Step.DELETE_SNAPSHOT, "due", snapshot.name, snapshot.uid, snapshot.resource_version
    )


def _plan_gone(content: Content, others: Sequence[Content]) -> Action:
    intent = content.sweep_intent
    if intent is None or intent != content.ref_uid:
        return Action(Step.FROZEN, f"content {content.name} lost its snapshot without a sweep")
    retained = content.deletion_policy is DeletionPolicy.RETAIN
    if shared := _sharing(content, others):
        if not retained:
            why = f"content {shared.name} has the same disk"
            return _on_content(Step.WRITE_INTENT, content, why, intent=intent)
        why = f"the disk stays for content {shared.name}"
        return _on_content(Step.DELETE_CONTENT, content, why, keeps_disk=True)
    if retained:
        return _on_content(Step.SET_DELETE, content, "its snapshot is gone by our sweep")
    return _on_content(Step.DELETE_CONTENT, content, "its snapshot is gone by our sweep")


def _sharing(content: Content, others: Sequence[Content]) -> Content | None:
    """The first other content of the same disk snapshot."""
    if not content.handle:
        return None
    disk = (content.driver, content.handle)
    same = (o for o in others if o.uid != content.uid and (o.driver, o.handle) == disk)
    return min(same, key=lambda o: o.name, default=None)


def _on_content(
    step: Step, content: Content, why: str, *, intent: str | None = None, keeps_disk: bool = False
) -> Action:
    return Action(
        step, why, content.name, content.uid, content.resource_version, intent, keeps_disk
    )
