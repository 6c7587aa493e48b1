"""TCP as peers use it: where to listen, how to dial, and when a silent connection is dead."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

import msgspec
import trio

from slimjobs.eventlog.transport.limits import Limits
from slimjobs.eventlog.transport.link import Lost

BACKLOG: Final = 128
KEEPALIVE_SECONDS: Final = 1


class PeerAddress(msgspec.Struct, frozen=True):
    """Where a node of this name listens; the host is resolved at each dial."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.name} at {self.host}:{self.port}"


class PortUnavailable(Exception):
    """Peers cannot be listened for there; the message says where and why."""


class Unreachable(Lost):
    """Nothing answered a dial. `refused`: every address said that nobody listens."""

    def __init__(self, reason: str, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


async def listen(host: str | None, port: int) -> list[trio.SocketListener]:
    """Listeners on every address of this host; None means all of this machine.

    Port 0 is a free one, on one address only: a second would get another. Raises `PortUnavailable`.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        where = f"{host or 'any address'} port {port}"
        raise PortUnavailable(f"cannot listen for peers on {where}: {error.strerror or error}") from error
    if port:
        return listeners
    for listener in listeners[1:]:
        await listener.aclose()
    return listeners[:1]


async def dial(peer: PeerAddress, limits: Limits) -> trio.SocketStream:
    """A connection to wherever the peer's host is now. Raises `Unreachable`."""
    try:
        with trio.fail_after(limits.connect_seconds):
            stream = await trio.open_tcp_stream(peer.host, peer.port)
    except trio.TooSlowError:
        raise Unreachable(f"no connection within {limits.connect_seconds:g} s") from None
    except OSError as error:
        raise _unreachable(error) from error
    except UnicodeError as error:  # what the resolver makes of a label that is empty or too long
        raise Unreachable(f"no host name: {error}") from error
    watch(stream, limits)
    return stream


def _unreachable(error: OSError) -> Unreachable:
    """Trio tries every address of a host, and gives what each of them said as the cause of one error."""
    group = error.__cause__
    causes = group.exceptions if isinstance(group, BaseExceptionGroup) else (error,)
    reasons = {str(getattr(cause, "strerror", None) or cause) for cause in causes}
    return Unreachable(", ".join(sorted(reasons)), all(isinstance(cause, ConnectionRefusedError) for cause in causes))


def watch(stream: trio.SocketStream, limits: Limits) -> None:
    """Let the kernel end the connection when the other side is silent, be there something to send or not (tcp(7)).

    Does nothing to one that has ended already: its reader is about to see that.
    """
    probes = max(1, round(limits.dead_after_seconds / KEEPALIVE_SECONDS) - 1)
    options = (
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_SECONDS),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * limits.dead_after_seconds)),
    )
    with suppress(OSError):
        for level, option, value in options:
            stream.setsockopt(level, option, value)


def remote_host(stream: trio.SocketStream) -> str:
    """Where the other side is, without its port: what warnings are counted by."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "an address that has gone"
