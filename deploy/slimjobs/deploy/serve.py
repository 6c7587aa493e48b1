"""`slimjobs serve`: a node that runs until it is told to stop, and says on stderr where it listens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog
import trio

from slimjobs.core.configuration.place import SERVICE_ACCOUNT
from slimjobs.core.configuration.settings import Orchestrator, Settings
from slimjobs.core.configuration.source import ConfigurationSource
from slimjobs.core.node.program import StateDiffers, TooOld
from slimjobs.core.orchestrators.kubernetes.access import Access, AccessUnusable, find_access
from slimjobs.core.orchestrators.process import DamagedObject
from slimjobs.deploy.assembly import Running, run_node
from slimjobs.deploy.directory import DirectoryUnusable
from slimjobs.deploy.ending import stop_on_signal, telling_why
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.finding_peers import with_peers
from slimjobs.deploy.messages import configure_messages
from slimjobs.eventlog.storage.errors import DirectoryTaken, NewerFormat, StorageError
from slimjobs.eventlog.transport.sockets import PortUnavailable
from slimjobs.eventlog.transport.tls import TlsUnusable
from slimjobs.http.server import AddressUnavailable
from slimjobs.projections.fold import BrokenLog
from slimjobs.projections.snapshot import UnreadableSnapshot

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs")


def serve_until_stopped(settings: Settings, service_account: Path = SERVICE_ACCOUNT) -> None:
    """Run a node until SIGTERM or SIGINT. Raises `Ended` where it cannot start, or cannot go on."""
    configure_messages(settings.log_level, settings.log_format)
    source = readable_configuration(settings)
    access = usable_access(settings, service_account)
    if access is not None:
        warn_of_ignored_services(source)
    with telling_why(EXITS):
        trio.run(_serve, settings, source, service_account, access)


def usable_access(settings: Settings, service_account: Path) -> Access | None:
    """The way to Kubernetes, for a node whose jobs run there. Raises `Ended` if it can lead nowhere."""
    if settings.orchestrator is not Orchestrator.KUBERNETES:
        return None
    access = find_access(os.environ, service_account)
    try:
        access.load()
    except AccessUnusable as error:
        advice = "Set KUBECONFIG, run it in a pod with a service account, or set SlimFaas__Orchestrator to Process."
        raise Ended(Exit.USAGE, f"Kubernetes cannot be reached: {error}", advice) from None
    return access


def readable_configuration(settings: Settings) -> ConfigurationSource:
    """The configuration that the settings name. Raises `Ended` with every problem of it, and where it stands."""
    source = ConfigurationSource.of(settings)
    source.look()
    if source.configuration is None:
        raise Ended(Exit.USAGE, "the jobs configuration is refused:", *map(str, source.problems))
    return source


def warn_of_ignored_services(source: ConfigurationSource) -> None:
    """Say which services of the configuration nobody starts: those are the runner's of processes."""
    ignored = source.configuration.services if source.configuration is not None else {}
    if ignored:
        _log.warning(
            "Dependencies of the configuration are ignored: on Kubernetes they are Deployments and StatefulSets",
            ignored=sorted(ignored),
        )


# The first line that fits: what comes before `StorageError` are kinds of it.
EXITS: Final[Mapping[type[BaseException], Exit]] = {
    DirectoryTaken: Exit.TAKEN,
    AddressUnavailable: Exit.TAKEN,
    PortUnavailable: Exit.TAKEN,
    TlsUnusable: Exit.USAGE,
    StateDiffers: Exit.DIFFERS,
    TooOld: Exit.USAGE,
    DirectoryUnusable: Exit.USAGE,
    NewerFormat: Exit.USAGE,
    StorageError: Exit.DAMAGE,
    BrokenLog: Exit.DAMAGE,
    UnreadableSnapshot: Exit.DAMAGE,
    DamagedObject: Exit.DAMAGE,
}


async def _serve(settings: Settings, source: ConfigurationSource, service_account: Path, access: Access | None) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signal, stop)
        with trio.CancelScope() as finding:
            nursery.start_soon(_cancel_at, stop, finding)
            settings = await with_peers(settings, os.environ, service_account)
        if finding.cancelled_caught:
            nursery.cancel_scope.cancel()
            return
        running: Running = await nursery.start(run_node, settings, source, stop, access)
        nursery.start_soon(_tell_when_ready, running, settings)
        await running.ended.wait()
        nursery.cancel_scope.cancel()


async def _cancel_at(stop: trio.Event, scope: trio.CancelScope) -> None:
    await stop.wait()
    scope.cancel()


async def _tell_when_ready(running: Running, settings: Settings) -> None:
    await running.ready.wait()
    _log.info(
        "ready",
        url=running.url,
        pid=os.getpid(),
        directory=str(settings.directory),
        orchestrator=str(settings.orchestrator),
    )
