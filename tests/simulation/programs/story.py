"""A seed's whole story: three programs start, people call them, harm comes to them, peace follows, and all is judged.

While it happens the judges hear every turn of every machine. In peace everything has to come to an end: one log on
three disks, three voters, every run ended once, no object left over, every caller answered. Then all is stopped, and
nothing may be left of it: no task, no connection.

Read in this order: `life` (a process), `clockwork` (what is simulated of trio, and what takes the place of what),
`disk_task`, `roads`, `server`, `judged_machine`, `cluster`, `people`, `harm`, and then this.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from operator import eq
from time import process_time

import trio

from slimjobs.core.machine.queries import ShowRun
from slimjobs.eventlog.raft import Index
from slimjobs.eventlog.storage.store import Storage
from slimjobs.projections.views import RunDetail, RunStatus
from tests.core.machine.stored_disk import OPTIONS
from tests.simulation.programs.clockwork import run
from tests.simulation.programs.cluster import Cluster
from tests.simulation.programs.harm import HARM_NAMES, Harm, make_peace
from tests.simulation.programs.messages import messages_into
from tests.simulation.programs.people import People
from tests.simulation.scenario import Scenario, Told

WAR_SECONDS = 10
PEACE_SECONDS = 120
GOOD_ENDS = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED})


def play(scenario: Scenario) -> Told:
    """Tell the story of a scenario to its end, whatever that is."""
    began = process_time()
    teller = _Teller(scenario)
    failure = ""
    try:
        run(scenario.seed, teller.tell)
    except Exception as error:  # noqa: BLE001 - the rim: whatever goes wrong is what the scenario has found
        failure = "".join(traceback.format_exception(error))
    return teller.told(failure, process_time() - began)


class _Teller:
    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._cluster: Cluster | None = None
        self._people: People | None = None
        self._settled = Index(0)
        self._simulated_seconds = 0.0

    def told(self, failure: str, seconds: float) -> Told:
        """What came of it, however far it came."""
        cluster, people = self._cluster, self._people
        assert cluster is not None, failure
        assert people is not None, failure
        return Told(
            self._scenario,
            cluster.tale.trace,
            self._simulated_seconds,
            seconds,
            len(cluster.hosts),
            len(cluster.chronicle.entries),
            people.calls,
            dict(cluster.tale.faults),
            {},
            {invariant.value: count for invariant, count in cluster.chronicle.checked.counts.items()},
            failure,
            tuple(cluster.tale.lines) if failure else (),
        )

    async def tell(self) -> None:
        tasks = trio.lowlevel.current_statistics().tasks_living
        async with trio.open_nursery() as nursery:
            cluster = self._cluster = Cluster(self._scenario.seed, nursery)
            people = self._people = People(cluster)
            with messages_into(cluster.tale):
                try:
                    await self._live(cluster, people)
                finally:
                    self._simulated_seconds = cluster.tale.now
        left = trio.lowlevel.current_statistics().tasks_living - tasks
        assert left == 0, f"{left} tasks are left"
        _judge_disks(cluster, self._settled)

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
        faults = self._scenario.faults
        harm = Harm(cluster, HARM_NAMES if faults is None else faults)
        for host in cluster.hosts.values():
            cluster.boot(host)
        await harm.pause(0, 3)
        async with trio.open_nursery() as war:
            war.start_soon(people.call, self._scenario.calls)
            war.start_soon(harm.harm_forever, war)
            await trio.sleep(self._scenario.seconds)
            war.cancel_scope.cancel()


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
