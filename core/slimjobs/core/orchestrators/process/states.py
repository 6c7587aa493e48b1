"""An object of the runner and what can happen to it: a table and a few pure functions, without clock or disk.

Stands under `store.py`, which makes each step durable before anybody hears of it. The rules are those of Kubernetes'
Job controller as far as the contract takes them (§6): retries are the runner's, 10 s doubling to 10 min.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import msgspec

from slimjobs.core.orchestrators.ports import ObservedAttempt, ObservedJob, Phase
from slimjobs.eventlog.events.runs import RunId

KEPT_ATTEMPTS: Final = 10
"""How many attempts an object remembers, the latest; the outputs of older ones go with them."""

LONGEST_BACKOFF: Final = 60
"""The longest back-off as a multiple of the first: 10 min of 10 s."""


class Stage(enum.StrEnum):
    """Where an object is on its way."""

    SUSPENDED = "Suspended"
    PENDING = "Pending"
    RUNNING = "Running"
    BACKING_OFF = "BackingOff"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


STAGES: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.SUSPENDED: frozenset({Stage.PENDING}),
    Stage.PENDING: frozenset({Stage.RUNNING, Stage.FAILED}),
    Stage.RUNNING: frozenset({Stage.BACKING_OFF, Stage.SUCCEEDED, Stage.FAILED}),
    Stage.BACKING_OFF: frozenset({Stage.RUNNING, Stage.FAILED}),
    Stage.SUCCEEDED: frozenset(),
    Stage.FAILED: frozenset(),
}
"""What can follow what. `ending` lies across: an object that ends begins no attempt any more."""

PHASES: Final[Mapping[Stage, Phase]] = {
    Stage.SUSPENDED: Phase.SUSPENDED,
    Stage.PENDING: Phase.PENDING,
    Stage.RUNNING: Phase.RUNNING,
    Stage.BACKING_OFF: Phase.PENDING,
    Stage.SUCCEEDED: Phase.SUCCEEDED,
    Stage.FAILED: Phase.FAILED,
}
"""How a stage looks from outside."""

ACTIVE: Final = frozenset({Stage.PENDING, Stage.RUNNING, Stage.BACKING_OFF})
"""The stages that somebody has to drive on."""


class Program(msgspec.Struct, frozen=True):
    """What is executed, and what its retries obey: all that the runner keeps of a definition."""

    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    backoff_limit: int = 1
    active_deadline_seconds: int | None = None


class RunObject(msgspec.Struct, frozen=True):
    """An object, whole. Times are Unix ms. Fields are only ever appended, with defaults: files outlive versions."""

    name: str
    uid: str
    cluster: str
    run: RunId
    path: str
    program: Program
    stage: Stage = Stage.SUSPENDED
    ending: bool = False
    failures: int = 0
    attempts: tuple[ObservedAttempt, ...] = ()
    released_at_ms: int | None = None
    next_attempt_at_ms: int | None = None
    ended_at_ms: int | None = None
    ttl_seconds: int | None = None
    reason: str = ""
    detail: str = ""

    @property
    def running(self) -> bool:
        """Whether an attempt is on, or was when this was written."""
        return self.stage is Stage.RUNNING and self.attempts[-1].ended_at_ms is None

    @property
    def removable(self) -> bool:
        """Whether nothing runs of it, nor may any more."""
        return not self.running and (self.ending or self.stage not in ACTIVE)

    @property
    def last_attempt(self) -> int:
        """The number of the latest attempt; 0 if there was none."""
        return self.attempts[-1].number if self.attempts else 0

    @property
    def deadline_ms(self) -> int | None:
        """When the object fails if it has not ended; counted from its release, through all attempts."""
        if self.released_at_ms is None or self.program.active_deadline_seconds is None:
            return None
        return self.released_at_ms + self.program.active_deadline_seconds * 1000

    @property
    def collected_at_ms(self) -> int | None:
        """When the object goes by itself: its TTL after its end, once both are known."""
        if self.ended_at_ms is None or self.ttl_seconds is None:
            return None
        return self.ended_at_ms + self.ttl_seconds * 1000


class Exit(msgspec.Struct, frozen=True):
    """How an attempt ended. The code is as a shell gives it, 128 + n for signal n; None where nobody saw it."""

    code: int | None
    reason: str

    @property
    def succeeded(self) -> bool:
        return self.code == 0


NODE_LOST: Final = Exit(None, "NodeLost")
"""The node died, and the attempt with it."""

KEEPER_LOST: Final = Exit(None, "KeeperLost")
"""The process that kept the attempt was killed, and the attempt with it."""


def released(run: RunObject, now_ms: int) -> RunObject:
    """Released, unless it was before, or ends: then nothing changes (as Kubernetes answers 200 and starts nothing)."""
    if run.stage is not Stage.SUSPENDED or run.ending:
        return run
    return _to(run, Stage.PENDING, released_at_ms=now_ms)


def attempt_begun(run: RunObject, now_ms: int) -> RunObject:
    """With one more attempt, which runs from now on; unless the object is ending."""
    if run.ending:
        return run
    attempt = ObservedAttempt(number=run.last_attempt + 1, started_at_ms=now_ms)
    attempts = (*run.attempts, attempt)[-KEPT_ATTEMPTS:]
    return _to(run, Stage.RUNNING, attempts=attempts, next_attempt_at_ms=None, reason="", detail="")


def attempt_ended(run: RunObject, exit: Exit, now_ms: int, backoff_seconds: float) -> RunObject:
    """The running attempt ended: success ends the object, failure is retried while `BackoffLimit` allows it.

    Of an object that is ending only the attempt's end is told: no retry, and no verdict but success (a Job that is
    deleted while it runs never gets a condition).
    """
    run = _with_end(run, exit, now_ms)
    ended = run.attempts[-1]
    if exit.succeeded:
        return _to(run, Stage.SUCCEEDED, ended_at_ms=now_ms)
    run = msgspec.structs.replace(run, failures=run.failures + 1)
    if run.ending:
        return run
    if run.failures > run.program.backoff_limit:
        return _failed(run, "BackoffLimitExceeded", f"{_failures(run)}, the last: {_story(ended)}", now_ms)
    wait_seconds = backoff(run.failures, backoff_seconds)
    return _to(
        run,
        Stage.BACKING_OFF,
        next_attempt_at_ms=now_ms + round(wait_seconds * 1000),
        reason="BackOff",
        detail=f"attempt {ended.number}: {_story(ended)}; the next one follows {wait_seconds:g} s later",
    )


def deadline_exceeded(run: RunObject, now_ms: int, code: int | None = None) -> RunObject:
    """Failed by its deadline, whatever the attempt that ran gave as it was stopped; its process must be gone."""
    if run.running:
        run = _with_end(run, Exit(code, "DeadlineExceeded"), now_ms)
    if run.ending:
        return run
    seconds = run.program.active_deadline_seconds
    return _failed(run, "DeadlineExceeded", f"not done {seconds} s after its start", now_ms)


def expiring(run: RunObject, ttl_seconds: int) -> RunObject:
    """With a time to live after its end; the last one asked for counts."""
    return msgspec.structs.replace(run, ttl_seconds=ttl_seconds)


def deleted(run: RunObject) -> RunObject:
    """On its way out: it stays only until its processes are gone."""
    return msgspec.structs.replace(run, ending=True)


def backoff(failures: int, first_seconds: float) -> float:
    """Seconds between an attempt's end and the next, after so many failures (Kubernetes: 10 s doubling to 10 min)."""
    return float(first_seconds * min(2 ** min(failures - 1, 6), LONGEST_BACKOFF))


