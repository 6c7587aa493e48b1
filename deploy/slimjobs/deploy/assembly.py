"""A node put together from its parts, in the order in which they depend on each other, and taken apart in reverse.

directory (lock) -> log and snapshot -> state -> machine -> disk thread -> runner -> node -> REST -> configuration
"""

from __future__ import annotations

import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final, NamedTuple

import msgspec
import structlog
import trio

from slimjobs.core.backups.folder import BackupFolder
from slimjobs.core.configuration.settings import Orchestrator, Settings
from slimjobs.core.configuration.source import ConfigurationSource
from slimjobs.core.decide.decision import Limits
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.node.backing_up import back_up_forever, mark_in
from slimjobs.core.node.clock import SystemClock
from slimjobs.core.node.configuring import propose_forever
from slimjobs.core.node.opening import open_machine
from slimjobs.core.node.program import Node
from slimjobs.core.orchestrators.declared import Declaration, DeclaredServices
from slimjobs.core.orchestrators.kubernetes.access import Access
from slimjobs.core.orchestrators.ports import Orchestrator as JobsOrchestrator
from slimjobs.core.orchestrators.ports import Surroundings
from slimjobs.core.orchestrators.process import open_runner
from slimjobs.core.orchestrators.shared import open_remote
from slimjobs.deploy.directory import LOCK_WAIT_SECONDS, usable
from slimjobs.deploy.peering import is_one_of_several, listen_for_peers, transport
from slimjobs.deploy.runner import runner_settings
from slimjobs.eventlog.storage.retention import Retention
from slimjobs.eventlog.storage.store import StorageOptions
from slimjobs.http.application import create_app
from slimjobs.http.server import listen, port_of, serve
from slimjobs.http.surface import SurfaceSettings, surface_settings

# The disk thread may have to wait this long for the interpreter when the loop is busy; Python's own 5 ms are an fsync
# many times over.
SWITCH_INTERVAL_SECONDS: Final = 0.0005

