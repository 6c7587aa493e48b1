"""Everything the service knows, as tables: a fold of the log and of nothing else.

`fold` is the only writer. Readers are `listing`, `why`, `snapshot` and the decisions. Queued runs are kept as packed
bytes (a frozen struct with an index costs twice as much) and decoded when touched.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from slimjobs.eventlog.events.definitions import Definition, Overrides, Source
from slimjobs.eventlog.events.record import CHAIN_START, Event
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft.types import Index, NodeId
from slimjobs.projections.order import Lane, QueueOrder
from slimjobs.projections.run_states import RunState
from slimjobs.projections.schedules import Schedules
from slimjobs.projections.views import RunStatus

DEFAULT_DEFINITION = "default"
"""The name of the definition that serves names without one of their own; names are lower case."""


class Version(msgspec.Struct):
    """One version of a definition. `runs` counts the runs that were accepted with it and are still in the lists."""

    number: int
    name: str
    source: Source
    definition: Definition
    runs: int = 0


class QueuedRun(msgspec.Struct, array_like=True):
    """What a queued run is, beside the fixed numbers in front of its packed form."""

    job: str
    overrides: Overrides
    path: str


class QueuedNumbers(msgspec.Struct):
    """The fixed numbers of a queued run: its place, when it was accepted and where that stands in the log."""

    ordinal: int
    at: int
    index: int
    definition: int


_NUMBERS = struct.Struct("<QQQI")
_encode = msgspec.msgpack.Encoder().encode
_decode_queued = msgspec.msgpack.Decoder(QueuedRun).decode


def pack_queued(ordinal: int, at: int, index: int, definition: int, run: QueuedRun) -> bytes:
    """A queued run in the form in which the state keeps it."""
    return _NUMBERS.pack(ordinal, at, index, definition) + _encode(run)


def queued_numbers(packed: bytes) -> QueuedNumbers:
    """The fixed numbers of a packed run."""
    return QueuedNumbers(*_NUMBERS.unpack_from(packed))


def unpack_queued(packed: bytes) -> QueuedRun:
    """The rest of a packed run."""
    return _decode_queued(memoryview(packed)[_NUMBERS.size :])


class HistoryEvent(msgspec.Struct, frozen=True, array_like=True):
    """One event of a run's life, with its place in the log and the time of its record."""

    index: int
    at: int
    event: Event


class Run(msgspec.Struct, array_like=True):
    """A run that has left its queue, where it had this `ordinal`.

    `admission` numbers admissions in order; `attempt` is the latest one's number.
    """

    run: RunId
    job: str
    definition: int
    overrides: Overrides
    path: str
    enqueued_at: int
    ordinal: int
    admission: int
    admitted_at: int
    status: RunStatus = RunStatus.PENDING
    uid: str = ""
    attempt: int = 0
    attempt_ended: bool = True
    ended_at: int = -1
    reason: str = ""
    detail: str = ""
    history: list[HistoryEvent] = []
    without_image_since: int = -1
    given_up: bool = False


encode_run = msgspec.msgpack.Encoder().encode
decode_run = msgspec.msgpack.Decoder(Run).decode


class DeletedRun(msgspec.Struct, frozen=True, array_like=True):
    """A deleted run whose object is not known to be gone. `holds_slot`: it had not ended when it was deleted."""

    run: RunId
    job: str
    queue: str
    uid: str
    holds_slot: bool


class Departure(msgspec.Struct, frozen=True, array_like=True):
    """That a run left the lists: which job's it was, when, and whether somebody deleted it (else it expired)."""

    job: str
    at: int
    deleted: bool


class Key(msgspec.Struct, frozen=True, array_like=True):
    """An idempotency key in use: when, for which body, and the ids that answered it, joined."""

    at: int
    body: bytes
    runs: bytes


class Dependency(msgspec.Struct, frozen=True, array_like=True):
    """What is known of something that runs wait for, and since when."""

    ready: bool
    reason: str
    since: int


class Trouble(msgspec.Struct, frozen=True, array_like=True):
    """Why a part of the world cannot be seen, and since when; without a detail it can be."""

    detail: str
    since: int


