"""The order in which a point is deleted, one write at a time (design section 4).

plan_sweep() looks at what is there and names the next write. It is repeated until it says
Nothing or Frozen; any process may die after any write and the next one goes on from what it
sees. S = a VolumeSnapshot that is due, C = its VolumeSnapshotContent, proof = label `swept`
on C with S's uid and the date under which S was deleted:

| S | C | next |
|---|---|---|
| there | of another snapshot | Frozen |
| there | no date yet | Nothing: the mirror comes first |
| there | not Retain | SetRetain |
| there | Retain; or none | DeleteSnapshot, and WriteProof as soon as that has succeeded |
| there, going | Retain, no proof | WriteProof |
| there, going | Retain, proof; or none | Nothing: wait |
| there | proof, going | as if it were Retain: never written |
| gone | no proof, or of another snapshot or date | Frozen |
| gone | proof, but held | Frozen |
| gone | proof, handle shared, Delete | SetRetain |
| gone | proof, handle shared, Retain | DeleteContent, keeps the disk |
| gone | proof, Retain | SetDelete |
| gone | proof, Delete | DeleteContent |
| gone | none | Nothing |

Invariants: nothing that was written before the snapshot was deleted says that we deleted it, or
that it was still to be deleted then: a process may have died before the DELETE, and a person may
have decided otherwise since. So the proof is written after it, on one of two grounds: our own
DELETE was answered with success, or S is seen going while it is due. Without a proof the disk
stays, whoever took S. C is Retain until S is gone, so that no controller takes the disk by itself
and a hold still helps while S lingers. Once S is gone its labels cannot be read any more, so those
of C decide: another date, none, or a hold, set by hand since, and the disk stays.
A content that is going with a proof of S says that S is gone: who still sees S has read it
before, and Retain, written now, would leave the disk behind.
DeleteSnapshot has uid and resourceVersion as preconditions: an edit by hand or a restore that
claims the point makes it fail (409). A snapshot that is due no more before it is gone loses its
proof in the patch that mirrors its labels onto C (`mirror`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """The next write; the last two are none."""

    SET_RETAIN = "SetRetain"
    """Patch C (resourceVersion): deletionPolicy Retain."""
    DELETE_SNAPSHOT = "DeleteSnapshot"
    """DELETE S with uid and resourceVersion as preconditions."""
    WRITE_PROOF = "WriteProof"
    """Patch C (resourceVersion): label swept = `proof`."""
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
    ref_uid: str | None
    """spec.volumeSnapshotRef.uid"""
    delete_after: str | None
    """The label as it stands: while the snapshot is there, the snapshot's own."""
    swept: str | None = None
    """The label as it stands."""
    held: bool = False
    deleting: bool = False
    """metadata.deletionTimestamp is set."""

    @property
    def proof(self) -> str | None:
        """What `swept` has to say; None where there is no date to be swept under."""
        return f"{self.ref_uid}.{self.delete_after}" if self.delete_after else None

    @property
    def is_proven(self) -> bool:
        """Whether a sweep took its snapshot under the date that it carries."""
        return self.swept is not None and self.swept == self.proof

    def names_swept(self, snapshot_uid: str) -> bool:
        """Whether a sweep took that snapshot, whatever the date says now."""
        return self.swept is not None and self.swept.partition(".")[0] == snapshot_uid

    def leaves_with(self, snapshot_uid: str) -> bool:
        """Whether a sweep of that snapshot has had it deleted."""
        return self.deleting and self.names_swept(snapshot_uid)


@dataclass(frozen=True, slots=True)
class Action:
    """One write: its step, the object that it goes to, and why."""

    step: Step
    why: str
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    proof: str | None = None
    """WriteProof only: the value of the annotation."""
    keeps_disk: bool = False
    """DeleteContent only: the policy is Retain and another content has the same disk."""
    content: Content | None = None
    """DeleteSnapshot only: where the proof belongs; None where there is no content."""


def plan_sweep(
    snapshot: Carrier | None, content: Content | None, others: Sequence[Content]
) -> Action:
    """Return the next write for a snapshot that retention sweeps (None: it is known to be gone),
    its content (None: there is none, looked for by bound name and by ref uid) and other contents
    (those of the same driver and handle matter).
    """
    if snapshot is None:
        if content is None:
            return Action(Step.NOTHING, "nothing is left")
        return _plan_gone(content, others)
    if content is not None and content.ref_uid != snapshot.uid:
        return Action(Step.FROZEN, f"content {content.name} belongs to another snapshot")
    if content is not None and not content.leaves_with(snapshot.uid):
        if content.proof is None:
            return Action(Step.NOTHING, f"content {content.name} does not carry the date yet")
        if content.deletion_policy is not DeletionPolicy.RETAIN:
            return _on_content(Step.SET_RETAIN, content, "its snapshot is due")
        if snapshot.deleting and not content.is_proven:
            return _on_content(Step.WRITE_PROOF, content, "its snapshot goes while it is due")
    if snapshot.deleting:
        return Action(Step.NOTHING, "waits until the snapshot is gone")
    return Action(
        Step.DELETE_SNAPSHOT,
        "due",
        snapshot.name,
        snapshot.uid,
        snapshot.resource_version,
        content=content,
    )


def _plan_gone(content: Content, others: Sequence[Content]) -> Action:
    if not content.is_proven:
        return Action(Step.FROZEN, f"content {content.name}: nothing proves that a sweep came")
    if content.held:
        return Action(Step.FROZEN, f"content {content.name} is held since its snapshot went")
    retained = content.deletion_policy is DeletionPolicy.RETAIN
    if shared := _sharing(content, others):
        if not retained:
            why = f"content {shared.name} has the same disk"
            return _on_content(Step.SET_RETAIN, content, why)
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


def _on_content(step: Step, content: Content, why: str, *, keeps_disk: bool = False) -> Action:
    proof = content.proof if step is Step.WRITE_PROOF else None
    return Action(step, why, content.name, content.uid, content.resource_version, proof, keeps_disk)
