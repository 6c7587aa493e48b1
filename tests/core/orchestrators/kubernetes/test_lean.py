"""The official client is imported without its models, and only when it is needed."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

LOADED: Final = """
import resource, sys
import trio, msgspec
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{program}
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(grown, *(name for name in sys.modules if name.partition(".")[0] == "kubernetes"))
"""
LEAN: Final = "from slimjobs.core.orchestrators.kubernetes.lean import lean_client; lean_client()"
MOST_KIB: Final = 8 * 1024


def loaded(program: str) -> tuple[int, set[str]]:
    """How much the process grew, in KiB, and which modules of the client it has."""
    command = [sys.executable, "-W", "error", "-c", LOADED.format(program=program)]
    grown, *modules = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(grown), set(modules)


def test_no_model_is_loaded_and_little_memory_is_used() -> None:
    grown, modules = loaded(LEAN)
    assert {"kubernetes.client.rest", "kubernetes.config.incluster_config"} <= modules
    assert not {name for name in modules if name.startswith(("kubernetes.client.models", "kubernetes.client.api."))}
    assert grown < MOST_KIB


@pytest.mark.parametrize("module", ["slimjobs.core.orchestrators.kubernetes", "slimjobs.deploy.serve"])
def test_nothing_of_it_is_loaded_before_it_is_needed(module: str) -> None:
    assert loaded(f"import {module}")[1] == set()
