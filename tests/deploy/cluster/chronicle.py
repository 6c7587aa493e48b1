"""The log as it was committed, read from the nodes' directories: the one account that everything else must agree with.

A node that fell far behind, or lost its disk, goes on from a snapshot, without what was before it. So the log is read
on after each round, from whoever has what comes next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from slimjobs.eventlog.events.record import Event, Record, decode_record
from slimjobs.eventlog.events.runs import (
    AttemptStarted,
    RunDeleted,
    RunEnqueued,
    RunFailed,
    RunSucceeded,
    run_id_text,
)
from slimjobs.eventlog.raft import Entry, EntryKind, Index
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from slimjobs.eventlog.storage.log_reader import read_log
from slimjobs.eventlog.storage.snapshots import SnapshotReader
from slimjobs.projections.fold import apply
from slimjobs.projections.snapshot import restore, state_hash
from slimjobs.projections.state import State
from tests.deploy.cluster.history import History, Listed, Shown, contradiction
from tests.deploy.cluster.machines import Cluster


class Chronicle:
    """Every committed entry, from the first on."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def read_on(self, cluster: Cluster) -> None:
        """Add what was committed since the last time."""
        rows = cluster.rows()
        for machine in sorted(cluster.machines, key=lambda each: -int(rows[each.name]["CommitIndex"])):
            committed, known = rows[machine.name]["CommitIndex"], len(self.entries)
            reader = read_log(machine.directory)
            if known < committed and reader.stat().first_index <= known + 1:
                entries = list(reader.entries(Index(known + 1)))[: committed - known]
                assert [entry.index for entry in entries] == list(range(known + 1, known + 1 + len(entries)))
                self.entries += entries

    def states(self) -> Iterator[tuple[Entry, Record | None, State]]:
        """Each entry, its record if it holds one, and the one state, as it is by then."""
        state = State()
        for entry in self.entries:
            record = decode_record(entry.payload) if entry.kind is EntryKind.RECORD else None
            if record is not None:
                apply(state, entry.index, entry.payload, record)
            yield entry, record, state


def folded(directory: Path, entries: list[Entry], up_to: int) -> State:
    """What a stopped node's own files come to at this index; its log must be the chronicle's, as far as it reaches."""
    reader, files = read_log(directory), DirectoryOnDisk(directory)
    found = reader.stat()
    state = State() if found.first_index <= 1 else restore(SnapshotReader(files, min(found.snapshots)).frames())
    for entry in reader.entries():
        if entry.index <= up_to:
            assert entry == entries[entry.index - 1], (directory, entry, entries[entry.index - 1])
        if state.index < entry.index <= up_to and entry.kind is EntryKind.RECORD:
            apply(state, entry.index, entry.payload, decode_record(entry.payload))
    assert reader.verify().usable, (directory, reader.verify())
    return state


def assert_same_everywhere(cluster: Cluster, chronicle: Chronicle, up_to: int) -> None:
    """The files of all nodes, each folded anew, come to the same state and the same chain."""
    found = {machine.name: folded(machine.directory, chronicle.entries, up_to) for machine in cluster.machines}
    assert len({state.chain for state in found.values()}) == 1, {
        name: state.chain.hex() for name, state in found.items()
    }
    assert len({state_hash(state) for state in found.values()}) == 1


class Life(msgspec.Struct):
    """What the log says of one run."""

    id: str
    job: str
    token: str
    enqueued_at: Index
    deleted_at: Index | None = None
    ends: list[type[Event]] = msgspec.field(default_factory=list)
    attempts: list[int] = msgspec.field(default_factory=list)

    @property
    def deleted(self) -> bool:
        return self.deleted_at is not None


def lives(chronicle: Chronicle) -> list[Life]:
    """All runs; an id is enqueued once."""
    found: dict[bytes, Life] = {}
    for entry, record, _ in chronicle.states():
        for event in record.events if record is not None else ():
            match event:
                case RunEnqueued(run, job, _, overrides):
                    assert run not in found, run_id_text(run)
                    [token] = overrides.args or ()
                    found[run] = Life(run_id_text(run), job, token, entry.index)
                case RunSucceeded(run) | RunFailed(run):
                    assert not found[run].deleted, found[run]
                    found[run].ends.append(type(event))
                case RunDeleted(run):
                    assert not found[run].deleted, found[run]
                    found[run].deleted_at = entry.index
                case AttemptStarted(run, attempt):
                    found[run].attempts.append(attempt)
    return list(found.values())


def assert_kept(history: History, found: list[Life]) -> None:
    """What was acknowledged is there once, by the index of its answer; and nothing that nobody asked for."""
    by_token = {life.token: life for life in found}
    assert len(by_token) == len(found), "something was enqueued twice"
    for told in history.accepted:
        there = [by_token[token] for token in told.asking.tokens]
        assert [(life.id, life.job) for life in there] == [(each, told.asking.job) for each in told.ids], (told, there)
        assert all(life.enqueued_at <= told.answered.index for life in there), (told, there)
    by_id = {life.id: life for life in found}
    for deleted in history.deleted:
        at = by_id[deleted.id].deleted_at
        assert at is not None, deleted
        assert at <= deleted.answered.index, (deleted, at)
    asked = [*(told.asking for told in history.accepted), *(told.asking for told in history.unknown)]
    assert by_token.keys() <= {token for asking in asked for token in asking.tokens}


def assert_refused_truly(history: History, found: list[Life]) -> None:
    """What surely was not done is not there; what may have been has the id that the answer named, or is not there."""
    ids = {life.token: life.id for life in found}
    for asking in history.surely_not:
        assert not ids.keys() & set(asking.tokens), (asking, "was refused, and done")
    for unknown in history.unknown:
        there = tuple(ids[token] for token in unknown.asking.tokens if token in ids)
        assert there in ((), unknown.ids) or not unknown.ids, (unknown, there)


def assert_ended(found: list[Life], starts: Counter[str], most: Mapping[str, int]) -> None:
    """Every run has ended, once; its processes are those that the log counts as its attempts.

    What a deleted one did at the end nobody looked at; but it had no more than its job may have, `most`.
    """
    assert starts.keys() <= {life.id for life in found}
    for life in found:
        assert len(life.ends) == 1 or (life.deleted and not life.ends), life
        assert len(set(life.attempts)) == len(life.attempts), life
        if life.ends:
            assert starts[life.id] == len(life.attempts), (life, starts[life.id])
        else:
            assert len(life.attempts) <= starts[life.id] <= most[life.job], (life, starts[life.id])


def assert_told_truly(history: History, chronicle: Chronicle) -> int:
    """Every list and every run that was shown is what the log says at the index of the answer; how many there were."""
    told: list[Listed | Shown] = [*history.listed, *history.shown]
    following = iter(sorted(told, key=lambda each: each.answered.index))
    each = next(following, None)
    for entry, _, state in chronicle.states():
        while each is not None and each.answered.index == entry.index:
            said = contradiction(state, each)
            assert not said, said
            each = next(following, None)
    assert each is None, (each, "reflects what is not in the log")
    return len(told)
