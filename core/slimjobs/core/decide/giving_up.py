"""Runs whose image cannot be pulled: after their definition's deadline they are given up (contract §1, §3).

    waits for its image --- the deadline ---> given up --- its object ends as failed ---> failed, for want of its image
                        --- the image comes ---> runs

A run keeps its slot until its object has ended. If its image comes in that very moment and it succeeds, it succeeded.
"""

from __future__ import annotations

from slimjobs.eventlog.events.runs import ImageGivenUp, RunId
from slimjobs.projections.state import State


def give_up_due(state: State, at: int) -> tuple[ImageGivenUp, ...]:
    """The runs that have waited for long enough at this time."""
    due = [run for run in state.without_image if _deadline(state, run) <= at]
    return tuple(ImageGivenUp(run) for run in sorted(due))


def next_giving_up(state: State) -> int | None:
    """When the next run is to be given up, in Unix ms; None while all have their images."""
    return min((_deadline(state, run) for run in state.without_image), default=None)


def _deadline(state: State, run: RunId) -> int:
    definition = state.versions[state.active[run].definition].definition
    return state.without_image[run] + 1000 * definition.image_pull_deadline_seconds
