"""A node in small, run as a program by the tests that kill it: `python host.py DIRECTORY RUN SCRIPT`.

It takes the directory's lock, hosts its runner, and starts a job of this id and script; SIGTERM ends it. Where RUN is a
port, the script is a service instead, with that port.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

import trio

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.declared import Runner
from slimjobs.core.orchestrators.ports import Create, Created, Job, Release, Scale, ServicesListed
from slimjobs.core.orchestrators.process import RunnerSettings, open_runner
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.events.runs import job_object_name, parse_run_id


async def main(directory: Path, what: str, script: str) -> None:
    lock_fd = os.open(directory, os.O_RDONLY)
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with open_runner(directory, RunnerSettings(backoff_seconds=0.05), lock_fd=lock_fd) as runner:
            if what.isdecimal():
                await wake(runner, Service(("sh", "-c", script), int(what)))
            else:
                await start(runner, what, script)
            async for _ in signals:
                break


async def start(runner: Runner, run_text: str, script: str) -> None:
    run = parse_run_id(run_text)
    assert run is not None
    definition = Definition(command=("sh", "-c", script), backoff_limit=1)
    name = job_object_name("test", run)
    created = await runner.carry_out(Create(Job(name, "cluster", run, "test", "", definition)))
    assert isinstance(created, Created)
    await runner.carry_out(Release(run, name, created.job.uid))


async def wake(runner: Runner, service: Service) -> None:
    lookout = runner.lookout()
    await lookout.next({"web": service})
    listed = await lookout.next({"web": service})
    assert isinstance(listed, ServicesListed)
    await runner.scale(Scale("web", listed.services[0].version, 1))


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2], sys.argv[3])
