"""What callers may ask to be done. A command is complete: ids are minted and the verdict on the caller is in it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from slimjobs.core.decide.refusals import Problem
from slimjobs.eventlog.events.definitions import Definition, Overrides, Source
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.events.schedules import BackupExpected, Plan, ScheduleId
from slimjobs.projections.backups import Backup


class Requested(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One run that a trigger asks for. `job` is a checked name; `pointer` says where in the body it is ("" or "/3")."""

    run: RunId
    job: str
    overrides: Overrides = Overrides()
    path: str = ""
    pointer: str = ""


class IdempotencyKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Digests (16 bytes each) of the key with its scope, and of the parsed body that came with it."""

    key: bytes
    body: bytes


class Trigger(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Enqueue these runs, all or none. One trigger over HTTP is a batch of one.

    With `problems`, which whoever read the request has found, it is refused with them and with all others there are.
    """

    runs: tuple[Requested, ...]
    internal: bool
    key: IdempotencyKey | None = None
    problems: tuple[Problem, ...] = ()


class DeleteRun(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Delete a run in whatever state it is: nothing of it may start any more.

    `repeated`: its node has passed it on before and was not answered, so the run may be deleted by this very command.
    """

    job: str
    run: RunId
    internal: bool
    repeated: bool = False


class Declared(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A definition with where it comes from."""

    definition: Definition
    source: Source


class Configure(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Make these the definitions, by name, and these the schedules, by job; what is not in it is so no longer."""

    definitions: Mapping[str, Declared]
    schedules: Mapping[str, tuple[Plan, ...]] = {}


class AddSchedule(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Let a job be due by itself. `problems` are those that whoever read the request has found."""

    schedule: ScheduleId
    job: str
    plan: Plan
    internal: bool
    key: IdempotencyKey | None = None
    problems: tuple[Problem, ...] = ()
    paused: bool = False


class RemoveSchedule(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Let a schedule be due no more. `repeated`: as with `DeleteRun`."""

    job: str
    schedule: ScheduleId
    internal: bool
    repeated: bool = False


class PauseSchedule(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Have a schedule skip its instants, or fire again."""

    job: str
    schedule: ScheduleId
    paused: bool
    internal: bool


class RunSchedule(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Trigger what a schedule triggers, now and beside its instants, as this run."""

    job: str
    schedule: ScheduleId
    run: RunId
    internal: bool
    key: IdempotencyKey | None = None


class RestoreBackup(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Put the schedules of a backup in force that are not; `expected`: only while the log waits for this very one."""

    backup: Backup
    expected: BackupExpected | None = None


class TransferLeadership(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Let another voter lead: the named one, or with an empty name whoever is furthest."""

    to: str = ""


class RemoveMember(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Let the node of this name leave the cluster. Only a new incarnation can take the name again."""

    name: str


ScheduleCommand = AddSchedule | RemoveSchedule | PauseSchedule | RunSchedule
Command = Trigger | DeleteRun | Configure | ScheduleCommand | RestoreBackup | TransferLeadership | RemoveMember


class Accepted(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The runs are in the log, in the order asked for. `replayed`: an earlier request with this key did it."""

    runs: tuple[RunId, ...]
    replayed: bool = False


class Deleted(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The run is deleted. `promised`: surely nothing of it can start any more; else the orchestrator has to say so."""

    promised: bool


class ScheduleMade(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The schedule is in force. `replayed`: an earlier request with this key did it."""

    schedule: ScheduleId
    replayed: bool = False


class ScheduleSet(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The schedule is as it was asked to be: paused, due again, or gone."""


class Restored(msgspec.Struct, frozen=True, tag=True, gc=False):
    """So many schedules of the backup came in force; those that were `known` are as they were."""

    schedules: int
    known: int


class Configured(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The definitions are in force. `changed`: some of them were not before."""

    changed: bool


class Transferred(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The named node has been told to lead."""

    to: str


class Removed(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The name belongs to nobody any more, and its node will get no votes."""

    name: str


Result = Accepted | Deleted | ScheduleMade | ScheduleSet | Restored | Configured | Transferred | Removed
