"""Lists and details of runs, out of the state: what readers are shown.

A list has the queued runs in queue order, then the others, those admitted last first. A cursor names the last row
shown, so that a page goes on where the one before ended, whatever has moved or left meanwhile: no run is shown twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import dropwhile, islice, takewhile
from typing import Final

import msgspec

from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import (
    AttemptEnded,
    AttemptStarted,
    ImageNotPulled,
    RunBound,
    RunEnqueued,
    RunFailed,
    RunId,
    job_object_name,
    run_id_text,
)
from slimjobs.projections.effective import effective
from slimjobs.projections.schedule_listing import schedule_row
from slimjobs.projections.state import (
    Departure,
    HistoryEvent,
    JobIndex,
    Queue,
    Run,
    State,
    Version,
    queued_numbers,
    unpack_queued,
)
from slimjobs.projections.views import DefinitionStatus, RunDetail, RunEvent, RunPage, RunRow, RunStatus
from slimjobs.projections.why import why_queued

ROWS_IN_STATUS = 100


class Cursor(msgspec.Struct, frozen=True):
    """How far a reader of a list has come: the last row shown of the queues, then the last admission number.

    `began` is the admission number that was next when the first page was made, `news` the one when this page was: who
    was admitted in between was shown before, either in its place in the queue or, on the next page, as news.
    """

    began: int = 0
    news: int = 0
    queue: str = ""
    ordinal: int = -1
    admission: int | None = None


class BadCursor(ValueError):
    """A cursor that no page gave."""


_CURSOR: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})-(.*)")


def first_page(state: State) -> Cursor:
    """Before the first row."""
    return Cursor(state.next_admission, state.next_admission)


def parse_cursor(text: str) -> Cursor:
    """The cursor that a page gave as text. Raises `BadCursor`."""
    matched = _CURSOR.fullmatch(text)
    if matched is None:
        raise BadCursor(text)
    began, news, admission, ordinals, queue = matched.groups()
    return Cursor(int(began), int(news), queue, int(ordinals) - 1, int(admission) or None)


def _cursor_text(cursor: Cursor) -> str:
    return f"{cursor.began}-{cursor.news}-{cursor.admission or 0}-{cursor.ordinal + 1}-{cursor.queue}"


def page_of_runs(state: State, job: str, status: RunStatus | None, limit: int, after: Cursor) -> RunPage:
    """At most `limit` rows of the runs under a name, with this status where one is given."""
    index = state.jobs.get(job)
    if index is None:
        return RunPage(())
    found = list(islice(_rows(state, index, status, after), limit + 1))
    rows = tuple(row for _, row in found[:limit])
    return RunPage(rows, _cursor_text(found[limit - 1][0]) if len(found) > limit else None)


def _rows(state: State, index: JobIndex, status: RunStatus | None, after: Cursor) -> Iterator[tuple[Cursor, RunRow]]:
    if status is None and after.admission is None:
        yield from _news(state, index, after)
    if status in (None, RunStatus.QUEUED) and after.admission is None:
        yield from _queued_rows(state, index, after)
    if status is not RunStatus.QUEUED:
        yield from _admitted_rows(state, index, status, after)


def _news(state: State, index: JobIndex, after: Cursor) -> Iterator[tuple[Cursor, RunRow]]:
    """Those admitted since the page before whose place in the queue had not been reached by then."""
    since = takewhile(lambda admission: admission >= after.news, reversed(index.admitted))
    for admission in reversed(list(since)):
        run = state.left_queue(index.admitted[admission])
        if run is None or (state.versions[run.definition].name, run.ordinal) <= (after.queue, after.ordinal):
            continue
        yield msgspec.structs.replace(after, news=admission + 1), admitted_row(run)


def _queued_rows(state: State, index: JobIndex, after: Cursor) -> Iterator[tuple[Cursor, RunRow]]:
    for name in sorted(index.queued):
        if name < after.queue:
            continue
        order = state.queues[name].order
        for ordinal in index.queued[name].after(after.ordinal if name == after.queue else -1):
            yield Cursor(after.began, state.next_admission, name, ordinal), queued_row(state, order.run_at(ordinal))


def _admitted_rows(
    state: State, index: JobIndex, status: RunStatus | None, after: Cursor
) -> Iterator[tuple[Cursor, RunRow]]:
    above = after.began if after.admission is None else after.admission
    for admission in dropwhile(lambda each: each >= above, reversed(index.admitted)):
        run = state.left_queue(index.admitted[admission])
        if run is not None and status in (None, run.status):
            yield msgspec.structs.replace(after, admission=admission), admitted_row(run)


def queued_row(state: State, run: RunId) -> RunRow:
    """The row of a queued run."""
    packed = state.queued[run]
    numbers = queued_numbers(packed)
    position = state.queue_of(numbers.definition).order.position(numbers.ordinal)
    name = job_object_name(unpack_queued(packed).job, run)
    return RunRow(run_id_text(run), name, RunStatus.QUEUED, position, numbers.at)


def admitted_row(run: Run) -> RunRow:
    """The row of a run that has left its queue."""
    return RunRow(
        run_id_text(run.run),
        job_object_name(run.job, run.run),
        run.status,
        -1,
        run.enqueued_at,
        run.admitted_at,
        run.ended_at,
        run.reason,
        run.attempt,
    )


def status_of(state: State, run: RunId) -> RunStatus | None:
    """The status of a run in the lists; None for another."""
    if run in state.queued:
        return RunStatus.QUEUED
    found = state.left_queue(run)
    return None if found is None else found.status


def detail_of_run(state: State, run: RunId, observed: Collection[str]) -> RunDetail | None:
    """Everything about a run in the lists; None for another."""
    if (packed := state.queued.get(run)) is not None:
        numbers, queued = queued_numbers(packed), unpack_queued(packed)
        version = state.versions[numbers.definition]
        enqueued = RunEnqueued(run, queued.job, version.number, queued.overrides, queued.path)
        return RunDetail(
            queued_row(state, run),
            queued.job,
            queued.path,
            "",
            effective(version.definition, queued.overrides),
            (_shown(HistoryEvent(numbers.index, numbers.at, enqueued)),),
            why_queued(state, run, observed),
        )
    found = state.left_queue(run)
    if found is None:
        return None
    definition = effective(state.versions[found.definition].definition, found.overrides)
    events = tuple(map(_shown, found.history))
    return RunDetail(admitted_row(found), found.job, found.path, found.uid, definition, events, ())


def _shown(event: HistoryEvent) -> RunEvent:
    return RunEvent(event.index, event.at, type(event.event).__name__, _said(event.event))


def _said(event: Event) -> str:
    match event:
        case RunBound(uid=uid):
            return uid
        case AttemptStarted(attempt=attempt):
            return f"attempt {attempt}"
        case AttemptEnded(attempt=attempt, exit_code=code, reason=reason):
            exited = "" if code is None else f", exit code {code}"
            return f"attempt {attempt}{exited}{f', {reason}' if reason else ''}"
        case RunFailed(reason=reason, detail=detail):
            return f"{reason}: {detail}" if detail else reason
        case ImageNotPulled(detail=detail):
            return detail
        case _:
            return ""


def departure_of(state: State, run: RunId) -> Departure | None:
    """When and why a run left the lists, as long as that is remembered."""
    packed = state.departures.get(run)
    return None if packed is None else msgspec.msgpack.decode(packed, type=Departure)


def status_of_definition(state: State, version: Version) -> DefinitionStatus:
    """A definition with its queue, its running jobs and its schedules, the first hundred of each."""
    queue = state.queues[version.name]
    ordinals = islice(queue.order.after(-1), ROWS_IN_STATUS)
    return DefinitionStatus(
        version.name,
        version.source,
        version.definition,
        queue.order.length,
        len(queue.holders),
        tuple(queued_row(state, queue.order.run_at(ordinal)) for ordinal in ordinals),
        tuple(admitted_row(run) for run in islice(_active_of(state, queue), ROWS_IN_STATUS)),
        tuple(map(schedule_row, islice(state.schedules.of(version.name), ROWS_IN_STATUS))),
    )


def _active_of(state: State, queue: Queue) -> Iterator[Run]:
    return (state.active[run] for run in queue.holders if run in state.active)
