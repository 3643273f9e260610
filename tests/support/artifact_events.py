"""What runs and people do to artifacts, besides the passes that are tested."""

from __future__ import annotations

import json

from tests.support import builders
from tests.support.artifacts import Artifacts

from backstay.api.common import format_time
from backstay.domain import labels, objects
from backstay.domain.objects import Obj, dig
from backstay.domain.retention.judge import tiers_for_new
from backstay.domain.stores.snapshots.carriers import point_of
from backstay.domain.stores.snapshots.moments import moment_taken
from backstay.domain.times import parse_time


class Events(Artifacts):
    """Artifacts that runs make and people edit."""

    # ---- runs -----------------------------------------------------------------------------

    def start_run(self, *, days: int | None = None) -> str:
        """A run takes a snapshot that is not ready yet; return its name."""
        name = f"p{next(self._names):03d}"
        extra = {"retain": "days", "retain-days": str(days)} if days is not None else {}
        made = builders.snapshot(
            name,
            format_time(self.true),
            result="pending",
            extra=extra,
            notes={"record": json.dumps({"claim": {"uid": self.claim}})},
            ready=False,
        )
        reported = self.driver(self.true)
        made["status"]["creationTime"] = format_time(reported) if reported is not None else None
        self.became[name] = self.true
        self.snapshots[name] = made
        content = builders.content(made)
        self.contents[objects.name(content)] = content
        self.running.add(f"run-{name}")
        return name

    def end_run(self, name: str, *, good: bool, ready: bool) -> None:
        """The run that took this snapshot ends, if both are still there."""
        snapshot = self.snapshots.get(name)
        if f"run-{name}" not in self.running or snapshot is None:
            return
        snapshot["status"]["readyToUse"] = ready
        values = {labels.RESULT: "good" if good else "failed"}
        if good:
            content = self.contents[f"content-{name}"]
            content["spec"]["deletionPolicy"] = "Retain"
            self._touch(content)
            snapshot["metadata"]["annotations"] |= self._verdict(snapshot)
            self.became[name] = self.true
            point = point_of(snapshot)
            others = [p for p in self.points() if p.uid != point.uid]
            values |= tiers_for_new(others, point, self.rules, self.now)
        snapshot["metadata"]["labels"] |= values
        self._touch(snapshot)
        self.running.discard(f"run-{name}")

    def _verdict(self, snapshot: Obj) -> dict[str, str]:
        """The annotations that a run writes with result=good."""
        made = parse_time(dig(snapshot, "metadata", "creationTimestamp"))
        reported = dig(snapshot, "status", "creationTime")
        taken = moment_taken(
            parse_time(reported) if reported else None, requested=made, now=self.true
        )
        return {
            labels.TAKEN_AT: format_time(max(taken, made)),
            labels.GOOD_SINCE: format_time(self.true),
            labels.MADE_FOR: objects.uid(snapshot),
        }

    def lose_run(self, name: str) -> None:
        """The run's record is gone before it ended."""
        self.running.discard(f"run-{name}")

    # ---- people ---------------------------------------------------------------------------

    def label(self, name: str, **changes: str | None) -> None:
        """A person sets labels by their short names, or removes them."""
        snapshot = self.snapshots[name]
        written = snapshot["metadata"]["labels"]
        for short, value in changes.items():
            key = short if short == "team" else labels.PREFIX + short.replace("_", "-")
            if key == labels.DELETE_AFTER:
                self.marked.pop(name, None)
            if value is None:
                written.pop(key, None)
                self.mine.get(name, {}).pop(key, None)
            else:
                written[key] = value
                if key in ("team", labels.HOLD):
                    self.mine.setdefault(name, {})[key] = value
        self._touch(snapshot)

    def use(self, name: str, request: str) -> None:
        """A restore claims a point."""
        self.requests.add(request)
        self.snapshots[name]["metadata"]["annotations"][labels.IN_USE] = request
        self._touch(self.snapshots[name])

    def expose(self, name: str) -> None:
        """A person makes the content of a snapshot Delete: the next pass makes it Retain again."""
        self.exposed.add(name)
        content = self.contents[f"content-{name}"]
        content["spec"]["deletionPolicy"] = "Delete"
        self._touch(content)

    def delete_by_hand(self, name: str) -> None:
        """A person deletes a snapshot with kubectl."""
        self.by_hand.add(name)
        self.snapshots[name]["metadata"]["deletionTimestamp"] = format_time(self.true)
        self._touch(self.snapshots[name])
