"""What nodes say to each other beside the words of consensus: requests passed on, snapshots, and reports.

Everything is addressed like the words of consensus, and travels with them. Letters may be lost, never forged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from slimjobs.core.configuration.cron import CronError, is_time_zone, parse_cron
from slimjobs.core.decide.commands import (
    AddSchedule,
    Command,
    DeleteRun,
    Requested,
    RestoreBackup,
    Result,
    RunSchedule,
    ScheduleCommand,
    Trigger,
)
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.machine.queries import ListFires, Query, ShowRun, View
from slimjobs.eventlog.events.names import is_job_name
from slimjobs.eventlog.events.runs import RUN_ID_BYTES, RunId
from slimjobs.eventlog.events.schedules import Plan
from slimjobs.eventlog.raft.messages import Append, Message
from slimjobs.eventlog.raft.types import Index, Natural, NodeId, Term
from slimjobs.projections.backups import BackedSchedule


class Forwarded(msgspec.Struct, frozen=True, array_like=True, tag=32, gc=False):
    """A caller of the sender asks the leader of this term for this; 0: whoever leads.

    A `token` is used once by its sender; `cause` says who, for the log.
    """

    sender: NodeId
    to: NodeId
    token: Natural
    said: Command | Query
    cause: str
    term: Term = Term(0)


class Answered(msgspec.Struct, frozen=True, array_like=True, tag=33, gc=False):
    """The answer to `Forwarded`, and the log index that it reflects."""

    sender: NodeId
    to: NodeId
    token: Natural
    index: Index
    value: Result | View | Refusal


class NotLeading(msgspec.Struct, frozen=True, array_like=True, tag=34, gc=False):
    """What was forwarded was not looked at, for its addressee does not lead: surely nothing was done."""

    sender: NodeId
    to: NodeId
    token: Natural


class Withdrawn(msgspec.Struct, frozen=True, array_like=True, tag=35, gc=False):
    """The caller of `Forwarded` has gone."""

    sender: NodeId
    to: NodeId
    token: Natural


class PieceWanted(msgspec.Struct, frozen=True, array_like=True, tag=36, gc=False):
    """Send me the snapshot of this index, from this offset of its file on."""

    sender: NodeId
    to: NodeId
    index: Index
    offset: Natural


class Piece(msgspec.Struct, frozen=True, array_like=True, tag=37, gc=False):
    """A piece of that file, whose whole size is `size`; 0: there is no such snapshot any more."""

    sender: NodeId
    to: NodeId
    index: Index
    offset: Natural
    size: Natural
    content: bytes


class Report(msgspec.Struct, frozen=True, array_like=True, tag=38, gc=False):
    """How a member is, told to the leader with its heartbeats: its clock, how far it is, its last checkpoint."""

    sender: NodeId
    to: NodeId
    wall_ms: Natural
    last_index: Index
    commit: Index
    checkpoint: Index
    digest: bytes
    level: Natural
    version: str
    term: Term


Letter = Message | Forwarded | Answered | NotLeading | Withdrawn | PieceWanted | Piece | Report

LONGEST_WAIT_SECONDS: Final = 60.0


def malformed(letter: Letter) -> str:
    """What no node ever sends, in words; empty if it is well formed. (What numbers may be, their types say.)"""
    if isinstance(letter, Forwarded):
        return malformed_wish(letter.said)
    if isinstance(letter, Append) and letter.entries:
        first, last = letter.entries[0], letter.entries[-1]
        if first.index != letter.prev_index + 1 or last.index != letter.prev_index + len(letter.entries):
            return "entries that do not follow each other"
        if not first.term <= last.term <= letter.term:
            return "entries of terms that cannot be"
    return ""


# REST checks what it reads; who speaks to the port of the peers may be anybody where there is no TLS.
def malformed_wish(said: Command | Query) -> str:
    """What nobody who goes by the rules can ask for."""
    match said:
        case Trigger(runs=runs):
            return _malformed_trigger(runs)
        case DeleteRun(job=job, run=run) | ShowRun(job=job, run=run) if not _names_a_run(job, run):
            return "a request about what can be no run"
        case ShowRun(wait_seconds=seconds) if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
            return f"a question that waits for {seconds} s"
        case RestoreBackup(backup=backup):
            return next(filter(None, map(_malformed_backed, backup.schedules)), "")
    return _malformed_about_schedule(said) if isinstance(said, ScheduleCommand | ListFires) else ""


def _malformed_about_schedule(said: ScheduleCommand | ListFires) -> str:
    if not _names_a_run(said.job, RunId(said.schedule)):
        return "a request about what can be no schedule"
    if isinstance(said, RunSchedule) and not _names_a_run(said.job, said.run):
        return "a request for what can be no run"
    return _malformed_plan(said.plan) if isinstance(said, AddSchedule) else ""


def _malformed_backed(backed: BackedSchedule) -> str:
    if not _names_a_run(backed.job, RunId(backed.schedule)):
        return "a backup of what can be no schedule"
    return _malformed_plan(backed.plan)


def _malformed_plan(plan: Plan) -> str:
    try:
        parse_cron(plan.expression)
    except CronError as error:
        return f"a schedule that cannot be: {error}"
    return "" if is_time_zone(plan.time_zone) else "a schedule in what is no time zone"


def _malformed_trigger(runs: Sequence[Requested]) -> str:
    for each in runs:
        if not _names_a_run(each.job, each.run):
            return "a trigger of what is no job, or with what is no id"
    if len(runs) > 1 and len({each.run for each in runs}) < len(runs):
        return "a trigger with an id that it gives twice"
    return ""


def _names_a_run(job: str, run: RunId) -> bool:
    return len(run) == RUN_ID_BYTES and is_job_name(job)


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
