"""Which store a wish is restored from: the one that the request names, else the first with a good
point of the source that can be restored to where it is to go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from backstay.api.point import PointResult, PointStatus
from backstay.api.restore_status import RestoreTarget
from backstay.domain.errors import UserError
from backstay.domain.restore.wishes import Wish


def choose_store(
    wish: Wish,
    points: Sequence[PointStatus],
    pinned: str | None,
    fills: Mapping[str, Collection[RestoreTarget]],
) -> str:
    """Given a wish, the points of the Backup, the store that the request names, and by store what
    its points can fill, in the order of preference, return the store to restore from.

    A point that is still made counts as one: what a request comes to must not depend on which store
    is done first. Where none is good the store that is returned is the one to say why. Raise
    UserError if the store that is named is none or cannot, or no store of the Backup can.
    """
    if pinned is not None:
        return _checked(pinned, wish, fills)
    able = [store for store, targets in fills.items() if wish.target in targets]
    of_wish = [p for p in points if wish.is_of(p.source)]
    hopeful = {p.store for p in of_wish if p.result is not PointResult.FAILED and p.gone is None}
    for some in (hopeful, {p.store for p in of_wish}, {p.store for p in points}):
        if (found := next((store for store in able if store in some), None)) is not None:
            return found
    others = {p.store for p in points}
    if not able or others:
        raise UserError(
            "NoStoreFits",
            f"{wish.field}: {_what(wish)} can be restored to {_words(wish.target)} from "
            f"{_listed(others) or 'any store'}, where the Backup has its points; {_remedy(wish)}",
        )
    return able[0]


def _checked(pinned: str, wish: Wish, fills: Mapping[str, Collection[RestoreTarget]]) -> str:
    if pinned not in fills:
        raise UserError(
            "StoreNotFound",
            f"spec.from.store: there is no store {pinned}; name one of {_listed(fills)}, or leave "
            "it out",
        )
    if wish.target not in fills[pinned]:
        others = [store for store, targets in fills.items() if wish.target in targets]
        raise UserError(
            "StoreDoesNotFit",
            f"spec.from: {_parts(wish)}points of {pinned} cannot be restored to "
            f"{_words(wish.target)}, "
            f"only those of {_listed(others) or 'no store'}; name that, or leave it out",
        )
    return pinned


def _words(target: RestoreTarget) -> str:
    return {
        RestoreTarget.NEW_CLAIM: "a new claim",
        RestoreTarget.DIRECTORY: "a directory",
        RestoreTarget.IN_PLACE: "the source in place",
        RestoreTarget.EXISTING_CLAIM: "a claim that exists",
    }[target]


def _what(wish: Wish) -> str:
    return "no paths" if wish.paths else "nothing"


def _parts(wish: Wish) -> str:
    return "paths of " if wish.paths else ""


def _remedy(wish: Wish) -> str:
    if wish.paths and wish.claim is not None:
        return "leave spec.claims[].paths out"
    if wish.target is RestoreTarget.EXISTING_CLAIM:
        return "restore into a new claim: set spec.claims[].to.newClaim"
    if wish.target is RestoreTarget.NEW_CLAIM:
        return "restore spec.directory instead"
    return "restore its claims with spec.claims instead"


def _listed(stores: Collection[str]) -> str:
    return ", ".join(sorted(stores))
