"""`slimjobs schedule audit`: every expected instant beside what became of it, out of the log of a directory alone."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from slimjobs.core.audit.schedules import Audit, Line, Verdict
from slimjobs.core.machine.timetables import Timetables
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.log import UNUSABLE, folding
from slimjobs.deploy.streams import tell
from slimjobs.eventlog.events.runs import RunId, run_id_text

WRONG: Final = frozenset({Verdict.UNACCOUNTED, Verdict.TWICE})


def audit(directory: Path, from_ms: int, to_ms: int, job: str | None, as_json: bool) -> None:
    """Print a line for each instant, or for those that were skipped together. Raises `Ended` with 1 where one is
    unaccounted for or fired twice, with 4 where the log cannot be read.
    """
    try:
        log = folding(directory)
        found = Audit(log.state.schedules)
        for record in log:
            found.read(record)
    except UNUSABLE as error:
        raise Ended(Exit.DAMAGE, str(error)) from None
    counts: Counter[Verdict] = Counter()
    for line in found.lines(from_ms, to_ms, Timetables()):
        if job is None or line.job == job:
            counts[line.verdict] += line.count
            click.echo(_json(line) if as_json else _text(line))
    said = ", ".join(f"{counts[verdict]} {verdict.lower()}" for verdict in Verdict if counts[verdict])
    tell(f"slimjobs: {said or 'no instant'} in this period, as far as the log reaches ({_time(found.at)})")
    if any(counts[verdict] for verdict in WRONG):
        raise Ended(Exit.NO)


def _json(line: Line) -> str:
    said = {
        "Schedule": run_id_text(RunId(line.schedule)),
        "Job": line.job,
        "Instant": line.instant,
        "Until": line.until,
        "Count": line.count,
        "Verdict": line.verdict,
        "LateMilliseconds": line.late_ms,
        "Reason": line.reason,
        "Id": run_id_text(line.run) if line.run else "",
    }
    return json.dumps(said)


def _text(line: Line) -> str:
    name = f"{line.job}/{run_id_text(RunId(line.schedule))}"
    when = _time(line.instant) if line.count == 1 else f"{_time(line.instant)} to {_time(line.until)} ({line.count})"
    more = f" run {run_id_text(line.run)}, {line.late_ms} ms late" if line.run else ""
    return f"{when} {name} {line.verdict}{f': {line.reason}' if line.reason else ''}{more}"


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
