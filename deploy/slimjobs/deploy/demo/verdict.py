"""What must have held at the end of a demonstration, told by those who cannot know of each other.

The service says how its runs ended; the processes of the jobs have written down, past it, that they began and ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

Row = Mapping[str, Any]
Rows = Mapping[str, Row]
"""The runs as one node lists them, by id."""

FINAL: Final = frozenset({"Succeeded", "Failed"})


class Witnessed(msgspec.Struct, frozen=True):
    """How many processes of each run began, and how many came to their end, by the run's id."""

    began: Mapping[str, int]
    ended: Mapping[str, int]


def witnessed(lines: Sequence[str]) -> Witnessed:
    """What these lines say; each is a run's id and `began` or `ended`."""
    began: dict[str, int] = {}
    ended: dict[str, int] = {}
    for line in lines:
        run_id, _, word = line.partition(" ")
        counts = ended if word == "ended" else began
        counts[run_id] = counts.get(run_id, 0) + 1
    return Witnessed(began, ended)


def broken_promises(
    accepted: Collection[str], older: Collection[str], listed: Mapping[str, Rows], seen: Witnessed
) -> Iterator[str]:
    """Each promise that was not kept, as a line.

    `accepted` are the runs of this demonstration, `older` those that it has taken up from one that was killed, with
    its runner and so with what ran: they may have had another attempt. `listed` is what each node says in the end.
    """
    for run_id in (*older, *accepted):
        rows = {node: rows.get(run_id) for node, rows in listed.items()}
        for node in (node for node, row in rows.items() if row is None):
            yield f"{run_id} was accepted, and {node} does not know it"
        known = [row for row in rows.values() if row is not None]
        if any(row != known[0] for row in known):
            yield f"{run_id} is not the same on every node"
        if known:
            yield from _broken_by(run_id, known[0], seen, may_repeat=run_id in older)


def _broken_by(run_id: str, row: Row, seen: Witnessed, *, may_repeat: bool) -> Iterator[str]:
    attempts, began, ended = row["Attempts"], seen.began.get(run_id, 0), seen.ended.get(run_id, 0)
    if row["Status"] != "Succeeded":
        yield f"{run_id} is {row['Status'].lower()} {row['Reason']}".rstrip()
    elif not ended:
        yield f"{run_id} is said to have succeeded, and no process of it has come to its end"
    if attempts > 1 and not may_repeat:
        yield f"{run_id} took {attempts} attempts"
    if began > attempts:
        yield f"{run_id} ran {began} times, in {attempts} attempts"
