"""The jobs configuration as a whole: what the variable or the file holds, or all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from slimjobs.core.configuration.definitions import BUILT_IN_DEFAULT, read_definition
from slimjobs.core.configuration.names import DEFAULT, dependency_name_complaint, job_name_complaint
from slimjobs.core.configuration.problems import Problem
from slimjobs.core.configuration.reading import Fields, Spot, known_keys, named
from slimjobs.core.configuration.relaxed_json import Document, parse
from slimjobs.core.configuration.schedules import DeclaredSchedule, read_schedules
from slimjobs.core.configuration.services import Service, read_service
from slimjobs.eventlog.events.definitions import Definition, Source

KEYS: Final = known_keys("Configurations", "Schedules", "Dependencies")


class Configuration(msgspec.Struct, frozen=True):
    """What may be run and when, by lower-cased name. `definitions` always has `default`, the built-in one if need be.

    A schedule's name need not have a definition: it falls back to `default` as a trigger does.
    """

    definitions: Mapping[str, Definition]
    schedules: Mapping[str, tuple[DeclaredSchedule, ...]] = {}
    services: Mapping[str, Service] = {}
    default_is_built_in: bool = True

    def source_of(self, name: str) -> Source:
        """Where the definition of this name comes from."""
        return Source.BUILT_IN if name == DEFAULT and self.default_is_built_in else Source.CONFIGURATION


EMPTY: Final = Configuration({DEFAULT: BUILT_IN_DEFAULT})


class ConfigurationReading(msgspec.Struct, frozen=True):
    """What came of reading: the configuration, or None and every problem in the order of the text."""

    configuration: Configuration | None
    problems: tuple[Problem, ...] = ()


def read_configuration(source: str | bytes) -> ConfigurationReading:
    """The configuration in this text or these UTF-8 bytes. A blank text is an empty configuration."""
    if not source.strip():
        return ConfigurationReading(EMPTY)
    document = parse(source)
    configuration = None if document.root is None else _configuration(Spot(document, document.root))
    if document.problems:
        return ConfigurationReading(None, tuple(_in_order(document)))
    return ConfigurationReading(configuration)


def _in_order(document: Document) -> list[Problem]:
    problems = sorted(document.problems, key=lambda problem: (problem.line, problem.column))
    if document.unlisted:
        problems.append(Problem("$", 1, 1, f"and {document.unlisted} more problems"))
    return problems


def _configuration(spot: Spot) -> Configuration:
    fields = Fields(spot, KEYS)
    definitions = fields.take("Configurations", _definitions) or {}
    return Configuration(
        definitions={DEFAULT: BUILT_IN_DEFAULT} | definitions,
        schedules=fields.take("Schedules", _schedules) or {},
        services=fields.take("Dependencies", _services) or {},
        default_is_built_in=DEFAULT not in definitions,
    )


def _definitions(spot: Spot) -> dict[str, Definition]:
    return named(spot, read_definition, job_name_complaint)


def _schedules(spot: Spot) -> dict[str, tuple[DeclaredSchedule, ...]]:
    return named(spot, read_schedules, job_name_complaint)


def _services(spot: Spot) -> dict[str, Service]:
    return named(spot, read_service, dependency_name_complaint)
