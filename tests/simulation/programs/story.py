"""A seed's whole story: three programs start, people call them, harm comes to them, peace follows, and all is judged.

While it happens the judges hear every turn of every machine. In peace everything has to come to an end: one log on
three disks, three voters, every run ended once, no object left over, every caller answered. Then all is stopped, and
nothing may be left of it: no task, no connection.

Read in this order: `life` (a process), `clockwork` (what is simulated of trio, and what takes the place of what),
`disk_task`, `roads`, `server`, `judged_machine`, `cluster`, `people`, `harm`, and then this.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from operator import eq

import msgspec
import trio

from slimjobs.core.machine.queries import ShowRun
from slimjobs.eventlog.raft import Index
from slimjobs.eventlog.storage.store import Storage
from slimjobs.projections.views import RunDetail, RunStatus
from tests.core.machine.stored_disk import OPTIONS
from tests.simulation.programs.clockwork import run
from tests.simulation.programs.cluster import Cluster
from tests.simulation.programs.harm import Harm, make_peace
from tests.simulation.programs.messages import messages_into
from tests.simulation.programs.people import People

WAR_SECONDS = 10.0
PEACE_SECONDS = 120
TOLD_LINES = 80
GOOD_ENDS = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED})
ADVICE = "To repeat it: python -m tests.simulation.programs.run --first {seed} --seeds 1 --seconds {seconds:g}"


class Story(msgspec.Struct):
    """What came of a seed. `trace` is the same in every run of it; `simulated_seconds` are those of its world."""

    seed: int
    trace: str = ""
    simulated_seconds: float = 0.0
    faults: Mapping[str, int] = {}
    checked: Mapping[str, int] = {}
    calls: int = 0
    answered: int = 0
    runs: int = 0
    entries: int = 0


def simulate(seed: int, seconds: float = WAR_SECONDS) -> Story:
    """Tell the story of this seed, with so many seconds of harm; where it fails, how to repeat it comes on stderr."""
    teller = _Teller(seed, seconds)
    came_to_its_end = False
    try:
        run(seed, teller.tell)
        came_to_its_end = True
    finally:
        if not came_to_its_end:
            sys.stderr.write("\n".join(teller.last_lines))
            sys.stderr.write(f"\n{ADVICE.format(seed=seed, seconds=seconds)}\n")
    return teller.story


class _Teller:
    def __init__(self, seed: int, seconds: float) -> None:
        self.story = Story(seed)
        self._seconds = seconds
        self._told: Cluster | None = None
        self._settled = Index(0)

    @property
    def last_lines(self) -> list[str]:
        return [] if self._told is None else list(self._told.tale.lines)[-TOLD_LINES:]

    async def tell(self) -> None:
        tasks = trio.lowlevel.current_statistics().tasks_living
        async with trio.open_nursery() as nursery:
            cluster = self._told = Cluster(self.story.seed, nursery)
            people = People(cluster)
            with messages_into(cluster.tale):
                await self._live(cluster, people)
        left = trio.lowlevel.current_statistics().tasks_living - tasks
        assert left == 0, f"{left} tasks are left"
        _judge_disks(cluster, self._settled)
        self._sum_up(cluster, people)

    async def _live(self, cluster: Cluster, people: People) -> None:
        async with trio.open_nursery() as by_themselves:
            by_themselves.start_soon(cluster.server.move_forever)
            await self._war(cluster, people)
            await make_peace(cluster)
            await _rest(cluster, people)
            await _judge(cluster)
            self._settled = cluster.chronicle.last_index
            by_themselves.cancel_scope.cancel()
        await _end(cluster)

    async def _war(self, cluster: Cluster, people: People) -> None:
        harm = Harm(cluster)
        for host in cluster.hosts.values():
            cluster.boot(host)
        await harm.pause(0, 3)
        async with trio.open_nursery() as war:
            war.start_soon(people.call_forever)
            war.start_soon(harm.harm_forever, war)
            await trio.sleep(self._seconds)
            war.cancel_scope.cancel()

    def _sum_up(self, cluster: Cluster, people: People) -> None:
        story, tale = self.story, cluster.tale
        story.trace, story.simulated_seconds, story.faults = tale.trace, tale.now, dict(tale.faults)
        story.checked = {each.value: count for each, count in cluster.chronicle.checked.counts.items()}
        story.calls, story.answered = people.calls, people.answered
        story.runs, story.entries = len(cluster.chronicle.enqueued), len(cluster.chronicle.entries)


# Peace --------------------------------------------------------------------------------------------------------------


async def _rest(cluster: Cluster, people: People) -> None:
    for _ in range(PEACE_SECONDS):
        await trio.sleep(1)
        if not any(True for _ in _troubles(cluster, people)):
            return
    raise AssertionError(f"no rest: {list(_troubles(cluster, people))}")


def _troubles(cluster: Cluster, people: People) -> Iterator[str]:
    """What has not come to rest."""
    chronicle = cluster.chronicle
    state, membership = chronicle.state, chronicle.membership
    if len(cluster.serving) < len(cluster.hosts):
        yield "somebody does not serve"
        return
    yield from (f"{run.hex()} is under way" for run in (*state.queued, *state.active, *state.deleted))
    yield from (
        f"{job.name} is nobody's" for job in cluster.server.objects.objects.values() if not state.job_of(job.run)
    )
    if people.waiting or cluster.server.under_way:
        yield f"{people.waiting} people wait, {cluster.server.under_way} requests are under way"
    yield from (f"{caller} waits" for token, caller in cluster.promises.waiting.items() if token not in cluster.gone)
    nodes = {life.judged.id for life in cluster.serving}
    if set(membership.voters) != nodes or membership.learners:
        yield f"{membership} instead of {nodes}"
    for life in cluster.serving:
        if life.judged.committed != chronicle.last_index:
            yield f"{life.name} is behind"
        elif reason := life.judged.not_ready:
            yield f"{life.name} is not ready: {reason}"


async def _judge(cluster: Cluster) -> None:
    for life in cluster.serving:
        cluster.chronicle.agrees_with(life.judged)
    cluster.chronicle.onlooker.agrees_with(cluster.chronicle.state)
    for run_id, job in cluster.promises.acknowledged.items():
        if run_id not in cluster.promises.deletion_asked:
            reply = await cluster.ask(cluster.random.choice(cluster.serving), ShowRun(job, run_id, True))
            assert reply is not None
            assert isinstance(reply.value, RunDetail), f"an acknowledged run is not there: {reply.value}"
            assert reply.value.row.status in GOOD_ENDS


# The end ------------------------------------------------------------------------------------------------------------


async def _end(cluster: Cluster) -> None:
    """Stop them one after the other; the last has nobody to hand over to."""
    cluster.over = True
    for life in cluster.serving:
        await cluster.stop(life)
    await trio.sleep(1)
    assert not cluster.roads.standing, "connections are left"


def _judge_disks(cluster: Cluster, settled: Index) -> None:
    """Every disk has the log, as far as it is not behind a snapshot: whoever opened it would find that.

    What was committed while one after the other stopped, those who had stopped need not have.
    """
    for host in cluster.hosts.values():
        storage = Storage.open(host.files.copy(), "0" * 32, OPTIONS)
        assert storage.last_index >= settled, f"{host.name} ends with {storage.last_index}, all had come to {settled}"
        held = list(storage.entries(storage.first_index))
        there_are = cluster.chronicle.entries[storage.first_index - 1 :]
        assert all(map(eq, held, there_are)), f"{host.name} has {held[-3:]}, others {there_are[-3:]}"
