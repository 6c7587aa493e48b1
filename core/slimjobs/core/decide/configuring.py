"""The definitions in force: what a proposed configuration changes. The last one committed wins (design §2)."""

from __future__ import annotations

from collections.abc import Collection

from slimjobs.core.decide.admission import admit_next
from slimjobs.core.decide.commands import Configure, Configured
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.scheduling import Calendar, decide_declared
from slimjobs.eventlog.events.cluster import DefinitionDeclared, DefinitionRemoved
from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.record import Event
from slimjobs.projections.state import State


# What was found in the cluster is none of the configuration's.
def _is_found(state: State, name: str) -> bool:
    return state.versions[state.current[name]].source is Source.ANNOTATION


def decide_configuration(
    state: State, command: Configure, observed: Collection[str], calendar: Calendar, wall_ms: int
) -> Decision:
    """Declare what is new or changed, remove what is gone, and admit where a cap rose. The same again: no events."""
    events: list[Event] = []
    number_of_next = state.next_version
    for name in sorted(command.definitions):
        proposed, number = command.definitions[name], state.current.get(name)
        if number is not None:
            version = state.versions[number]
            if (version.source, version.definition) == (proposed.source, proposed.definition):
                continue
            if version.source is Source.ANNOTATION and proposed.source is Source.BUILT_IN:
                continue
        events.append(DefinitionDeclared(number_of_next, name, proposed.source, proposed.definition))
        number_of_next += 1
        queue = state.queues.get(name)
        if queue is not None:
            free = proposed.definition.number_parallel_job - len(queue.holders)
            events += admit_next(state, queue, observed, free)
    removed = sorted(name for name in state.current.keys() - command.definitions.keys() if not _is_found(state, name))
    events += (DefinitionRemoved(name) for name in removed)
    events += decide_declared(state, Source.CONFIGURATION, command.schedules, calendar, wall_ms)
    return Decision(Configured(bool(events)), tuple(events))
