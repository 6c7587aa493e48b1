"""The state as bytes, and back. Equal states give equal bytes, on every node: a checkpoint's hash compares them.

The bytes are a stream of blocks: a length, the number of a table, and some of its rows as a MessagePack array; tables
in a fixed order and rows in the order in which the log made them. The stream is cut into frames of at most 64 KiB
without regard to blocks. Indexes over the tables are not in it: they are built anew by the functions that the fold
itself uses.

Writing holds up the loop, so nothing is done for each of 100,000 rows that can be done for many at once.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.events.schedules import BackupExpected, BackupRestored
from slimjobs.eventlog.raft.types import Index, NodeId
from slimjobs.projections import fold
from slimjobs.projections.schedules import Schedule
from slimjobs.projections.state import (
    DeletedRun,
    Dependency,
    Key,
    Queue,
    Run,
    State,
    Trouble,
    Version,
    decode_run,
    unpack_queued,
)

FRAME_BYTES = 64 * 1024
_BLOCK_ROWS = 64
_HEAD = struct.Struct("<IB")

_Row = TypeVar("_Row")


class _Table(enum.IntEnum):
    """What the rows of a block are of. Numbers are for ever."""

    COUNTERS = 0
    VERSION = 1
    DEPENDENCY = 2
    QUEUE = 3
    QUEUED = 4
    ACTIVE = 5
    FINISHED = 6
    DELETED = 7
    DEPARTURE = 8
    KEY = 9
    REFUSED = 10
    TROUBLE = 11
    SCHEDULE = 20


class _Counters(msgspec.Struct, array_like=True):
    index: int
    at: int
    chain: bytes
    cluster: str
    configured: bool
    next_version: int
    next_admission: int
    level: int
    members: list[tuple[str, NodeId]]
    former_members: list[NodeId]
    expected: BackupExpected | None = None
    restored: BackupRestored | None = None


class _VersionRow(msgspec.Struct, array_like=True):
    number: int
    name: str
    source: Source
    definition: Definition
    current: bool


class _DependencyRow(msgspec.Struct, array_like=True):
    name: str
    dependency: Dependency


class _QueueRow(msgspec.Struct, array_like=True):
    name: str
    slots: int
    limit: int | None
    first_ordinal: int
    next_ordinal: int


class UnreadableSnapshot(Exception):
    """The frames are not a state that this code understands."""


_encode = msgspec.msgpack.Encoder().encode


def snapshot_frames(state: State) -> Iterator[bytes]:
    """The state in frames. Drain it before the state changes again."""
    parts: list[bytes] = []
    size = 0
    for table, rows in _blocks(state):
        encoded = _encode(rows)
        parts += (_HEAD.pack(len(encoded), table), encoded)
        size += _HEAD.size + len(encoded)
        if size >= FRAME_BYTES:
            pending = b"".join(parts)
            size %= FRAME_BYTES
            for start in range(0, len(pending) - size, FRAME_BYTES):
                yield pending[start : start + FRAME_BYTES]
            parts = [pending[len(pending) - size :]]
    if size:
        yield b"".join(parts)


def state_hash(state: State) -> bytes:
    """What two nodes compare to know that they are in the same state: the hash (32 bytes) of the snapshot's bytes."""
    digest = hashlib.blake2b(digest_size=32)
    for frame in snapshot_frames(state):
        digest.update(frame)
    return digest.digest()


def _blocks(state: State) -> Iterator[tuple[_Table, Sequence[object]]]:
    yield _Table.COUNTERS, (_counters_of(state),)
    for table, rows in (
        (_Table.VERSION, _version_rows(state)),
        (_Table.DEPENDENCY, (_DependencyRow(name, state.dependencies[name]) for name in sorted(state.dependencies))),
        (_Table.QUEUE, _queue_rows(state)),
    ):
        yield from _cut(table, rows)
    for name in sorted(state.queues):
        for runs in state.queues[name].order.runs():
            for start in range(0, len(runs), _BLOCK_ROWS):
                some = runs[start : start + _BLOCK_ROWS]
                yield _Table.QUEUED, list(zip(some, map(state.queued.__getitem__, some), strict=True))
    yield from _cut(_Table.ACTIVE, state.active.values())
    yield from _cut(_Table.FINISHED, state.finished.values())
    yield from _cut(_Table.DELETED, state.deleted.values())
    yield from _cut(_Table.DEPARTURE, state.departures.items())
    yield from _cut(_Table.KEY, state.keys.items())
    yield from _cut(_Table.REFUSED, sorted(state.refused.items()))
    yield from _cut(_Table.TROUBLE, sorted(state.troubles.items()))
    yield from _cut(_Table.SCHEDULE, state.schedules.by_id.values())


def _cut(table: _Table, rows: Iterable[object]) -> Iterator[tuple[_Table, Sequence[object]]]:
    remaining = iter(rows)
    while some := list(islice(remaining, _BLOCK_ROWS)):
        yield table, some


def _counters_of(state: State) -> _Counters:
    return _Counters(
        state.index,
        state.at,
        state.chain,
        state.cluster,
        state.configured,
        state.next_version,
        state.next_admission,
        state.level,
        sorted(state.members.items()),
        list(state.former_members),
        state.schedules.expected,
        state.schedules.restored,
    )


