"""Declared schedules: when a job is due by itself, and what that run overrides (specification §2, contract §4)."""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.core.configuration.cron import CronError, CronExpression, parse_cron, time_zone_complaint
from slimjobs.core.configuration.definitions import read_dependencies, read_image
from slimjobs.core.configuration.environments import read_environments
from slimjobs.core.configuration.reading import Fields, Spot, all_of, known_keys, one_of, text, texts, whole
from slimjobs.core.configuration.resources import read_resources
from slimjobs.eventlog.events.definitions import Overrides, RestartPolicy
from slimjobs.eventlog.events.schedules import ConcurrencyPolicy, Plan

KEYS: Final = known_keys(
    "Schedule",
    "TimeZone",
    "ConcurrencyPolicy",
    "StartingDeadlineSeconds",
    "Args",
    "Image",
    "DependsOn",
    "Resources",
    "Environments",
    "BackoffLimit",
    "TtlSecondsAfterFinished",
    "RestartPolicy",
)

STARTING_DEADLINE_SECONDS: Final = 200


class DeclaredSchedule(msgspec.Struct, frozen=True):
    """One entry under a job's name. Without `time_zone` the setting JobDefaultTimeZone holds."""

    expression: CronExpression
    overrides: Overrides
    time_zone: str | None = None
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.ALLOW
    starting_deadline_seconds: int = STARTING_DEADLINE_SECONDS

    def plan(self, time_zone: str) -> Plan:
        """The schedule as events have it, in this time zone if it names none."""
        zone, policy = self.time_zone or time_zone, self.concurrency_policy
        return Plan(self.expression.text, zone, self.overrides, policy, self.starting_deadline_seconds)


def read_schedule(spot: Spot) -> DeclaredSchedule | None:
    """The schedule that stands here; None if it has no expression that can be read."""
    return schedule_of(Fields(spot, KEYS))


def schedule_of(fields: Fields) -> DeclaredSchedule | None:
    """The schedule that these members write; None if they have no expression that can be read."""
    expression = fields.need("Schedule", _expression)
    overrides = Overrides(
        args=fields.take("Args", texts),
        image=fields.take("Image", read_image) or None,
        resources=fields.take("Resources", read_resources),
        environments=fields.take("Environments", read_environments),
        depends_on=fields.take("DependsOn", read_dependencies),
        backoff_limit=fields.take("BackoffLimit", whole(0)),
        ttl_seconds_after_finished=fields.take("TtlSecondsAfterFinished", whole(0)),
        restart_policy=fields.take("RestartPolicy", one_of(RestartPolicy)),
    )
    time_zone = fields.take("TimeZone", _time_zone)
    policy = fields.take_or("ConcurrencyPolicy", one_of(ConcurrencyPolicy), ConcurrencyPolicy.ALLOW)
    deadline = fields.take_or("StartingDeadlineSeconds", whole(0), STARTING_DEADLINE_SECONDS)
    return None if expression is None else DeclaredSchedule(expression, overrides, time_zone, policy, deadline)


read_schedules: Final = all_of(read_schedule)


def _expression(spot: Spot) -> CronExpression | None:
    written = text(spot)
    if written is None:
        return None
    try:
        return parse_cron(written)
    except CronError as error:
        spot.problem(str(error))
        return None


def _time_zone(spot: Spot) -> str | None:
    name = text(spot)
    complaint = None if name is None else time_zone_complaint(name)
    if complaint is not None:
        spot.problem(complaint)
        return None
    return name