DESCRIPTORS_KEPT: Final = 256
"""For the log, the runner's jobs and their outputs, and connections that are being turned away."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs")


class Running(msgspec.Struct, frozen=True):
    """A node that answers: where; `ready` is set when it leads with a configuration, `ended` when it has ended."""

    url: str
    ready: trio.Event
    ended: trio.Event


async def run_node(
    settings: Settings,
    source: ConfigurationSource,
    stop: trio.Event,
    access: Access | None = None,
    *,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a node until `stop` is set; then accept nothing more, finish what is in flight, and end within 5 s.

    `access` is the way to Kubernetes, for a node whose jobs run there; its API server may come and go. The node answers
    from the moment that it has read its log. Raises `DirectoryUnusable`, `DirectoryTaken`, `Damage`,
    `AddressUnavailable` and their like where it cannot start, `DiskFailed` where it cannot go on.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    listeners = await listen(settings.http_host, settings.http_port)
    running = Running(_url(settings, port_of(listeners)), trio.Event(), trio.Event())
    peer_listeners = await listen_for_peers(settings)
    folder = None if settings.backup_directory is None else BackupFolder(settings.backup_directory)
    declaration = Declaration(source.configuration.services if source.configuration is not None else {})
    async with (
        open_machine(
            usable(settings.directory),
            storage_options(settings),
            machine_settings(settings),
            one_of_several=is_one_of_several(settings),
            backup=mark_in(folder),
        ) as opened,
        open_world(settings, opened.lock_fd, declaration, access) as world,
        trio.open_nursery() as nursery,
    ):
        node = Node(opened.machine, opened.start_disk, world.orchestrator, SystemClock(), world.surroundings)
        if peer_listeners:
            await nursery.start(transport(node, settings).run, peer_listeners)
        await nursery.start(node.run)
        nursery.start_soon(propose_forever, node, source, declaration, settings.job_default_time_zone)
        if folder is not None:
            nursery.start_soon(back_up_forever, node, folder, settings.node_name, settings.backup_interval_seconds)
        nursery.start_soon(_say_ready, node, running)
        task_status.started(running)
        surface = within_descriptors(surface_settings(settings))
        closing = trio.Event()
        nursery.start_soon(_hand_over, node, settings, stop, closing)
        await serve(create_app(node, surface, closing), listeners, surface.connections, closing)
        nursery.cancel_scope.cancel()
    running.ended.set()


# Who leads goes on serving until another does: its callers notice nothing.
async def _hand_over(node: Node, settings: Settings, stop: trio.Event, closing: trio.Event) -> None:
    await stop.wait()
    await node.hand_over(settings.election_milliseconds / 1000)
    closing.set()


async def _say_ready(node: Node, running: Running) -> None:
    await node.until_ready()
    running.ready.set()


def _url(settings: Settings, port: int) -> str:
    host = settings.http_host or "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class World(NamedTuple):
    """What runs the jobs of a node, and what they depend on."""

    orchestrator: JobsOrchestrator
    surroundings: Surroundings


@asynccontextmanager
async def open_kubernetes(access: Access, namespace: str) -> AsyncIterator[World]:
    """A namespace of the cluster to which this access leads."""
    # Only here: a node that runs processes does without the 0.7 MiB of it.
    from slimjobs.core.orchestrators.kubernetes.api import open_api
    from slimjobs.core.orchestrators.kubernetes.jobs import open_jobs
    from slimjobs.core.orchestrators.kubernetes.surroundings import open_surroundings

    async with (
        open_api(access) as api,
        open_jobs(api, namespace) as jobs,
        open_surroundings(api, namespace) as around,
    ):
        yield World(jobs, around)


@asynccontextmanager
async def open_world(
    settings: Settings, lock_fd: int, declaration: Declaration, access: Access | None = None
) -> AsyncIterator[World]:
    """Kubernetes where there is a way to it; else the shared runner if there is one, else a runner inside, which holds
    the directory too; and the services of either.
    """
    if access is not None:
        async with open_kubernetes(access, settings.namespace) as world:
            yield world
    elif settings.runner is not None:
        async with open_remote(settings.runner) as remote:
            yield World(remote, DeclaredServices(remote, declaration))
    else:
        async with open_runner(settings.directory / "runner", runner_settings(settings), lock_fd=lock_fd) as inside:
            yield World(inside, DeclaredServices(inside, declaration))


def storage_options(settings: Settings) -> StorageOptions:
    """The settings that are the log's."""
    return StorageOptions(
        retention=Retention(settings.retention_days, settings.retention_bytes), lock_wait_seconds=LOCK_WAIT_SECONDS
    )


def machine_settings(settings: Settings) -> MachineSettings:
    """The settings that are the machine's."""
    return MachineSettings(
        limits=Limits(
            queued_jobs=settings.max_queued_jobs,
            queued_bytes=settings.max_queued_bytes,
            idempotency_keys=settings.max_idempotency_keys,
            finished_jobs=settings.max_finished_jobs,
        ),
        election_milliseconds=settings.election_milliseconds,
        snapshot_interval_entries=settings.snapshot_interval_entries,
        snapshot_interval_bytes=settings.snapshot_interval_bytes,
        image_required=settings.orchestrator is Orchestrator.KUBERNETES,
        name=settings.node_name,
        peers={peer.name: f"{peer.host}:{peer.port}" for peer in settings.peers},
        version=version("slimjobs"),
        max_clock_skew_seconds=settings.max_clock_skew_seconds,
        default_time_zone=settings.job_default_time_zone,
    )


def within_descriptors(surface: SurfaceSettings) -> SurfaceSettings:
    """These settings with no more connections than the process has descriptors for, beside what the node itself needs.

    The limit is raised as far as needed and allowed: connections that took the last descriptor would leave none for the
    log. Jobs are not concerned, their guard has been started with the limit as it was.
    """
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = surface.connections.total + DESCRIPTORS_KEPT
    allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    if now != resource.RLIM_INFINITY and now < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    if allowed == wanted:
        return surface
    connections = max(allowed - DESCRIPTORS_KEPT, allowed // 2)
    _log.warning("the limit of open files allows fewer connections than SlimFaas__MaxConnections", allowed=connections)
    return msgspec.structs.replace(surface, connections=msgspec.structs.replace(surface.connections, total=connections))
