"""The port through which the supervisor acts on the world: what runs jobs, whoever that is.

Words, effects, outcomes and observations are plain structs without I/O: the supervisor's plan and the node machine
speak in them, and the orchestrators answer in them.

The rules of the port are those of the Kubernetes API (design §5): a name is taken once; an object gets its identity,
the uid, from the orchestrator; it is created suspended and starts nothing until that uid is released; every request may
arrive late, or twice, and is harmless then.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from slimjobs.core.configuration.schedules import DeclaredSchedule
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.events.runs import RunId


class Job(msgspec.Struct, frozen=True):
    """What to create for one run. `definition` is the effective one: the run's definition with its overrides merged."""

    name: str
    cluster: str
    run: RunId
    job: str
    path: str
    definition: Definition


# Effects ------------------------------------------------------------------------------------------------------------


class Create(msgspec.Struct, frozen=True, tag=True):
    """Create the object under its fixed name, suspended, without TTL: it starts nothing."""

    job: Job


class Release(msgspec.Struct, frozen=True, tag=True):
    """Let the bound object start; another uid under the name is never touched."""

    run: RunId
    name: str
    uid: str


class Expire(msgspec.Struct, frozen=True, tag=True):
    """The end is in the log: the object may be collected this many seconds after it ended."""

    run: RunId
    name: str
    uid: str
    ttl_seconds: int


class Delete(msgspec.Struct, frozen=True, tag=True):
    """Remove the object and, before it, whatever still runs of it (Kubernetes' Foreground)."""

    run: RunId
    name: str
    uid: str


class GiveUp(msgspec.Struct, frozen=True, tag=True):
    """Let the object end as failed, with all that runs of it: its image is not to be had (contract §3)."""

    run: RunId
    name: str
    uid: str


Effect = Create | Release | Expire | Delete | GiveUp


# Observations -------------------------------------------------------------------------------------------------------


class Phase(enum.StrEnum):
    """How far an object has come. `SUCCEEDED` and `FAILED` are final."""

    SUSPENDED = "Suspended"
    PENDING = "Pending"
    RUNNING = "Running"
    WAITING_FOR_IMAGE = "WaitingForImage"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class ObservedAttempt(msgspec.Struct, frozen=True):
    """One pod or process of a run. Times are Unix ms; an attempt that runs has neither an end nor an exit code."""

    number: int
    started_at_ms: int
    ended_at_ms: int | None = None
    exit_code: int | None = None
    reason: str = ""


class ObservedJob(msgspec.Struct, frozen=True):
    """An object as the orchestrator has it now. `ending`: its deletion was accepted, it is not gone yet.

    `attempts` are the latest ones, oldest first; numbers count from 1 and never repeat, so that a gap can be seen.
    """

    name: str
    uid: str
    cluster: str
    run: RunId
    phase: Phase
    ending: bool = False
    attempts: tuple[ObservedAttempt, ...] = ()
    reason: str = ""
    detail: str = ""


class Listed(msgspec.Struct, frozen=True):
    """Every object there is, at one instant: what is not in it does not exist. Follows every (re)connection."""

    jobs: tuple[ObservedJob, ...]


class Changed(msgspec.Struct, frozen=True, tag=True):
    """An object appeared or changed; this is all of it."""

    job: ObservedJob


class Vanished(msgspec.Struct, frozen=True, tag=True):
    """An object is gone, with everything that ran of it; this is the last that was known."""

    job: ObservedJob


class Unobserved(msgspec.Struct, frozen=True, tag=True):
    """The orchestrator cannot be seen now; until the next `Listed` nothing may be concluded from absence.

    It also comes right before every list is begun, with an empty detail where nothing is wrong: what was created after
    it need not be in that list.
    """

    detail: str


Observation = Listed | Changed | Vanished | Unobserved


# Surroundings -------------------------------------------------------------------------------------------------------


class Scaling(msgspec.Struct, frozen=True):
    """How a service wakes and sleeps. Only one that says so is ever scaled, and woken only from zero."""

    replicas_at_start: int = 1
    replicas_min: int = 0
    sleep_after_seconds: int = 300


