"""`slimjobs serve`: a node that runs until it is told to stop, and says on stderr where it listens."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import structlog
import trio

from slimjobs.core.configuration.settings import Orchestrator, Settings
from slimjobs.core.configuration.source import ConfigurationSource
from slimjobs.deploy.assembly import Running, run_node
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.messages import configure_messages
from slimjobs.eventlog.storage.errors import Damage, DirectoryTaken, DiskFailed, StorageError
from slimjobs.http.server import AddressUnavailable
from slimjobs.projections.fold import BrokenLog

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs")


def serve_until_stopped(settings: Settings) -> None:
    """Run a node until SIGTERM or SIGINT. Raises `Ended` where it cannot start, or cannot go on."""
    configure_messages(settings.log_level, settings.log_format)
    source = readable_configuration(settings)
    with telling_why():
        trio.run(_serve, settings, source)


def readable_configuration(settings: Settings) -> ConfigurationSource:
    """The configuration that the settings name. Raises `Ended` with every problem of it, and where it stands."""
    if settings.orchestrator is not Orchestrator.PROCESS:
        raise Ended(
            Exit.USAGE,
            f"SlimFaas__Orchestrator: this version runs jobs as processes only, not with {settings.orchestrator}; "
            "set it to Process",
        )
    if len(settings.peers) > 1:
        raise Ended(Exit.USAGE, "SlimData__Peers: this version runs one node only; leave it empty")
    source = ConfigurationSource.of(settings)
    source.look()
    if source.configuration is None:
        raise Ended(Exit.USAGE, "the jobs configuration is refused:", *map(str, source.problems))
    return source


@contextmanager
def telling_why() -> Iterator[None]:
    """What keeps a node from starting or going on, as the message and the exit code that the contract gives it."""
    try:
        yield
    except* (DirectoryTaken, AddressUnavailable) as group:
        raise Ended(Exit.TAKEN, *map(str, _leaves(group))) from None
    except* Damage as group:
        raise Ended(Exit.DAMAGE, *map(str, _leaves(group))) from None
    except* BrokenLog as group:
        raise Ended(Exit.DAMAGE, *(f"the log cannot be folded: {each}" for each in _leaves(group))) from None
    except* (DiskFailed, StorageError) as group:
        raise Ended(Exit.DAMAGE, *map(str, _leaves(group))) from None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


async def _serve(settings: Settings, source: ConfigurationSource) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signal, stop)
        running: Running = await nursery.start(run_node, settings, source, stop)
        _log.info("ready", url=running.url, directory=str(settings.directory), orchestrator=str(settings.orchestrator))
        await running.ended.wait()
        nursery.cancel_scope.cancel()


async def stop_on_signal(stop: trio.Event) -> None:
    """Set `stop` at the first SIGTERM or SIGINT; at the second, end at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        received: AsyncIterator[int] = signals
        async for number in received:
            if stop.is_set():
                raise Ended(Exit.NO, f"a second {signal.Signals(number).name}: ended at once")
            _log.info("stopping", signal=signal.Signals(number).name)
            stop.set()
