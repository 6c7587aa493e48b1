"""`slimjobs log cat|verify|stat`: the event log of a directory, read beside a running node without its lock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from slimjobs.deploy.exits import Ended, Exit
from slimjobs.eventlog.events.record import Event, Record, UnreadableRecord, decode_record
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.eventlog.raft import Entry, EntryKind, Index
from slimjobs.eventlog.storage.errors import Damage, StorageError
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from slimjobs.eventlog.storage.log_reader import LogReader, read_log
from slimjobs.eventlog.storage.snapshots import SnapshotReader
from slimjobs.projections.fold import BrokenLog, apply
from slimjobs.projections.snapshot import UnreadableSnapshot, restore, state_hash
from slimjobs.projections.state import State

UNUSABLE: Final = (StorageError, UnreadableRecord, UnreadableSnapshot, BrokenLog)


def cat(directory: Path, first: int | None, job: str | None, as_json: bool) -> None:
    """Print the events of the log, a line each. Raises `Ended` with 4 where it cannot be read any further."""
    chosen = _Chosen(job)
    try:
        for entry, record in _records(_reader(directory), first):
            for position, event in enumerate(record.events):
                if chosen.wants(event):
                    click.echo(_line(entry, record, position, event, as_json))
    except (StorageError, UnreadableRecord) as error:
        raise Ended(Exit.DAMAGE, str(error)) from None


class _Chosen:
    """Which events are of the runs of a job, which only the event that enqueued them names."""

    def __init__(self, job: str | None) -> None:
        self._job = job
        self._runs: set[RunId] = set()

    def wants(self, event: Event) -> bool:
        if self._job is None:
            return True
        run: RunId | None = getattr(event, "run", None)
        if run is not None and getattr(event, "job", None) == self._job:
            self._runs.add(run)
        return run in self._runs


def _line(entry: Entry, record: Record, position: int, event: Event, as_json: bool) -> str:
    fields: dict[str, Any] = {name: _plain(getattr(event, name)) for name in event.__struct_fields__}
    kind = type(event).__name__
    if as_json:
        head = {"Index": f"{entry.index}.{position}", "At": record.at, "Cause": record.cause, "Type": kind}
        return json.dumps(head | fields)
    at = datetime.fromtimestamp(record.at / 1000, UTC).isoformat(timespec="milliseconds")
    said = " ".join(f"{name}={json.dumps(value)}" for name, value in fields.items())
    return f"{entry.index}.{position} {at} {record.cause} {kind} {said}".rstrip()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return run_id_text(RunId(value)) if len(value) == 10 else value.hex()
    return msgspec.to_builtins(value, enc_hook=_plain)


def verify(directory: Path, as_json: bool) -> None:
    """Check every byte, fold every record, compare every snapshot. Raises `Ended` with 4 unless all can be used."""
    reader = _reader(directory)
    verdict = reader.verify()
    problems = [str(damage) for damage in verdict.damage]
    records = 0
    if not problems:
        try:
            records = sum(1 for _ in Folding(DirectoryOnDisk(directory), reader))
        except UNUSABLE as error:
            problems.append(str(error))
    torn = verdict.torn
    if as_json:
        said = {"Usable": not problems, "LastIndex": verdict.last_index, "Records": records, "Problems": problems}
        click.echo(json.dumps(said | {"TornBytes": torn.dropped_bytes if torn is not None else 0}))
    elif not problems:
        click.echo(f"usable: {records} records up to index {verdict.last_index}, every one checked and folded")
        if torn is not None:
            click.echo(f"{torn.file} ends in a torn write of {torn.dropped_bytes} bytes, which the next start cuts")
    if problems:
        raise Ended(Exit.DAMAGE, *(() if as_json else problems))


def stat(directory: Path, as_json: bool) -> None:
    """Say what the log holds: indices, bytes, snapshots, events by type, the state's hash. Raises `Ended` with 4."""
    reader = _reader(directory)
    found = reader.stat()
    events: Counter[str] = Counter()
    try:
        folding = Folding(DirectoryOnDisk(directory), reader)
        for record in folding:
            events.update(type(event).__name__ for event in record.events)
    except UNUSABLE as error:
        raise Ended(Exit.DAMAGE, str(error)) from None
    state = folding.state
    said = {
        "Cluster": state.cluster,
        "FirstIndex": found.first_index,
        "LastIndex": found.last_index,
        "Term": found.hard_state.term,
        "LogBytes": found.log_bytes,
        "Segments": found.segments,
        "Snapshots": list(found.snapshots),
        "Queued": len(state.queued),
        "Active": len(state.active),
        "Finished": len(state.finished),
        "Chain": state.chain.hex(),
        "StateHash": state_hash(state).hex(),
        "Events": dict(sorted(events.items())),
    }
    if as_json:
        click.echo(json.dumps(said))
        return
    for name, value in said.items():
        click.echo(f"{name:<12}{' '.join(f'{k}={v}' for k, v in value.items()) if isinstance(value, dict) else value}")


def folding(directory: Path) -> Folding:
    """The fold of the log of a directory, from as far back as it reaches. Raises `Ended` where there is no log."""
    return Folding(DirectoryOnDisk(directory), _reader(directory))


def _reader(directory: Path) -> LogReader:
    try:
        return read_log(directory)
    except Damage as damage:
        raise Ended(Exit.DAMAGE, str(damage)) from None
    except (StorageError, OSError) as error:
        raise Ended(Exit.USAGE, str(error)) from None


def _records(reader: LogReader, first: int | None) -> Iterator[tuple[Entry, Record]]:
    for entry in reader.entries():
        if entry.kind is EntryKind.RECORD and (first is None or entry.index >= first):
            yield entry, decode_record(entry.payload)


class Folding:
    """The fold of a log, record by record. `state` is what it has come to.

    The whole log folds from nothing; one whose beginning retention has taken, from the oldest snapshot. Where the fold
    comes by another snapshot, both must be in the same state: that is what a snapshot is for.
    """

    def __init__(self, files: DirectoryOnDisk, reader: LogReader) -> None:
        self._files, self._reader = files, reader
        found = reader.stat()
        self._snapshots = sorted(found.snapshots)
        self.records = 0
        self.state = State() if found.first_index <= 1 else self._restored(self._snapshots.pop(0))

    def __iter__(self) -> Iterator[Record]:
        for entry, record in _records(self._reader, self.state.index + 1):
            apply(self.state, entry.index, entry.payload, record)
            self.records += 1
            if entry.index in self._snapshots and state_hash(self._restored(entry.index)) != state_hash(self.state):
                raise BrokenLog(f"the snapshot at index {entry.index} differs from the fold of the log up to it")
            yield record

    def _restored(self, index: Index) -> State:
        return restore(SnapshotReader(self._files, index).frames())
