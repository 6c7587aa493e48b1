"""Callers who wait for something to happen to a run: its next change of status, or the acceptance of its deletion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from slimjobs.core.machine.inputs import Token
from slimjobs.eventlog.events.runs import RunId

T = TypeVar("T")


class Waits(Generic[T]):
    """Who waits for which run, what for, and until when (monotonic ns)."""

    def __init__(self) -> None:
        self._by_token: dict[Token, tuple[RunId, int, T]] = {}
        self._by_run: dict[RunId, dict[Token, None]] = {}

    def __contains__(self, token: Token) -> bool:
        return token in self._by_token

    def __bool__(self) -> bool:
        return bool(self._by_token)

    def add(self, token: Token, run: RunId, until_ns: int, what: T) -> None:
        """Let a caller wait."""
        self._by_token[token] = run, until_ns, what
        self._by_run.setdefault(run, {})[token] = None

    def drop(self, token: Token) -> None:
        """The caller does not wait any more, if it did."""
        waiting = self._by_token.pop(token, None)
        if waiting is None:
            return
        tokens = self._by_run[waiting[0]]
        del tokens[token]
        if not tokens:
            del self._by_run[waiting[0]]

    def clear(self) -> list[tuple[Token, RunId, T]]:
        """Everybody who waits, and nobody waits any more."""
        everybody = self.all()
        self._by_token.clear()
        self._by_run.clear()
        return everybody

    def of(self, runs: Iterable[RunId]) -> list[tuple[Token, RunId, T]]:
        """Those who wait for one of these runs."""
        found = [(token, run) for run in runs for token in self._by_run.get(run, ())]
        return [(token, run, self._by_token[token][2]) for token, run in found]

    def all(self) -> list[tuple[Token, RunId, T]]:
        """Everybody who waits."""
        return [(token, run, what) for token, (run, _, what) in self._by_token.items()]

    def overdue(self, now_ns: int) -> list[tuple[Token, RunId, T]]:
        """Those whose time is over."""
        return [(token, run, what) for token, (run, until_ns, what) in self._by_token.items() if until_ns <= now_ns]

    def deadlines(self) -> Iterator[int]:
        """When their times are over."""
        return (until_ns for _, until_ns, _ in self._by_token.values())
