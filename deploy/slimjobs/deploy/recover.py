"""`slimjobs cluster recover`: the way out when the majority of a cluster is lost for good."""

from __future__ import annotations

import click
import msgspec

from slimjobs.core.configuration.settings import Settings
from slimjobs.core.node.recovering import NothingToRecover, recover_directory
from slimjobs.deploy.directory import usable
from slimjobs.deploy.ending import Exits
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.eventlog.storage.errors import DirectoryTaken, NewerFormat, StorageError
from slimjobs.eventlog.storage.store import StorageOptions
from slimjobs.projections.fold import BrokenLog
from slimjobs.projections.snapshot import UnreadableSnapshot

_EXITS: Exits = {
    NothingToRecover: Exit.NO,
    DirectoryTaken: Exit.TAKEN,
    NewerFormat: Exit.USAGE,
    StorageError: Exit.DAMAGE,
    BrokenLog: Exit.DAMAGE,
    UnreadableSnapshot: Exit.DAMAGE,
}


def recover_cluster(settings: Settings, *, yes: bool, as_json: bool) -> None:
    """Do it, if the person has said that it is meant. Raises `Ended`."""
    if not yes:
        raise Ended(
            Exit.USAGE,
            f"{settings.directory} would become a cluster of its own, without whatever only the other nodes have.",
            "If they are lost for good, say so with --yes. Nothing was changed.",
        )
    if not settings.directory.exists():
        raise Ended(Exit.NO, f"{settings.directory} does not exist; SlimData__Directory says where the log is")
    try:
        done = recover_directory(usable(settings.directory), StorageOptions(), settings.node_name)
    except tuple(_EXITS) as error:
        raise Ended(next(code for kind, code in _EXITS.items() if isinstance(error, kind)), str(error)) from None
    if as_json:
        click.echo(msgspec.json.encode(done).decode())
        return
    click.echo(f"{settings.directory} is now the cluster {done.cluster}, with {done.name} as its only node.")
    click.echo(f"It was part of {done.before}. Its log ends at index {done.index}.")
    click.echo(f"{done.queued} runs are queued; {done.failed} that had started have failed, with ClusterRecovered.")
    click.echo("Start it with SlimData__Peers as before: the others join it when their directories are empty.")
