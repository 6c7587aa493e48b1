"""List and watch, over real connections: what is told, and what happens when the thread is lost."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Final

import msgspec
import trio

from slimjobs.core.orchestrators.kubernetes.api import Api
from slimjobs.core.orchestrators.kubernetes.watching import All, Beginning, Gone, Kind, Put, list_and_watch
from tests.core.orchestrators.kubernetes.wire import CHUNKED, Exchange, client_of

PODS: Final = "/api/v1/namespaces/demo/pods"


class Metadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class Pod(msgspec.Struct):
    """What is read of a pod here: its name is enough."""

    name: str = ""
    metadata: Metadata = msgspec.field(default_factory=Metadata)


KIND: Final = Kind(PODS, Pod, "owner=us")
Told = Beginning | All[Pod] | Put[Pod] | Gone[Pod]


def page(*names: str, version: int = 1, more: str = "") -> dict[str, object]:
    return {
        "metadata": {"resourceVersion": str(version), "continue": more},
        "items": [{"name": name} for name in names],
    }


def watching(api: Api) -> aclosing[AsyncGenerator[Told, None]]:
    return aclosing(list_and_watch(api, KIND))


async def told(changes: AsyncGenerator[Told, None], number: int) -> list[str]:
    """The next so many, in short."""
    found: list[str] = []
    with trio.fail_after(20):
        async for each in changes:
            match each:
                case Beginning(detail):
                    found.append(f"begins: {detail}" if detail else "begins")
                case All(items):
                    found.append("all: " + " ".join(item.name for item in items))
                case Put(item):
                    found.append(f"put {item.name}")
                case Gone(item):
                    found.append(f"gone {item.name}")
            if len(found) == number:
                return found
    raise AssertionError("it never ends")


async def test_a_list_in_pages_and_then_every_change(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.watches:
            assert "resourceVersion=7" in exchange.path
            assert "labelSelector=owner%3Dus" in exchange.path
            await exchange.send(CHUNKED)
            await exchange.tell("ADDED", 8, name="c")
            await exchange.tell("BOOKMARK", 9)
            await exchange.tell("MODIFIED", 10, name="a")
            await exchange.tell("DELETED", 11, name="b")
            await exchange.until_left()
        elif "continue=more" in exchange.path:
            await exchange.answer(200, page("b", version=7))
        else:
            await exchange.answer(200, page("a", version=7, more="more"))

    async with client_of(script, tmp_path) as (wire, api):
        async with watching(api) as changes:
            assert await told(changes, 5) == ["begins", "all: a b", "put c", "put a", "gone b"]
        await wire.until(lambda: wire.open == 0)  # the watch went on over the connection of the list


async def test_a_watch_that_ends_goes_on_from_the_last_version_that_was_told(tmp_path: Path) -> None:
    watches = count(1)

    async def script(exchange: Exchange) -> None:
        if not exchange.watches:
            await exchange.answer(200, page(version=1))
            return
        number = next(watches)
        await exchange.send(CHUNKED)
        await exchange.tell("BOOKMARK" if number == 1 else "ADDED", 10 * number, name=f"p{number}")
        if number < 3:
            await exchange.send(b"0\r\n\r\n")  # an orderly end
            return
        await exchange.until_left()

    async with client_of(script, tmp_path) as (wire, api):
        async with watching(api) as changes:
            assert await told(changes, 4) == ["begins", "all: ", "put p2", "put p3"]
        versions = [asked.path.rpartition("resourceVersion=")[2] for asked in wire.asked if asked.watches]
        assert versions == ["1", "10", "20"]
        assert sum(not asked.watches for asked in wire.asked) == 1


async def test_a_version_that_is_too_old_is_listed_anew_but_not_without_pause(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        if not exchange.watches:
            await exchange.answer(200, page("a"))
            return
        await exchange.send(CHUNKED)
        gone = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
        await exchange.chunk(json.dumps(gone).encode() + b"\n")
        await exchange.send(b"0\r\n\r\n")

    async with client_of(script, tmp_path) as (wire, api):
        async with watching(api) as changes:
            assert await told(changes, 4) == ["begins", "all: a", "begins: too old resource version", "all: a"]
            with trio.move_on_after(1.0):
                await told(changes, 1000)
        assert 3 <= sum(not asked.watches for asked in wire.asked) <= 7


async def test_whoever_asks_too_often_waits_for_as_long_as_it_is_told(tmp_path: Path) -> None:
    times: list[float] = []

    async def script(exchange: Exchange) -> None:
        if not exchange.watches:
            await exchange.answer(200, page())
            return
        times.append(trio.current_time())
        if len(times) == 1:
            await exchange.answer(429, {"message": "slower"}, "Retry-After: 1")
            return
        await exchange.send(CHUNKED)
        await exchange.tell("ADDED", 2, name="a")
        await exchange.until_left()

    async with client_of(script, tmp_path) as (_, api), watching(api) as changes:
        assert await told(changes, 3) == ["begins", "all: ", "put a"]
        assert times[1] - times[0] >= 1


async def test_a_change_in_many_pieces_is_one_and_one_without_end_is_none(tmp_path: Path) -> None:
    lists = count()

    async def script(exchange: Exchange) -> None:
        if not exchange.watches:
            await exchange.answer(200, page(f"list-{next(lists)}"))
            return
        await exchange.send(CHUNKED)
        line = json.dumps({"type": "ADDED", "object": {"name": "big", "padding": "x" * 3_000_000}}).encode() + b"\n"
        for start in range(0, len(line), 1000):
            await exchange.chunk(line[start : start + 1000])
        while True:
            await exchange.chunk(b" " * 60_000)

    async with client_of(script, tmp_path) as (_, api), watching(api) as changes:
        begun = trio.current_time()
        assert await told(changes, 5) == [
            "begins",
            "all: list-0",
            "put big",
            "begins: a change has more than 4194304 bytes",
            "all: list-1",
        ]
        assert trio.current_time() - begun < 10


async def test_what_cannot_be_read_is_told_and_listed_anew(tmp_path: Path) -> None:
    lists = count()

    async def script(exchange: Exchange) -> None:
        if not exchange.watches:
            await exchange.answer(200, b"<html>" if next(lists) == 0 else page("a"))
            return
        await exchange.send(CHUNKED)
        await exchange.chunk(b'{"type": "ADDED", "object": 7}\n')

    async with client_of(script, tmp_path) as (_, api), watching(api) as changes:
        begins, broken, everything, odd = await told(changes, 4)
        assert (begins, everything) == ("begins", "all: a")
        assert broken.startswith("begins: the API server's answer cannot be read: ")
        assert odd.startswith("begins: the API server's answer cannot be read: ")


async def test_a_list_that_is_refused_says_why(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(403, {"message": "pods is forbidden"})

    async with client_of(script, tmp_path) as (_, api), watching(api) as changes:
        assert await told(changes, 2) == ["begins", "begins: pods is forbidden"]


async def test_a_connection_that_breaks_within_a_change_tells_nothing_of_it(tmp_path: Path) -> None:
    watches = count(1)

    async def script(exchange: Exchange) -> None:
        if not exchange.watches:
            await exchange.answer(200, page(version=1))
            return
        await exchange.send(CHUNKED)
        if next(watches) == 1:
            await exchange.chunk(b'{"type": "ADDED", "object": {"name": "ha')
            raise trio.BrokenResourceError
        await exchange.tell("ADDED", 2, name="whole")
        await exchange.until_left()

    async with client_of(script, tmp_path) as (wire, api), watching(api) as changes:
        assert await told(changes, 3) == ["begins", "all: ", "put whole"]
        assert [asked.path.rpartition("=")[2] for asked in wire.asked if asked.watches] == ["1", "1"]
