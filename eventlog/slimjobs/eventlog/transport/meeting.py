"""The beginning of every connection: TLS if there is any, then the dialer greets, then the other side greets back.

Here a frame's body is a `Greeting`, or in place of the second one a string: the reason of a refusal, so that the log of
either side tells why two nodes do not talk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec
import trio

from slimjobs.eventlog.transport.frames import Unreadable, frame
from slimjobs.eventlog.transport.greeting import PROTOCOL, Greeting
from slimjobs.eventlog.transport.limits import Limits
from slimjobs.eventlog.transport.link import Link
from slimjobs.eventlog.transport.sockets import PeerAddress
from slimjobs.eventlog.transport.tls import Certificate, Contexts, certificate_of, secure, speaks_for

REASON_LETTERS: Final = 500
"""How much of a reason is told to the other side: it has to fit into a greeting's frame."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final[msgspec.msgpack.Decoder[Greeting | str]] = msgspec.msgpack.Decoder(Greeting | str)

Judge = Callable[[Greeting], str]
"""Why whoever greets so is not talked to; empty if it is."""


class Refused(Exception):
    """One side does not want to talk to the other; the message says why. `name`: what the other side calls itself."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(reason)
        self.name = name


class Doorkeeper:
    """Finds out who is at the other end of a connection, and whether to talk to it.

    Its two ways of meeting give a link that was greeted in both directions, in time, or raise `Refused`, `Unreadable`
    or `Lost` (of `link`); the socket is the caller's to close.
    """

    def __init__(
        self,
        greeting: Callable[[], Greeting],
        judge: Judge,
        peers: Mapping[str, PeerAddress],
        contexts: Contexts | None,
        limits: Limits,
    ) -> None:
        self._greeting, self._judge, self._peers = greeting, judge, peers
        self._contexts, self._limits = contexts, limits

    async def meet_dialed(self, socket: trio.SocketStream, judge: Judge) -> tuple[Link, Greeting]:
        """Greet first."""
        with _in_time(self._limits.greeting_seconds):
            link, certificate = await self._link(socket, server_side=False)
            await link.say(_framed(self._greeting()))
            answer = await _hear(link)
            if isinstance(answer, str):
                raise Refused(f"it says {answer!r}")
            if reason := self._objection(answer, certificate, judge):
                raise Refused(reason, answer.name)
        return link, answer

    async def meet_dialer(self, socket: trio.SocketStream, judge: Judge) -> tuple[Link, Greeting]:
        """Greet back, or say why not."""
        with _in_time(self._limits.greeting_seconds):
            link, certificate = await self._link(socket, server_side=True)
            dialer = await _hear(link)
            if isinstance(dialer, str):
                raise Unreadable("a refusal where a greeting was due")
            if reason := self._objection(dialer, certificate, judge):
                await link.say(_framed(reason[:REASON_LETTERS]))
                raise Refused(reason, dialer.name)
            await link.say(_framed(self._greeting()))
        return link, dialer

    async def _link(self, socket: trio.SocketStream, server_side: bool) -> tuple[Link, Certificate | None]:
        if self._contexts is None:
            return Link(socket, socket), None
        context = self._contexts.accepting() if server_side else self._contexts.dialing()
        secured = await secure(socket, context, server_side)
        return Link(socket, secured), certificate_of(secured)

    def _objection(self, greeting: Greeting, certificate: Certificate | None, judge: Judge) -> str:
        if greeting.protocol != PROTOCOL:
            return f"{greeting.name!r} speaks protocol {greeting.protocol}, {self._greeting().name!r} {PROTOCOL}"
        if not greeting.guest and certificate is not None:
            peer = self._peers.get(greeting.name)
            if peer is None or not speaks_for(certificate, peer.name, peer.host):
                return f"its certificate is not for {greeting.name!r}"
        return judge(greeting) or self._judge(greeting)


@contextmanager
def _in_time(seconds: float) -> Iterator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise Unreadable(f"no greeting within {seconds:g} s") from None


def _framed(said: Greeting | str) -> bytes:
    return frame(_encode(said))


async def _hear(link: Link) -> Greeting | str:
    while (body := link.frames.take()) is None:
        await link.read()
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unreadable(f"no greeting: {error}") from error
