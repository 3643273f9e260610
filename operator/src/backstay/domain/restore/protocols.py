"""What a store and a target offer to a restore. The machine knows no other names of them.

Invariants: every step may be repeated, as the process may die after any; who cannot do what is
asked raises UserError with the field and the remedy while nothing has begun, and says so in what it
sees afterwards; a refusal that a person may pass over goes through `Acknowledged`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from backstay.api.restore_from import RestoreFrom
from backstay.api.restore_status import RestoreTarget
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.sights import Found, Spot, StoreSeen, TargetSeen, Volume
from backstay.domain.restore.wishes import Part, Request, Wish
from backstay.domain.stores.copies.locations import Opened


class RestoreStore(Protocol):
    """A store's restore side."""

    @property
    def fills(self) -> Collection[RestoreTarget]:
        """The targets that can be filled from its points."""

    @property
    def chooses_paths(self) -> bool:
        """Whether some paths of its points can be restored without the others."""

    def is_named(self, wanted: RestoreFrom) -> bool:
        """Whether a request names a point of this store itself, and not by its Backup."""

    async def find(self, request: Request, wish: Wish, said: Acknowledged) -> Found:
        """Find the point for a wish. Raise UserError if there is none, or it cannot be used, and
        Awaited while that is being found out.
        """

    async def see(self, part: Part, target: TargetSeen, said: Acknowledged) -> StoreSeen:
        """Look at the point of an item, and at what fills its target."""

    async def hold(self, part: Part) -> None:
        """Have the point carry the request's uid, so that no retention pass removes it."""

    async def wake(self, part: Part) -> None:
        """Have those look who hold or release the point: the status is written."""

    async def volume(self, part: Part) -> Volume:
        """What a claim must be like that is filled from the point. Raise UserError if unknown."""

    async def fill(self, part: Part, target: Opened) -> None:
        """Begin to fill the target, and to verify what arrives."""

    async def stop(self, part: Part) -> None:
        """End and remove what fills or verifies, as far as that must not stay."""

    async def discard(self, part: Part, target: Opened) -> None:
        """Begin to remove what a killed fill has left."""

    async def release(self, part: Part) -> None:
        """Take the request's uid off the point; the request is about to be over."""


class Target(Protocol):
    """Where an item goes."""

    def locate(self, wish: Wish, found: Found) -> Spot:
        """Where a point goes. Raise UserError if such a point cannot go there."""

    async def check(self, part: Part, said: Acknowledged) -> str:
        """Look whether a fill may begin now; return whom it waits for, "" for nobody. Raise
        UserError if it never may. Asked at the first look, and at each until a fill has begun.
        """

    async def see(self, part: Part) -> TargetSeen:
        """Look at the target of an item under way."""

    async def prepare(self, part: Part, volume: Volume) -> None:
        """Make what is filled."""

    def open(self, part: Part) -> Opened:
        """The target as a Job opens it. Raise UserError if that is not allowed (any more)."""

    async def commit(self, part: Part) -> None:
        """Hand over what is filled and verified; again at each look that says `committing`."""

    async def undo(self, part: Part) -> None:
        """Remove what was made, or hand over what a person has to look at."""
