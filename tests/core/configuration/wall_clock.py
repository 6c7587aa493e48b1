"""When a schedule is due, as one looks at a clock on the wall again and again: the rules of contract §4 once more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from slimjobs.core.configuration.cron import CronExpression

MINUTE = timedelta(minutes=1)


def ms(when: datetime) -> int:
    """Unix milliseconds."""
    return int(when.timestamp() * 1000)


def matches(expression: CronExpression, wall: datetime) -> bool:
    """Whether what the clock shows is meant."""
    day = wall.day in expression.days.values
    weekday = wall.isoweekday() % 7 in expression.weekdays.values
    on_day = (day or weekday) if expression.either_day else (day and weekday)
    return (
        on_day
        and wall.minute in expression.minutes.values
        and wall.hour in expression.hours.values
        and wall.month in expression.months.values
    )


def looked_at(
    expression: CronExpression, zone: str, begin: datetime, end: datetime, every: timedelta = MINUTE
) -> Iterator[int]:
    """Every instant from the beginning on, in Unix ms: each look is one, and what clocks jump over joins it."""
    repeats = expression.hours.wildcard or expression.hours.stepped
    before = (begin - every).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    while begin < end:
        local = begin.astimezone(ZoneInfo(zone))
        wall = local.replace(tzinfo=None)
        shown = [wall] if repeats or not local.fold else []
        while (before := before + every) < wall:
            shown.append(before)
        if any(matches(expression, each) for each in shown):
            yield ms(begin)
        before, begin = wall, begin + every