class Queue:
    """The queue of one definition: order, cap, and who holds its slots.

    `lanes` groups the queued runs by what they depend on, so that one whose dependency is not ready holds back nobody.
    """

    __slots__ = ("finished", "holders", "lanes", "limit", "name", "order", "slots")

    def __init__(self, name: str, first_ordinal: int = 0) -> None:
        self.name = name
        self.slots = 1
        self.limit: int | None = None
        self.order = QueueOrder(first_ordinal)
        self.lanes: dict[tuple[str, ...], Lane] = {}
        self.holders: dict[RunId, None] = {}
        self.finished: dict[RunId, None] = {}

    @property
    def free(self) -> int:
        """Slots that may be given now; negative while a lowered cap waits for runs to end."""
        return self.slots - len(self.holders)


class JobIndex:
    """Where the runs of one requested name are: ordinals by queue, and those that left a queue by admission number.

    Admission numbers only grow, so `admitted` is in their order.
    """

    __slots__ = ("admitted", "queued")

    def __init__(self) -> None:
        self.queued: dict[str, Lane] = {}
        self.admitted: dict[int, RunId] = {}

    def __bool__(self) -> bool:
        return bool(self.queued or self.admitted)


class State:
    """The tables. `index` and `at` are those of the last record applied; `chain` covers all records up to it.

    `level` is the highest event level that may be written; `members` says which node a name belongs to,
    `former_members` which nodes had one and have lost it; `refused` what is wrong with CronJobs, `troubles` what could
    not be seen. By what they depend on, `needed` counts the lanes in which somebody waits and the runs under way,
    `named` the definitions in force. `without_image` has the runs that wait for their image and are not given up, and
    since when.
    """

    def __init__(self) -> None:
        self.index = Index(0)
        self.at = 0
        self.chain = CHAIN_START
        self.cluster = ""
        self.level = 1
        self.members: dict[str, NodeId] = {}
        self.former_members: dict[NodeId, None] = {}
        self.configured = False
        self.next_version = 1
        self.next_admission = 1
        self.versions: dict[int, Version] = {}
        self.current: dict[str, int] = {}
        self.dependencies: dict[str, Dependency] = {}
        self.refused: dict[str, tuple[str, ...]] = {}
        self.troubles: dict[str, Trouble] = {}
        self.needed: dict[str, int] = {}
        self.named: dict[str, int] = {}
        self.queues: dict[str, Queue] = {}
        self.jobs: dict[str, JobIndex] = {}
        self.queued: dict[RunId, bytes] = {}
        self.queued_override_bytes = 0
        self.active: dict[RunId, Run] = {}
        self.finished: dict[RunId, bytes] = {}
        self.without_image: dict[RunId, int] = {}
        self.deleted: dict[RunId, DeletedRun] = {}
        self.departures: dict[RunId, bytes] = {}
        self.keys: dict[bytes, Key] = {}
        self.expiries: list[tuple[int, RunId]] = []
        self.schedules = Schedules()

    def definition_for(self, job: str) -> Version | None:
        """The version that a trigger of this name is judged by: its own, else Default's; None before any is known."""
        number = self.current.get(job) or self.current.get(DEFAULT_DEFINITION)
        return None if number is None else self.versions[number]

    def run_state(self, run: RunId) -> RunState | None:
        """Where a run stands; None for one that is unknown here (or was, too long ago)."""
        if run in self.queued:
            return RunState.QUEUED
        if (active := self.active.get(run)) is not None:
            return RunState.BOUND if active.uid else RunState.ADMITTED
        if run in self.finished:
            return RunState.ENDED
        if run in self.deleted:
            return RunState.DELETED
        return RunState.LEFT if run in self.departures else None

    def job_of(self, run: RunId) -> str | None:
        """The requested name of a run that is in the lists."""
        if (packed := self.queued.get(run)) is not None:
            return unpack_queued(packed).job
        found = self.left_queue(run)
        return found.job if found is not None else None

    def left_queue(self, run: RunId) -> Run | None:
        """A run that was admitted and is still in the lists."""
        if (active := self.active.get(run)) is not None:
            return active
        packed = self.finished.get(run)
        return None if packed is None else decode_run(packed)

    def queue_of(self, definition: int) -> Queue:
        """The queue of the definition that this version belongs to."""
        return self.queues[self.versions[definition].name]

    def depends_on(self, definition: int, overrides: Overrides) -> tuple[str, ...]:
        """What a run waits for: its own list where it gave one, else its definition's."""
        if overrides.depends_on is not None:
            return overrides.depends_on
        return self.versions[definition].definition.depends_on

    def occupying(self) -> Iterator[Queue]:
        """The queues in which somebody waits."""
        return (queue for queue in self.queues.values() if queue.order.length)
