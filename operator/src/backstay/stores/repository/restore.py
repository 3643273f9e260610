"""Restores from a repository: find the snapshot, run the agent on it, believe what it verified.

Invariants: nothing is made before a Job has found the snapshot, and what is planned is that very
one from then on; a policy is not needed, nor the right to write to the repository. Whose turn it is
at the repository is asked before each Job, and restores go before backups there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from backstay.api.restore_from import RestoreFrom
from backstay.api.restore_status import RestoreTarget
from backstay.api.store import REPOSITORY
from backstay.domain.errors import Awaited, UserError
from backstay.domain.restore.acknowledgement import Acknowledged
from backstay.domain.restore.sights import Found, StoreSeen, TargetSeen, Volume
from backstay.domain.restore.wishes import Part, Request, Wish
from backstay.domain.stores.copies.locations import Opened
from backstay.domain.stores.repository.found import FoundSnapshot
from backstay.domain.stores.repository.restore import volume_of
from backstay.kube.client import Client
from backstay.kube.resources import PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from backstay.steps.agent_jobs import AgentJobs
from backstay.stores.repository.finding import Finding, ready
from backstay.stores.repository.restore_jobs import RestoreJobs


class RepositoryRestores:
    """The restore side of repositories."""

    name: Final = REPOSITORY
    fills: Final = frozenset({RestoreTarget.NEW_CLAIM, RestoreTarget.EXISTING_CLAIM})
    chooses_paths: Final = True

    def __init__(self, client: Client, jobs: AgentJobs) -> None:
        self._client = client
        self._finding = Finding(client, jobs)
        self._jobs = RestoreJobs(client, jobs)

    def is_named(self, wanted: RestoreFrom) -> bool:
        """Whether a snapshot of a repository is named."""
        return wanted.repository is not None

    async def find(self, request: Request, wish: Wish, said: Acknowledged) -> Found:
        """Find the snapshot, and what its claim is to be like. Raise UserError if there is none, or
        a new claim of it cannot be made, and Awaited while that is being found out.
        """
        found = await self._finding.find(request, wish, said)
        if wish.new_claim is not None:
            # Refused now, and not when something else of the request is made.
            await self._volume(request, wish, found)
        return Found(
            source=wish.source or "",
            ref=found.snapshot,
            backup=request.spec.from_.backup or found.backup,
            claim=wish.source,
            path=found.path,
        )

    async def see(
        self,
        part: Part,
        target: TargetSeen,  # noqa: ARG002 - a Job says all
        said: Acknowledged,  # noqa: ARG002 - what is passed over is passed over by the agent
    ) -> StoreSeen:
        """Look at the Job of an item; until there is one, at what it has to wait for."""
        fill = await self._jobs.look(part)
        # Retention asks for requests itself before it forgets anything, and the Job locks the
        # repository while it reads.
        seen = StoreSeen(held=True, hold_needed=False, fill=fill)
        if fill.begun:
            return seen
        try:
            asked = await self._finding.asked(part.request, part.wish)
            await ready(self._client, part.request, asked.repository)
            await self._finding.again(part)
        except Awaited as error:
            return replace(seen, busy=error.message)
        except UserError as error:
            return replace(seen, refusal=error)
        return seen

    async def hold(self, part: Part) -> None:
        """Nothing needs to be written for it."""

    async def wake(self, part: Part) -> None:
        """Nobody else holds or releases a snapshot."""

    async def volume(self, part: Part) -> Volume:
        """A claim as the one that was backed up, or as asked for."""
        return await self._volume(part.request, part.wish, await self._finding.again(part))

    async def fill(self, part: Part, target: Opened) -> None:
        """Make the Job that restores. Raise Awaited if its turn has passed."""
        found = await self._finding.again(part)
        asked = await self._finding.asked(part.request, part.wish)
        usable = await ready(self._client, part.request, asked.repository)
        await self._jobs.start(part, usable, found.root, target)

    async def stop(self, part: Part) -> None:
        """End a Job that still works, as where another item of the request failed."""
        await self._jobs.stop(part)

    async def discard(self, part: Part, target: Opened) -> None:
        """What a killed Job leaves of a new claim goes with the claim, or is shown to a person."""

    async def release(self, part: Part) -> None:
        """Nothing was written to hold it."""

    async def _volume(self, request: Request, wish: Wish, found: FoundSnapshot) -> Volume:
        name = wish.source or ""
        now = await self._client.find(PERSISTENT_VOLUME_CLAIM, name, request.namespace)
        volume = volume_of(wish, found, now)
        named = volume.storage_class
        if named is not None and await self._client.find(STORAGE_CLASS, named) is None:
            raise UserError(
                "StorageClassNotFound",
                f"there is no StorageClass {named}: set spec.claims[].to.newClaim.storageClassName",
            )
        return volume
