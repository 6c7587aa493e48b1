"""What the server does for a connection that was welcome, one function for each purpose.

Each runs until the connection is lost: it raises `Lost` then, also inside of groups.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeVar

import trio

from slimjobs.core.orchestrators.declared import Runner
from slimjobs.core.orchestrators.ports import Listed, OutputMissing, OutputUnavailable, Scale
from slimjobs.core.orchestrators.shared.connection import Connection
from slimjobs.core.orchestrators.shared.words import (
    BEAT_SECONDS,
    Answer,
    Ask,
    End,
    ForOutput,
    Look,
    Next,
    NoOutput,
    Piece,
    Reply,
    Request,
    Waiting,
    list_parts,
)

EFFECTS_AT_ONCE: Final = 64
"""For one node; what it asks beyond waits unread. A node asks for fewer."""

T = TypeVar("T")


async def carry_out_effects(connection: Connection[Request], runner: Runner) -> None:
    """Carry out what is asked, many at once, and answer each when it is done."""
    room = trio.Semaphore(EFFECTS_AT_ONCE)
    answering = trio.StrictFIFOLock()

    async def carry_out(ask: Ask) -> None:
        effect = ask.effect
        outcome = await (runner.scale(effect) if isinstance(effect, Scale) else runner.carry_out(effect))
        async with answering:
            await connection.send(Answer(ask.number, outcome))
        room.release()

    async with trio.open_nursery() as nursery:
        while True:
            await room.acquire()
            nursery.start_soon(carry_out, await _expected(connection, Ask))


async def give_observations(connection: Connection[Request], runner: Runner) -> None:
    """Give one observation for each that is asked for. A node that asks too rarely gets a new list from its watch."""
    async with _closing(runner.observe()) as observations:
        while True:
            await _expected(connection, Next)
            observation = await _beating(connection, lambda: anext(observations))
            if isinstance(observation, Listed):
                for part in list_parts(observation.jobs):
                    await connection.send(part)
            else:
                await connection.send(observation)


async def give_sights(connection: Connection[Request], runner: Runner) -> None:
    """Declare with each word that asks for a sight, and give that."""
    lookout = runner.lookout()
    while True:
        look = await _expected(connection, Look)
        await connection.send(await _beating(connection, partial(lookout.next, look.declared)))


async def give_output(connection: Connection[Request], runner: Runner, wanted: ForOutput) -> None:
    """Give one piece of the output for each that is asked for, until its end."""
    async with _closing(_words(runner, wanted)) as words:
        word: Reply = Waiting()
        while not isinstance(word, End | NoOutput):
            await _expected(connection, Next)
            word = await _beating(connection, lambda: anext(words))
            await connection.send(word)


async def _words(runner: Runner, wanted: ForOutput) -> AsyncGenerator[Piece | End | NoOutput, None]:
    """An output in the words of the protocol."""
    try:
        output = runner.output(wanted.name, wanted.uid, wanted.attempt, wanted.tail_lines, wanted.follow)
        async with _closing(output) as pieces:
            async for piece in pieces:
                yield Piece(piece)
    except OutputMissing as missing:
        yield NoOutput(str(missing), unknown=isinstance(missing, OutputUnavailable))
    else:
        yield End()


@asynccontextmanager
async def _closing(source: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """The source, closed at the end if it is one that has to be."""
    try:
        yield source
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _expected(connection: Connection[Request], kind: type[T]) -> T:
    """The next request, whenever it comes."""
    request = await connection.receive(math.inf)
    if not isinstance(request, kind):
        raise connection.lost(f"said {type(request).__name__} where only {kind.__name__} can follow")
    return request


async def _beating(connection: Connection[Request], take: Callable[[], Awaitable[T]]) -> T:
    """What `take` gives; as long as that takes, the node hears that somebody is there, and a node that left is noticed.

    `take` is never cancelled for a beat: what it waits for may not bear that.
    """
    taken: list[T] = []
    done = trio.Event()

    async def wait() -> None:
        taken.append(await take())
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        while not done.is_set():
            with trio.move_on_after(BEAT_SECONDS):
                await done.wait()
            if not done.is_set():
                await connection.send(Waiting())
    return taken[0]
