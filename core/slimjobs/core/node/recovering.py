"""`slimjobs cluster recover`: the log of a node that does not run is given what makes it a cluster of its own.

Everything in the log counts, committed or not: nobody is left who could say more. Interrupted, it can be repeated.
"""

from __future__ import annotations

import secrets
import time

import msgspec

from slimjobs.core.decide.recovering import recover
from slimjobs.core.node.opening import node_id
from slimjobs.eventlog.events.record import Record, decode_record, encode_record
from slimjobs.eventlog.raft import Entry, EntryKind, HardState, Index, Membership, Term, encode_membership
from slimjobs.eventlog.storage.files import Files
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from slimjobs.projections.fold import apply
from slimjobs.projections.snapshot import restore
from slimjobs.projections.state import State


class NothingToRecover(Exception):
    """The directory holds no cluster; the message says so."""


class Recovered(msgspec.Struct, frozen=True):
    """The new cluster and its node, the cluster of before, how far the log reaches, and what became of the runs."""

    cluster: str
    name: str
    before: str
    index: Index
    queued: int
    failed: int


def recover_directory(files: Files, options: StorageOptions, name: str) -> Recovered:
    """Make the node of this directory the only member of a new cluster, under its name in the log, else under this.

    Raises `NothingToRecover`, and what opening raises: `DirectoryTaken`, `NewerFormat`, `Damage`, `BrokenLog`.
    """
    storage = Storage.open(files, secrets.token_hex(16), options)
    try:
        recovered = _recover(storage, name)
        storage.sync()
    except BaseException:
        storage.abandon()
        raise
    storage.close()
    return recovered


def _recover(storage: Storage, name: str) -> Recovered:
    state, last_term = _folded(storage)
    if not state.cluster:
        raise NothingToRecover("this directory holds no cluster; a node that starts with it joins or founds one")
    before, cluster, node = state.cluster, secrets.token_hex(8), node_id(storage.incarnation)
    name = next((known for known, member in state.members.items() if member == node), name)
    term = Term(max(storage.hard_state.term, last_term) + 1)
    record = Record(max(state.at, time.time_ns() // 1_000_000), "recover", recover(state, cluster, name, node))
    first = storage.last_index + 1
    failed = len(state.active)
    storage.write_hard_state(HardState(term, node))
    storage.append(
        None,
        [
            Entry(Index(first), term, EntryKind.CONFIGURATION, encode_membership(Membership((node,)))),
            Entry(Index(first + 1), term, EntryKind.RECORD, encode_record(record)),
        ],
    )
    return Recovered(cluster, name, before, Index(first + 1), len(state.queued), failed)


def _folded(storage: Storage) -> tuple[State, Term]:
    state = restore(storage.snapshot_frames())
    term = storage.snapshot.term if storage.snapshot is not None else Term(0)
    for entry in storage.entries(storage.first_index):
        term = entry.term
        if entry.kind is EntryKind.RECORD:
            apply(state, entry.index, entry.payload, decode_record(entry.payload))
    return state, term