class ObservedService(msgspec.Struct, frozen=True):
    """Something that runs may depend on, as it is now; `reason` says why it is not ready.

    `replicas` is how many it should have, `version` what `Scale` has to carry. Without `scaling` it is not ours to
    scale.
    """

    name: str
    ready: bool
    reason: str = ""
    replicas: int = 0
    version: str = ""
    scaling: Scaling | None = None


class Scale(msgspec.Struct, frozen=True, tag=True):
    """Have so many replicas of a service, provided that it still is of this version: whoever scaled it since wins."""

    name: str
    version: str
    replicas: int


class ServicesListed(msgspec.Struct, frozen=True, tag=True):
    """Every service there is, at one instant: what is not in it does not exist."""

    services: tuple[ObservedService, ...]


class ServiceChanged(msgspec.Struct, frozen=True, tag=True):
    """A service appeared or changed; this is all of it."""

    service: ObservedService


class ServiceVanished(msgspec.Struct, frozen=True, tag=True):
    """There is no service of this name any more."""

    name: str


class FoundDefinition(msgspec.Struct, frozen=True):
    """What an object of the cluster declares as a job under its own name, which may be no job's name at all.

    Without a definition it is broken, and `problems` say why: what was last in force of it stays.
    """

    name: str
    definition: Definition | None
    schedules: tuple[DeclaredSchedule, ...] = ()
    problems: tuple[str, ...] = ()


class DefinitionsFound(msgspec.Struct, frozen=True, tag=True):
    """All that is declared, after a list and after every change: what is not in it is declared no more."""

    found: tuple[FoundDefinition, ...]


class Unseen(msgspec.Struct, frozen=True, tag=True):
    """Services, or definitions, cannot be seen now. Nothing follows from it, but that what was seen grows old."""

    what: Literal["services", "definitions"]
    detail: str


Sight = ServicesListed | ServiceChanged | ServiceVanished | DefinitionsFound | Unseen


# Outcomes of effects ------------------------------------------------------------------------------------------------


class Created(msgspec.Struct, frozen=True, tag=True):
    """The object exists as asked, suspended."""

    job: ObservedJob


class AlreadyExists(msgspec.Struct, frozen=True, tag=True):
    """The name is taken; by whom, the supervisor judges from the object."""

    job: ObservedJob


class Accepted(msgspec.Struct, frozen=True, tag=True):
    """A release, expiry, deletion, giving up or scaling was taken on (or had been before)."""


class Missing(msgspec.Struct, frozen=True, tag=True):
    """There is no object of this name and uid (404, or 422 about the uid), or it is of another version (409)."""


class Rejected(msgspec.Struct, frozen=True, tag=True):
    """Refused for good: asking again cannot help (400, 413, 422)."""

    detail: str


class Unavailable(msgspec.Struct, frozen=True, tag=True):
    """Not done, or nobody knows; asking again may help (403 of a quota, 429, 5xx, no answer)."""

    detail: str


Outcome = Created | AlreadyExists | Accepted | Missing | Rejected | Unavailable


class OutputMissing(Exception):
    """The output asked for is not there (any more); the message says why."""


class OutputUnavailable(OutputMissing):
    """Nobody knows whether the output is there: who keeps it cannot be asked now, or was lost while it was read."""


class Orchestrator(Protocol):
    """What runs jobs. Effects never raise for what the world does: that is an `Outcome`."""

    async def carry_out(self, effect: Effect) -> Outcome:
        """Ask for one effect and give its outcome. Cancellation leaves the outcome unknown, which is harmless."""

    def observe(self) -> AsyncIterator[Observation]:
        """List and watch for ever: `Unobserved`, then (only once that was taken) a list is begun, `Listed`, then the
        changes in order; from `Unobserved` again whenever the thread is lost. Ends only by cancellation.
        """

    def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        """Give the output of an attempt (None: the latest), as it is; with `follow` until the attempt ends.

        Raises `OutputMissing`, or its kind `OutputUnavailable`, at the call or at the first piece; the latter at any.
        """


class Surroundings(Protocol):
    """What runs depend on, and what else declares jobs. It never raises for what the world does."""

    async def scale(self, effect: Scale) -> Outcome:
        """Ask for so many replicas. Cancellation leaves the outcome unknown, which is harmless."""

    def look_around(self) -> AsyncIterator[Sight]:
        """List and watch for ever, services and definitions each: a whole list first, then the changes in order; a
        whole list again whenever the thread was lost. Ends only by cancellation.
        """
