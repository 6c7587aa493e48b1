"""What deciding gives: events to append as one record, with the result to answer once it is committed; or a refusal."""

from __future__ import annotations

import msgspec

from slimjobs.core.decide.commands import Result
from slimjobs.eventlog.events.record import Event


class Decision(msgspec.Struct, frozen=True):
    """The events that follow from a command. None of them: everything was so already, and the result is a read."""

    result: Result
    events: tuple[Event, ...] = ()


class Limits(msgspec.Struct, frozen=True):
    """How much may be kept for callers (contract §1). Bytes are those of the overrides as they are stored."""

    queued_jobs: int = 50_000
    queued_bytes: int = 8 << 20
    idempotency_keys: int = 10_000
    finished_jobs: int = 1_000
