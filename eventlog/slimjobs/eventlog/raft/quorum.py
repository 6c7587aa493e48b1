"""Majorities: the arithmetic that everything else rests on."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence

from slimjobs.eventlog.raft.types import NodeId


class Outcome(enum.Enum):
    """How an election stands."""

    WON = "won"
    LOST = "lost"
    OPEN = "open"


def majority(voters: int) -> int:
    """How many of so many voters are more than half."""
    return voters // 2 + 1


def reached_by_majority(marks: Sequence[int]) -> int:
    """The highest mark that a majority has reached, given one mark for each voter; 0 without voters."""
    return sorted(marks, reverse=True)[len(marks) // 2] if marks else 0


def outcome(voters: Collection[NodeId], votes: Mapping[NodeId, bool]) -> Outcome:
    """Count the votes of those who are voters, each once (Raft §5.2)."""
    needed = majority(len(voters))
    granted = sum(votes.get(voter, False) for voter in voters)
    refused = sum(not votes.get(voter, True) for voter in voters)
    if granted >= needed:
        return Outcome.WON
    return Outcome.LOST if len(voters) - refused < needed else Outcome.OPEN
