"""The acts of a demonstration: runs are accepted, what they depend on wakes, the leader is killed, and comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Final

import click
import trio

from slimjobs.core.orchestrators.process.answering import answers
from slimjobs.deploy.cluster import show_cluster
from slimjobs.deploy.demo.asking import LOOKED_AT_SECONDS, ask, in_thread
from slimjobs.deploy.demo.children import Child
from slimjobs.deploy.demo.place import JOB, NODES, RUNNER, SERVICE, SLOTS, SOCKET, Place
from slimjobs.deploy.demo.runs import Runs, list_runs, trigger, with_status
from slimjobs.deploy.demo.verdict import FINAL, Rows, broken_promises, witnessed
from slimjobs.deploy.exits import Ended

RUNS: Final = 8


class Show:
    """What the person sees. It is all true: whatever it says has been asked of the nodes."""

    def __init__(self, place: Place, children: Mapping[str, Child]) -> None:
        self._place = place
        self._children = children
        self._accepted: list[str] = []
        self._older: list[str] = []
        self._broken: list[str] = []

    async def run(self) -> list[str]:
        """Show everything; gives the promises that were broken, a line each."""
        click.echo("Three nodes and a runner are started ...")
        for name in NODES:
            await ask(self._place.url(name), "GET", "/ready")
        await self._welcome()
        known = await self._take_up()
        was_awake = await answers(self._place.service_port)
        await self._trigger(RUNS - len(self._older))
        await self._see_it_awake(was_awake)
        runs = Runs(self._place.url(), known)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runs.watch)
            await self._lose_the_leader(runs)
            await runs.until(lambda _: runs.have_ended(self._expected))
            nursery.cancel_scope.cancel()
        await self._sum_up()
        return self._broken

    @property
    def _expected(self) -> Sequence[str]:
        return (*self._older, *self._accepted)

    async def _welcome(self) -> None:
        """Where everything is, and what to try meanwhile."""
        leader = await self._leader()
        pids = {name: child.pid for name, child in self._children.items()}
        click.echo(f"Together they hold one log, each a copy of it, in {self._place.directory}:\n")
        for name in NODES:
            click.echo(f"  {name}  {self._place.url(name)}  pid {pids[name]}{'  leads' if name == leader else ''}")
        click.echo(f"  {RUNNER}  unix:{self._place.directory / SOCKET}  pid {pids[RUNNER]}\n")
        click.echo("Any of the nodes answers anything. Try, in another terminal:\n")
        click.echo(f"""  curl -X POST {self._place.url(NODES[1])}/job/{JOB} -d '{{"Args": ["50"]}}'""")
        click.echo(f"  curl {self._place.url(NODES[2])}/job/{JOB}")
        click.echo(f"  kill -9 {pids[NODES[2]]}        one of them: it is started again, and misses nothing")
        click.echo(f"  kill -9 {os.getpid()}        all of them: start it again, nothing that was accepted is lost")

    async def _take_up(self) -> Rows:
        """What there is from before; those that have not ended yet count from now on."""
        known = await list_runs(self._place.url())
        self._older = [run_id for run_id, row in known.items() if row["Status"] not in FINAL]
        if known:
            click.echo(f"\nFound again: {len(known)} runs from before, {len(self._older)} of them not ended yet")
        return known

    async def _trigger(self, count: int) -> None:
        click.echo(f"\n{max(count, 0)} new runs, {SLOTS} at a time; they depend on {SERVICE}:")
        for number in range(count):
            name = NODES[number % len(NODES)]
            run_id = await trigger(self._place.url(name), 10 * (number + 1))
            self._accepted.append(run_id)
            click.echo(f"  {run_id}  accepted by {name}")

    async def _see_it_awake(self, was_awake: bool) -> None:
        """What the runs depend on slept, unless there were some from before; now it is seen for itself."""
        while not await answers(self._place.service_port):  # noqa: ASYNC110  # a port sets no event
            await trio.sleep(LOOKED_AT_SECONDS)
        told = "was awake" if was_awake else "was asleep, and was woken for them"
        click.echo(f"  {SERVICE}  {told}: it answers on port {self._place.service_port}")

    # The leader's death ---------------------------------------------------------------------------------------------

    async def _lose_the_leader(self, runs: Runs) -> None:
        """Kill the leader as soon as all slots are taken by runs that have just begun, and have it back later."""
        before = await self._full_swing(runs)
        running = with_status(before, "Running")
        lost = await self._leader()
        index = await self._index(lost)
        click.echo(f"\n{lost} leads, and {len(running)} runs run: kill -9 {self._children[lost].pid}")
        self._children[lost].kill()
        await self._fail_over(lost, {each: before[each] for each in running})
        await runs.until(lambda _: runs.have_ended(running))
        await self._bring_back(lost, index)

    # On a machine that is very slow they may have run unseen: then there are more.
    async def _full_swing(self, runs: Runs) -> Rows:
        while True:
            rows = await runs.until(lambda rows: _in_full_swing(rows) or runs.have_ended(self._expected))
            if _in_full_swing(rows):
                return rows
            await self._trigger(RUNS)

    async def _fail_over(self, lost: str, before: Rows) -> None:
        """Show how soon the others accept a run, who leads them, and that what ran goes on."""
        killed = time.monotonic()
        survivors = self._place.url(*(name for name in NODES if name != lost))
        run_id = await trigger(survivors, 10 * (RUNS + 1))
        self._accepted.append(run_id)
        click.echo(f"  {run_id}  accepted by the others, {1000 * (time.monotonic() - killed):.0f} ms later")
        cluster = (await ask(survivors, "GET", "/cluster")).body
        now = await list_runs(survivors)
        click.echo(f"\n{cluster['Leader']} leads now, in term {cluster['Term']}. What ran when {lost} was killed:")
        for each, row in before.items():
            went_on = each in now and now[each]["Attempts"] == row["Attempts"]
            if not went_on:
                self._broken.append(f"{each} did not go on when {lost} was killed")
            status = now[each]["Status"].lower() if each in now else "gone"
            click.echo(f"  {each}  {status}, {'in the same attempt' if went_on else 'but not in the same attempt'}")

    async def _bring_back(self, lost: str, index: int) -> None:
        begun = time.monotonic()
        await self._children[lost].revive()
        click.echo(f"\n{lost} is started again, pid {self._children[lost].pid}")
        await ask(self._place.url(lost), "GET", "/ready")
        took = time.monotonic() - begun
        missed = await self._index(lost) - index
        click.echo(
            f"\n{lost} has caught up, {took:.1f} s after its start: {missed} records had been written without it"
        )

    # The end --------------------------------------------------------------------------------------------------------

    async def _sum_up(self) -> None:
        """Say what has become of everything, after having looked at all nodes."""
        listed = {name: await list_runs(self._place.url(name)) for name in NODES}
        lines = self._place.witnessed.read_text(encoding="utf-8").splitlines()
        self._broken += broken_promises(self._accepted, self._older, listed, witnessed(lines))
        if self._broken:
            click.echo(f"\nNot all of {len(self._expected)} runs went as they should:")
            for line in self._broken:
                click.echo(f"  {line}")
        else:
            click.echo(f"\nAll {len(self._expected)} runs have ended: none was lost, none ran twice, none failed.")
            click.echo("Every node says so, and so does what their processes wrote down themselves.")
        click.echo("")
        try:
            await in_thread(show_cluster, self._place.url(), False)
        except Ended as not_whole:
            self._broken.append(str(not_whole))

    async def _leader(self) -> str:
        leader: str = (await ask(self._place.url(), "GET", "/cluster")).body["Leader"]
        return leader

    async def _index(self, name: str) -> int:
        """How far this node is."""
        members = (await ask(self._place.url(name), "GET", "/cluster")).body["Members"]
        return next(int(member["Index"]) for member in members if member["Name"] == name)


def _in_full_swing(rows: Rows) -> bool:
    return len(with_status(rows, "Succeeded")) >= SLOTS and len(with_status(rows, "Running")) >= SLOTS
