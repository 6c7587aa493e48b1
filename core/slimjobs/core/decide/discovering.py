"""Definitions that were found in the cluster: annotated CronJobs, beside those of the configuration (contract §4).

Of one name the configuration's wins, then the CronJob's, then what is built in. A broken CronJob leaves in force what
was last good of it, and is told of until it is mended, hidden by the configuration, or gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from slimjobs.core.configuration.definitions import BUILT_IN_DEFAULT
from slimjobs.core.decide.admission import admit_next
from slimjobs.core.decide.scheduling import Calendar, decide_declared
from slimjobs.core.orchestrators.ports import FoundDefinition
from slimjobs.eventlog.events.cluster import DefinitionDeclared, DefinitionRemoved, DiscoveryRefused
from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.schedules import Plan
from slimjobs.projections.state import DEFAULT_DEFINITION, State

PROBLEMS_KEPT: Final = 20
PROBLEM_CHARACTERS: Final = 500


def decide_discovery(
    state: State,
    found: Sequence[FoundDefinition],
    observed: Collection[str],
    calendar: Calendar,
    time_zone: str,
    wall_ms: int,
) -> tuple[Event, ...]:
    """What follows from all that was found. The same again: no events."""
    counted = {each.name: each for each in found if _source(state, each.name) is not Source.CONFIGURATION}
    wanted = {name: each.definition for name, each in counted.items() if each.definition is not None}
    events: list[Event] = [*_definitions(state, wanted, counted.keys(), observed)]
    events += _refusals(state, counted)
    events += decide_declared(state, Source.ANNOTATION, _plans(state, counted, time_zone), calendar, wall_ms)
    return tuple(events)


def _source(state: State, name: str) -> Source | None:
    number = state.current.get(name)
    return None if number is None else state.versions[number].source


def _definitions(
    state: State, wanted: Mapping[str, Definition], found: Collection[str], observed: Collection[str]
) -> Iterator[Event]:
    number = state.next_version
    for name in sorted({*wanted, *(each for each in state.current if _source(state, each) is Source.ANNOTATION)}):
        if name not in found and name != DEFAULT_DEFINITION:
            yield DefinitionRemoved(name)
            continue
        source = Source.ANNOTATION if name in found else Source.BUILT_IN
        definition = wanted.get(name) if name in found else BUILT_IN_DEFAULT
        if definition is None or _is_in_force(state, name, source, definition):
            continue
        yield DefinitionDeclared(number, name, source, definition)
        number += 1
        if (queue := state.queues.get(name)) is not None:
            yield from admit_next(state, queue, observed, definition.number_parallel_job - len(queue.holders))


def _is_in_force(state: State, name: str, source: Source, definition: Definition) -> bool:
    current = state.current.get(name)
    if current is None:
        return False
    version = state.versions[current]
    return (version.source, version.definition) == (source, definition)


def _refusals(state: State, counted: Mapping[str, FoundDefinition]) -> Iterator[DiscoveryRefused]:
    for name in sorted({*counted, *state.refused}):
        found = counted.get(name)
        problems = () if found is None else tuple(each[:PROBLEM_CHARACTERS] for each in found.problems[:PROBLEMS_KEPT])
        if problems != state.refused.get(name, ()):
            yield DiscoveryRefused(name, problems)


def _plans(state: State, counted: Mapping[str, FoundDefinition], time_zone: str) -> dict[str, tuple[Plan, ...]]:
    """The schedules that are declared; of what is broken, those that were last."""
    return {
        name: tuple(schedule.plan(time_zone) for schedule in each.schedules)
        if each.definition is not None
        else tuple(known.plan for known in state.schedules.of(name) if known.source is Source.ANNOTATION)
        for name, each in counted.items()
    }
