"""The runs of a demonstration: triggered, watched, and told of as their states change, as REST shows them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from operator import itemgetter

import click
import trio

from slimjobs.deploy.demo.asking import LOOKED_AT_SECONDS, ask, output
from slimjobs.deploy.demo.place import JOB
from slimjobs.deploy.demo.verdict import FINAL, Row, Rows


async def list_runs(url: str) -> Rows:
    """All runs, by id: the oldest first, then the queue. They are few enough to be all in one answer."""
    rows: list[Row] = (await ask(url, "GET", f"/job/{JOB}")).body
    return {row["Id"]: row for row in sorted(rows, key=itemgetter("PositionInQueue", "InQueueTimestamp"))}


async def trigger(url: str, number: int) -> str:
    """The id of a new run, which is on a majority's disks now."""
    run_id: str = (await ask(url, "POST", f"/job/{JOB}", {"Args": [str(number)]})).body["Id"]
    return run_id


class Runs:
    """What is seen of the runs, looked at every LOOKED_AT_SECONDS, and told when it has changed."""

    def __init__(self, url: str, known: Rows) -> None:
        self._url = url
        self._rows = known
        self._told = {run_id: row["Status"] for run_id, row in known.items() if row["Status"] in FINAL}
        self._seen = trio.Event()

    async def watch(self) -> None:
        """Look and tell for ever."""
        while True:
            rows = await list_runs(self._url)
            await self._tell(rows.values())
            self._rows = rows  # not before it has been told: who waits for the end would end the telling
            seen, self._seen = self._seen, trio.Event()
            seen.set()
            await trio.sleep(LOOKED_AT_SECONDS)

    async def until(self, holds: Callable[[Rows], bool]) -> Rows:
        """The runs, as soon as they are seen to be so."""
        while not holds(self._rows):
            await self._seen.wait()
        return self._rows

    def have_ended(self, run_ids: Collection[str]) -> bool:
        """Whether all of these are seen to have ended; one that was there and is no more has, somehow."""
        return all(
            self._rows[each]["Status"] in FINAL if each in self._rows else each in self._told for each in run_ids
        )

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
            return "succeeded: " + await output(self._url, f"/job/{JOB}/{row['Id']}/logs")
        return str(row["Status"].lower()) + (f", {row['Reason']}" if row["Reason"] else "")


def with_status(rows: Rows, status: str) -> list[str]:
    """The ids of those that have this status."""
    return [run_id for run_id, row in rows.items() if row["Status"] == status]
