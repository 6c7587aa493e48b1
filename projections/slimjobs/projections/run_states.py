"""What may follow what in the life of a run, as a table: the fold consults it, tests draw it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import (
    AttemptEnded,
    AttemptStarted,
    ImageGivenUp,
    ImageNotPulled,
    RunAdmitted,
    RunBound,
    RunDeleted,
    RunFailed,
    RunGone,
    RunsExpired,
    RunSucceeded,
)


class RunState(enum.StrEnum):
    """Where a run stands. `DELETED` is a deleted run whose object is not gone yet; `LEFT` is one that left no trace."""

    QUEUED = "Queued"
    ADMITTED = "Admitted"
    BOUND = "Bound"
    ENDED = "Ended"
    DELETED = "Deleted"
    LEFT = "Left"


RUN_STATES: Final[Mapping[RunState, frozenset[type[Event]]]] = {
    RunState.QUEUED: frozenset({RunAdmitted, RunDeleted}),
    RunState.ADMITTED: frozenset({RunBound, RunFailed, RunDeleted}),
    RunState.BOUND: frozenset(
        {AttemptStarted, AttemptEnded, ImageNotPulled, ImageGivenUp, RunSucceeded, RunFailed, RunDeleted},
    ),
    RunState.ENDED: frozenset({RunDeleted, RunsExpired}),
    RunState.DELETED: frozenset({RunGone}),
    RunState.LEFT: frozenset(),
}
