"""Who is at the other end of a connection: the first thing that each side says, and what the machine is told of it."""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.eventlog.raft.types import NodeId

PROTOCOL: Final = 1

NO_BACKUP: Final = (0, 0)


class Greeting(msgspec.Struct, frozen=True, array_like=True):
    """A node introduces itself. Fields are only ever appended, with defaults.

    `cluster` is empty while it belongs to none. `empty`: its directory holds nothing, nor anything set aside.
    `has_log`: it holds entries, and so belongs somewhere. `guest`:
    it is no peer, only asks for things and is answered on its own connection. `level` is the highest event level that
    it understands. `backup`: the time (Unix ms) and the index, in whatever log, of the backup that it could restore.
    """

    protocol: int
    cluster: str
    name: str
    node: NodeId
    empty: bool
    guest: bool
    level: int
    version: str
    has_log: bool = False
    backup: tuple[int, int] = NO_BACKUP


class PeerMet(msgspec.Struct, frozen=True):
    """A connection to this peer stands: what is addressed to its node leaves."""

    greeting: Greeting


class PeerLost(msgspec.Struct, frozen=True):
    """The connection to this peer ended. `refused`: nobody listens at its address any more, so its process is gone."""

    name: str
    node: NodeId
    refused: bool = False
