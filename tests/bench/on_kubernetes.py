"""Runs as Jobs of a real control plane, beside Jobs that are created directly: one after the other, by the same client.

Both are seen through the same watches of an administrator, so that what counts as running and as complete is the same.
The node has the rights of the manifests, so that the API server's own account says what it asked for.
"""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import trio

from slimjobs.core.orchestrators.kubernetes.access import KubeconfigAccess
from slimjobs.core.orchestrators.kubernetes.api import Api, open_api
from slimjobs.core.orchestrators.kubernetes.watching import All, Kind, Put, list_and_watch
from slimjobs.deploy.client import Client
from tests.bench.processors import processor_seconds
from tests.bench.served import Served
from tests.bench.table import Row
from tests.cluster.control_plane import ControlPlane, control_plane
from tests.deploy.nodes import configuration
from tests.e2e.manifests import DEMO, apply, built, one
from tests.e2e.pods_of_slimfaas import ACCOUNT, await_account, only_pod

RUNS: Final = 1000
ROUNDS: Final = 2
CAP: Final = 50
ALONE: Final = 30
FINISHED: Final = 10_000
AT_ONCE: Final = 500
SCHEDULES: Final = 20
MINUTES: Final = 3
MINUTE_MS: Final = 60_000
AFTER_A_MINUTE_SECONDS: Final = 5
NAMESPACE: Final = "slimfaas-demo"
JOBS: Final = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
CRON_JOBS: Final = f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs"
PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
IMAGE: Final = "axaguildev/fibonacci-batch:latest"
ROOM: Final = {"cpu": "1m", "memory": "1Mi"}
WRITES: Final = ("create", "update", "patch", "delete")
_WRITTEN: Final = re.compile(r'apiserver_request_total\{.*verb="(POST|PUT|PATCH|DELETE)"')


class _Meta(msgspec.Struct):
    name: str
    labels: dict[str, str] = {}


class _Condition(msgspec.Struct):
    type: str
    status: str = ""


class _Status(msgspec.Struct):
    phase: str = ""
    conditions: tuple[_Condition, ...] = ()


class _Object(msgspec.Struct):
    metadata: _Meta
    status: _Status = msgspec.field(default_factory=_Status)


