"""Through a socket a runner does what it does inside of a node: the very same tests, with another world under them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from tests.core.orchestrators.process import test_attempts, test_deaths, test_objects, test_outputs
from tests.core.orchestrators.shared.sharing import a_shared_world

MODULES: Final = (test_attempts, test_deaths, test_objects, test_outputs)
GIVEN: Final = frozenset({"tmp_path", "monkeypatch"})


def behaviours() -> Iterator[tuple[ModuleType, Callable[..., Awaitable[None]]]]:
    """Every test that speaks to a runner in its own world and needs nothing else."""
    for module in MODULES:
        for name, test in inspect.getmembers(module, inspect.iscoroutinefunction):
            names = test.__code__.co_names
            in_its_own_world = name.startswith("test_") and "a_world" in names and "a_host" not in names
            if in_its_own_world and set(inspect.signature(test).parameters) <= GIVEN:
                yield module, test


@pytest.mark.parametrize(
    ("module", "test"), list(behaviours()), ids=lambda each: each.__name__.rpartition(".")[2].removeprefix("test_")
)
async def test_a_shared_runner_is_like_one_inside(
    module: ModuleType, test: Callable[..., Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "a_world", a_shared_world)
    given = {"tmp_path": tmp_path, "monkeypatch": monkeypatch}
    await test(**{name: given[name] for name in inspect.signature(test).parameters})
