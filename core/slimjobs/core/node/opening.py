"""A node's beginning: its directory is taken, what the log holds becomes the machine, the disk gets its thread."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog
import trio

from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.node.program import NodeDisk
from slimjobs.eventlog.events.record import founded_by
from slimjobs.eventlog.raft import EntryKind, Index, Membership, NodeId, Start, Term, decode_membership
from slimjobs.eventlog.storage.disk import DiskThread
from slimjobs.eventlog.storage.errors import DiskFailed, StorageError
from slimjobs.eventlog.storage.files import Files
from slimjobs.eventlog.storage.requests import DiskAnswer
from slimjobs.eventlog.storage.store import RecoveryReport, Storage, StorageOptions
from slimjobs.eventlog.transport.greeting import NO_BACKUP
from slimjobs.projections.snapshot import restore

STOP_SECONDS: Final = 1.0

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.storage")


class OpenedDisk:
    """The disk of a node: its thread, and beside it the file of a snapshot that the loop fills (see `NodeDisk`)."""

    def __init__(self, storage: Storage, thread: DiskThread) -> None:
        self.submit = thread.submit
        self.snapshot_writer = storage.snapshot_writer


class Opened:
    """A directory that is taken, with the machine that its log makes."""

    def __init__(self, storage: Storage, machine: Machine) -> None:
        self.machine = machine
        self._storage = storage
        self._thread: DiskThread | None = None

    @property
    def lock_fd(self) -> int:
        """The descriptor whose lock says that the directory is taken."""
        return self._storage.lock_descriptor

    def start_disk(
        self, deliver: Callable[[Sequence[DiskAnswer]], None], failed: Callable[[StorageError], None]
    ) -> NodeDisk:
        """Give the directory to its thread; once."""
        self._thread = DiskThread(self._storage, deliver, failed)
        self._thread.start()
        return OpenedDisk(self._storage, self._thread)

    def close(self) -> None:
        """Finish what the disk was asked for, and let go of the directory; a disk that hangs is left to itself."""
        if self._thread is None:
            self._storage.close()
        elif not self._thread.stop(STOP_SECONDS):
            _log.error("the disk does not answer; what was acknowledged is on it", waited_seconds=STOP_SECONDS)


@asynccontextmanager
async def open_machine(
    files: Files,
    options: StorageOptions,
    settings: MachineSettings,
    *,
    one_of_several: bool = False,
    backup: tuple[int, int] = NO_BACKUP,
) -> AsyncIterator[Opened]:
    """Take the directory and recover, in a thread; let go of it at the end.

    What is damaged is set aside if this is one node of several, which have what it lost. `backup` is the mark of the
    backup that this node could bring into a new cluster. Raises `DirectoryTaken`,
    `NewerFormat`, `Damage`, `DiskFailed` or `BrokenLog` where it cannot be used.
    """
    opened = await trio.to_thread.run_sync(_open, files, options, settings, one_of_several, backup)
    try:
        yield opened
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(opened.close)


def _open(
    files: Files, options: StorageOptions, settings: MachineSettings, one_of_several: bool, backup: tuple[int, int]
) -> Opened:
    opening = Storage.open_or_set_aside if one_of_several else Storage.open
    try:
        storage = opening(files, secrets.token_hex(16), options)
    except OSError as error:
        raise DiskFailed(f"the directory {files.location} cannot be opened: {error}") from error
    _tell(storage.report, storage.last_index)
    state = restore(storage.snapshot_frames())
    start = start_of(storage, secrets.randbits(64))
    cluster = cluster_in_log(storage) or state.cluster
    machine = Machine(start, state, storage.room, secrets.token_hex(8), settings, storage.blank, cluster, backup)
    return Opened(storage, machine)


def _tell(report: RecoveryReport, last_index: Index) -> None:
    for damaged in report.damaged_snapshots:
        _log.warning("a snapshot is damaged; an older one and the log give the same state", damage=damaged)
    if report.torn is not None:
        _log.warning(
            "the log ended in a torn write, which was cut; nothing of it was ever acknowledged", **report.torn._asdict()
        )
    if report.set_aside is not None:
        _log.error(
            "the directory is damaged; it was set aside, and this node joins the others anew",
            damage=report.damage,
            folder=report.set_aside,
        )
    if not report.created:
        _log.info("the log was found", last_index=last_index)


class _Scan(msgspec.Struct):
    terms: list[tuple[Index, Term]]
    configurations: list[tuple[Index, Membership]]


def start_of(storage: Storage, seed: int) -> Start:
    """What consensus must know of the disk. Without a snapshot every membership there was is in the log."""
    snapshot = storage.snapshot
    scanned = _scan(storage)
    return Start(
        id=node_id(storage.incarnation),
        seed=seed,
        membership=snapshot.membership if snapshot is not None else Membership(),
        hard_state=storage.hard_state,
        snapshot_index=snapshot.index if snapshot is not None else Index(0),
        snapshot_term=snapshot.term if snapshot is not None else Term(0),
        first_index=storage.first_index,
        last_index=storage.last_index,
        terms=scanned.terms,
        configurations=scanned.configurations,
        commit=snapshot.index if snapshot is not None else Index(0),
    )


# Until it hears a leader, a node does not know which of its entries are committed; but whose they are it has to say to
# whoever it meets, or it would be taken for one that holds nothing.
def cluster_in_log(storage: Storage) -> str:
    """The cluster that was founded last in the log, committed or not; empty if it says of none."""
    records = (entry for entry in storage.entries(storage.first_index) if entry.kind is EntryKind.RECORD)
    founded = [cluster for entry in records if (cluster := founded_by(entry.payload)) is not None]
    return founded[-1] if founded else ""


def node_id(incarnation: str) -> NodeId:
    """A node as consensus knows it: the first 60 bits of its incarnation; never 0, which is nobody."""
    return NodeId(int(incarnation[:15], 16) or 1)


def _scan(storage: Storage) -> _Scan:
    found = _Scan([], [])
    for entry in storage.entries(storage.first_index):
        if not found.terms or found.terms[-1][1] != entry.term:
            found.terms.append((entry.index, entry.term))
        if entry.kind is EntryKind.CONFIGURATION:
            found.configurations.append((entry.index, decode_membership(entry.payload)))
    return found