class Seen:
    """When what was seen first, by name of the Job: there in Unix ms, running and complete on the monotonic clock."""

    def __init__(self) -> None:
        self.there: dict[str, int] = {}
        self.running: dict[str, float] = {}
        self.complete: dict[str, float] = {}
        self._news = trio.Event()

    async def watch(self, api: Api) -> None:
        """Look on for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look, api, JOBS, self._take_job)
            nursery.start_soon(self._look, api, PODS, self._take_pod)

    async def until(self, when: dict[str, float], names: list[str]) -> float:
        """Return when all of these are among them; when the last of them was."""
        while not all(name in when for name in names):
            await self._news.wait()
        return max(when[name] for name in names)

    async def _look(self, api: Api, path: str, take: Callable[[_Object], None]) -> None:
        async for news in list_and_watch(api, Kind(path, _Object)):
            for each in news.items if isinstance(news, All) else [news.item] if isinstance(news, Put) else []:
                take(each)
            self._news.set()
            self._news = trio.Event()

    def _take_job(self, job: _Object) -> None:
        self.there.setdefault(job.metadata.name, time.time_ns() // 1_000_000)
        if any(each.type == "Complete" and each.status == "True" for each in job.status.conditions):
            self.complete.setdefault(job.metadata.name, time.monotonic())

    def _take_pod(self, pod: _Object) -> None:
        if pod.status.phase == "Running":
            self.running.setdefault(pod.metadata.labels["job-name"], time.monotonic())


class World:
    """The control plane, the node, and who looks on."""

    def __init__(self, plane: ControlPlane, node: Served, api: Api, seen: Seen) -> None:
        self.plane = plane
        self.node = node
        self.api = api
        self.seen = seen
        self._made = 0

    @property
    def client(self) -> Client:
        return self.node.client

    async def trigger(self, count: int) -> list[str]:
        """So many runs, in batches; the names of their Jobs."""
        names = []
        for at in range(0, count, AT_ONCE):
            lines = [{"Name": "once"}] * min(AT_ONCE, count - at)
            body = (await trio.to_thread.run_sync(self.client.request, "POST", "/jobs", lines)).body
            names += [f"once-slimfaas-job-{each['Id']}" for each in body]
        return names

    async def create(self, count: int) -> list[str]:
        """So many Jobs, one after the other."""
        names = []
        for _ in range(count):
            self._made += 1
            names.append(f"direct-{self._made}")
            answer = await self.api.call("POST", JOBS, _job(names[-1]))
            assert answer.status == 201, answer
        return names


def _job(name: str) -> Mapping[str, object]:
    resources = {"requests": ROOM, "limits": ROOM}
    container = {"name": "main", "image": IMAGE, "command": ["true"], "resources": resources}
    spec = {"backoffLimit": 1, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def main() -> list[Row]:
    """The rows of the table."""
    return trio.run(_measure)


async def _measure() -> list[Row]:
    async with _world() as world:
        alone = await _alone(world)
        scheduled = await _schedules(world)
        asked = len(world.plane.audit())
        ours, direct = await _rates(world)
        writes, reads = _asked(world, asked)
        if (left := FINISHED - len(world.seen.complete)) > 0:
            await world.seen.until(world.seen.complete, await world.trigger(left))
        runs, ratio = ROUNDS * RUNS, direct.seconds / ours.seconds
        return [
            Row(
                f"{RUNS:,} runs of a job that ends at once, cap {CAP}, complete/s beside Jobs created directly",
                f"{runs / ours.seconds:.1f} beside {runs / direct.seconds:.1f}: {ratio:.2f} times",
                "0.85 times",
            ),
            *alone,
            *scheduled,
            Row("API writes a run", f"{writes / runs:.3f}", "3"),
            Row("other requests meanwhile", f"{reads}", "no polling"),
            Row("a run takes, ours", ours.row(), ""),
            Row("a Job created directly takes", direct.row(), ""),
            Row(
                f"RSS of the node with {len(world.seen.complete):,} finished Jobs, peak",
                f"{world.node.rss_mib():.1f} MiB, {world.node.peak_mib():.1f}",
                "under 76 MiB",
            ),
        ]


class _Spent(msgspec.Struct):
    """What so many runs have taken: seconds, writes of everybody, and seconds of processors."""

    seconds: float = 0.0
    writes: int = 0
    node: float = 0.0
    cluster: float = 0.0

    def row(self) -> str:
        runs = ROUNDS * RUNS
        node, cluster = (1000 * each / runs for each in (self.node, self.cluster))
        return f"{self.writes / runs:.1f} writes, {node:.0f} ms of the node, {cluster:.0f} ms of the cluster"


async def _rates(world: World) -> tuple[_Spent, _Spent]:
    """What our runs have taken, and Jobs created directly; the rounds alternate."""
    spent = {world.trigger: _Spent(), world.create: _Spent()}
    for _ in range(ROUNDS):
        for make, all_of_them in spent.items():
            before = await _so_far(world)
            await world.seen.until(world.seen.complete, await make(RUNS))
            after = await _so_far(world)
            all_of_them.seconds += after.seconds - before.seconds
            all_of_them.writes += after.writes - before.writes
            all_of_them.node += after.node - before.node
            all_of_them.cluster += after.cluster - before.cluster
    return spent[world.trigger], spent[world.create]


async def _so_far(world: World) -> _Spent:
    parts = sum(processor_seconds(part.pid) for part in world.plane.parts.values())
    writes = await _writes_of_all(world.api)
    return _Spent(time.monotonic(), writes, processor_seconds(world.node.pid), parts)


async def _alone(world: World) -> list[Row]:
    """One at a time on an idle system."""
    waits: dict[str, list[float]] = {"ours": [], "direct": [], "log": []}
    for _ in range(ALONE):
        begun = time.monotonic()
        [name] = await world.create(1)
        waits["direct"].append(await world.seen.until(world.seen.running, [name]) - begun)
        await world.seen.until(world.seen.complete, [name])
        run = (await trio.to_thread.run_sync(world.client.request, "POST", "/job/once", {})).body["Id"]
        accepted = time.monotonic()
        await trio.to_thread.run_sync(_until_succeeded, world.client, f"/job/once/{run}")
        waits["log"].append(time.monotonic() - accepted)
        name = f"once-slimfaas-job-{run}"
        waits["ours"].append(await world.seen.until(world.seen.running, [name]) - accepted)
        await world.seen.until(world.seen.complete, [name])
    ours, direct, log = (1000 * statistics.median(waits[each]) for each in ("ours", "direct", "log"))
    return [
        Row(
            "accept to pod running, p50, beside a Job created directly",
            f"{ours:.0f} ms beside {direct:.0f}: {ours - direct:+.0f}",
            "at most 30 ms more",
        ),
        Row("accept to Succeeded in the log, p50", f"{log:.0f} ms", "under 150 ms"),
    ]


async def _schedules(world: World) -> list[Row]:
    """So many schedules of ours and as many CronJobs, all due in the same minutes."""
    body = {"Schedule": "* * * * *"}
    for number in range(SCHEDULES):
        made = await world.api.call("POST", CRON_JOBS, _cron_job(f"cron-{number}"))
        assert made.status == 201, made
        await trio.to_thread.run_sync(world.client.request, "POST", "/job-schedules/once", body)
    first = time.time_ns() // 1_000_000 // MINUTE_MS * MINUTE_MS + MINUTE_MS
    known, minutes = {*world.seen.there}, [first + number * MINUTE_MS for number in range(MINUTES)]
    await trio.sleep((minutes[-1] - time.time_ns() // 1_000_000) / 1000 + AFTER_A_MINUTE_SECONDS)
    late: dict[str, list[int]] = {"once": [], "cron": []}
    for name, at in world.seen.there.items():
        if name not in known:
            late[name.partition("-")[0]].append(at - max(minute for minute in minutes if minute <= at))
    assert [len(each) for each in late.values()] == [SCHEDULES * MINUTES] * 2, late
    for number in range(SCHEDULES):
        await world.api.call("DELETE", f"{CRON_JOBS}/cron-{number}")
    rows = (await trio.to_thread.run_sync(world.client.request, "GET", "/job-schedules/once")).body
    for row in rows:
        await trio.to_thread.run_sync(world.client.request, "DELETE", f"/job-schedules/once/{row['Id']}")
    what = f"{SCHEDULES} due at once, from their second to the Job seen: ours beside CronJobs"
    return [Row(what, f"{_percentiles(late['once'])} beside {_percentiles(late['cron'])}", "")]


def _percentiles(late: list[int]) -> str:
    ordered = sorted(late)
    return f"p50 {statistics.median(ordered):.0f} ms, p99 {ordered[int(0.99 * len(ordered))]} ms"


def _cron_job(name: str) -> Mapping[str, object]:
    job = {"spec": _job(name)["spec"]}
    spec = {"schedule": "* * * * *", "jobTemplate": job, "successfulJobsHistoryLimit": 10}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def _until_succeeded(client: Client, path: str) -> None:
    status = client.request("GET", path).body["Status"]
    while status != "Succeeded":
        status = client.request("GET", f"{path}?wait=10").body["Status"]


def _asked(world: World, since: int) -> tuple[int, int]:
    """Writes and other requests of the node, by the API server's account."""
    user = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    verbs = Counter(
        each["verb"]
        for each in world.plane.audit()[since:]
        if each["user"]["username"] == user and not (each["verb"] == "watch" and each["stage"] == "ResponseComplete")
    )
    writes = sum(verbs[verb] for verb in WRITES)
    return writes, verbs.total() - writes


