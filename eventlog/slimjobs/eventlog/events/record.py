"""A record: one decision with everything that follows from it, as it stands in the log; and the chain of its hashes.

The log holds decided events, never commands: replaying needs no clock, no configuration and no old version of a rule
(design §2). A record is applied whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from slimjobs.eventlog.events.cluster import (
    Checkpoint,
    CheckpointAgreed,
    ClusterFounded,
    DefinitionDeclared,
    DefinitionRemoved,
    DependencyChanged,
    DiscoveryRefused,
    LevelRaised,
    MemberDropped,
    MemberNamed,
    SightLost,
)
from slimjobs.eventlog.events.runs import (
    AttemptEnded,
    AttemptStarted,
    ImageGivenUp,
    ImageNotPulled,
    KeyUsed,
    RunAdmitted,
    RunBound,
    RunDeleted,
    RunEnqueued,
    RunFailed,
    RunGone,
    RunId,
    RunsExpired,
    RunSucceeded,
)
from slimjobs.eventlog.events.schedules import (
    BackupExpected,
    BackupRestored,
    ScheduleAdded,
    ScheduleFired,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSkipped,
)

Event = (
    ClusterFounded
    | Checkpoint
    | MemberNamed
    | MemberDropped
    | CheckpointAgreed
    | LevelRaised
    | DefinitionDeclared
    | DefinitionRemoved
    | DependencyChanged
    | DiscoveryRefused
    | SightLost
    | RunEnqueued
    | RunAdmitted
    | RunBound
    | AttemptStarted
    | AttemptEnded
    | ImageNotPulled
    | ImageGivenUp
    | RunSucceeded
    | RunFailed
    | RunDeleted
    | RunGone
    | RunsExpired
    | KeyUsed
    | ScheduleAdded
    | ScheduleRemoved
    | SchedulePaused
    | ScheduleResumed
    | ScheduleFired
    | ScheduleSkipped
    | BackupExpected
    | BackupRestored
)

EVENT_LEVEL = 1
"""The highest event level that this code understands; it rises with every released addition to the vocabulary."""

CHAIN_START = bytes(32)
"""The chain before the first record."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`at` is Unix ms, stamped by the leader and never decreasing in the log; `cause` is who or what asked."""

    at: int
    cause: str
    events: tuple[Event, ...]


def runs_of(record: Record) -> Iterator[RunId]:
    """The runs that a record is about."""
    for event in record.events:
        if isinstance(event, RunsExpired):
            yield from event.runs
        elif (run := getattr(event, "run", None)) is not None:
            yield run


class UnreadableRecord(Exception):
    """A payload is no record that this code understands: it is damaged, or written by a newer version."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)

encode_record = _encoder.encode


def decode_record(payload: bytes) -> Record:
    """The record that a payload holds. Raises `UnreadableRecord`."""
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise UnreadableRecord(str(error)) from error


_cause_decoder = msgspec.msgpack.Decoder(tuple[int, str, msgspec.Raw])

FOUNDING_CAUSES = frozenset({"founding", "recover"})
"""The causes of records in which a cluster is founded; no other record has them."""


def founded_by(payload: bytes) -> str | None:
    """The cluster that this record founds; None if it founds none. Raises `UnreadableRecord`."""
    try:
        _, cause, _ = _cause_decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise UnreadableRecord(str(error)) from error
    if cause not in FOUNDING_CAUSES:
        return None
    events = decode_record(payload).events
    return next((event.cluster for event in events if isinstance(event, ClusterFounded)), None)


def extend_chain(chain: bytes, payload: bytes) -> bytes:
    """The chain of hashes after one more record: whoever has it has every record before it (design §2)."""
    return hashlib.blake2b(chain + payload, digest_size=32).digest()
