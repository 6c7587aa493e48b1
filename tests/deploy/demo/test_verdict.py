"""The verdict of a demonstration: whatever goes wrong with a run is told, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from slimjobs.deploy.demo.verdict import broken_promises, witnessed

ONCE = ("a began", "a ended")
TWICE = ("a began", "a began", "a ended")


def row(attempts: int = 1, status: str = "Succeeded", reason: str = "") -> dict[str, Any]:
    return {"Id": "a", "Status": status, "Attempts": attempts, "Reason": reason}


def verdict(lines: Iterable[str], *rows: dict[str, Any] | None, older: bool = False) -> list[str]:
    """What is told of the run `a`, when the nodes list these rows."""
    accepted, before = ([], ["a"]) if older else (["a"], [])
    listed = {f"node-{number}": {"a": each} if each else {} for number, each in enumerate(rows)}
    return list(broken_promises(accepted, before, listed, witnessed(list(lines))))


def test_a_run_that_ran_once_and_succeeded_on_every_node_keeps_every_promise() -> None:
    assert verdict(ONCE, row(), row(), row()) == []


def test_a_run_from_before_may_have_had_another_attempt() -> None:
    assert verdict(TWICE, row(2), older=True) == []
    assert verdict(ONCE, row(2), older=True) == [], "its process was ended before it had written anything"


def test_a_run_that_ended_twice_is_told_even_if_it_is_from_before() -> None:
    assert verdict((*ONCE, *ONCE), row(1), older=True) == ["a ran 2 times, in 1 attempts"]


@pytest.mark.parametrize(
    ("lines", "rows", "told"),
    [
        (ONCE, [row(), None], "a was accepted, and node-1 does not know it"),
        (ONCE, [row(), row(status="Queued")], "a is not the same on every node"),
        (ONCE, [row(status="Failed", reason="BackoffLimitExceeded")], "a is failed BackoffLimitExceeded"),
        (TWICE, [row(1)], "a ran 2 times, in 1 attempts"),
        (TWICE, [row(2)], "a took 2 attempts"),
        (ONCE[:1], [row()], "a is said to have succeeded, and no process of it has come to its end"),
        ((), [row()], "a is said to have succeeded, and no process of it has come to its end"),
    ],
)
def test_what_was_not_kept_is_told(lines: tuple[str, ...], rows: list[dict[str, Any] | None], told: str) -> None:
    assert verdict(lines, *rows) == [told]


def test_a_run_that_no_node_knows_is_told_for_each() -> None:
    assert len(verdict(ONCE, None, None, None)) == 3
