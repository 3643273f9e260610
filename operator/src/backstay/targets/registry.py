"""The targets of restores, by the word that an item has for each."""

from __future__ import annotations

from collections.abc import Mapping

from backstay.api.restore_status import RestoreTarget
from backstay.domain.restore.protocols import Target
from backstay.kube.client import Client
from backstay.settings import RollingRoots
from backstay.targets.directory import DirectoryTarget, InPlaceTarget
from backstay.targets.existing_claim import ExistingClaimTarget
from backstay.targets.new_claim import NewClaimTarget


def targets_of(client: Client, roots: RollingRoots) -> Mapping[RestoreTarget, Target]:
    """Given what the administrator allows, return all targets."""
    return {
        RestoreTarget.NEW_CLAIM: NewClaimTarget(client),
        RestoreTarget.DIRECTORY: DirectoryTarget(client, roots),
        RestoreTarget.IN_PLACE: InPlaceTarget(client, roots),
        RestoreTarget.EXISTING_CLAIM: ExistingClaimTarget(client),
    }
