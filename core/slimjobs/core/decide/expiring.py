"""What time does: ended runs leave the lists when their time to live is over. That too is a record, as all is."""

from __future__ import annotations

from slimjobs.eventlog.events.runs import RunId, RunsExpired
from slimjobs.projections.state import State

EXPIRED_AT_ONCE = 1000


def next_expiry(state: State) -> int | None:
    """When the next run is due to leave the lists, in Unix ms; None while none is."""
    return state.expiries[0][0] if state.expiries else None


def expire_due(state: State, at: int) -> tuple[RunsExpired, ...]:
    """The runs whose time to live is over at this time, at most a thousand at once."""
    due: list[RunId] = []
    pending = [0]
    while pending and len(due) < EXPIRED_AT_ONCE:
        node = pending.pop()
        if node < len(state.expiries) and state.expiries[node][0] <= at:
            run = state.expiries[node][1]
            if run in state.finished:
                due.append(run)
            pending += (2 * node + 1, 2 * node + 2)
    return (RunsExpired(tuple(sorted(due))),) if due else ()
