"""What of a job the runner executes: checked when it is created, completed with the environment when it starts.

Stands between the port's `Job` and the request to a keeper. A job never sees the node's environment (contract §6).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Final

from slimjobs.core.orchestrators.ports import Job
from slimjobs.core.orchestrators.process.states import Program, RunObject
from slimjobs.eventlog.events.definitions import EnvironmentVariable
from slimjobs.eventlog.events.runs import run_id_text

# Names are file names here, so they are held to what the supervisor gives: Kubernetes object names.
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def problems(job: Job) -> Iterator[str]:
    """Why this job can never run as a process, each in a sentence; nothing if it can."""
    if not _NAME.fullmatch(job.name):
        yield f"{job.name!r} is not the name of an object: at most 63 of a-z, 0-9 and -"
    if not job.definition.command:
        yield f"{job.job!r} has no Command: the process orchestrator runs a Command, it cannot run an image"
    texts = (job.path, *job.definition.command, *job.definition.args)
    if any("\0" in text for text in texts):
        yield "Command, Args and the path cannot hold a NUL character"
    for variable in job.definition.environments:
        yield from _problems_of_variable(variable)


def program(job: Job) -> Program:
    """What is executed of a job that has no problems."""
    definition = job.definition
    return Program(
        command=(*definition.command, *definition.args),
        environment=tuple((variable.name, variable.value or "") for variable in definition.environments),
        backoff_limit=definition.backoff_limit,
        active_deadline_seconds=definition.active_deadline_seconds,
    )


def environment(run: RunObject, node: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of an attempt: PATH and HOME of the node, the job's own, and who it is (it wins)."""
    return {
        **minimal(node),
        **dict(run.program.environment),
        "SLIMFAAS_JOB_ID": run_id_text(run.run),
        "SLIMFAAS_JOB_PATH": run.path,
    }


def minimal(node: Mapping[str, str]) -> dict[str, str]:
    """All that any process sees of the node's environment."""
    return {"PATH": node.get("PATH", os.defpath), "HOME": node.get("HOME", "/")}


def _problems_of_variable(variable: EnvironmentVariable) -> Iterator[str]:
    if variable.value_from is not None:
        yield (
            f"Environments {variable.name!r} takes its value from a Kubernetes object (valueFrom); "
            "the process orchestrator knows only values"
        )
    if not variable.name or "=" in variable.name or "\0" in variable.name + (variable.value or ""):
        yield f"Environments {variable.name!r} cannot be a variable of a process: empty name, '=' in it, or NUL"
