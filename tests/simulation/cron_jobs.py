"""Annotated CronJobs in the simulation: applied, changed, broken and removed, and what must follow from that."""

from __future__ import annotations

from random import Random
from typing import Final

import msgspec

from slimjobs.core.configuration.cron.grammar import parse_cron
from slimjobs.core.configuration.schedules import DeclaredSchedule
from slimjobs.core.orchestrators.ports import FoundDefinition
from slimjobs.eventlog.events.cluster import DefinitionDeclared, DefinitionRemoved
from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.events.record import Record
from slimjobs.projections.state import State
from tests.core.machine.invariants import Checked, Invariant
from tests.core.machine.surroundings import SimulatedSurroundings
from tests.core.machine.world import definition
from tests.simulation.schedules import draw_plan

OWN: Final = ("nightly", "import")
"""Names that nothing but a CronJob declares."""

NAMES: Final = (*OWN, "web")
"""Of the last the configuration has a job, which hides what a CronJob says."""

BROKEN: Final = ("SlimFaas/NumberParallelJob takes a whole number of at least 1, not 'many'",)


class CronJobs:
    """Those of the namespace, each as a node would read it."""

    def __init__(self, surroundings: SimulatedSurroundings, checked: Checked) -> None:
        self._surroundings = surroundings
        self._checked = checked
        self._ever: dict[str, list[FoundDefinition]] = {}

    def apply(self, random: Random, name: str, depends_on: tuple[str, ...], *, scheduled: bool) -> Definition:
        """Somebody applies one that can be read; what it declares."""
        plans = [draw_plan(random) for _ in range(random.choice([0, 1, 2]))] if scheduled else []
        declared = msgspec.structs.replace(definition(cap=random.randint(1, 4)), depends_on=depends_on)
        schedules = tuple(
            DeclaredSchedule(
                parse_cron(plan.expression),
                plan.overrides,
                "UTC",
                plan.concurrency,
                plan.starting_deadline_seconds,
            )
            for plan in plans
        )
        found = FoundDefinition(name, declared, schedules)
        self._ever.setdefault(name, []).append(found)
        self._surroundings.declare(found)
        return declared

    def spoil(self, name: str) -> None:
        """Somebody applies one that cannot be read."""
        self._surroundings.declare(FoundDefinition(name, None, problems=BROKEN))

    def remove(self, name: str) -> None:
        """Somebody removes one, if it is there."""
        if name in self._surroundings.declared:
            self._surroundings.undeclare(name)

    def end_schedules(self) -> None:
        """Those that are there have no schedules any more; one that cannot be read, and so keeps what it had, goes."""
        for found in list(self._surroundings.declared.values()):
            if found.schedules:
                self._surroundings.declare(msgspec.structs.replace(found, schedules=()))
            elif found.problems and any(each.schedules for each in self._ever.get(found.name, ())):
                self.remove(found.name)

    def read(self, record: Record) -> None:
        """Judge what comes into force: only what somebody declared, and never in place of the configuration's."""
        for event in record.events:
            match event:
                case DefinitionDeclared(_, name, Source.ANNOTATION, declared):
                    self._checked.look(Invariant.DECLARED)
                    ever = [each.definition for each in self._ever.get(name, ())]
                    assert declared in ever, f"nobody has ever declared {declared} as {name}"
                case DefinitionRemoved(name):
                    self._checked.look(Invariant.DECLARED)
                    assert name in self._ever, f"{name} is removed, which no CronJob has ever declared"

    def troubles(self, state: State, configured: frozenset[str]) -> list[str]:
        """What is in force in peace and should not be, or the other way round."""
        self._checked.look(Invariant.DECLARED)
        there = {name: each for name, each in self._surroundings.declared.items() if name not in configured}
        wanted = {name: each.definition for name, each in there.items() if each.definition is not None}
        versions = {name: state.versions[number] for name, number in state.current.items()}
        found = {name: each.definition for name, each in versions.items() if each.source is Source.ANNOTATION}
        troubles = [f"the CronJob {name} is not in force" for name in wanted if found.get(name) != wanted[name]]
        troubles += [f"{name} is in force, and no CronJob declares it" for name in found.keys() - there.keys()]
        told = {name: each.problems for name, each in there.items() if each.problems}
        if dict(state.refused) != told:
            troubles.append(f"told of {sorted(state.refused)} instead of {sorted(told)}")
        return troubles
