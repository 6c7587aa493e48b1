"""What nodes say to each other beside the words of consensus: requests passed on, snapshots, and reports.

Everything is addressed like the words of consensus, and travels with them. Letters may be lost, never forged.
"""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.core.decide.commands import Command, DeleteRun, Result, Trigger
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.machine.queries import ListRuns, Query, ShowRun, View
from slimjobs.eventlog.events.names import is_job_name
from slimjobs.eventlog.events.runs import RUN_ID_BYTES, RunId
from slimjobs.eventlog.raft.messages import Message
from slimjobs.eventlog.raft.types import Index, NodeId, Term


class Forwarded(msgspec.Struct, frozen=True, array_like=True, tag=32):
    """A caller of the sender asks the leader of this term for this; 0: whoever leads.

    A `token` is used once by its sender; `cause` says who, for the log.
    """

    sender: NodeId
    to: NodeId
    token: int
    said: Command | Query
    cause: str
    term: Term = Term(0)


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
    term: Term


Letter = Message | Forwarded | Answered | NotLeading | Withdrawn | PieceWanted | Piece | Report

LONGEST_WAIT_SECONDS: Final = 60.0
LONGEST_LIST: Final = 1_000


# REST checks what it reads; who speaks to the port of the peers may be anybody where there is no TLS.
def malformed(said: Command | Query) -> str:
    """What nobody who goes by the rules can ask for, in words; empty if it is well formed."""
    match said:
        case Trigger(runs=runs):
            for each in runs:
                if not _names_a_run(each.job, each.run):
                    return "a trigger of what is no job, or with what is no id"
        case DeleteRun(job=job, run=run) | ShowRun(job=job, run=run) if not _names_a_run(job, run):
            return "a request about what can be no run"
        case ShowRun(wait_seconds=seconds) if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
            return f"a question that waits for {seconds} s"
        case ListRuns(limit=limit) if not 0 < limit <= LONGEST_LIST:
            return f"a list of {limit} runs"
    return ""


def _names_a_run(job: str, run: RunId) -> bool:
    return len(run) == RUN_ID_BYTES and is_job_name(job)


encode_letter: Final = msgspec.msgpack.Encoder().encode
decode_letter: Final = msgspec.msgpack.Decoder(Letter).decode
