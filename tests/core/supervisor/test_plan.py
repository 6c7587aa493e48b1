"""The plan as a table: what is wanted, what was seen, what the orchestrator took on already, and the next step."""

from __future__ import annotations

import pytest

from slimjobs.core.decide.observing import Seen
from slimjobs.core.orchestrators.ports import ObservedJob, Phase
from slimjobs.core.supervisor.plan import Step, plan
from slimjobs.eventlog.events.runs import RunId
from slimjobs.projections.desired import DesiredRun, Wanted

RUN = RunId(b"0123456789")


def there(phase: Phase = Phase.SUSPENDED, *, ending: bool = False) -> Seen:
    return Seen(ObservedJob("name", "uid", "c1", RUN, phase, ending), gone=False)


UNSEEN, GONE = Seen(None, gone=False), Seen(None, gone=True)
WAS_THERE = Seen(there().job, gone=True)
STRANGER = Seen(ObservedJob("name", "other", "c1", RUN, Phase.SUSPENDED), gone=False)
EXISTS = DesiredRun(Wanted.EXISTS)
RELEASED, EXPIRES, DELETED = (DesiredRun(each, "uid") for each in (Wanted.RELEASED, Wanted.EXPIRES, Wanted.GONE))


@pytest.mark.parametrize(
    ("wanted", "seen", "accepted", "step"),
    [
        (EXISTS, UNSEEN, None, Step.CREATE),
        (EXISTS, GONE, None, Step.CREATE),
        (EXISTS, WAS_THERE, None, Step.CREATE),
        (EXISTS, there(), None, Step.NOTHING),
        (EXISTS, there(ending=True), None, Step.NOTHING),
        (RELEASED, there(), None, Step.RELEASE),
        (RELEASED, UNSEEN, None, Step.RELEASE),
        (RELEASED, there(), Step.RELEASE, Step.NOTHING),
        (RELEASED, there(Phase.PENDING), None, Step.NOTHING),
        (RELEASED, there(Phase.RUNNING), None, Step.NOTHING),
        (RELEASED, there(Phase.SUCCEEDED), None, Step.NOTHING),
        (RELEASED, WAS_THERE, None, Step.NOTHING),
        (EXPIRES, there(Phase.SUCCEEDED), None, Step.EXPIRE),
        (EXPIRES, there(Phase.SUCCEEDED), Step.RELEASE, Step.EXPIRE),
        (EXPIRES, there(Phase.SUCCEEDED), Step.EXPIRE, Step.NOTHING),
        (EXPIRES, UNSEEN, None, Step.EXPIRE),
        (EXPIRES, GONE, None, Step.NOTHING),
        (DELETED, there(), None, Step.DELETE),
        (DELETED, there(Phase.RUNNING), Step.RELEASE, Step.DELETE),
        (DELETED, there(ending=True), None, Step.DELETE),
        (DELETED, UNSEEN, None, Step.DELETE),
        (DELETED, there(), Step.DELETE, Step.NOTHING),
        (DELETED, GONE, None, Step.NOTHING),
        (RELEASED, STRANGER, None, Step.DELETE),
        (EXPIRES, STRANGER, None, Step.DELETE),
        (DELETED, STRANGER, None, Step.DELETE),
        (EXPIRES, STRANGER, Step.DELETE, Step.NOTHING),
        (None, there(), None, Step.CHECK_ORPHAN),
        (None, there(Phase.RUNNING), Step.EXPIRE, Step.CHECK_ORPHAN),
        (None, there(ending=True), None, Step.NOTHING),
        (None, there(), Step.DELETE, Step.NOTHING),
        (None, UNSEEN, None, Step.NOTHING),
        (None, WAS_THERE, None, Step.NOTHING),
    ],
)
def test_the_next_step(wanted: DesiredRun | None, seen: Seen, accepted: Step | None, step: Step) -> None:
    assert plan(wanted, seen, accepted) is step
