"""Letters: to frames and onto the link of their addressee, and from the frames of a link to whoever they are for."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from slimjobs.eventlog.raft.types import NodeId
from slimjobs.eventlog.transport.frames import Unreadable, frame
from slimjobs.eventlog.transport.greeting import Greeting, PeerLost, PeerMet
from slimjobs.eventlog.transport.link import Link

L = TypeVar("L")

logger: Final = logging.getLogger(__name__)


class Codec(Protocol[L]):
    """What letters are."""

    def encode(self, letter: L) -> bytes:
        """As one MessagePack value."""

    def decode(self, body: bytes, sender: Greeting) -> L:
        """Back again. Raises `MsgspecError` or `ValueError` if that is no letter, or not the sender's."""

    def to(self, letter: L) -> NodeId:
        """Its addressee."""


Deliver = Callable[[Sequence[L | PeerMet | PeerLost]], Awaitable[None]]


class Post(Generic[L]):
    """Knows the links that stand. At most one leads to a node; the newest, if there are several."""

    def __init__(self, codec: Codec[L], deliver: Deliver[L], frame_bytes: int) -> None:
        self._codec, self.deliver = codec, deliver
        self._frame_bytes = frame_bytes
        self._peers: dict[NodeId, Link] = {}
        self._guests: dict[NodeId, Link] = {}
        self.dropped = 0
        """Letters that found no link, no room, or were too long, since the start."""

    def send(self, letters: Sequence[L]) -> None:
        """To each node its letters, in their order. Never blocks; what cannot leave is dropped and counted."""
        frames: defaultdict[NodeId, list[bytes]] = defaultdict(list)
        for letter in letters:
            to = self._codec.to(letter)
            if to in self._peers or to in self._guests:
                self._add(frames[to], letter)
            else:
                self.dropped += 1
        for to, addressed in frames.items():
            self.dropped += self._link_to(to).offer(addressed)

    def _add(self, frames: list[bytes], letter: L) -> None:
        body = self._codec.encode(letter)
        if len(body) <= self._frame_bytes:
            frames.append(frame(body))
            return
        self.dropped += 1
        logger.error("a letter of %s bytes is too long to be sent: %s", f"{len(body):,}", type(letter).__name__)

    def _link_to(self, node: NodeId) -> Link:
        return self._peers.get(node) or self._guests[node]

    def leads_to(self, node: NodeId) -> bool:
        """Whether a link to a peer with this id stands."""
        return node in self._peers

    def add(self, node: NodeId, link: Link, guest: bool = False) -> None:
        """Letters to this node leave here from now on."""
        (self._guests if guest else self._peers)[node] = link

    def remove(self, node: NodeId, link: Link, guest: bool = False) -> None:
        """No longer; unless a newer link has taken the place."""
        links = self._guests if guest else self._peers
        if links.get(node) is link:
            del links[node]

    async def receive(self, link: Link, sender: Greeting) -> None:
        """Deliver what comes, all of one read together, and read on when it was taken. Raises `Lost`, `Unreadable`."""
        while True:
            if letters := [self._decoded(body, sender) for body in link.frames.take_all()]:
                await self.deliver(letters)
            await link.read()

    def _decoded(self, body: bytes, sender: Greeting) -> L:
        try:
            return self._codec.decode(body, sender)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise Unreadable(f"no letter: {error}") from error
