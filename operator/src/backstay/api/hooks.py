"""Hooks: commands in containers before and after the snapshots, and their outcome in a run."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field, JsonValue

from backstay.api.common import Duration, Model, Time
from backstay.api.shapes import NAME_MAX, LabelName, Shape
from backstay.api.target import Target

HOOKS_MAX: Final = 16
"""Hooks before, and as many after."""
TEXT_MAX: Final = 4096

Text = Annotated[
    str,
    Field(max_length=TEXT_MAX),
    Shape(r"[^\x00]*", "must not contain a NUL character"),
]
"""What a process can be given: no NUL."""

Command = Annotated[
    tuple[Text, ...],
    Field(
        min_length=1,
        max_length=64,
        description="The program and its arguments, each a text of its own: no shell reads them.",
    ),
]


class OnError(StrEnum):
    """What the failure of a hook means."""

    FAIL = "Fail"
    CONTINUE = "Continue"


class Session(Model):
    """A command that is held open while the snapshots are taken."""

    command: Command
    begin: Text = Field(
        default="", description="Text for its standard input at the start, such as SQL."
    )
    ready: Text = Field(
        default="READY",
        min_length=1,
        description="The line that it prints once it holds. Clients that buffer their output need "
        "a flag, such as mysql with --unbuffered.",
    )
    end: Text = Field(
        default="",
        description="Text for its standard input after the snapshots, or once maxFreeze is over; "
        "then its input is closed, and it has to end with status 0.",
    )


class BeforeHook(Model):
    """A hook that runs after the dumps and before the snapshots."""

    cel_rules: ClassVar = (
        (
            "has(self.command) != has(self.session)",
            "a hook is either a command or a session: set exactly one of them",
        ),
        (
            "!has(self.freezes) || !self.freezes || !has(self.onError) || self.onError == 'Fail'",
            "a hook with freezes must have onError Fail: a freeze that failed froze nothing",
        ),
    )

    name: LabelName = Field(
        description="Name of the hook, unique among those before. An after hook of the same name "
        "undoes it."
    )
    target: Target = Field(description="Where it runs.")
    command: Command | None = Field(
        default=None, description="The program and its arguments: no shell reads them."
    )
    session: Session | None = Field(
        default=None, description="A command that is held open while the snapshots are taken."
    )
    freezes: bool = Field(
        default=False,
        description="While it holds, nothing is written to any claim of its pod, such as by "
        "fsfreeze or by processes that are stopped: snapshots of several claims that are taken "
        "meanwhile fit together. A database's backup mode is no freeze: it goes on writing.",
    )
    timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="How long the command may take, or the session until it is ready, and again "
        "until it has ended.",
    )
    on_error: OnError = Field(
        default=OnError.FAIL,
        description="Fail: the points of the claims that its pod has fail. Continue: its failure "
        "is reported and otherwise ignored.",
    )


class AfterHook(Model):
    """A hook that runs once the snapshots are taken, or are known to fail."""

    name: LabelName = Field(
        description="Name of the hook, unique among those after. With the name of a before hook "
        "it undoes that one: it runs in the same container whenever that one was started, at the "
        "latest when maxFreeze is over, whatever happens to the operator."
    )
    target: Target | None = Field(
        default=None, description="Where it runs; left out where it undoes a before hook."
    )
    command: Command
    timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long the command may take."
    )
    on_error: OnError = Field(
        default=OnError.FAIL,
        description="Fail: the points of the claims that its pod has fail. Continue: its failure "
        "is reported and otherwise ignored.",
    )


_LIST: Final[dict[str, JsonValue]] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}


class Hooks(Model):
    """Commands around the snapshots. Those before run in order; what they hold is released in the
    opposite order, then the other ones after run in order.
    """

    cel_rules: ClassVar = (
        (
            "(has(self.before) && size(self.before) > 0) || (has(self.after) && "
            "size(self.after) > 0)",
            "hooks needs before, after, or both",
        ),
        (
            "!has(self.after) || self.after.all(a, has(a.target) != (has(self.before) && "
            "self.before.exists(b, b.name == a.name)))",
            "an after hook needs a target, but none when it has the name of a before hook: then "
            "it undoes that one, in the same container",
        ),
        (
            "!has(self.before) || !has(self.after) || self.before.all(b, !has(b.session) || "
            "!self.after.exists(a, a.name == b.name))",
            "a session is ended by its own end: no after hook may have its name",
        ),
        (
            "!has(self.before) || self.before.all(b, !has(b.freezes) || !b.freezes || "
            "has(b.session) || (has(self.after) && self.after.exists(a, a.name == b.name)))",
            "a hook with freezes has to hold over the snapshots: make it a session, or add the "
            "after hook of its name that undoes it",
        ),
    )

    before: tuple[BeforeHook, ...] = Field(
        default=(),
        description="Run in order when the dumps are done, right before the snapshots are asked "
        "for.",
        max_length=HOOKS_MAX,
        json_schema_extra=_LIST,
    )
    after: tuple[AfterHook, ...] = Field(
        default=(),
        description="Run when the snapshots are taken, not when they are ready.",
        max_length=HOOKS_MAX,
        json_schema_extra=_LIST,
    )
    max_freeze: Duration = Field(
        default=timedelta(seconds=60),
        description="How long a before hook may hold, from its start: a session, or a command "
        "that an after hook undoes. Then it is undone from inside its container, without the "
        "operator, and the points of its claims fail.",
    )


# In the plan and the status of a run


class Stage(StrEnum):
    """On which side of the snapshots a hook stands."""

    BEFORE = "Before"
    AFTER = "After"


class PlannedHook(Model):
    """A hook of the frozen plan."""

    name: LabelName = Field(description="Name of the hook in the policy.")
    target: Target = Field(description="Where it runs.")
    command: Command = Field(description="The program and its arguments.")
    session: Session | None = Field(default=None, description="Set where it is a session.")
    undo: Command | None = Field(
        default=None, description="The command of the after hook that undoes it."
    )
    timeout: Duration = Field(description="Deadline of the command.")
    undo_timeout: Duration = Field(description="Deadline of what undoes it.")
    on_error: OnError = Field(description="What a failure means.")
    undo_on_error: OnError = Field(description="What a failure to undo it means.")
    freezes: bool = Field(
        default=False, description="Nothing is written to its pod's claims while it holds."
    )

    @property
    def holds(self) -> bool:
        """Whether something is held from this hook on, and has to be released."""
        return self.session is not None or self.undo is not None


class PlannedHooks(Model):
    """The hooks of the frozen plan; an after hook that undoes one before stands with it."""

    before: tuple[PlannedHook, ...] = Field(
        default=(), description="Before the snapshots.", max_length=HOOKS_MAX
    )
    after: tuple[PlannedHook, ...] = Field(
        default=(), description="After the snapshots.", max_length=HOOKS_MAX
    )
    max_freeze: Duration = Field(description="How long a hook may hold.")


class HookState(StrEnum):
    """Where a hook of an attempt is."""

    STARTING = "Starting"
    HELD = "Held"
    RELEASING = "Releasing"
    DONE = "Done"
    FAILED = "Failed"


ClaimName = Annotated[str, Field(max_length=NAME_MAX)]


class HookStatus(Model):
    """One hook of the run."""

    name: str = Field(description="Name of the hook in the policy.", max_length=63)
    stage: Stage = Field(description="Before or After.")
    attempt: int = Field(ge=1, description="Attempt that this speaks of.")
    state: HookState = Field(description="Starting, Held, Releasing, Done or Failed.")
    pod: str = Field(description="The pod that it runs in.", max_length=NAME_MAX)
    pod_uid: str = Field(description="Its uid.", max_length=64)
    container: str = Field(description="The container.", max_length=63)
    container_id: str = Field(
        description="The container's id: what was held in another container is lost.",
        max_length=256,
    )
    claims: tuple[ClaimName, ...] = Field(
        default=(),
        description="Claims of the run that its pod has: their points depend on it; none: all do.",
        max_length=256,
    )
    started_at: Time = Field(description="When it was first started.")
    release_at: Time | None = Field(
        default=None, description="When its release was first requested."
    )
    seconds: int | None = Field(default=None, ge=0, description="How long it held, or ran.")
    ignored: bool = Field(
        default=False, description="It failed, and onError says that this does not matter."
    )
    message: str | None = Field(default=None, description="Why it failed.", max_length=4096)
