"""What callers may ask to be told. A query is answered with a view or a refusal; both are linearizable reads."""

from __future__ import annotations

import msgspec

from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.events.schedules import ScheduleId
from slimjobs.projections.backups import BackupView
from slimjobs.projections.views import FireList, RunDetail, RunPage, RunStatus, ScheduleList, Status


class ListRuns(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The runs under a name: queued ones in queue order, then the others, newest first."""

    job: str
    internal: bool
    status: RunStatus | None = None
    limit: int = 1000
    cursor: str | None = None


class ShowRun(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """One run; with `wait_seconds` at its next change of status, or after so long, whichever comes first."""

    job: str
    run: RunId
    internal: bool
    wait_seconds: float = 0.0


class ListSchedules(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The schedules of a job."""

    job: str
    internal: bool


class ListFires(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What became of a schedule's instants from one time to another (Unix ms, both included)."""

    job: str
    schedule: ScheduleId
    internal: bool
    from_ms: int
    to_ms: int
    limit: int


class ShowStatus(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Every definition that the caller may see."""

    internal: bool


class ShowBackup(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The schedules that callers made, as a backup has them. For this node itself: no caller asks it."""


class ShowCluster(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The members, as the leader sees them; without one, as this node does."""


class MemberRow(msgspec.Struct, frozen=True, rename="pascal"):
    """One member. Indices and times are -1, texts empty, where nothing was heard from it.

    `lag_entries` is how far its log is behind the leader's; `last_contact_ms` how long ago it was last heard.
    """

    name: str
    address: str
    role: str
    voter: bool
    index: int
    commit_index: int
    lag_entries: int
    last_contact_ms: int
    version: str
    checkpoint_index: int
    checkpoint_hash: str


class ClusterView(msgspec.Struct, frozen=True, tag=True):
    """Who belongs to the cluster, by name. `leader` is empty while there is none; `told_by` is whose view this is."""

    cluster_id: str
    leader: str
    term: int
    members: tuple[MemberRow, ...]
    told_by: str


Query = ListRuns | ShowRun | ListSchedules | ListFires | ShowStatus | ShowBackup | ShowCluster
View = RunPage | RunDetail | ScheduleList | FireList | Status | BackupView | ClusterView
