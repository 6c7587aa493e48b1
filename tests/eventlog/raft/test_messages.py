"""How messages look on the wire: arrays with a small tag, to which fields are only ever appended."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.eventlog.raft import Entry, EntryKind, Index, Membership, Message, NodeId, Term
from slimjobs.eventlog.raft.messages import (
    Append,
    AppendAnswer,
    CommitNotice,
    Heartbeat,
    HeartbeatAnswer,
    PreVoteAnswer,
    PreVoteRequest,
    ReadAnswer,
    ReadRequest,
    SnapshotOffer,
    TimeoutNow,
    VoteAnswer,
    VoteRequest,
)

ME, A, T, PLACE = NodeId(1), NodeId(2), Term(3), Index(4)
ENTRY = Entry(Index(5), T, EntryKind.RECORD, b"x")

ON_THE_WIRE: list[tuple[Message, list[object]]] = [
    (PreVoteRequest(ME, A, T, PLACE, T), [1, 1, 2, 3, 4, 3]),
    (PreVoteAnswer(ME, A, T, granted=True), [2, 1, 2, 3, True]),
    (VoteRequest(ME, A, T, PLACE, T, forced=True), [3, 1, 2, 3, 4, 3, True]),
    (VoteAnswer(ME, A, T, granted=False), [4, 1, 2, 3, False]),
    (Append(ME, A, T, PLACE, T, PLACE, (ENTRY,)), [5, 1, 2, 3, 4, 3, 4, [[5, 3, 0, b"x"]]]),
    (AppendAnswer(ME, A, T, False, PLACE, PLACE, T), [6, 1, 2, 3, False, 4, 4, 3]),
    (Heartbeat(ME, A, T, PLACE, 9), [7, 1, 2, 3, 4, 9]),
    (HeartbeatAnswer(ME, A, T, 9), [8, 1, 2, 3, 9]),
    (CommitNotice(ME, A, T, PLACE), [9, 1, 2, 3, 4]),
    (SnapshotOffer(ME, A, T, PLACE, T, Membership((ME,), (A,))), [10, 1, 2, 3, 4, 3, [[1], [2]]]),
    (TimeoutNow(ME, A, T), [11, 1, 2, 3]),
    (ReadRequest(ME, A, T, 9), [12, 1, 2, 3, 9]),
    (ReadAnswer(ME, A, T, 9, PLACE), [13, 1, 2, 3, 9, 4]),
]


@pytest.mark.parametrize(("message", "wire"), ON_THE_WIRE, ids=[type(message).__name__ for message, _ in ON_THE_WIRE])
def test_a_message_is_this_array_and_back(message: Message, wire: list[object]) -> None:
    encoded = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(encoded) == wire
    assert msgspec.msgpack.decode(encoded, type=Message) == message


def test_what_is_no_message_is_refused() -> None:
    for garbage in (b"", b"\xc1", msgspec.msgpack.encode([99, 1, 2, 3]), msgspec.msgpack.encode([5, 1, 2])):
        with pytest.raises(msgspec.DecodeError):
            msgspec.msgpack.decode(garbage, type=Message)