async def _writes_of_all(api: Api) -> int:
    """How much anybody has written so far, by the API server's account; leases are written whatever is done."""
    exposed = (await api.get("/metrics")).body.decode()
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in exposed.splitlines()
        if _WRITTEN.match(line) and 'resource="leases"' not in line
    )


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(dir=".") as place, control_plane(Path(place) / "plane") as plane:
        objects, admin = built(DEMO), plane.api("admin")
        named = [("Namespace", NAMESPACE), ("ServiceAccount", ACCOUNT), ("Role", ACCOUNT), ("RoleBinding", ACCOUNT)]
        apply(admin, [one(objects, *each) for each in named])
        await_account(admin, NAMESPACE)
        resources = {"Requests": ROOM, "Limits": ROOM}
        once = {"Image": IMAGE, "Command": ["true"], "NumberParallelJob": CAP, "TtlSecondsAfterFinished": 36000}
        settings = {
            "SlimFaas__JobsConfiguration": configuration({"once": {**once, "Resources": resources}}),
            "SlimFaas__HttpPort": "0",
            "SlimFaas__MaxFinishedJobs": str(FINISHED),
            "SlimData__Peers": "slimfaas-0=127.0.0.1:3262",
        }
        with only_pod(plane, NAMESPACE, {}, Path(place) / "pod", **settings) as node:
            async with (
                open_api(KubeconfigAccess(str(plane.kubeconfig("admin")))) as api,
                trio.open_nursery() as nursery,
            ):
                seen = Seen()
                nursery.start_soon(seen.watch, api)
                yield World(plane, Served(node.port, node.pid), api, seen)
                nursery.cancel_scope.cancel()
