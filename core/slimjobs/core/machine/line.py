"""A line of requests, in the order in which their turns come, that knows whose patience is over first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from slimjobs.core.machine.requests import Request


class Held(Protocol):
    """Something that is held for a request."""

    @property
    def request(self) -> Request: ...


H = TypeVar("H", bound=Held)


class Line(Generic[H]):
    """Most come with ever later deadlines, so the first in line is the first to lose patience; but what was passed on
    and came back has an earlier one. Then all are looked at."""

    def __init__(self) -> None:
        self._line: deque[H] = deque()
        self._rises = True

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[H]:
        return iter(self._line)

    @property
    def first(self) -> H:
        """Whose turn is next."""
        return self._line[0]

    def append(self, held: H) -> None:
        """The next in line."""
        if self._line and held.request.until_ns < self._line[-1].request.until_ns:
            self._rises = False
        self._line.append(held)

    def put_first(self, held: Iterable[H]) -> None:
        """These come before all others."""
        before = list(held)
        if before:
            self._line.extendleft(reversed(before))
            self._rises = False

    def take(self) -> H:
        """The first leaves."""
        taken = self._line.popleft()
        self._rises = self._rises or not self._line
        return taken

    def take_all(self) -> list[H]:
        """All leave."""
        everybody = list(self._line)
        self._line.clear()
        self._rises = True
        return everybody

    def take_overdue(self, now_ns: int) -> list[H]:
        """Those leave whose patience is over."""
        deadline = self.deadline_ns()
        if deadline is None or deadline > now_ns:
            return []
        overdue = [held for held in self._line if held.request.until_ns <= now_ns]
        self._line = deque(held for held in self._line if held.request.until_ns > now_ns)
        return overdue

    def deadline_ns(self) -> int | None:
        """When the first loses patience."""
        if not self._line:
            return None
        return self._line[0].request.until_ns if self._rises else min(held.request.until_ns for held in self._line)
