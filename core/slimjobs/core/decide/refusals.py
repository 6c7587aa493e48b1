"""Why a command or a query is refused: values that a person can act on, made where the rule is, shown alike by all."""

from __future__ import annotations

import msgspec

from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.eventlog.events.schedules import ScheduleId


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a body. `pointer` is a JSON pointer (RFC 6901) into it."""

    pointer: str
    detail: str


class Invalid(msgspec.Struct, frozen=True, tag=True):
    """The request cannot be taken as it is; all problems at once."""

    problems: tuple[Problem, ...]

    @property
    def detail(self) -> str:
        first = self.problems[0].detail
        more = len(self.problems) - 1
        return first if not more else f"{first} (and {more} more)"


class Forbidden(msgspec.Struct, frozen=True, tag=True):
    """The caller may not do this."""

    detail: str
    problems: tuple[Problem, ...] = ()


class UnknownRun(msgspec.Struct, frozen=True, tag=True):
    """No run of this name has this id (any more); `history` says when and why it left, where that is known."""

    job: str
    run: RunId
    history: str = ""

    @property
    def detail(self) -> str:
        said = f"No run {run_id_text(self.run)} of job '{self.job}' exists."
        return f"{said} {self.history}" if self.history else said


class UnknownSchedule(msgspec.Struct, frozen=True, tag=True):
    """No schedule of this name has this id (any more)."""

    job: str
    schedule: ScheduleId

    @property
    def detail(self) -> str:
        return f"No schedule {run_id_text(RunId(self.schedule))} of job '{self.job}' exists."


class DeclaredElsewhere(msgspec.Struct, frozen=True, tag=True):
    """The schedule is none that callers may remove: it stands in the configuration, or at a CronJob."""

    job: str
    schedule: ScheduleId
    source: Source

    @property
    def detail(self) -> str:
        where = "the CronJob of that name" if self.source is Source.ANNOTATION else "the configuration"
        said = f"The schedule {run_id_text(RunId(self.schedule))} of job '{self.job}' is declared by {where}"
        return f"{said}; remove it there, or pause it."


class QueueFull(msgspec.Struct, frozen=True, tag=True):
    """A limit on what may wait is reached; later it may pass."""

    detail: str
    retry_after_seconds: int = 5


class TooManyKeys(msgspec.Struct, frozen=True, tag=True):
    """As many idempotency keys as may be are remembered."""

    limit: int
    retry_after_seconds: int = 60

    @property
    def detail(self) -> str:
        return (
            f"{self.limit} idempotency keys are remembered, which is the limit (SlimFaas__MaxIdempotencyKeys); nothing "
            "was enqueued. Send the request later, or without a key."
        )


class KeyReused(msgspec.Struct, frozen=True, tag=True):
    """The same idempotency key came with another body."""

    @property
    def detail(self) -> str:
        return (
            "This Idempotency-Key was used with another body within the last 24 hours; nothing was enqueued. Use a new "
            "key for a new request."
        )


class NoRoom(msgspec.Struct, frozen=True, tag=True):
    """The disk has no room for new work; what is there goes on."""

    retry_after_seconds: int = 5

    @property
    def detail(self) -> str:
        return "The log's disk is full; nothing was enqueued, nothing is lost, and runs go on. Make room and try again."


class NoLeader(msgspec.Struct, frozen=True, tag=True):
    """Nobody could decide in time; surely nothing was done."""

    why: str = "no leader is known"
    retry_after_seconds: int = 1

    @property
    def detail(self) -> str:
        return f"The service cannot decide now ({self.why}); nothing was done. Try again."


class OutcomeUnknown(msgspec.Struct, frozen=True, tag=True):
    """The command may have been done or not: whoever decided it is gone. `runs` can be looked up later."""

    runs: tuple[RunId, ...] = ()

    @property
    def detail(self) -> str:
        return (
            "Whether this was done cannot be known now. Look it up by its id, or repeat it with the same "
            "Idempotency-Key."
        )


class NotPossible(msgspec.Struct, frozen=True, tag=True):
    """What an operator asked of the cluster cannot be done as it stands; nothing was changed."""

    detail: str


Refusal = (
    Invalid
    | Forbidden
    | UnknownRun
    | UnknownSchedule
    | DeclaredElsewhere
    | QueueFull
    | TooManyKeys
    | KeyReused
    | NoRoom
    | NoLeader
    | OutcomeUnknown
    | NotPossible
)
