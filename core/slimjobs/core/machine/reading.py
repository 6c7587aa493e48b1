"""Queries against the state: a view or a refusal for each, with the caller's visibility in one place."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from slimjobs.core.decide.deleting import unknown_run
from slimjobs.core.decide.refusals import Invalid, Problem, Refusal, UnknownSchedule
from slimjobs.core.decide.triggering import private_to_outsiders
from slimjobs.core.machine.queries import ListFires, ListRuns, ListSchedules, ShowBackup, ShowRun, ShowStatus, View
from slimjobs.eventlog.events.definitions import Visibility
from slimjobs.projections.backups import backup_view
from slimjobs.projections.listing import (
    BadCursor,
    detail_of_run,
    first_page,
    page_of_runs,
    parse_cursor,
    status_of_definition,
)
from slimjobs.projections.schedule_listing import fires_of, schedules_of
from slimjobs.projections.state import State
from slimjobs.projections.views import Status

Readable = ListRuns | ShowRun | ListSchedules | ListFires | ShowStatus | ShowBackup


def read(state: State, query: Readable, observed: Collection[str], problems: Sequence[str]) -> View | Refusal:
    """Answer a query from the state as it is now."""
    if isinstance(query, ShowStatus):
        return _status(state, query, problems)
    if isinstance(query, ShowBackup):
        return backup_view(state)
    if (hidden := private_to_outsiders(state, query.job, query.internal)) is not None:
        return hidden
    match query:
        case ListRuns():
            return _list(state, query)
        case ShowRun():
            return _show(state, query, observed)
        case ListSchedules(job):
            return schedules_of(state, job)
        case ListFires():
            return _fires(state, query)


def _fires(state: State, query: ListFires) -> View | Refusal:
    schedule = state.schedules.by_id.get(query.schedule)
    if schedule is None or schedule.job != query.job:
        return UnknownSchedule(query.job, query.schedule)
    return fires_of(schedule, query.from_ms, query.to_ms, query.limit)


def _list(state: State, query: ListRuns) -> View | Refusal:
    try:
        after = parse_cursor(query.cursor) if query.cursor is not None else first_page(state)
    except BadCursor:
        said = "'continue' takes what the Link header of the page before gave, unchanged."
        return Invalid((Problem("", said),))
    return page_of_runs(state, query.job, query.status, query.limit, after)


def _show(state: State, query: ShowRun, observed: Collection[str]) -> View | Refusal:
    detail = detail_of_run(state, query.run, observed)
    if detail is None or detail.job != query.job:
        return unknown_run(state, query.job, query.run)
    return detail


def _status(state: State, query: ShowStatus, problems: Sequence[str]) -> Status:
    versions = [state.versions[state.current[name]] for name in sorted(state.current)]
    return Status(
        tuple(
            status_of_definition(state, version)
            for version in versions
            if query.internal or version.definition.visibility is Visibility.PUBLIC
        ),
        tuple(problems) if query.internal else (),
    )
