"""What callers may ask to be told. A query is answered with a view or a refusal; both are linearizable reads."""

from __future__ import annotations

import msgspec

from slimjobs.eventlog.events.runs import RunId
from slimjobs.projections.views import RunDetail, RunPage, RunStatus, Status


class ListRuns(msgspec.Struct, frozen=True):
    """The runs under a name: queued ones in queue order, then the others, newest first."""

    job: str
    internal: bool
    status: RunStatus | None = None
    limit: int = 1000
    cursor: str | None = None


class ShowRun(msgspec.Struct, frozen=True):
    """One run; with `wait_seconds` at its next change of status, or after so long, whichever comes first."""

    job: str
    run: RunId
    internal: bool
    wait_seconds: float = 0.0


class ShowStatus(msgspec.Struct, frozen=True):
    """Every definition that the caller may see."""

    internal: bool


Query = ListRuns | ShowRun | ShowStatus
View = RunPage | RunDetail | Status
