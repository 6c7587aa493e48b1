"""`slimjobs cluster`: who belongs to a running cluster, whether all is well with it, what an operator may change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from slimjobs.deploy.client import Client, quoted
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.tables import print_table

CONTACT_MS: Final = 5000
"""Who has said nothing for so long is out of contact: as long as a caller is kept waiting (contract §2)."""

COLUMNS: Final = (
    "NAME",
    "ROLE",
    "VOTER",
    "INDEX",
    "LAG",
    "LAST CONTACT",
    "VERSION",
    "CHECKPOINT",
    "ADDRESS",
)

Row = Mapping[str, Any]


def show_cluster(url: str, as_json: bool) -> None:
    """Show the cluster. Raises `Ended` with 1 if it has no leader, or a member that takes no part."""
    view = Client(url).request("GET", "/cluster").body
    if as_json:
        click.echo(json.dumps(view))
    else:
        led = f"led by {view['Leader']}" if view["Leader"] else f"without a leader, as {view['ToldBy']} sees it"
        click.echo(f"cluster {view['ClusterId']}, term {view['Term']}, {led}")
        rows = [_columns(row, leads=row["Name"] == view["Leader"]) for row in view["Members"]]
        print_table(COLUMNS, rows, nothing="no members")
    wrong = list(_wrong(view))
    if wrong:
        raise Ended(Exit.NO, *wrong)


def _columns(row: Row, *, leads: bool) -> tuple[str, ...]:
    checkpoint = f"{row['CheckpointIndex']} {row['CheckpointHash'][:12]}" if row["CheckpointIndex"] >= 0 else ""
    return (
        f"{row['Name']} *" if leads else row["Name"],
        row["Role"],
        "yes" if row["Voter"] else "no",
        _known(row["Index"]),
        _known(row["LagEntries"]),
        "" if leads else _ago(row),
        row["Version"],
        checkpoint.strip(),
        row["Address"],
    )


def _known(number: int) -> str:
    return str(number) if number >= 0 else ""


def _ago(row: Row) -> str:
    silent_ms = row["LastContactMs"]
    if silent_ms < 0:
        return "never"
    return f"{silent_ms} ms ago" if silent_ms < 1000 else f"{silent_ms / 1000:.1f} s ago"


def _wrong(view: Row) -> Iterator[str]:
    """What keeps the cluster from being whole, a line each."""
    if not view["Leader"]:
        yield "there is no leader: nothing can be accepted"
    for row in view["Members"]:
        if row["Name"] in (view["Leader"], view["ToldBy"]):
            continue
        if not 0 <= row["LastContactMs"] <= CONTACT_MS:
            yield f"{row['Name']} was last heard: {_ago(row)}"
        elif not row["Voter"] and row["Role"] != "learner":
            yield f"{row['Name']} is neither voter nor learner"


def transfer_leadership(url: str, to: str | None, as_json: bool) -> None:
    """Have another node lead."""
    told = Client(url).request("POST", "/cluster/transfer", {} if to is None else {"To": to}).body["To"]
    if as_json:
        click.echo(json.dumps({"To": told}))
    else:
        click.echo(f"{told} has been told to lead; 'slimjobs cluster status' shows when it does")


def remove_member(url: str, name: str, as_json: bool) -> None:
    """Remove a member."""
    removed = Client(url).request("DELETE", f"/cluster/members/{quoted(name)}").body["Name"]
    if as_json:
        click.echo(json.dumps({"Name": removed}))
    else:
        click.echo(
            f"{removed} belongs to the cluster no more: no majority needs it, and it gets no vote. "
            "It can come back with an empty directory only"
        )
