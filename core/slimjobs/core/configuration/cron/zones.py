"""Time zones: which names there are, and how far from UTC each is when."""

from __future__ import annotations

import functools
import zoneinfo

from slimjobs.core.configuration.nearest import did_you_mean


def is_time_zone(name: str) -> bool:
    """Whether the IANA data of this machine (or of the tzdata package) knows a time zone of this name."""
    return name == "UTC" or name in _time_zones()


def time_zone_complaint(name: str) -> str | None:
    """Why this is no time zone, for a message; None if it is one."""
    if is_time_zone(name):
        return None
    return f"'{name}' is no IANA time zone such as Europe/Paris or UTC{did_you_mean(name, _time_zones())}"


@functools.cache
def _time_zones() -> frozenset[str]:
    # "localtime" is whatever this machine is set to: the nodes of a cluster need not agree on it.
    return frozenset(zoneinfo.available_timezones()) - {"localtime"}
