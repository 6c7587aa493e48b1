"""What nodes say to each other beside the words of consensus: requests passed on, snapshots, and reports.

Everything is addressed like the words of consensus, and travels with them. Letters may be lost, never forged.
"""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.core.decide.commands import Command, DeleteRun, Result, Trigger
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.machine.queries import Query, ShowRun, View
from slimjobs.eventlog.events.names import job_name
from slimjobs.eventlog.events.runs import RUN_ID_BYTES, RunId
from slimjobs.eventlog.raft.messages import Append, Message
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
LARGEST: Final = 1 << 63
"""Terms, indices and ids are below this, so that whatever is made of them can be written."""


def malformed(letter: Letter) -> str:
    """What no node ever sends, in words; empty if it is well formed."""
    numbers = [value for name in letter.__struct_fields__ if type(value := getattr(letter, name)) is int]
    if not all(0 <= number < LARGEST for number in numbers):
        return "a number that is none of ours"
    if isinstance(letter, Append) and letter.entries:
        first, last = letter.entries[0], letter.entries[-1]
        if first.index != letter.prev_index + 1 or last.index != letter.prev_index + len(letter.entries):
            return "entries that do not follow each other"
        if not 0 <= first.term <= last.term <= letter.term:
            return "entries of terms that cannot be"
    if isinstance(letter, Forwarded):
        return malformed_wish(letter.said)
    return ""


# REST checks what it reads; who speaks to the port of the peers may be anybody where there is no TLS.
def malformed_wish(said: Command | Query) -> str:
    """What nobody who goes by the rules can ask for."""
    match said:
        case Trigger(runs=runs) if not all(_names_a_run(each.job, each.run) for each in runs):
            return "a trigger of what is no job, or with what is no id"
        case Trigger(runs=runs) if len({each.run for each in runs}) < len(runs):
            return "a trigger with an id that it gives twice"
        case DeleteRun(job=job, run=run) | ShowRun(job=job, run=run) if not _names_a_run(job, run):
            return "a request about what can be no run"
        case ShowRun(wait_seconds=seconds) if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
            return f"a question that waits for {seconds} s"
    return ""


def _names_a_run(job: str, run: RunId) -> bool:
    return job_name(job) == job and len(run) == RUN_ID_BYTES


# A guest is an external caller, unless its certificate says that it is one of us.
def may_ask(said: Command | Query, trusted: bool) -> bool:
    """Whether a guest may ask for this: for runs, one by one, and nothing that is for members or operators."""
    if not isinstance(said, Trigger | DeleteRun | ShowRun):
        return False
    if isinstance(said, Trigger) and any(each.overrides.environments for each in said.runs):
        return False
    return trusted or not said.internal


encode_letter: Final = msgspec.msgpack.Encoder().encode
decode_letter: Final = msgspec.msgpack.Decoder(Letter).decode
