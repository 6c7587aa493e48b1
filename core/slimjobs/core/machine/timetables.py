"""Timetables, kept: thousands of schedules share a few, and reading an expression takes longer than asking it."""

from __future__ import annotations

from typing import Final

from slimjobs.core.configuration.cron import Timetable, parse_cron
from slimjobs.eventlog.events.schedules import Plan

KEPT: Final = 1_000


class Timetables:
    """When plans are due; the timetables that were asked for last are kept."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Timetable] = {}

    def __call__(self, plan: Plan) -> Timetable:
        """The timetable of a plan, whose expression and time zone were checked when it came in."""
        key = plan.expression, plan.time_zone
        timetable = self._kept.pop(key, None) or Timetable(parse_cron(plan.expression), plan.time_zone)
        self._kept[key] = timetable
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return timetable
