"""The simulated disk of a cluster's node keeps the rules of `requests`: order, crashes, pieces, a log begun anew."""

from __future__ import annotations

from slimjobs.core.machine.outputs import SaveSnapshot
from slimjobs.eventlog.events.record import CHAIN_START
from slimjobs.eventlog.raft import Entry, EntryKind, HardState, Index, Membership, NodeId, Term, encode_membership
from slimjobs.eventlog.storage.requests import (
    DiskAnswer,
    DiskRequest,
    InstallSnapshot,
    Load,
    Loaded,
    LoadPiece,
    LoadState,
    Persist,
    Persisted,
    PieceLoaded,
    PieceSaved,
    PublishSnapshot,
    SavePiece,
    SnapshotHeader,
    SnapshotInstalled,
    SnapshotPublished,
    StateLoaded,
    Ticket,
)
from slimjobs.projections.snapshot import snapshot_frames
from slimjobs.projections.state import State
from tests.core.machine.cluster_disk import ClusterDisk, Snapshot

MEMBERS = Membership((NodeId(1), NodeId(2)))


def entries(low: int, high: int, term: int = 1) -> list[Entry]:
    return [Entry(Index(index), Term(term), EntryKind.RECORD, b"x") for index in range(low, high + 1)]


def disk_with(*requests: DiskRequest) -> ClusterDisk:
    disk = ClusterDisk(NodeId(1))
    done(disk, *requests)
    return disk


def done(disk: ClusterDisk, *requests: DiskRequest) -> list[DiskAnswer]:
    for request in requests:
        disk.take(request)
    return disk.carry_out(len(requests))


def published(disk: ClusterDisk, index: int) -> Snapshot:
    header = SnapshotHeader(Index(index), Term(1), MEMBERS, CHAIN_START)
    written = disk.write(SaveSnapshot(header, snapshot_frames(State())))
    assert isinstance(written, Snapshot)
    (answer,) = done(disk, PublishSnapshot(Index(index)))
    assert isinstance(answer, SnapshotPublished)
    return written


def test_an_empty_disk_is_blank_and_any_word_on_it_is_not() -> None:
    assert ClusterDisk(NodeId(1)).start(1).blank
    assert not disk_with(Persist(Ticket(1), hard_state=HardState(Term(1)))).start(1).blank


def test_one_answer_covers_writes_that_follow_each_other() -> None:
    disk = ClusterDisk(NodeId(1))
    answers = done(
        disk, Persist(Ticket(1), entries(1, 2)), Persist(Ticket(2), entries(3, 3)), Load(Index(2), Index(3), 9)
    )
    assert answers == [Persisted(Ticket(2), disk.room), Loaded(entries(2, 3))]


def test_a_start_tells_terms_and_memberships_of_the_log() -> None:
    change = Entry(Index(4), Term(2), EntryKind.CONFIGURATION, encode_membership(MEMBERS))
    start = disk_with(Persist(Ticket(1), [*entries(1, 3), change])).start(1).start
    assert (start.terms, start.configurations) == ([(1, 1), (4, 2)], [(4, MEMBERS)])
    assert (start.first_index, start.last_index, start.membership) == (1, 4, Membership())


def test_a_crash_keeps_what_was_done_and_as_many_parts_of_the_next_write() -> None:
    disk = disk_with(Persist(Ticket(1), entries(1, 3)))
    disk.take(Persist(Ticket(2), entries(4, 4)))
    disk.take(Persist(Ticket(3), entries(3, 5, term=2), HardState(Term(2)), truncate_after=Index(2)))
    assert disk.view[Index(5)].term == 2
    disk.lose_power(done=1, parts=4)
    assert list(disk.log.values()) == [*entries(1, 2), *entries(3, 3, term=2)]
    assert disk.hard_state == HardState(Term(2))
    assert disk.view == disk.log


def test_what_does_not_fit_waits_but_for_the_hard_state() -> None:
    disk = ClusterDisk(NodeId(1), room=10)
    assert not done(disk, Persist(Ticket(1), entries(1, 1)), Persist(Ticket(2), (), HardState(Term(3))))
    assert disk.hard_state == HardState(Term(3))
    disk.grow(1000)
    assert [type(answer) for answer in disk.carry_out(2)] == [Persisted]


def test_a_published_snapshot_is_started_from_and_the_log_before_the_oldest_one_kept_goes() -> None:
    disk = disk_with(Persist(Ticket(1), entries(1, 9)))
    published(disk, 3)
    assert disk.start(1).start.first_index == 1
    published(disk, 6)
    start = disk.start(1).start
    assert (start.snapshot_index, start.first_index, start.last_index) == (6, 4, 9)
    assert done(disk, Load(Index(2), Index(5), 99)) == [Loaded([])]


def test_a_snapshot_travels_in_pieces_and_the_log_begins_anew_behind_it() -> None:
    here, there = disk_with(Persist(Ticket(1), entries(1, 9))), disk_with(Persist(Ticket(1), entries(1, 2)))
    snapshot = published(here, 9)
    offset = 0
    while True:
        (piece,) = done(here, LoadPiece(Index(9), offset, 10))
        assert isinstance(piece, PieceLoaded)
        offset += len(piece.content)
        assert done(there, SavePiece(Index(9), piece.offset, piece.content)) == [PieceSaved(Index(9), offset)]
        if offset == piece.size:
            break
    assert done(there, InstallSnapshot(Index(9))) == [SnapshotInstalled(snapshot.header)]
    there.lose_power()
    assert (there.start(1).start.snapshot_index, there.start(1).start.last_index) == (9, 2), "the log is as it was"
    done(there, Persist(Ticket(1), entries(10, 11), restart_after=Index(9)))
    assert (there.start(1).start.first_index, there.start(1).start.last_index) == (10, 11)
    (loaded,) = done(there, LoadState())
    assert isinstance(loaded, StateLoaded)
    assert loaded.header == snapshot.header


def test_a_snapshot_that_is_gone_has_no_size() -> None:
    assert done(ClusterDisk(NodeId(1)), LoadPiece(Index(9), 0, 10)) == [PieceLoaded(Index(9), 0, 0, b"")]


def test_pieces_that_leave_a_hole_are_not_kept() -> None:
    disk = disk_with(SavePiece(Index(9), 0, b"abc"))
    assert done(disk, SavePiece(Index(9), 5, b"x")) == [PieceSaved(Index(9), 3)]
