"""`slimjobs check`: is a jobs configuration one that a node would start with? Every problem at once, with its place."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from slimjobs.core.configuration.jobs import Configuration, read_configuration
from slimjobs.core.configuration.place import find_place
from slimjobs.core.configuration.settings import read_settings
from slimjobs.core.configuration.source import ConfigurationSource
from slimjobs.deploy.exits import Ended, Exit


def check_configuration(file: Path | None, as_json: bool) -> None:
    """Check this file, or what the environment names. Raises `Ended` with 2 if a node would not start with it."""
    configuration, problems = _read(file)
    if as_json:
        click.echo(json.dumps({"Valid": configuration is not None, "Problems": problems}))
    if configuration is None:
        raise Ended(Exit.USAGE, *(() if as_json else problems))
    if not as_json:
        names = ", ".join(sorted(configuration.definitions))
        schedules = sum(map(len, configuration.schedules.values()))
        click.echo(f"valid: {len(configuration.definitions)} definitions ({names}), {schedules} schedules")


def _read(file: Path | None) -> tuple[Configuration | None, list[str]]:
    if file == Path("-"):
        reading = read_configuration(sys.stdin.buffer.read())
        return reading.configuration, [str(problem) for problem in reading.problems]
    if file is not None:
        source = ConfigurationSource("", file)
    else:
        settings = read_settings(os.environ, {}, find_place(os.environ))
        if settings.settings is None:
            return None, list(settings.problems)
        source = ConfigurationSource.of(settings.settings)
    source.look()
    return source.configuration, [str(problem) for problem in source.problems]
