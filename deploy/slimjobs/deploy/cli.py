"""The command line `slimjobs` (contract §5): its grammar, and nothing else.

Each command's work is in a module of its own, imported when the command runs: a client should answer at once, and a
node should not carry what only a client needs.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from slimjobs.core.configuration.place import find_place
from slimjobs.core.configuration.settings import SETTINGS, Settings, read_settings
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.streams import complete_streams, discard_output, tell

EPILOG: Final = (
    "Exit codes: 0 done; 1 the answer is no; 2 bad usage or configuration; 3 the directory or port is taken; 4 damage; "
    "5 a checkpoint differs from the others'."
)
MAX_MS: Final = 253_402_300_799_999
"""The end of the year 9999, in Unix ms."""

INTERRUPTED: Final = 130
"""As a shell says of what ctrl-C ended (128 + SIGINT)."""

_F = TypeVar("_F", bound=Callable[..., Any])


class _ReaderLeft(Exception):
    """Whoever reads stdout has had enough, as `head` does."""


class _Commands(click.Group):
    """The commands. click itself would end with 1 when a reader leaves, which here says that the answer is no."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _readers_may_leave():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with _readers_may_leave():
            return super().invoke(ctx)


@contextmanager
def _readers_may_leave() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise _ReaderLeft from None


def main() -> None:
    """The entry point: runs a command, tells a person what went wrong, and exits with the code that says it."""
    complete_streams()
    sys.exit(_run())


def _run() -> int:
    if sys.platform != "linux":
        tell(f"slimjobs: runs on Linux only, and this is {sys.platform}")
        return Exit.USAGE
    try:
        slimjobs.main(prog_name="slimjobs", standalone_mode=False)
    except Ended as ended:
        if str(ended):
            tell(f"slimjobs: {ended}")
        return ended.code
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        tell(said.getvalue().rstrip())
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except _ReaderLeft:
        discard_output()
    except OSError as error:  # stdout is a file on a full disk, for one
        discard_output()
        tell(f"slimjobs: {error}")
        return Exit.NO
    return Exit.DONE


