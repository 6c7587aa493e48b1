"""The transport of a node: dials every peer to send, accepts every peer to receive. The door of this package.

One stream a direction: what a node has to say to a peer travels on the connection that it has dialed, so neither side
has to decide which of two connections is the one. Delivery is in order for each connection, and nothing more: letters
may be lost with a connection or when a buffer is full, and consensus repeats itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic

import trio

from slimjobs.eventlog.transport.complaints import Complaints
from slimjobs.eventlog.transport.greeting import Greeting
from slimjobs.eventlog.transport.incoming import Incoming
from slimjobs.eventlog.transport.limits import DEFAULT_LIMITS, Limits
from slimjobs.eventlog.transport.meeting import Doorkeeper, Judge
from slimjobs.eventlog.transport.outgoing import Outgoing
from slimjobs.eventlog.transport.post import Codec, Deliver, L, Post
from slimjobs.eventlog.transport.sockets import PeerAddress
from slimjobs.eventlog.transport.tls import Contexts, TlsFiles


class Transport(Generic[L]):
    """All the connections of one node, or of a guest: that one's greeting says so, and it listens nowhere.

    `peers` are all that are configured; the one called `own_name` is skipped. `greeting` is asked anew for every
    connection, `judge` why whoever greets so is not talked to (empty: it is). `deliver` gets the letters of one read,
    and nothing more is read from that connection until it returns. Raises `TlsUnusable`.
    """

    def __init__(
        self,
        own_name: str,
        peers: Sequence[PeerAddress],
        greeting: Callable[[], Greeting],
        judge: Judge,
        codec: Codec[L],
        deliver: Deliver[L],
        tls: TlsFiles | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        others = {peer.name: peer for peer in peers if peer.name != own_name}
        complaints = Complaints()
        contexts = None if tls is None else Contexts(tls, complaints)
        doorkeeper = Doorkeeper(greeting, judge, others, contexts, limits)
        self._post = Post(codec, deliver, limits.frame_bytes)
        self._outgoing = [Outgoing(peer, doorkeeper, self._post, complaints, limits) for peer in others.values()]
        self._incoming = Incoming(others.keys(), doorkeeper, self._post, complaints, limits)

    def send(self, letters: Sequence[L]) -> None:
        """To each addressee its letters, in their order: they leave in this pass of the loop if its socket takes them.

        Never blocks. A letter to a node without a link, or for which there is no room, is dropped and counted.
        """
        self._post.send(letters)

    @property
    def dropped(self) -> int:
        """How many letters were dropped since the start."""
        return self._post.dropped

    async def run(
        self,
        listeners: Sequence[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve the listeners and dial the peers until cancelled; no end of a connection ever ends this."""
        async with trio.open_nursery() as nursery:
            if listeners:
                serve = partial(self._incoming.serve, nursery=nursery)
                await nursery.start(trio.serve_listeners, serve, listeners)
            for way in self._outgoing:
                nursery.start_soon(way.run, nursery)
            task_status.started()
            await trio.sleep_forever()
