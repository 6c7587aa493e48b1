"""The way to a shared runner is lost and found: what a node is told then, and that nothing is lost with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from slimjobs.core.configuration.setting_kinds import LoopbackAddress
from slimjobs.core.orchestrators.ports import (
    Accepted,
    Changed,
    Create,
    Effect,
    Listed,
    Observation,
    Outcome,
    OutputMissing,
    OutputUnavailable,
    Phase,
    Rejected,
    Unavailable,
    Unobserved,
)
from slimjobs.core.orchestrators.process import open_runner
from slimjobs.core.orchestrators.shared import calls, doors, server, streams, words
from slimjobs.core.orchestrators.shared.remote import open_remote
from slimjobs.core.orchestrators.shared.words import list_parts
from tests.core.orchestrators.process.world import QUICK, a_job, a_script, until
from tests.core.orchestrators.shared.sharing import WithoutServices, a_node, a_shared_world, an_address, served


class Gated(WithoutServices):
    """An orchestrator that takes everything on and finishes nothing before the gate is opened."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.asked: list[Effect] = []

    async def carry_out(self, effect: Effect) -> Outcome:
        self.asked.append(effect)
        await self.gate.wait()
        return Accepted()

    async def observe(self) -> AsyncIterator[Observation]:
        yield Unobserved("")
        yield Listed(())
        await self.gate.wait()
        yield Unobserved("what runs the jobs is away")

    async def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        yield b"begun\n"
        await self.gate.wait()
        raise OutputUnavailable("what runs the jobs is away")


async def test_while_there_is_no_runner_everything_says_so_and_what_was_tried(tmp_path: Path) -> None:
    with an_address() as address:
        async with open_remote(address) as remote:
            said = f"the runner at unix:{address.path} cannot be reached: No such file or directory"
            assert await remote.carry_out(Create(a_job("true"))) == Unavailable(f"{said} (tried for 2 s)")
            assert await anext(remote.observe()) == Unobserved(said)
            with pytest.raises(OutputUnavailable, match="cannot be reached"):
                await anext(remote.output("name", "uid", None, None, False))


async def test_a_node_finds_its_runner_when_it_comes_and_begins_a_new_list_each_time_it_comes_back(
    tmp_path: Path,
) -> None:
    with an_address() as address:
        async with a_node(address) as world:
            await until(lambda: bool(world.seen))
            async with open_runner(tmp_path, QUICK) as runner:
                async with served(runner, address):
                    job = await world.run(a_script("echo kept"))
                async with served(runner, address):
                    await until(lambda: world.seen[-1] == Listed((world.jobs[job.name],)))
                    assert await world.output(job) == b"kept\n"
                    seen = world.seen[:]
        told = [each.detail if isinstance(each, Unobserved) else type(each) for each in seen]
        at = f"the runner at unix:{address.path}"
        assert told[:3] == [f"{at} cannot be reached: No such file or directory", "", Listed]
        lost = told.index(f"{at} closed the connection")
        assert set(told[3:lost]) == {Changed}
        assert set(told[lost + 1 : -2]) <= {f"{at} cannot be reached: Connection refused"}
        assert told[-2:] == ["", Listed]


async def test_a_request_whose_connection_breaks_may_have_arrived_and_says_so() -> None:
    orchestrator, outcomes = Gated(), []
    with an_address() as address:
        async with open_remote(address) as remote, trio.open_nursery() as nursery:

            async def ask() -> None:
                outcomes.append(await remote.carry_out(Create(a_job("true"))))

            async with served(orchestrator, address):
                nursery.start_soon(ask)
                await until(lambda: bool(orchestrator.asked))
        said = f"the runner at unix:{address.path} closed the connection; the request may have arrived"
        assert outcomes == [Unavailable(said)]


async def test_a_runner_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "ANSWER_SECONDS", 0.1)
    with an_address() as address:
        async with served(Gated(), address), open_remote(address) as remote:
            outcome = await remote.carry_out(Create(a_job("true")))
            assert isinstance(outcome, Unavailable)
            assert "did not answer within 0.1 s; the request may have arrived" in outcome.detail


async def test_many_effects_are_under_way_at_once_over_one_connection() -> None:
    orchestrator, outcomes = Gated(), []
    with an_address() as address:
        async with served(orchestrator, address), open_remote(address) as remote, trio.open_nursery() as nursery:

            async def ask() -> None:
                outcomes.append(await remote.carry_out(Create(a_job("true"))))

            for _ in range(2 * doors.EFFECTS_AT_ONCE):
                nursery.start_soon(ask)
            await until(lambda: len(orchestrator.asked) == doors.EFFECTS_AT_ONCE)
            orchestrator.gate.set()
        assert outcomes == [Accepted()] * 2 * doors.EFFECTS_AT_ONCE