@click.group(
    cls=_Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.version_option(version("slimjobs"), prog_name="slimjobs")
def slimjobs() -> None:
    """Jobs on Kubernetes or as plain processes: triggered by HTTP, queued, capped, and never lost."""


# Nodes --------------------------------------------------------------------------------------------------------------


def takes_settings(command: _F) -> _F:
    """Give a command a flag for every setting; it gets those that were given as `flags`, by key."""
    for setting in reversed(SETTINGS):
        shown = f"{setting.meaning} [{setting.default_text}]"
        command = click.option(setting.flag, setting.field, metavar=setting.key, help=shown)(command)
    return command


def settings_of(flags: Mapping[str, str | None]) -> Settings:
    """The settings of the environment and of the flags that were given. Raises `Ended` with every problem."""
    given = {each.key: value for each in SETTINGS if (value := flags.get(each.field)) is not None}
    reading = read_settings(os.environ, given, find_place(os.environ))
    for warning in reading.warnings:
        tell(f"slimjobs: {warning}")
    if reading.settings is None:
        raise Ended(Exit.USAGE, *reading.problems)
    return reading.settings


@slimjobs.command()
@takes_settings
def serve(**flags: str | None) -> None:
    """Run one node until SIGTERM or ctrl-C. Every flag is also an environment variable, as the usage shows."""
    from slimjobs.deploy.serve import serve_until_stopped

    serve_until_stopped(settings_of(flags))


@slimjobs.command()
@takes_settings
def runner(**flags: str | None) -> None:
    """Run a runner of processes that several nodes share, at SlimFaas__Runner, until SIGTERM or ctrl-C.

    Whoever can connect to it can execute programs as its user: prefer unix:PATH, which is for that user alone.
    """
    from slimjobs.deploy.runner import run_until_stopped

    run_until_stopped(settings_of(flags))


@slimjobs.command()
@click.option(
    "--exit-when-done", is_flag=True, help="Return when all runs have ended, with 0 if all went as it should."
)
@click.option("--directory", default="./data/demo", show_default=True, help="Where its processes keep everything.")
@click.option("--port", default=5000, show_default=True, help="The first of three ports; the next ones that are free.")
def demo(exit_when_done: bool, directory: str, port: int) -> None:
    """Show it: three nodes and a runner, fibonacci jobs as real processes, and the leader killed while they run."""
    from slimjobs.deploy.demo.program import demonstrate

    demonstrate(Path(directory), port, exit_when_done)


@slimjobs.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(file: Path | None, as_json: bool) -> None:
    """Validate a jobs configuration: FILE ('-' is stdin), else the one that the environment names."""
    from slimjobs.deploy.check import check_configuration

    check_configuration(file, as_json)


# Clients ------------------------------------------------------------------------------------------------------------


def takes_url(command: _F) -> _F:
    """Give a command the options of every client."""
    command = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, as the service gave it.")(command)
    return takes_url_alone(command)


def takes_url_alone(command: _F) -> _F:
    """Give a command the option that says where the service is."""
    return click.option(
        "--url",
        envvar="SLIMJOBS_URL",
        default="http://127.0.0.1:5000",
        show_default=True,
        help="Where the service is; the URLs of several nodes, separated by commas, are tried in turn.",
    )(command)


@slimjobs.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
@click.option("--wait", is_flag=True, help="Wait for its end; exit 1 if it failed.")
@click.option("--logs", is_flag=True, help="Show its output as it comes, until it ends.")
@click.option("--key", help="An Idempotency-Key: repeating the command with it starts nothing twice.")
@takes_url
def run(
    name: str, arguments: tuple[str, ...], wait: bool, logs: bool, key: str | None, url: str, as_json: bool
) -> None:
    """Trigger the job NAME, with ARGS in place of its own arguments."""
    from slimjobs.deploy.jobs import run_job

    run_job(url, name, arguments, wait=wait, logs=logs, key=key, as_json=as_json)


@slimjobs.command("list")
@click.argument("name", required=False)
@click.option("--status", help="Only those with this status.")
@takes_url
def list_command(name: str | None, status: str | None, url: str, as_json: bool) -> None:
    """List the runs of the job NAME, or all definitions without one."""
    from slimjobs.deploy.jobs import list_definitions, list_runs

    if name is None:
        list_definitions(url, as_json)
    else:
        list_runs(url, name, status, as_json)


@slimjobs.command()
@click.argument("run", metavar="NAME/ID")
@takes_url
def show(run: str, url: str, as_json: bool) -> None:
    """Show one run: its status, its events, and why it waits."""
    from slimjobs.deploy.jobs import show_run

    show_run(url, run, as_json)


@slimjobs.command()
@click.argument("run", metavar="NAME/ID")
@click.option("--follow", "-f", is_flag=True, help="Go on until the attempt ends.")
@click.option("--tail", type=click.IntRange(min=0), help="Only the last lines.")
@click.option("--attempt", type=click.IntRange(min=1), help="Which attempt; the latest by default.")
@takes_url_alone
def logs(run: str, follow: bool, tail: int | None, attempt: int | None, url: str) -> None:
    """Write the output of a run to stdout, byte for byte."""
    from slimjobs.deploy.jobs import show_output

    show_output(url, run, follow=follow, tail=tail, attempt=attempt)


@slimjobs.command()
@click.argument("run", metavar="NAME/ID")
@takes_url
def delete(run: str, url: str, as_json: bool) -> None:
    """Delete a run, whatever its state: nothing of it starts any more."""
    from slimjobs.deploy.jobs import delete_run

    delete_run(url, run, as_json)


# The cluster --------------------------------------------------------------------------------------------------------


@slimjobs.group()
def cluster() -> None:
    """Look at a running cluster of nodes, and change it."""


@cluster.command("status")
@takes_url
def cluster_status(url: str, as_json: bool) -> None:
    """Show the members of the cluster, and who leads (marked with '*').

    Exits with 0 if there is a leader and it is in contact with every member, else with 1; stderr says what is wrong.
    """
    from slimjobs.deploy.cluster import show_cluster

    show_cluster(url, as_json)


@cluster.command("transfer")
@click.argument("name", required=False)
@takes_url
def cluster_transfer(name: str | None, url: str, as_json: bool) -> None:
    """Have the node NAME lead, or without one the node that is furthest."""
    from slimjobs.deploy.cluster import transfer_leadership

    transfer_leadership(url, name, as_json)


@cluster.command("remove")
@click.argument("name")
@takes_url
def cluster_remove(name: str, url: str, as_json: bool) -> None:
    """Remove the node NAME from the cluster, at once: it can come back with an empty directory only."""
    from slimjobs.deploy.cluster import remove_member

    remove_member(url, name, as_json)


@cluster.command("recover")
@click.option("--yes", is_flag=True, help="The other nodes are lost for good: do it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--directory", metavar="SlimData__Directory", help="The data directory [./data].")
@click.option("--name", "node_name", metavar="SlimData__Name", help="Which of the peers this node is [the host name].")
def cluster_recover(yes: bool, as_json: bool, directory: str | None, node_name: str | None) -> None:
    """Make the node of a directory, which does not run, a new cluster of its own, when the majority is lost for good.

    Acknowledged runs that only the others had are lost. Queued runs stay queued; those that had started have failed,
    with the reason ClusterRecovered. The other nodes can join again with empty directories only.
    """
    from slimjobs.deploy.recover import recover_cluster

    recover_cluster(settings_of({"directory": directory, "node_name": node_name}), yes=yes, as_json=as_json)


def takes_directory(command: _F) -> _F:
    """Give a command the options of those that read a log."""
    command = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")(command)
    return click.option("--directory", metavar="SlimData__Directory", help="The data directory [./data].")(command)


# Schedules ----------------------------------------------------------------------------------------------------------


class _Moment(click.ParamType[int]):
    """A time: ISO 8601 (UTC where it names no zone), or Unix milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int) or value.isdecimal():
            return int(value)
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is no time such as 2026-03-01, 2026-03-01T12:00:00Z or 1772366400000", param, ctx)
        return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)


@slimjobs.group()
def schedule() -> None:
    """Look after schedules."""


@schedule.command("audit")
@click.option("--from", "first", type=_Moment(), default=0, help="The first moment [as far as the log reaches].")
@click.option("--to", "last", type=_Moment(), default=MAX_MS, help="The last one [as far as the log reaches].")
@click.option("--job", help="Only the schedules of this job.")
@takes_directory
def schedule_audit(first: int, last: int, job: str | None, directory: str | None, as_json: bool) -> None:
    """List every instant that was due, beside what became of it; exit 1 if one is unaccounted for.

    It reads the event log of a data directory, also beside a running node, and asks nobody else.
    """
    from slimjobs.deploy.auditing import audit

    audit(settings_of({"directory": directory}).directory, first, last, job, as_json)


@slimjobs.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Write nothing; say what there is.")
@takes_directory
def backup(file: Path | None, dry_run: bool, directory: str | None, as_json: bool) -> None:
    """Write the schedules that callers made, with their marks, to FILE or to stdout.

    They are read from the event log of a data directory, also beside a running node. A node does the same by itself
    where SlimData__BackupDirectory says so.
    """
    from slimjobs.deploy.backups import back_up

    back_up(settings_of({"directory": directory}).directory, file, dry_run=dry_run, as_json=as_json)


@slimjobs.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would come in force.")
@click.option("--edited", is_flag=True, help="Take it though its checksum does not match what it holds.")
@takes_url
def restore(file: Path, dry_run: bool, edited: bool, url: str, as_json: bool) -> None:
    """Have a running service put those schedules of the backup FILE ('-': stdin) in force that are not.

    What was due before now does not fire. Nothing that is in force is changed, so it may be repeated.
    """
    from slimjobs.deploy.backups import restore_backup

    restore_backup(url, file, dry_run=dry_run, edited=edited, as_json=as_json)


# The log ------------------------------------------------------------------------------------------------------------


@slimjobs.group()
def log() -> None:
    """Read the event log of a data directory, also beside a running node."""


@log.command("cat")
@click.option("--from", "first", type=click.IntRange(min=1), help="The first index to show.")
@click.option("--job", help="Only events of this job's runs.")
@takes_directory
def log_cat(first: int | None, job: str | None, directory: str | None, as_json: bool) -> None:
    """Print every event of the log, a line each."""
    from slimjobs.deploy.log import cat

    cat(settings_of({"directory": directory}).directory, first, job, as_json)


@log.command("verify")
@takes_directory
def log_verify(directory: str | None, as_json: bool) -> None:
    """Check every byte and fold every record; exit 0 only if the log can be used."""
    from slimjobs.deploy.log import verify

    verify(settings_of({"directory": directory}).directory, as_json)


@log.command("stat")
@takes_directory
def log_stat(directory: str | None, as_json: bool) -> None:
    """Say how much there is: indices, bytes, snapshots, events by type, the hash of the state."""
    from slimjobs.deploy.log import stat

    stat(settings_of({"directory": directory}).directory, as_json)


@slimjobs.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete this command: eval "$(slimjobs completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, shell
    click.echo(kind(slimjobs, {}, "slimjobs", "_SLIMJOBS_COMPLETE").source())
