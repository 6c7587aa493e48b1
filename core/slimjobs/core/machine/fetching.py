"""Snapshots on their way between nodes, piece by piece (Raft §7).

none --- offered ---> wanted --- a piece comes ---> writing --- written, more to come ---> wanted
writing --- written, that was all ---> installing --- installed, or refused ---> none

Consensus offers again and again until it has what it needs, so an offer that finds nothing moved since the one before
asks anew, from where the file ends: whatever was lost on the way, and whoever leads by then. Nodes that agree have the
same bytes, so a file may be begun by one and ended by another.
"""

from __future__ import annotations

import msgspec

from slimjobs.core.machine.letters import Piece, PieceWanted
from slimjobs.core.machine.outbox import Outbox
from slimjobs.eventlog.raft import Index, NodeId
from slimjobs.eventlog.raft.messages import SnapshotOffer
from slimjobs.eventlog.storage.requests import InstallSnapshot, LoadPiece, PieceLoaded, PieceSaved, SavePiece

PIECE_BYTES = 256 << 10


class _Fetch(msgspec.Struct):
    """A snapshot that comes in. `moved`: something came since the last offer; `busy`: the disk is at it."""

    index: Index
    sender: NodeId
    held: int = 0
    size: int = 0
    moved: bool = True
    busy: bool = False


class Fetching:
    """What is fetched here, and what others fetch from here."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._fetch: _Fetch | None = None
        self._asked: dict[tuple[Index, int], set[NodeId]] = {}

    # Fetching -------------------------------------------------------------------------------------------------------

    def offered(self, offer: SnapshotOffer) -> None:
        """The leader has a snapshot that this node needs."""
        fetch = self._fetch
        if fetch is None:
            self._fetch = _Fetch(offer.index, offer.sender)
            self._want(self._fetch)
        elif fetch.busy:
            return
        elif not fetch.moved:
            fetch.sender = offer.sender
            self._want(fetch)
        else:
            fetch.moved = False

    def _want(self, fetch: _Fetch) -> None:
        self._outbox.letters.append(PieceWanted(self._outbox.node, fetch.sender, fetch.index, fetch.held))

    def came(self, piece: Piece) -> None:
        """A piece of it; with no size it is gone there, and the next offer names a newer one."""
        fetch = self._fetch
        if fetch is None or piece.index != fetch.index or fetch.busy:
            return
        if not piece.size:
            self._fetch = None
        elif piece.offset == fetch.held:
            fetch.size, fetch.busy, fetch.moved = piece.size, True, True
            self._outbox.outputs.append(SavePiece(piece.index, piece.offset, piece.content))

    def saved(self, saved: PieceSaved) -> None:
        """The piece is written."""
        fetch = self._fetch
        if fetch is None or saved.index != fetch.index:
            return
        fetch.held, fetch.moved = saved.held, True
        if fetch.held >= fetch.size:
            self._outbox.outputs.append(InstallSnapshot(fetch.index))
        else:
            fetch.busy = False
            self._want(fetch)

    def fetches(self, index: Index) -> bool:
        """Whether this is the snapshot that is fetched."""
        return self._fetch is not None and self._fetch.index == index

    def ended(self) -> None:
        """It is installed, or refused by the disk: then the next offer begins it anew."""
        self._fetch = None

    # Giving ---------------------------------------------------------------------------------------------------------

    def wanted(self, asked: PieceWanted) -> None:
        """Another node needs a piece."""
        askers = self._asked.setdefault((asked.index, asked.offset), set())
        if not askers:
            self._outbox.outputs.append(LoadPiece(asked.index, asked.offset, PIECE_BYTES))
        askers.add(asked.sender)

    def loaded(self, piece: PieceLoaded) -> None:
        """It is read."""
        for asker in sorted(self._asked.pop((piece.index, piece.offset), ())):
            letter = Piece(self._outbox.node, asker, piece.index, piece.offset, piece.size, piece.content)
            self._outbox.letters.append(letter)
