"""The plan: the one effect that brings a run's object closer to what is wanted. Pure, level-based, one run at a time.

    wanted      object seen                     effect
    Exists      none                            Create (suspended)
                there, or ending                none: it is bound when seen, waited for while it ends
    Released    suspended or not seen yet       Release (the bound uid only)
                runs, or was released           none
    GivenUp     there, not yet accepted         GiveUp
    Expires     there, TTL not yet accepted     Expire
    Gone        there, deletion not accepted    Delete
    any, bound  another one under the name      Delete it: only the bound one is ever released
    nothing     there                           Delete, once a read shows that the run really is unknown or ended

Every effect is harmless however late and however often it arrives (design §5), so a plan made from what was seen a
while ago may waste a request but cannot break a promise.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from slimjobs.core.decide.observing import Seen
from slimjobs.core.orchestrators.ports import Phase
from slimjobs.projections.desired import DesiredRun, Wanted


class Step(enum.Enum):
    """What to do next about one run's object."""

    NOTHING = enum.auto()
    CREATE = enum.auto()
    RELEASE = enum.auto()
    GIVE_UP = enum.auto()
    EXPIRE = enum.auto()
    DELETE = enum.auto()
    CHECK_ORPHAN = enum.auto()


_STEPS: Final[Mapping[Wanted, Step]] = {
    Wanted.RELEASED: Step.RELEASE,
    Wanted.GIVEN_UP: Step.GIVE_UP,
    Wanted.EXPIRES: Step.EXPIRE,
    Wanted.GONE: Step.DELETE,
}


# Names are taken once: whoever has the name of a bound object shows that it is gone, and can never be bound itself.
def is_stranger(desired: DesiredRun | None, seen: Seen) -> bool:
    """Whether what is seen is there in place of the run's bound object."""
    bound = desired.uid if desired is not None else ""
    return bool(bound) and seen.job is not None and not seen.gone and seen.job.uid != bound


def plan(desired: DesiredRun | None, seen: Seen, accepted: Step | None) -> Step:
    """The next step for a run. `accepted` is the last step about this object that the orchestrator took on."""
    there = seen.job is not None and not seen.gone
    if desired is None:
        ending = seen.job is not None and seen.job.ending
        return Step.CHECK_ORPHAN if there and not ending and accepted is not Step.DELETE else Step.NOTHING
    if desired.wanted is Wanted.EXISTS:
        return Step.NOTHING if there else Step.CREATE
    if seen.gone:
        return Step.NOTHING
    if seen.job is not None and is_stranger(desired, seen):
        return Step.NOTHING if seen.job.ending or accepted is Step.DELETE else Step.DELETE
    started = seen.job is not None and seen.job.phase is not Phase.SUSPENDED
    if desired.wanted is Wanted.RELEASED and started:
        return Step.NOTHING
    step = _STEPS[desired.wanted]
    return Step.NOTHING if step is accepted else step
