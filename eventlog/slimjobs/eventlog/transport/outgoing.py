"""To one configured peer: dial it, greet, keep the link for as long as it stands, tell of both ends, dial again."""

from __future__ import annotations

import logging
import random
from typing import Final, Generic

import trio

from slimjobs.eventlog.transport.complaints import Complaints
from slimjobs.eventlog.transport.frames import Unreadable
from slimjobs.eventlog.transport.greeting import Greeting, PeerLost, PeerMet
from slimjobs.eventlog.transport.limits import Limits
from slimjobs.eventlog.transport.link import Link, Lost
from slimjobs.eventlog.transport.meeting import Doorkeeper, Refused
from slimjobs.eventlog.transport.post import L, Post
from slimjobs.eventlog.transport.sockets import PeerAddress, Unreachable, dial

logger: Final = logging.getLogger(__name__)


class Outgoing(Generic[L]):
    """The way to this peer, for ever."""

    def __init__(
        self, peer: PeerAddress, doorkeeper: Doorkeeper, post: Post[L], complaints: Complaints, limits: Limits
    ) -> None:
        self._peer, self._doorkeeper, self._post = peer, doorkeeper, post
        self._complaints, self._limits = complaints, limits
        self._whom = f"to {peer}"
        self._last: Greeting | None = None
        """Who was lost, while it is not known whether its process is gone."""

    async def run(self, nursery: trio.Nursery) -> None:
        """Dial until cancelled; links write in tasks of the nursery."""
        pause = self._limits.first_redial_seconds
        while True:
            if await self._visit(nursery) >= self._limits.last_redial_seconds:
                pause = self._limits.first_redial_seconds
                continue  # at once: a refusal now says that the process is gone, long before a timeout would
            await trio.sleep(random.uniform(pause / 2, pause))
            pause = min(2 * pause, self._limits.last_redial_seconds)

    async def _visit(self, nursery: trio.Nursery) -> float:
        """One connection, from the dial to its end; for how many seconds it stood."""
        try:
            socket = await dial(self._peer, self._limits)
        except Unreachable as error:
            await self._unreachable(error)
            return 0.0
        try:
            link, greeting = await self._doorkeeper.meet_dialed(socket, self._objection)
            return await self._keep(link, greeting, nursery)
        except (Refused, Unreadable, Lost) as error:
            self._complaints.about_peer(self._whom, str(error))
            return 0.0
        finally:
            socket.socket.close()

    async def _unreachable(self, error: Unreachable) -> None:
        self._complaints.about_peer(self._whom, str(error), logging.INFO)
        if error.refused and self._last is not None:
            lost, self._last = self._last, None
            await self._post.deliver([PeerLost(lost.name, lost.node, refused=True)])

    def _objection(self, greeting: Greeting) -> str:
        if greeting.name != self._peer.name:
            return f"there it is {greeting.name!r} who answers"
        if self._post.leads_to(greeting.node):
            return f"its node id {greeting.node} is that of another peer"
        return ""

    async def _keep(self, link: Link, greeting: Greeting, nursery: trio.Nursery) -> float:
        """Letters leave through it, for as long as it stands: so many seconds."""
        met_at = trio.current_time()
        link.open(self._limits.frame_bytes, self._limits.buffered_bytes)
        self._post.add(greeting.node, link)
        nursery.start_soon(link.write_for_ever)
        self._complaints.forget(self._whom)
        self._last = greeting
        logger.info("connected %s", self._whom)
        try:
            await self._post.deliver([PeerMet(greeting)])
            await self._post.receive(link, greeting)
        except (Unreadable, Lost) as error:
            logger.warning("lost the connection %s: %s", self._whom, error)
        finally:
            self._post.remove(greeting.node, link)
            link.close()
        await self._post.deliver([PeerLost(greeting.name, greeting.node)])
        return trio.current_time() - met_at
