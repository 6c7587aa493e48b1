"""What nodes say to each other beside the words of consensus: requests passed on, snapshots, and reports.

Everything is addressed like the words of consensus, and travels with them. Letters may be lost, never forged.
"""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.core.decide.commands import Command, Result
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.machine.queries import Query, View
from slimjobs.eventlog.raft.messages import Message
from slimjobs.eventlog.raft.types import Index, NodeId


class Forwarded(msgspec.Struct, frozen=True, array_like=True, tag=32):
    """A caller of the sender asks the leader for this. Its `token` is used once; `cause` says who, for the log."""

    sender: NodeId
    to: NodeId
    token: int
    said: Command | Query
    cause: str


class Answered(msgspec.Struct, frozen=True, array_like=True, tag=33):
    """The answer to `Forwarded`, and the log index that it reflects."""

    sender: NodeId
    to: NodeId
    token: int
    index: Index
    value: Result | View | Refusal


class NotLeading(msgspec.Struct, frozen=True, array_like=True, tag=34):
    """What was forwarded was not looked at, for its addressee does not lead: surely nothing was done."""

    sender: NodeId
    to: NodeId
    token: int


class Withdrawn(msgspec.Struct, frozen=True, array_like=True, tag=35):
    """The caller of `Forwarded` has gone."""

    sender: NodeId
    to: NodeId
    token: int


class PieceWanted(msgspec.Struct, frozen=True, array_like=True, tag=36):
    """Send me the snapshot of this index, from this offset of its file on."""

    sender: NodeId
    to: NodeId
    index: Index
    offset: int


class Piece(msgspec.Struct, frozen=True, array_like=True, tag=37):
    """A piece of that file, whose whole size is `size`; 0: there is no such snapshot any more."""

    sender: NodeId
    to: NodeId
    index: Index
    offset: int
    size: int
    content: bytes


class Report(msgspec.Struct, frozen=True, array_like=True, tag=38):
    """How a member is, told to the leader with its heartbeats: its clock, how far it is, its last checkpoint."""

    sender: NodeId
    to: NodeId
    wall_ms: int
    last_index: Index
    commit: Index
    checkpoint: Index
    digest: bytes
    level: int
    version: str


Letter = Message | Forwarded | Answered | NotLeading | Withdrawn | PieceWanted | Piece | Report

encode_letter: Final = msgspec.msgpack.Encoder().encode
decode_letter: Final = msgspec.msgpack.Decoder(Letter).decode