async def test_a_quiet_runner_is_heard_and_one_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(doors, "BEAT_SECONDS", 0.05)
    orchestrator = Gated()
    with an_address() as address:
        async with served(orchestrator, address), a_node(address) as world:
            await trio.sleep(1)
            assert world.seen == [Unobserved(""), Listed(())]
            monkeypatch.setattr(doors, "BEAT_SECONDS", 60)
            await until(lambda: len(world.seen) > 2)
            assert world.seen[2] == Unobserved(f"the runner at unix:{address.path} said nothing for 0.3 s")


async def test_what_the_runners_own_orchestrator_cannot_see_or_read_reaches_the_node() -> None:
    orchestrator = Gated()
    with an_address() as address:
        async with served(orchestrator, address), a_node(address) as world:
            output = world.runner.output("name", "uid", None, None, True)
            assert await anext(output) == b"begun\n"
            orchestrator.gate.set()
            await until(lambda: len(world.seen) > 2)
            assert world.seen[2] == Unobserved("what runs the jobs is away")
            with pytest.raises(OutputUnavailable, match="what runs the jobs is away"):
                await anext(output)


async def test_output_that_breaks_off_does_not_look_like_its_end() -> None:
    with an_address() as address:
        async with open_remote(address) as remote:
            output = remote.output("name", "uid", None, None, True)
            async with served(Gated(), address):
                assert await anext(output) == b"begun\n"
            with pytest.raises(OutputUnavailable, match="closed the connection"):
                await anext(output)


async def test_readers_of_output_find_no_room_before_nodes_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "OUTPUTS", 1)
    async with a_shared_world(tmp_path) as world:
        job = await world.start(a_script("echo begun; exec sleep 60"))
        await world.reached(job, Phase.RUNNING)
        first = world.runner.output(job.name, job.uid, None, None, True)
        assert await anext(first) == b"begun\n"
        with pytest.raises(OutputUnavailable, match="refuses: 1 outputs are being read already"):
            await world.output(job)
        assert (await world.run(a_job("true"))).phase is Phase.SUCCEEDED
        with pytest.raises(OutputUnavailable):
            await world.output(job)


async def test_two_nodes_see_the_same_objects_and_either_may_act_on_them(tmp_path: Path) -> None:
    with an_address() as address:
        async with (
            open_runner(tmp_path, QUICK) as runner,
            served(runner, address),
            a_node(address) as one,
            a_node(address) as other,
        ):
            job = await one.create(a_job("echo", "both"))
            await other.sees(lambda: job.name in other.jobs)
            await other.release(other.jobs[job.name])
            assert await one.ended(job) == await other.ended(job)
            assert await one.output(job) == await other.output(job) == b"both\n"
            await one.delete(job)
            assert await one.gone(job) == await other.gone(job)


async def test_a_thousand_objects_are_listed_in_parts_and_seen_as_one_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "LIST_PART_BYTES", 10_000)
    with an_address() as address:
        async with open_runner(tmp_path, QUICK) as runner, served(runner, address):
            async with a_node(address) as first, trio.open_nursery() as nursery:
                for _ in range(1000):
                    nursery.start_soon(first.create, a_job("true"))
            async with a_node(address) as second:
                await until(lambda: bool(second.jobs))
                assert len(second.seen) == 2
                assert len(second.jobs) == 1000
                assert len(list(list_parts(tuple(second.jobs.values())))) > 10


async def test_a_job_that_is_too_large_for_a_frame_is_refused_for_good(tmp_path: Path) -> None:
    async with a_shared_world(tmp_path) as world:
        outcome = await world.runner.carry_out(Create(a_job("echo", "x" * words.MAX_FRAME_BYTES)))
        assert isinstance(outcome, Rejected)
        assert "too large for the runner: 4,194," in outcome.detail
        assert (await world.run(a_job("true"))).phase is Phase.SUCCEEDED


async def test_a_loopback_port_does_as_well(tmp_path: Path) -> None:
    with trio.socket.socket() as probe:
        await probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = LoopbackAddress("localhost", port)
    async with open_runner(tmp_path, QUICK) as runner, served(runner, address), a_node(address) as world:
        assert await world.output(await world.run(a_job("echo", "here"))) == b"here\n"


async def test_an_output_that_is_missing_is_told_apart_from_one_that_cannot_be_asked_for(tmp_path: Path) -> None:
    async with a_shared_world(tmp_path) as world:
        with pytest.raises(OutputMissing, match="is gone") as raised:
            await anext(world.runner.output("name", "uid", None, None, False))
        assert not isinstance(raised.value, OutputUnavailable)
