"""`slimjobs runner`: a process runner that several nodes share, so that jobs outlive the node that started them.

It listens where the nodes look for it (SlimFaas__Runner) and keeps its objects in its own SlimData__Directory, which is
locked as a node's is: by the runner, and by its guard until the last job is gone. Stopping it ends its jobs, as
stopping a node with a runner inside does; killing it does too. The next start takes its objects up again.

Whoever can connect can execute programs as this user. That is why it listens on this machine only, and why a Unix
socket, which is for this user alone, is better than a loopback port, which is for everybody on the machine.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping
from typing import Final

import structlog
import trio

from slimjobs.core.configuration.setting_kinds import RUNNER, RunnerAddress
from slimjobs.core.configuration.settings import Settings
from slimjobs.core.orchestrators.process import DamagedObject, RunnerSettings, open_runner
from slimjobs.core.orchestrators.shared import AddressTaken, listening, serve_runner, shown
from slimjobs.deploy.directory import DirectoryUnusable, held
from slimjobs.deploy.ending import stop_on_signal, telling_why
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.messages import configure_messages
from slimjobs.eventlog.storage.errors import DirectoryTaken

DESCRIPTORS: Final = 4096
"""For connections, outputs that are read, and some for each job that runs."""

EXITS: Final[Mapping[type[BaseException], Exit]] = {
    AddressTaken: Exit.TAKEN,
    DirectoryTaken: Exit.TAKEN,
    DirectoryUnusable: Exit.USAGE,
    DamagedObject: Exit.DAMAGE,
}

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs")


def run_until_stopped(settings: Settings) -> None:
    """Run a shared runner until SIGTERM or SIGINT. Raises `Ended` where it cannot start."""
    configure_messages(settings.log_level, settings.log_format)
    if settings.runner is None:
        raise Ended(Exit.USAGE, f"SlimFaas__Runner: say where the runner listens; it takes {RUNNER.takes}")
    with telling_why(EXITS):
        trio.run(_run, settings, settings.runner)


def runner_settings(settings: Settings) -> RunnerSettings:
    """The settings that are the process runner's."""
    return RunnerSettings(settings.backoff_seconds, settings.grace_seconds, settings.max_output_bytes)


async def _run(settings: Settings, address: RunnerAddress) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signal, stop)
        with listening(address) as listener:
            async with (
                held(settings.directory) as lock_fd,
                open_runner(settings.directory, runner_settings(settings), lock_fd=lock_fd) as runner,
                trio.open_nursery() as serving,
            ):
                _allow_descriptors()
                serving.start_soon(serve_runner, runner, listener)
                _log.info("ready", runner=shown(address), pid=os.getpid(), directory=str(settings.directory))
                await stop.wait()
                serving.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


def _allow_descriptors() -> None:
    """Raise the limit of open files as far as is useful and allowed. The guard, and so jobs, keep the one that was."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if most == resource.RLIM_INFINITY else min(DESCRIPTORS, most)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
