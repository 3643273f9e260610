"""What a RestoreRequest asks for: one wish for each item, in the order of its spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from backstay.api.restore import ClaimRestore, DirectoryRestore, NewClaim, RestoreSpec
from backstay.api.restore_status import RestoreItem, RestoreStatus, RestoreTarget
from backstay.domain.subject import Subject

Request: TypeAlias = Subject[RestoreSpec, RestoreStatus]


@dataclass(frozen=True, slots=True)
class Wish:
    """One source, and where it is to go."""

    target: RestoreTarget
    source: str | None
    """None: the only one that there is."""
    claim: ClaimRestore | None = None
    """One of spec.claims; None: it is spec.directory."""
    directory: DirectoryRestore | None = None

    @property
    def new_claim(self) -> NewClaim | None:
        """The claim to be made, if one is."""
        return self.claim.to.new_claim if self.claim is not None else None

    @property
    def field(self) -> str:
        """Where in the request it stands, for messages."""
        return "spec.directory" if self.directory is not None else "spec.claims"

    @property
    def keep_days(self) -> int | None:
        """Days that a copy of what is there now is kept; None where nothing is overwritten."""
        place = self.directory.in_place if self.directory is not None else None
        return place.keep_days if place is not None else None

    @property
    def paths(self) -> tuple[str, ...]:
        """What of the point is restored; () is all of it."""
        wanted = self.directory or self.claim
        return wanted.paths if wanted is not None else ()

    def is_of(self, source: str) -> bool:
        """Whether a point's source is what it asks for: a claim is, by any directory in it."""
        if self.source is None or self.source == source:
            return True
        return self.claim is not None and source.startswith(f"{self.source}/")


def wishes(spec: RestoreSpec) -> list[Wish]:
    """Given a request's spec, return what it asks for."""
    found = [Wish(_target_of(claim), claim.claim, claim=claim) for claim in spec.claims]
    if (directory := spec.directory) is not None:
        over = directory.in_place is not None
        target = RestoreTarget.IN_PLACE if over else RestoreTarget.DIRECTORY
        found.append(Wish(target, directory.source, directory=directory))
    return found


def _target_of(claim: ClaimRestore) -> RestoreTarget:
    over = claim.to.existing_claim is not None
    return RestoreTarget.EXISTING_CLAIM if over else RestoreTarget.NEW_CLAIM


@dataclass(frozen=True, slots=True)
class Part:
    """One item of a request that has begun, with what was asked for."""

    request: Request
    wish: Wish
    item: RestoreItem


def parts(request: Request, items: tuple[RestoreItem, ...]) -> list[Part]:
    """Given a request and its items, return them with their wishes: a spec never changes."""
    return [Part(request, w, i) for w, i in zip(wishes(request.spec), items, strict=True)]
