"""Readiness of what runs depend on: it enters the log when it changes, so who reads it later sees what was seen."""

from __future__ import annotations

from collections.abc import Collection

from slimjobs.core.decide.admission import admit_next
from slimjobs.eventlog.events.cluster import DependencyChanged
from slimjobs.eventlog.events.record import Event
from slimjobs.projections.state import State


def record_readiness(state: State, name: str, ready: bool, reason: str) -> tuple[Event, ...]:
    """The change, if it is one."""
    known = state.dependencies.get(name)
    if known is not None and (known.ready, known.reason) == (ready, reason):
        return ()
    return (DependencyChanged(name, ready, reason),)


def admit_waiting_for(state: State, name: str, observed: Collection[str]) -> tuple[Event, ...]:
    """Admit the runs that waited for this dependency and find a slot, once the state says that it is ready."""
    return tuple(
        admitted
        for queue in state.occupying()
        if any(name in names for names in queue.lanes)
        for admitted in admit_next(state, queue, observed, queue.free)
    )
