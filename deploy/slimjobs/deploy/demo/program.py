"""`slimjobs demo`: the service shown in a minute, with real parts: its log on disk, its REST, real processes.

The node of a demonstration is an ordinary one; only its configuration is made here. It may be killed at any moment and
started again: what was accepted is taken up where it was.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

import click
import trio

from slimjobs.core.configuration.place import find_place
from slimjobs.core.configuration.settings import Settings, read_settings
from slimjobs.deploy.assembly import Running, run_node
from slimjobs.deploy.client import Client
from slimjobs.deploy.ending import stop_on_signal, telling_why
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.messages import configure_messages
from slimjobs.deploy.serve import EXITS, readable_configuration
from slimjobs.deploy.streams import tell
from slimjobs.http.server import AddressUnavailable, listen

RUNS: Final = 8
SLOTS: Final = 2
PORTS_TRIED: Final = 100
LOOKED_AT_SECONDS: Final = 0.2
FINAL: Final = frozenset({"Succeeded", "Failed"})

FIBONACCI: Final = """\
import sys, time
n, a, b = int(sys.argv[1]), 0, 1
for _ in range(n):
    a, b = b, a + b
time.sleep(2)
print(f"fibonacci({n}) = {a}")
"""

Row = Mapping[str, Any]
Args = TypeVarTuple("Args")
Answered = TypeVar("Answered")


def demonstrate(directory: Path, port: int, exit_when_done: bool) -> None:
    """Run the demonstration, in the foreground. Raises `Ended` with 1 if a run failed."""
    with telling_why(EXITS):
        trio.run(_demonstrate, directory, port, exit_when_done)


async def _demonstrate(directory: Path, port: int, exit_when_done: bool) -> None:
    settings = _settings(directory, await _free_port(port))
    configure_messages(settings.log_level, settings.log_format)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signal, stop)
        running: Running = await nursery.start(run_node, settings, readable_configuration(settings), stop)
        failed = await _shown(running, directory, stop)
        if exit_when_done:
            stop.set()
        elif not stop.is_set():
            tell(f"\nThe service goes on at {running.url}; ctrl-C ends it.")
        await running.ended.wait()
        nursery.cancel_scope.cancel()
    if failed and exit_when_done:
        raise Ended(Exit.NO, f"{failed} runs failed")


async def _shown(running: Running, directory: Path, stop: trio.Event) -> int:
    """Show everything, until the end or until it is stopped; gives how many runs failed."""
    failed = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_at, stop, nursery.cancel_scope)
        await running.ready.wait()
        show = Show(Client(running.url))
        show.welcome(directory)
        failed = await show.runs()
        nursery.cancel_scope.cancel()
    return failed


async def _cancel_at(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


# Only what the demonstration is about is set here, so that whatever the environment names does not change it.
def _settings(directory: Path, port: int) -> Settings:
    definition = {
        "Command": [sys.executable, "-I", "-c", FIBONACCI],
        "NumberParallelJob": SLOTS,
        "Visibility": "Public",
        "BackoffLimit": 6,  # as often as this it may be killed while a run runs
        "TtlSecondsAfterFinished": 3600,
    }
    given = {
        "SlimFaas__Orchestrator": "Process",
        "SlimFaas__HttpPort": str(port),
        "SlimFaas__LogLevel": "warning",
        "SlimFaas__BackoffSeconds": "1",  # who has just killed it does not want to look at nothing for long
        "SlimFaas__JobsConfiguration": json.dumps({"Configurations": {"fibonacci": definition}}),
        "SlimData__Directory": str(directory),
    }
    reading = read_settings({}, given, find_place(os.environ))
    if reading.settings is None:
        raise Ended(Exit.USAGE, *reading.problems)
    return reading.settings


async def _free_port(first: int) -> int:
    last = min(first + PORTS_TRIED, 65535)
    for port in range(first, last + 1):
        try:
            listeners = await listen("127.0.0.1", port)
        except AddressUnavailable:
            continue
        for listener in listeners:
            await listener.aclose()
        return port
    raise Ended(Exit.TAKEN, f"none of the ports {first} to {last} is free")


class Show:
    """What the person sees: the commands to try, and everything that happens to the runs, as REST tells it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._told: dict[str, str] = {}

    def welcome(self, directory: Path) -> None:
        """Where the service is, and what to try while it works."""
        url = self._client.url
        click.echo(
            f"slimjobs serves at {url} (pid {os.getpid()}), its log is in {directory}. Try, in another terminal:\n"
        )
        click.echo(f"""  curl -X POST {url}/job/fibonacci -d '{{"Args": ["50"]}}'""")
        click.echo(f"  curl {url}/job/fibonacci")
        click.echo(f"  kill -9 {os.getpid()}        and then start it again: nothing that was accepted is lost\n")

    async def runs(self) -> int:
        """Trigger the runs, unless there are some to take up, and tell until all have ended; gives how many failed."""
        rows = await self._list()
        unfinished = [row for row in rows if row["Status"] not in FINAL]
        if rows:
            click.echo(f"Found again: {len(rows)} runs from before, {len(unfinished)} of them not ended yet.")
        self._told = {row["Id"]: row["Status"] for row in rows if row["Status"] in FINAL}
        if not unfinished:
            for number in range(RUNS):
                answer = await self._ask("POST", "/job/fibonacci", {"Args": [str(10 * (number + 1))]})
                click.echo(f"  {answer['Id']}  accepted")
        return await self._tell_until_ended()

    async def _tell_until_ended(self) -> int:
        while True:
            rows = await self._list()
            await self._tell(reversed(rows))
            if all(row["Status"] in FINAL for row in rows):
                break
            await trio.sleep(LOOKED_AT_SECONDS)
        failed = [row["Status"] for row in rows].count("Failed")
        click.echo(f"All {len(rows)} runs have ended, {failed} of them failed.")
        return failed

    async def _tell(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if self._told.get(row["Id"]) == row["Status"]:
                continue
            self._told[row["Id"]] = row["Status"]
            click.echo(f"  {row['Id']}  {await self._said(row)}")

    async def _said(self, row: Row) -> str:
        if row["Status"] == "Queued":
            return f"queued, number {row['PositionInQueue']}"
        if row["Status"] == "Succeeded":
            return f"succeeded: {await _in_thread(self._output, row['Id'])}"
        return str(row["Status"].lower()) + (f", {row['Reason']}" if row["Reason"] else "")

    def _output(self, run_id: str) -> str:
        return b"".join(self._client.stream(f"/job/fibonacci/{run_id}/logs")).decode(errors="replace").strip()

    async def _list(self) -> list[Row]:
        rows: list[Row] = await self._ask("GET", "/job/fibonacci")
        return rows

    # Plain blocking HTTP in a thread, as any client would do it, so that the node serves it like any other.
    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        return (await _in_thread(self._client.request, method, path, body)).body


async def _in_thread(call: Callable[[Unpack[Args]], Answered], *arguments: *Args) -> Answered:
    return await trio.to_thread.run_sync(call, *arguments, abandon_on_cancel=True)
