"""A task of its own behind an iterator, which ends when nobody is left who could take what it gives."""

from __future__ import annotations

import gc
import threading
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from slimjobs.core.orchestrators.kubernetes.pumping import Pump, Send


class Source:
    """Counts for ever, or as far as it is told to."""

    def __init__(self, end: int | None = None) -> None:
        self.ended = trio.Event()
        self.given = 0
        self._end = end

    async def give(self, send: Send[int]) -> None:
        try:
            while self._end is None or self.given < self._end:
                await send(self.given)
                self.given += 1
        finally:
            self.ended.set()


@pytest.fixture
async def owner() -> AsyncIterator[trio.Nursery]:
    """Who owns the tasks; nothing is left in it at the end."""
    async with trio.open_nursery() as nursery:
        yield nursery
        with trio.fail_after(5):
            while nursery.child_tasks:  # noqa: ASYNC110  # a nursery tells nobody when it is empty
                await trio.sleep(0.001)


async def test_items_come_in_order_and_none_before_it_is_wanted(owner: trio.Nursery) -> None:
    source = Source(3)
    pump = Pump(owner, source.give)
    await trio.testing.wait_all_tasks_blocked()
    assert source.given == 0
    assert [await pump.next() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(trio.EndOfChannel):
        await pump.next()


async def test_whoever_is_cancelled_while_waiting_has_missed_nothing(owner: trio.Nursery) -> None:
    gate = trio.Event()

    async def give(send: Send[str]) -> None:
        await gate.wait()
        await send("late")

    pump = Pump(owner, give)
    with trio.move_on_after(0) as scope:
        await pump.next()
    assert scope.cancelled_caught
    gate.set()
    assert await pump.next() == "late"


async def test_it_may_be_read_by_one_task_and_then_another(owner: trio.Nursery) -> None:
    pump = Pump(owner, Source().give)
    taken: list[int] = []

    async def take() -> None:
        taken.append(await pump.next())

    for _ in range(3):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
    assert taken == [0, 1, 2]
    pump.close()


async def test_a_source_ends_when_it_is_closed(owner: trio.Nursery) -> None:
    source = Source()
    pump = Pump(owner, source.give)
    assert await pump.next() == 0
    pump.close()
    pump.close()
    await source.ended.wait()


async def test_a_source_ends_with_the_last_reference_to_its_pump(owner: trio.Nursery) -> None:
    source = Source()
    pump = Pump(owner, source.give)
    assert await pump.next() == 0
    del pump
    gc.collect()
    await source.ended.wait()


async def test_the_last_reference_may_be_dropped_in_any_thread(owner: trio.Nursery) -> None:
    source = Source()
    kept = [Pump(owner, source.give)]
    thread = threading.Thread(target=kept.clear)
    thread.start()
    await trio.to_thread.run_sync(thread.join)
    await source.ended.wait()


def test_the_last_reference_may_be_dropped_when_all_is_over() -> None:
    kept: list[Pump[int]] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            kept.append(Pump(nursery, Source().give))
            nursery.cancel_scope.cancel()

    trio.run(main)
    kept.clear()
