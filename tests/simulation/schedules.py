"""Schedules in the simulation: what the configuration declares, what callers do to them, and their end in peace."""

from __future__ import annotations

from random import Random
from typing import Final

from slimjobs.core.decide.commands import AddSchedule, Command, PauseSchedule, RemoveSchedule, RunSchedule
from slimjobs.eventlog.events.definitions import Overrides, Source
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.events.schedules import ConcurrencyPolicy, Plan, ScheduleId
from slimjobs.projections.state import State

EXPRESSIONS: Final = ("* * * * *", "*/2 * * * *", "*/5 * * * *", "0 * * * *")
DEADLINES: Final = (0, 5, 30, 200)
MOST: Final = 6


def draw_plan(random: Random) -> Plan:
    """Any schedule that is due now and then within some minutes."""
    overrides = random.choice([Overrides(), Overrides(args=("42",))])
    policy, deadline = random.choice(list(ConcurrencyPolicy)), random.choice(DEADLINES)
    return Plan(random.choice(EXPRESSIONS), "UTC", overrides, policy, deadline)


def draw_declared(random: Random, jobs: list[str]) -> dict[str, tuple[Plan, ...]]:
    """What a configuration may declare: some plans for some jobs, now and then the same twice."""
    declared: dict[str, tuple[Plan, ...]] = {}
    for job in jobs:
        plans = [draw_plan(random) for _ in range(random.choice([0, 1, 1, 2]))]
        if plans and random.random() < 0.2:
            plans.append(plans[0])
        if plans:
            declared[job] = tuple(plans)
    return declared


def draw_command(random: Random, state: State, jobs: list[str], run: RunId) -> Command:
    """Somebody makes, pauses, resumes, runs or removes a schedule. `run`: what a run of one would be."""
    schedules = list(state.schedules.by_id.values())
    if not schedules or (len(schedules) < MOST and random.random() < 0.3):
        schedule = ScheduleId(random.getrandbits(80).to_bytes(10, "big"))
        paused = random.random() < 0.1
        return AddSchedule(schedule, random.choice(jobs), draw_plan(random), internal=True, paused=paused)
    chosen = random.choice(schedules)
    roll = random.random()
    if roll < 0.4:
        return PauseSchedule(chosen.job, chosen.schedule, paused=random.random() < 0.5, internal=True)
    if roll < 0.7:
        return RunSchedule(chosen.job, chosen.schedule, run, internal=True)
    return RemoveSchedule(chosen.job, chosen.schedule, internal=True)


def removals(state: State) -> list[RemoveSchedule]:
    """What removes every schedule that callers have made."""
    made = [each for each in state.schedules.by_id.values() if each.source is Source.API]
    return [RemoveSchedule(each.job, each.schedule, internal=True) for each in made]
