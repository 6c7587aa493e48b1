"""What a node offers to its surfaces (REST, benchmarks): the one interface that `http` is written against."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from slimjobs.core.decide.commands import Command, Result
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.machine.queries import Query, View
from slimjobs.eventlog.raft.types import Index


class Reply(msgspec.Struct, frozen=True):
    """An answer, and the log index that it reflects: everything up to there is committed and in it."""

    index: Index
    value: Result | View | Refusal


class Service(Protocol):
    """A running node. Every call ends: with an answer, or with a refusal when its patience is over."""

    async def command(self, command: Command) -> Reply:
        """Have a command decided; the reply comes when its record is committed, or with a refusal."""

    async def query(self, query: Query, stale: bool = False) -> Reply:
        """Have a query answered: linearizably, or with `stale` from what this node has, without asking anybody, so
        that acknowledged changes may be missing. Cancelling it abandons it.
        """

    def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        """The output of an attempt of a bound run, as the orchestrator keeps it. Raises `OutputMissing`."""

    @property
    def not_ready(self) -> str:
        """Why this node is no caught-up voter with a leader and a committed configuration; empty when it is one."""