def observed(run: RunObject) -> ObservedJob:
    """The object as the port shows it."""
    return ObservedJob(
        name=run.name,
        uid=run.uid,
        cluster=run.cluster,
        run=run.run,
        phase=PHASES[run.stage],
        ending=run.ending,
        attempts=run.attempts,
        reason=run.reason,
        detail=run.detail,
    )


def _with_end(run: RunObject, exit: Exit, now_ms: int) -> RunObject:
    ended = msgspec.structs.replace(run.attempts[-1], ended_at_ms=now_ms, exit_code=exit.code, reason=exit.reason)
    return msgspec.structs.replace(run, attempts=(*run.attempts[:-1], ended))


def _failed(run: RunObject, reason: str, detail: str, now_ms: int) -> RunObject:
    return _to(run, Stage.FAILED, ended_at_ms=now_ms, next_attempt_at_ms=None, reason=reason, detail=detail)


def _to(run: RunObject, stage: Stage, **changes: object) -> RunObject:
    assert stage in STAGES[run.stage], f"{run.name}: {stage} cannot follow {run.stage}"
    return msgspec.structs.replace(run, stage=stage, **changes)


def _failures(run: RunObject) -> str:
    return "the only attempt failed" if run.failures == 1 else f"{run.failures} attempts failed"


def _story(attempt: ObservedAttempt) -> str:
    code = "" if attempt.exit_code is None else f" with exit code {attempt.exit_code}"
    return f"{attempt.reason}{code}"
