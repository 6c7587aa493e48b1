"""The client commands: trigger, list, show, follow and delete runs of a running service."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from slimjobs.deploy.client import Client, quoted
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.streams import discard_output, tell
from slimjobs.deploy.tables import print_table

FINAL: Final = frozenset({"Succeeded", "Failed"})
WAIT_SECONDS: Final = 20

Row = Mapping[str, Any]


def run_job(
    url: str, name: str, arguments: Sequence[str], *, wait: bool, logs: bool, key: str | None, as_json: bool
) -> None:
    """Trigger a job; with `wait` or `logs` stay until it has ended. Raises `Ended` with 1 if it failed then."""
    client = Client(url)
    body = {"Args": list(arguments)} if arguments else {}
    headers = {"Idempotency-Key": key} if key is not None else {}
    run_id = client.request("POST", f"/job/{quoted(name)}", body, headers).body["Id"]
    if not wait and not logs:
        click.echo(json.dumps({"Id": run_id}) if as_json else f"{name}/{run_id}")
        return
    tell(f"{name}/{run_id} was accepted")
    if logs:
        try:
            _follow_output(client, name, run_id)
        except BrokenPipeError:  # the reader has had enough, but whether the run succeeds is still asked
            discard_output()
    detail = _wait_for_end(client, name, run_id)
    if as_json:
        click.echo(json.dumps(detail))
    elif not logs:
        click.echo(f"{name}/{run_id} {_outcome(detail)}")
    if detail["Status"] != "Succeeded":
        raise Ended(Exit.NO, f"{name}/{run_id} {_outcome(detail)}")


def _outcome(detail: Row) -> str:
    reason = f": {detail['Reason']}" if detail["Reason"] else ""
    return f"{detail['Status'].lower()}{reason}"


def _wait_for_end(client: Client, name: str, run_id: str) -> Row:
    path = f"/job/{quoted(name)}/{run_id}"
    detail: Row = client.request("GET", path).body
    while detail["Status"] not in FINAL:
        tell(f"{name}/{run_id} is {_where(detail)}")
        detail = client.request("GET", f"{path}?wait={WAIT_SECONDS}").body
    return detail


def _where(row: Row) -> str:
    position = row["PositionInQueue"]
    return f"queued, number {position}" if position > 0 else row["Status"].lower()


# Output belongs to an attempt, so there is none before the first has begun, and each has its own.
def _follow_output(client: Client, name: str, run_id: str) -> None:
    path, attempt = f"/job/{quoted(name)}/{run_id}", 1
    detail: Row = client.request("GET", path).body
    while True:
        if detail["Attempts"] >= attempt:
            _write_out(client.stream(f"{path}/logs?follow=true&attempt={attempt}"))
            attempt += 1
            detail = client.request("GET", path).body
        elif detail["Status"] in FINAL:
            return
        else:
            detail = client.request("GET", f"{path}?wait={WAIT_SECONDS}").body


def _write_out(blocks: Iterable[bytes]) -> None:
    for block in blocks:
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()


def list_runs(url: str, name: str, status: str | None, as_json: bool) -> None:
    """List every run of a job, page by page."""
    client, rows = Client(url), list[Row]()
    path: str | None = f"/job/{quoted(name)}" + (f"?status={quoted(status)}" if status else "")
    while path is not None:
        answer = client.request("GET", path)
        rows += answer.body
        path = _next_page(answer.headers)
    if as_json:
        click.echo(json.dumps(rows))
        return
    columns = ("ID", "STATUS", "POSITION", "QUEUED", "STARTED", "FINISHED", "ATTEMPTS", "REASON")
    print_table(columns, [_columns(row) for row in rows], nothing=f"no runs of '{name}'")


def _next_page(headers: Mapping[str, str]) -> str | None:
    link = next((value for key, value in headers.items() if key.lower() == "link"), "")
    return link[link.index("<") + 1 : link.index(">")] if 'rel="next"' in link else None


def _columns(row: Row) -> tuple[str, ...]:
    position = str(row["PositionInQueue"]) if row["PositionInQueue"] > 0 else ""
    times = (row["InQueueTimestamp"], row["StartTimestamp"], row["FinishTimestamp"])
    attempts = str(row["Attempts"] or "")
    return (row["Id"], row["Status"], position, *map(_time, times), attempts, row["Reason"])


def _time(at_ms: int) -> str:
    return "" if at_ms < 0 else datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime("%H:%M:%S")


def list_definitions(url: str, as_json: bool) -> None:
    """List the definitions with what waits and runs of each."""
    status = Client(url).request("GET", "/jobs/status").body
    if as_json:
        click.echo(json.dumps(status))
        return
    rows = [
        (each["Name"], str(each["Queued"]), f"{each['Occupied']} of {each['NumberParallelJob']}", each["Visibility"])
        for each in status["Definitions"]
    ]
    print_table(("NAME", "QUEUED", "SLOTS HELD", "VISIBILITY"), rows, nothing="no definitions")
    for problem in status["Problems"]:
        tell(problem)


def show_run(url: str, run: str, as_json: bool) -> None:
    """Show one run with its events and, while it waits, why."""
    name, run_id = _name_and_id(run)
    detail = Client(url).request("GET", f"/job/{name}/{run_id}").body
    if as_json:
        click.echo(json.dumps(detail))
        return
    click.echo(f"{detail['Name']}  {_outcome(detail)}")
    for why in detail["Why"]:
        click.echo(f"  waits ({why['Kind']}): {why['Detail']} {' '.join(why['Ids'])}".rstrip())
    for event in detail["Events"]:
        click.echo(f"  {_time(event['At'])}  {event['Type']}  {event['Detail']}".rstrip())


def show_output(url: str, run: str, *, follow: bool, tail: int | None, attempt: int | None) -> None:
    """Write the output of a run to stdout."""
    name, run_id = _name_and_id(run)
    asked = {"follow": "true" if follow else None, "tail": tail, "attempt": attempt}
    query = "&".join(f"{key}={value}" for key, value in asked.items() if value is not None)
    _write_out(Client(url).stream(f"/job/{name}/{run_id}/logs?{query}"))


def delete_run(url: str, run: str, as_json: bool) -> None:
    """Delete a run; says whether that is already certain."""
    name, run_id = _name_and_id(run)
    answer = Client(url).request("DELETE", f"/job/{name}/{run_id}")
    if as_json:
        click.echo(json.dumps({"Id": run_id, "Certain": answer.status == 200}))
    elif answer.status == 200:
        click.echo(f"{run} is deleted")
    else:
        tell(f"{run} will be deleted; the orchestrator has not confirmed it yet")


def _name_and_id(run: str) -> tuple[str, str]:
    name, slash, run_id = run.strip("/").partition("/")
    if not slash or not name or not run_id:
        raise Ended(Exit.USAGE, f"a run is named NAME/ID, as 'slimjobs list NAME' shows it; '{run}' is not")
    return quoted(name), quoted(run_id)
