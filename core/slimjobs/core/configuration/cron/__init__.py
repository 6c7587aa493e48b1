"""Cron: when a schedule is due (contract §4).

In reading order: `grammar.py` (an expression as numbers), `zones.py` (time zones), `instants.py` (when it is due).
"""

from slimjobs.core.configuration.cron.grammar import FIELDS, MACROS, CronError, CronExpression, parse_cron
from slimjobs.core.configuration.cron.instants import Timetable
from slimjobs.core.configuration.cron.zones import is_time_zone, time_zone_complaint

__all__ = [
    "FIELDS",
    "MACROS",
    "CronError",
    "CronExpression",
    "Timetable",
    "is_time_zone",
    "parse_cron",
    "time_zone_complaint",
]
