"""The configuration's way into the log: proposed once at the start, once for each change of the file (design §2)."""

from __future__ import annotations

import structlog
import trio

from slimjobs.core.configuration.jobs import Configuration
from slimjobs.core.configuration.source import ConfigurationSource
from slimjobs.core.decide.commands import Configure, Configured, Declared
from slimjobs.core.node.program import Node
from slimjobs.core.orchestrators.declared import Declaration

LOOKED_AT_SECONDS = 1.0

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.configuration")


def proposal(configuration: Configuration, time_zone: str = "UTC") -> Configure:
    """The command that puts this configuration in force. `time_zone` is that of schedules that name none."""
    definitions = {
        name: Declared(definition, configuration.source_of(name))
        for name, definition in configuration.definitions.items()
    }
    schedules = {
        job: tuple(each.plan(time_zone) for each in declared) for job, declared in configuration.schedules.items()
    }
    return Configure(definitions, schedules)


async def propose_forever(
    node: Node, source: ConfigurationSource, declaration: Declaration | None = None, time_zone: str = "UTC"
) -> None:
    """Propose what the source has, then look at its file every second. A reload that fails keeps what is in force.

    The services of what is in force are put into `declaration`: they are the runner's affair and not in the log.
    """
    proposed: Configuration | None = None
    told = ""
    while True:
        found = source.configuration
        if found is not None and found is not proposed:
            refusal = await _propose(node, found, time_zone)
            if not refusal:
                proposed = found
                if declaration is not None:
                    declaration.change(found.services)
            elif refusal != told:
                _log.warning("the configuration is not in force yet", reason=refusal)
            told = refusal
        if source.file is None and proposed is not None:
            return
        await trio.sleep(LOOKED_AT_SECONDS)
        if source.file is not None and await trio.to_thread.run_sync(source.look):
            _tell(node, source)


async def _propose(node: Node, configuration: Configuration, time_zone: str) -> str:
    """Why the configuration is not in force, and to be proposed again; empty when it is."""
    reply = await node.command(proposal(configuration, time_zone))
    if not isinstance(reply.value, Configured):
        return getattr(reply.value, "detail", "") or type(reply.value).__name__
    if reply.value.changed:
        schedules = sum(map(len, configuration.schedules.values()))
        definitions = len(configuration.definitions)
        _log.info("a new configuration is in force", definitions=definitions, schedules=schedules)
    return ""


def _tell(node: Node, source: ConfigurationSource) -> None:
    problems = tuple(map(str, source.problems))
    node.configuration_refused(problems)
    for problem in problems:
        _log.error("the changed configuration is refused; the one before stays in force", problem=problem)
