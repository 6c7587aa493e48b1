"""What clients were told, and whether one log explains it.

The log gives every answer its place: the index that it reflects. Two things make a history linearizable then. An answer
has no lower index than one that had come before it was asked for, from whichever node; and what it says is what the log
says up to its index.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.machine.queries import ListRuns, ShowRun
from slimjobs.core.machine.reading import read
from slimjobs.eventlog.events.runs import RunId, parse_run_id
from slimjobs.projections.state import State
from slimjobs.projections.views import RunDetail, RunPage, RunRow

ROWS: Final = 200
"""What a client asks for when it asks for a list."""

Row = tuple[str, str]
"""A run's id and status."""


class Asking(msgspec.Struct, frozen=True):
    """Runs that a client wants, once: of which job, and by which tokens they can be told from all others in the log.

    Without a key nobody may ask for them a second time, unless the first surely came to nothing.
    """

    job: str
    tokens: tuple[str, ...]
    key: str


class Answered(msgspec.Struct, frozen=True):
    """An answer: who gave it, when it was asked for and came, in seconds of one clock, and the index it reflects."""

    node: int
    begun: float
    ended: float
    index: int


class Accepted(msgspec.Struct, frozen=True):
    """Runs were accepted."""

    asking: Asking
    ids: tuple[str, ...]
    answered: Answered


class Unknown(msgspec.Struct, frozen=True):
    """It is not known whether runs were: these are the ids that they would have, if the answer named any."""

    asking: Asking
    ids: tuple[str, ...]


class Listed(msgspec.Struct, frozen=True):
    """A list, as it was shown."""

    job: str
    rows: tuple[Row, ...]
    answered: Answered


class Shown(msgspec.Struct, frozen=True):
    """One run, as it was shown; without a status there was none."""

    job: str
    id: str
    status: str | None
    answered: Answered


class Deleted(msgspec.Struct, frozen=True):
    """A run was deleted; `by_another_answer`: it had been, by a request of which the answer was lost."""

    job: str
    id: str
    answered: Answered
    by_another_answer: bool


class History:
    """Everything that all clients were told; they write to it from threads of their own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.accepted: list[Accepted] = []
        self.repeated: list[Accepted] = []
        self.unknown: list[Unknown] = []
        self.surely_not: list[Asking] = []
        self.listed: list[Listed] = []
        self.shown: list[Shown] = []
        self.deleted: list[Deleted] = []

    def add(self, told: Accepted | Unknown | Listed | Shown | Deleted) -> None:
        """Write it down."""
        with self._lock:
            match told:
                case Accepted():
                    self.accepted.append(told)
                case Unknown():
                    self.unknown.append(told)
                case Listed():
                    self.listed.append(told)
                case Shown():
                    self.shown.append(told)
                case Deleted():
                    self.deleted.append(told)

    def acknowledged_since(self, moment: float) -> float | None:
        """When the first trigger was accepted of those that were asked for after that moment."""
        with self._lock:
            return min((each.answered.ended for each in self.accepted if each.answered.begun >= moment), default=None)

    @property
    def answers(self) -> list[Answered]:
        """All of them."""
        told: Iterable[Accepted | Listed | Shown | Deleted] = (
            *self.accepted,
            *self.repeated,
            *self.listed,
            *self.shown,
            *self.deleted,
        )
        return [each.answered for each in told]


def steps_back(answers: Sequence[Answered]) -> Iterator[tuple[Answered, Answered]]:
    """Pairs of answers of which the second was asked for after the first had come, and reflects less."""
    by_end = sorted(answers, key=lambda each: each.ended)
    newest: Answered | None = None
    seen = 0
    for answer in sorted(answers, key=lambda each: each.begun):
        while by_end[seen].ended < answer.begun:
            if newest is None or by_end[seen].index > newest.index:
                newest = by_end[seen]
            seen += 1
        if newest is not None and answer.index < newest.index:
            yield newest, answer


def contradiction(state: State, told: Listed | Shown) -> str:
    """What a reader was told that this state, the log's at the index of the answer, does not say; empty if nothing."""
    if isinstance(told, Listed):
        page = read(state, ListRuns(told.job, True, limit=ROWS), (), ())
        assert isinstance(page, RunPage)
        expected = tuple(row_of(row) for row in page.rows)
        return "" if told.rows == expected else f"{told} is {expected}"
    detail = read(state, ShowRun(told.job, run_id(told.id), True), (), ())
    assert isinstance(detail, RunDetail | Refusal)
    status = str(detail.row.status) if isinstance(detail, RunDetail) else None
    return "" if told.status == status else f"{told} is {status}"


def row_of(row: RunRow) -> Row:
    return row.id, str(row.status)


def run_id(text: str) -> RunId:
    found = parse_run_id(text)
    assert found is not None, text
    return found
