"""What readers are shown, as plain structs: made from the state by `listing`, encoded by whoever shows them.

JSON keys are those of the specification (PascalCase). Timestamps are Unix ms, -1 for none.
"""

from __future__ import annotations

import enum

import msgspec

from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.events.schedules import Plan


class RunStatus(enum.StrEnum):
    """The status of a run, in the words of the specification (§3.2)."""

    QUEUED = "Queued"
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"


class RunRow(msgspec.Struct, frozen=True, rename="pascal"):
    """One line of a list. `name` is the orchestrator's object; `position_in_queue` is 1-based, -1 once admitted."""

    id: str
    name: str
    status: RunStatus
    position_in_queue: int
    in_queue_timestamp: int
    start_timestamp: int = -1
    finish_timestamp: int = -1
    reason: str = ""
    attempts: int = 0


class RunPage(msgspec.Struct, frozen=True, tag=True):
    """Some rows of a list, and the cursor that leads on (None: that was all)."""

    rows: tuple[RunRow, ...]
    next_cursor: str | None = None


class WhyKind(enum.StrEnum):
    """Why a run has not started yet."""

    CAP = "Cap"
    DEPENDENCY = "Dependency"
    AHEAD = "Ahead"
    RETRY = "Retry"
    NO_LEADER = "NoLeader"


class Why(msgspec.Struct, frozen=True, rename="pascal"):
    """One reason. `ids` are runs that it is about, at most 10; `since` is when it began to hold, where known."""

    kind: WhyKind
    detail: str
    since: int = -1
    ids: tuple[str, ...] = ()


class RunEvent(msgspec.Struct, frozen=True, rename="pascal"):
    """One event of a run's life: where it stands in the log, when it was decided, and what the event says."""

    index: int
    at: int
    type: str
    detail: str = ""


class RunDetail(msgspec.Struct, frozen=True, tag=True):
    """Everything about one run. `definition` is the effective one; `uid` is empty until the run is bound."""

    row: RunRow
    job: str
    path: str
    uid: str
    definition: Definition
    events: tuple[RunEvent, ...]
    why: tuple[Why, ...]


class ScheduleRow(msgspec.Struct, frozen=True):
    """A schedule in a list. `next_due` is when it would fire next, paused or not."""

    id: str
    job: str
    source: Source
    plan: Plan
    next_due: int
    last_fired: int
    paused: bool


class ScheduleList(msgspec.Struct, frozen=True, tag=True):
    """The schedules of a job, in the order in which they came."""

    rows: tuple[ScheduleRow, ...]


class FireOutcome(enum.StrEnum):
    """What became of an instant."""

    FIRED = "Fired"
    LATE = "Late"
    REPLACED = "Replaced"
    SKIPPED = "Skipped"


class Fire(msgspec.Struct, frozen=True, rename="pascal"):
    """What became of an instant, or of the `count` ones from `instant` to `until`.

    A fire is late if its record came more than a second after its instant. `id` is its run, `reason` why it was
    skipped.
    """

    instant: int
    until: int
    count: int
    outcome: FireOutcome
    late_milliseconds: int
    reason: str
    id: str


class FireList(msgspec.Struct, frozen=True, tag=True):
    """The latest first. What was before `kept_from` is not kept here, but in the log; -1: that is all of it."""

    fires: tuple[Fire, ...]
    kept_from: int


class DefinitionStatus(msgspec.Struct, frozen=True):
    """A definition with what waits and runs of it. `queue` and `active` hold the first 100 of what is counted."""

    name: str
    source: Source
    definition: Definition
    queued: int
    occupied: int
    queue: tuple[RunRow, ...]
    active: tuple[RunRow, ...]
    schedules: tuple[ScheduleRow, ...] = ()


class Status(msgspec.Struct, frozen=True, tag=True):
    """Every definition that the caller may see, and what is wrong with the configuration, in words."""

    definitions: tuple[DefinitionStatus, ...]
    problems: tuple[str, ...]
