"""A node without a log, for tests of what travels over HTTP: it accepts, remembers, and refuses as it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import trio

from slimjobs.core.decide.commands import (
    Accepted,
    Command,
    Configure,
    Deleted,
    DeleteRun,
    Removed,
    RemoveMember,
    RestoreBackup,
    ScheduleCommand,
    TransferLeadership,
    Transferred,
    Trigger,
)
from slimjobs.core.decide.refusals import Forbidden, Invalid, Refusal, UnknownRun
from slimjobs.core.machine.queries import ClusterView, ListRuns, MemberRow, Query, ShowCluster, ShowRun
from slimjobs.core.node.service import Reply
from slimjobs.core.orchestrators.ports import OutputMissing
from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable, Source, Visibility
from slimjobs.eventlog.events.runs import RunId, job_object_name, run_id_text
from slimjobs.eventlog.raft.types import Index
from slimjobs.projections.views import (
    DefinitionStatus,
    RunDetail,
    RunPage,
    RunRow,
    RunStatus,
    Status,
)

PRIVATE = "private"
DEFINITION = Definition(
    image="fibonacci:1",
    visibility=Visibility.PUBLIC,
    environments=(
        EnvironmentVariable("LEVEL", "debug"),
        EnvironmentVariable("TOKEN", None, b'{"secretKeyRef":{"key":"k","name":"s"}}'),
    ),
    pod_template=b'{"spec":{}}',
)


def member(name: str, role: str, index: int = 7, last_contact_ms: int = 20, voter: bool = True) -> MemberRow:
    """A member of a cluster whose leader is at index 7."""
    address = f"{name}.jobs:3262"
    return MemberRow(name, address, role, voter, index, index, 7 - index, last_contact_ms, "0.1.0", 5, "c0ffee")


CLUSTER = ClusterView(
    "c1", "a", 3, (member("a", "leader", last_contact_ms=0), member("b", "follower"), member("c", "follower", 4)), "a"
)


class MemoryService:
    """Every name but `private` is public. `refusal`, if set, answers everything that is not forbidden
    and may not be stale.
    """

    def __init__(self) -> None:
        self.index = 0
        self.not_ready = ""
        self.cluster = CLUSTER
        self.refusal: Refusal | None = None
        self.commands: list[Command] = []
        self.queries: list[Query] = []
        self.stale: list[bool] = []
        """For each query, whether what this node has was good enough."""
        self.replayed = False
        self.promised = True
        self.uid = "uid-1"
        self.output_pieces: list[bytes] = [b"one\n", b"two\n"]
        self.output_missing = ""
        self.output_asked: tuple[int | None, int | None, bool] | None = None
        self.output_ended = trio.Event()
        self.gate: trio.Event | None = None
        """If set, commands and followed output wait for it."""
        self._runs: dict[RunId, tuple[str, str]] = {}

    async def command(self, command: Command) -> Reply:
        self.commands.append(command)
        if self.gate is not None:
            await self.gate.wait()
        await trio.lowlevel.checkpoint()
        if isinstance(command, Trigger):
            return self._trigger(command)
        if isinstance(command, DeleteRun):
            if command.job == PRIVATE and not command.internal:
                return Reply(Index(self.index), Forbidden("Job 'private' is private."))
            if command.run not in self._runs:
                return Reply(Index(self.index), self.refusal or UnknownRun(command.job, command.run))
            del self._runs[command.run]
            self.index += 1
            return Reply(Index(self.index), self.refusal or Deleted(self.promised))
        assert not isinstance(command, Configure | ScheduleCommand | RestoreBackup)
        return Reply(Index(self.index), self.refusal or self._changed(command))

    @property
    def enqueued(self) -> list[RunId]:
        """The runs that were accepted and not deleted."""
        return list(self._runs)

    async def query(self, query: Query, stale: bool = False) -> Reply:
        self.queries.append(query)
        self.stale.append(stale)
        await trio.lowlevel.checkpoint()
        if isinstance(query, ListRuns | ShowRun) and query.job == PRIVATE and not query.internal:
            return Reply(Index(self.index), Forbidden("Job 'private' is private."))
        if self.refusal is not None and not stale:
            return Reply(Index(self.index), self.refusal)
        if isinstance(query, ShowCluster):
            return Reply(Index(self.index), self.cluster)
        if isinstance(query, ListRuns):
            return Reply(Index(self.index), self._page(query))
        if isinstance(query, ShowRun):
            return Reply(Index(self.index), self._detail(query))
        row = DefinitionStatus("fibonacci", Source.CONFIGURATION, DEFINITION, 1, 0, (), ())
        return Reply(Index(self.index), Status((row,), ("something of 'private' is wrong",)))

    async def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        self.output_asked = (attempt, tail_lines, follow)
        if self.output_missing:
            raise OutputMissing(self.output_missing)
        try:
            for piece in self.output_pieces:
                yield piece
            if follow and self.gate is not None:
                await self.gate.wait()
        finally:
            self.output_ended.set()

    def _trigger(self, command: Trigger) -> Reply:
        if not command.internal and any(each.job == PRIVATE for each in command.runs):
            return Reply(Index(self.index), Forbidden("Job 'private' is private."))
        if command.problems:
            return Reply(Index(self.index), Invalid(command.problems))
        if self.refusal is not None:
            return Reply(Index(self.index), self.refusal)
        self.index += 1
        self._runs |= {each.run: (each.job, each.path) for each in command.runs}
        return Reply(Index(self.index), Accepted(tuple(each.run for each in command.runs), self.replayed))

    def _changed(self, command: TransferLeadership | RemoveMember) -> Transferred | Removed:
        if isinstance(command, TransferLeadership):
            return Transferred(command.to or "b")
        members = tuple(row for row in self.cluster.members if row.name != command.name)
        self.cluster = msgspec.structs.replace(self.cluster, members=members)
        return Removed(command.name)

    def _page(self, query: ListRuns) -> RunPage:
        rows = [self._row(run, job) for run, (job, _) in self._runs.items() if job == query.job]
        start = int(query.cursor or 0)
        page = rows[start : start + query.limit]
        more = start + query.limit < len(rows)
        return RunPage(tuple(page), str(start + query.limit) if more else None)

    def _detail(self, query: ShowRun) -> RunDetail | UnknownRun:
        if query.run not in self._runs:
            return UnknownRun(query.job, query.run, "It was deleted at 1.")
        job, path = self._runs[query.run]
        return RunDetail(self._row(query.run, job), job, path, self.uid, DEFINITION, (), ())

    def _row(self, run: RunId, job: str) -> RunRow:
        at = list(self._runs).index(run)
        return RunRow(run_id_text(run), job_object_name(job, run), RunStatus.QUEUED, at + 1, 1)
