"""`slimjobs backup` and `restore`: the schedules of a log as a document, and back into a running service."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from slimjobs.core.backups.document import Head, UnusableBackup, checksum, document, head_of, read, read_head
from slimjobs.core.backups.folder import write_whole
from slimjobs.deploy.client import Client
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.log import UNUSABLE, folding
from slimjobs.deploy.streams import tell
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.projections.backups import BackedSchedule, Backup, backup_of

PART_BYTES: Final = 512 * 1024
"""What is restored with one request; a service takes bodies of 1 MiB (MaxBatchBytes) unless it is told otherwise."""


def back_up(directory: Path, file: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Write the backup of a log. Raises `Ended`: 4 if the log cannot be read, 1 if the file cannot be written."""
    head = head_of(_backup_in(directory))
    if not dry_run and file is None:
        click.echo(document(head), nl=False)
    elif not dry_run and file is not None:
        try:
            write_whole(file, document(head))
        except OSError as error:
            raise Ended(Exit.NO, f"{file} cannot be written: {error.strerror}; what was there is as it was") from None
    said = f"{len(head.schedules)} schedules of the cluster {head.cluster}, at index {head.index}"
    if as_json and (dry_run or file is not None):
        click.echo(json.dumps({"Cluster": head.cluster, "Index": head.index, "Schedules": len(head.schedules)}))
    else:
        tell(f"slimjobs: {said}{'; nothing is written' if dry_run else ''}")


def _backup_in(directory: Path) -> Backup:
    try:
        log = folding(directory)
        for _ in log:
            pass
    except UNUSABLE as error:
        raise Ended(Exit.DAMAGE, str(error)) from None
    return backup_of(log.state)


def restore_backup(url: str, file: Path, *, dry_run: bool, edited: bool, as_json: bool) -> None:
    """Restore a backup. Raises `Ended` with 2 for one that cannot be used, with 1 where the service refuses."""
    try:
        head = read_head(_content(file), edited=edited)
        backup = read(head)
    except UnusableBackup as error:
        hint = " (--edited takes it all the same)" if "edited" in str(error) else ""
        raise Ended(Exit.USAGE, f"this backup cannot be used: {error}{hint}") from None
    client = Client(url)
    if dry_run:
        _tell_what_would_come(client, backup, as_json)
        return
    restored = known = 0
    for part in _parts(head):
        answer = client.request("POST", "/cluster/restore", document(part)).body
        restored, known = restored + answer["Restored"], known + answer["Known"]
        if len(part.schedules) < len(head.schedules):
            tell(f"slimjobs: {restored + known} of {len(head.schedules)} schedules")
    if as_json:
        click.echo(json.dumps({"Restored": restored, "Known": known}))
    else:
        click.echo(f"{restored} schedules came in force; {known} were already, and are as they were")


def _content(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Ended(Exit.USAGE, f"{file} cannot be read: {error.strerror}") from None


def _parts(head: Head) -> Iterator[Head]:
    part: list[msgspec.Raw] = []
    size = 0
    for schedule in head.schedules:
        if part and size + len(bytes(schedule)) > PART_BYTES:
            yield _part(head, part)
            part, size = [], 0
        part.append(schedule)
        size += len(bytes(schedule))
    yield _part(head, part)


def _part(head: Head, schedules: Sequence[msgspec.Raw]) -> Head:
    return msgspec.structs.replace(head, schedules=list(schedules), sha256=checksum(schedules))


def _tell_what_would_come(client: Client, backup: Backup, as_json: bool) -> None:
    in_force = {job: _ids(client, job) for job in dict.fromkeys(each.job for each in backup.schedules)}
    new = [each for each in backup.schedules if _id(each) not in in_force[each.job]]
    known = len(backup.schedules) - len(new)
    if as_json:
        click.echo(
            json.dumps({"Restored": len(new), "Known": known, "Ids": [f"{each.job}/{_id(each)}" for each in new]})
        )
        return
    for each in new:
        click.echo(f"{each.job}/{_id(each)} {each.plan.expression} {each.plan.time_zone}")
    tell(f"slimjobs: {len(new)} schedules would come in force; {known} are already. Nothing was changed")


def _ids(client: Client, job: str) -> set[str]:
    rows: Sequence[Mapping[str, Any]] = client.request("GET", f"/job-schedules/{job}").body
    return {row["Id"] for row in rows}


def _id(backed: BackedSchedule) -> str:
    return run_id_text(RunId(backed.schedule))
