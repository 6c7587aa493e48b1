"""What others dial: peers, whose letters are taken, and guests, who are answered on the same connection as well.

Everything about it is bounded: connections that have not introduced themselves, guests, and one connection for each
configured peer, of which the newest counts. Whatever a stranger sends costs that connection and, at most once a
minute, a line of the log.
"""

from __future__ import annotations

import logging
from collections.abc import Set
from typing import Final, Generic

import trio

from slimjobs.eventlog.transport.complaints import Complaints
from slimjobs.eventlog.transport.frames import Unreadable
from slimjobs.eventlog.transport.greeting import Greeting
from slimjobs.eventlog.transport.limits import Limits
from slimjobs.eventlog.transport.link import Link, Lost
from slimjobs.eventlog.transport.meeting import Doorkeeper, Refused
from slimjobs.eventlog.transport.post import L, Post
from slimjobs.eventlog.transport.sockets import remote_host, watch

logger: Final = logging.getLogger(__name__)


class Incoming(Generic[L]):
    """Accepts connections of the peers with these names, and of guests."""

    def __init__(
        self, peers: Set[str], doorkeeper: Doorkeeper, post: Post[L], complaints: Complaints, limits: Limits
    ) -> None:
        self._names, self._doorkeeper, self._post = peers, doorkeeper, post
        self._complaints, self._limits = complaints, limits
        self._peers: dict[str, Link] = {}
        self._strangers: dict[int, trio.CancelScope] = {}
        self._last_stranger = 0
        self._guests = 0

    async def serve(self, socket: trio.SocketStream, nursery: trio.Nursery) -> None:
        """One connection from its beginning to its end; raises nothing for what the other side does."""
        host = remote_host(socket)
        watch(socket, self._limits)
        try:
            await self._serve(socket, host, nursery)
        except Lost as error:
            logger.debug("a connection from %s ended: %s", host, error)
        except Unreadable as error:
            self._complaints.about_address(host, str(error))
        finally:
            socket.socket.close()

    async def _serve(self, socket: trio.SocketStream, host: str, nursery: trio.Nursery) -> None:
        try:
            met = await self._meet(socket)
        except Refused as refused:
            self._tell(refused, host)
        else:
            link, greeting = met
            self._complaints.forget(_whom(greeting.name, host))
            if greeting.guest:
                await self._serve_guest(link, greeting, nursery)
            else:
                await self._serve_peer(link, greeting)

    # Whoever means it introduces itself in a moment. So where many say nothing, it is the one that has said nothing for
    # longest who makes room, and they cannot keep a peer out.
    async def _meet(self, socket: trio.SocketStream) -> tuple[Link, Greeting]:
        while len(self._strangers) >= self._limits.handshakes:
            self._strangers.pop(next(iter(self._strangers))).cancel()
        self._last_stranger += 1
        number = self._last_stranger
        with trio.CancelScope() as scope:
            self._strangers[number] = scope
            try:
                return await self._doorkeeper.meet_dialer(socket, self._objection)
            finally:
                self._strangers.pop(number, None)
        raise Unreadable(f"{self._limits.handshakes} others have come since, and it has not introduced itself")

    def _objection(self, greeting: Greeting) -> str:
        if greeting.guest:
            return self._full()
        return "" if greeting.name in self._names else f"no configured peer is called {greeting.name!r}"

    def _full(self) -> str:
        return f"there are {self._guests} guests already" if self._guests >= self._limits.guests else ""

    def _tell(self, refused: Refused, host: str) -> None:
        if refused.name in self._names:
            self._complaints.about_peer(_whom(refused.name, host), str(refused))
        else:
            self._complaints.about_address(host, str(refused))

    async def _serve_peer(self, link: Link, greeting: Greeting) -> None:
        older = self._peers.get(greeting.name)
        if older is not None:
            older.close()
        self._peers[greeting.name] = link
        link.open(self._limits.frame_bytes, buffered_bytes=0)
        try:
            await self._post.receive(link, greeting)
        finally:
            if self._peers.get(greeting.name) is link:
                del self._peers[greeting.name]

    async def _serve_guest(self, link: Link, greeting: Greeting, nursery: trio.Nursery) -> None:
        if reason := self._full():  # others came while this one was greeted
            raise Unreadable(reason)
        link.open(self._limits.guest_frame_bytes, self._limits.guest_buffered_bytes)
        self._guests += 1
        self._post.add(greeting.node, link, guest=True)
        nursery.start_soon(link.write_for_ever)
        try:
            await self._post.receive(link, greeting)
        finally:
            self._post.remove(greeting.node, link, guest=True)
            self._guests -= 1
            link.close()


def _whom(name: str, host: str) -> str:
    return f"from {name} at {host}"
