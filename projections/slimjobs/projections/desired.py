"""What the committed log wants of the world: which objects should exist, and in which condition.

Effects follow the committed log only (design §3), while the state runs ahead with records that are not committed yet;
so this is a small fold of its own, taken further when records commit.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from slimjobs.eventlog.events.cluster import ClusterFounded
from slimjobs.eventlog.events.record import Record
from slimjobs.eventlog.events.runs import (
    ImageGivenUp,
    RunAdmitted,
    RunBound,
    RunDeleted,
    RunFailed,
    RunGone,
    RunId,
    RunsExpired,
    RunSucceeded,
)
from slimjobs.projections.state import State


class Wanted(enum.StrEnum):
    """What should be true of a run's object."""

    EXISTS = "Exists"
    RELEASED = "Released"
    GIVEN_UP = "GivenUp"
    EXPIRES = "Expires"
    GONE = "Gone"


class DesiredRun(msgspec.Struct, frozen=True):
    """What is wanted of one run's object; `uid` is empty until the run is bound."""

    wanted: Wanted
    uid: str = ""


# Most records only queue a run; what would be matched in vain is sorted out first, which takes a tenth of the time.
_SAYS_WHAT_IS_WANTED: Final = frozenset(
    {RunAdmitted, RunBound, ImageGivenUp, RunSucceeded, RunFailed, RunDeleted, RunGone, RunsExpired, ClusterFounded}
)


class Desired:
    """The runs of which something is wanted. A run that is not here should have no object."""

    __slots__ = ("runs",)

    def __init__(self) -> None:
        self.runs: dict[RunId, DesiredRun] = {}

    def commit(self, record: Record) -> list[RunId]:
        """Take a committed record in; gives the runs of which something else is wanted now."""
        touched: list[RunId] = []
        for event in record.events:
            if type(event) not in _SAYS_WHAT_IS_WANTED:
                continue
            match event:
                case RunAdmitted(run):
                    self.runs[run] = DesiredRun(Wanted.EXISTS)
                case RunBound(run, uid):
                    self.runs[run] = DesiredRun(Wanted.RELEASED, uid)
                case ImageGivenUp(run):
                    self._bound_or_drop(run, Wanted.GIVEN_UP)
                case RunSucceeded(run) | RunFailed(run):
                    self._bound_or_drop(run, Wanted.EXPIRES)
                case RunDeleted(run):
                    self._bound_or_drop(run, Wanted.GONE)
                case RunGone(run):
                    self.runs.pop(run, None)
                case RunsExpired(runs):
                    for each in runs:
                        self.runs.pop(each, None)
                    touched.extend(runs)
                    continue
                case ClusterFounded():
                    touched.extend(self.runs)
                    self.runs.clear()
                    continue
                case _:
                    continue
            touched.append(run)
        return touched

    def _bound_or_drop(self, run: RunId, wanted: Wanted) -> None:
        before = self.runs.pop(run, None)
        if before is not None and before.uid:
            self.runs[run] = DesiredRun(wanted, before.uid)


def desired_of(state: State) -> Desired:
    """What a state wants in which every record is committed: the same as folding its log."""
    desired = Desired()
    for run in state.active.values():
        bound = Wanted.GIVEN_UP if run.given_up else Wanted.RELEASED
        desired.runs[run.run] = DesiredRun(bound if run.uid else Wanted.EXISTS, run.uid)
    for run_id in state.finished:
        run_ended = state.left_queue(run_id)
        if run_ended is not None and run_ended.uid:
            desired.runs[run_id] = DesiredRun(Wanted.EXPIRES, run_ended.uid)
    for deleted in state.deleted.values():
        desired.runs[deleted.run] = DesiredRun(Wanted.GONE, deleted.uid)
    return desired