def _version_rows(state: State) -> Iterator[_VersionRow]:
    for number in sorted(state.versions):
        version = state.versions[number]
        current = state.current.get(version.name) == number
        yield _VersionRow(number, version.name, version.source, version.definition, current)


def _queue_rows(state: State) -> Iterator[_QueueRow]:
    for name in sorted(state.queues):
        queue, order = state.queues[name], state.queues[name].order
        first = next(order.after(-1), order.next_ordinal)
        yield _QueueRow(name, queue.slots, queue.limit, first, order.next_ordinal)


def restore(frames: Iterable[bytes]) -> State:
    """The state that these frames were made of. Raises `UnreadableSnapshot`."""
    state = State()
    try:
        for table, encoded in _split(frames):
            restored = _RESTORES[table]
            for row in restored.decoder.decode(encoded):
                restored.enter(state, row)
    except (msgspec.MsgspecError, LookupError, ValueError, struct.error) as error:
        raise UnreadableSnapshot(f"{type(error).__name__}: {error}") from error
    # Those that hold a slot come before those that ended: only here admissions are not entered in their order.
    for job in state.jobs.values():
        job.admitted = dict(sorted(job.admitted.items()))
    return state


def _split(frames: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    pending = bytearray()
    for frame in frames:
        pending += frame
        start = 0
        while len(pending) - start >= _HEAD.size:
            length, table = _HEAD.unpack_from(pending, start)
            end = start + _HEAD.size + length
            if len(pending) < end:
                break
            yield table, bytes(pending[start + _HEAD.size : end])
            start = end
        del pending[:start]
    if pending:
        raise ValueError(f"the last block is cut: {len(pending)} bytes are left over")


def _counters(state: State, counters: _Counters) -> None:
    state.index = Index(counters.index)
    state.at, state.chain, state.cluster = counters.at, counters.chain, counters.cluster
    state.configured = counters.configured
    state.next_version, state.next_admission = counters.next_version, counters.next_admission
    state.level, state.members = counters.level, dict(counters.members)
    state.former_members = dict.fromkeys(counters.former_members)
    state.schedules.expected, state.schedules.restored = counters.expected, counters.restored


def _version(state: State, version: _VersionRow) -> None:
    state.versions[version.number] = Version(version.number, version.name, version.source, version.definition)
    if version.current:
        state.current[version.name] = version.number
        fold.count_names(state.named, version.definition.depends_on, 1)


def _dependency(state: State, dependency: _DependencyRow) -> None:
    state.dependencies[dependency.name] = dependency.dependency


def _queue(state: State, saved: _QueueRow) -> None:
    queue = state.queues[saved.name] = Queue(saved.name, saved.first_ordinal)
    queue.slots, queue.limit = saved.slots, saved.limit
    queue.order.next_ordinal = saved.next_ordinal


def _queued(state: State, row: tuple[bytes, bytes]) -> None:
    run, packed = row
    fold.enter_queue(state, RunId(run), packed, unpack_queued(packed))


def _active(state: State, run: Run) -> None:
    state.versions[run.definition].runs += 1
    fold.enter_active(state, run)


def _finished(state: State, packed: bytes) -> None:
    run = decode_run(packed)
    state.versions[run.definition].runs += 1
    fold.enter_finished(state, run)


def _departure(state: State, row: tuple[bytes, bytes]) -> None:
    state.departures[RunId(row[0])] = row[1]


def _key(state: State, row: tuple[bytes, Key]) -> None:
    state.keys[row[0]] = row[1]


def _refused(state: State, row: tuple[str, tuple[str, ...]]) -> None:
    state.refused[row[0]] = row[1]


def _trouble(state: State, row: tuple[str, Trouble]) -> None:
    state.troubles[row[0]] = row[1]


def _schedule(state: State, schedule: Schedule) -> None:
    state.schedules.enter(schedule)


class _Restore(NamedTuple):
    """How the rows of a table are read and entered."""

    decoder: msgspec.msgpack.Decoder[list[Any]]
    enter: Callable[[State, Any], None]


def _rows_of(row: type[_Row], enter: Callable[[State, _Row], None]) -> _Restore:
    return _Restore(msgspec.msgpack.Decoder(list[row]), enter)  # type: ignore[valid-type]  # mypy knows no such types


_RESTORES: Final[Mapping[int, _Restore]] = {
    _Table.COUNTERS: _rows_of(_Counters, _counters),
    _Table.VERSION: _rows_of(_VersionRow, _version),
    _Table.DEPENDENCY: _rows_of(_DependencyRow, _dependency),
    _Table.QUEUE: _rows_of(_QueueRow, _queue),
    _Table.QUEUED: _rows_of(tuple[bytes, bytes], _queued),
    _Table.ACTIVE: _rows_of(Run, _active),
    _Table.FINISHED: _rows_of(bytes, _finished),
    _Table.DELETED: _rows_of(DeletedRun, fold.enter_deleted),
    _Table.DEPARTURE: _rows_of(tuple[bytes, bytes], _departure),
    _Table.KEY: _rows_of(tuple[bytes, Key], _key),
    _Table.REFUSED: _rows_of(tuple[str, tuple[str, ...]], _refused),
    _Table.TROUBLE: _rows_of(tuple[str, Trouble], _trouble),
    _Table.SCHEDULE: _rows_of(Schedule, _schedule),
}
