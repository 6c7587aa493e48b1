"""A task of its own behind an iterator: it may hold connections open while nobody waits for what comes next.

Whoever iterates may do it from one task and then from another, and may leave without a word; so what holds connections
and cancel scopes open lives in the orchestrator's nursery, and ends with the last reference to its `Pump`.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

import trio

T = TypeVar("T")

Send = Callable[[T], Awaitable[None]]
"""Hands one item over; returns when it was taken."""


class Pump(Generic[T]):
    """Runs a source and gives what it hands over, one item after another. It may not refer to its pump."""

    def __init__(self, nursery: trio.Nursery, source: Callable[[Send[T]], Awaitable[None]]) -> None:
        send, self._receive = trio.open_memory_channel[T](0)
        scope = trio.CancelScope()
        token = trio.lowlevel.current_trio_token()
        self._finalizer = weakref.finalize(self, _end, token, scope, self._receive)
        self._finalizer.atexit = False
        nursery.start_soon(_run, source, send, scope)

    async def next(self) -> T:
        """The next item. Raises `trio.EndOfChannel` where the source is at its end."""
        return await self._receive.receive()

    def close(self) -> None:
        """End the source now, and not with the last reference."""
        self._finalizer()


async def _run(
    source: Callable[[Send[T]], Awaitable[None]], send: trio.MemorySendChannel[T], scope: trio.CancelScope
) -> None:
    # Nobody takes it any more: then the scope is about to be cancelled.
    with scope, suppress(trio.BrokenResourceError), send:
        await source(send.send)


# The last reference may be dropped in any thread, and when the loop has already ended.
def _end(token: trio.lowlevel.TrioToken, scope: trio.CancelScope, receive: trio.MemoryReceiveChannel[T]) -> None:
    def end() -> None:
        scope.cancel()
        receive.close()

    with suppress(trio.RunFinishedError):
        token.run_sync_soon(end)
