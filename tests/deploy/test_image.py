"""The image of a node, as far as its recipe shows: what it is built on, from what, and as whom it runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

HOUSE: Final = Path(__file__).parents[2]
RECIPE: Final = HOUSE / "deploy" / "Dockerfile"
Stage = list[tuple[str, str]]


def stages() -> list[Stage]:
    """The instructions of each stage, with what follows them; lines that go on are joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", RECIPE.read_text(), flags=re.M).replace("\\\n", " ")
    found: list[Stage] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            found.append([])
        found[-1].append((instruction, rest.strip()))
    return found


def given(stage: Stage, instruction: str) -> list[str]:
    return [rest for name, rest in stage if name == instruction]


def context() -> set[str]:
    """What a build may take, by the exceptions from a file that leaves everything out."""
    everything, *lines = RECIPE.with_name("Dockerfile.dockerignore").read_text().split()
    assert everything == "*"
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


def test_both_stages_are_built_on_one_slim_base_of_a_fixed_version_from_no_particular_registry() -> None:
    build, final = stages()
    [base] = given(final, "FROM")
    assert re.fullmatch(r"python:3\.1[1-3]-slim", base), "neither a host nor `latest`"
    assert given(build, "FROM") == [f"{base} AS build"]
    assert not re.search(r"https?://|index-url|extra-index", RECIPE.read_text())


def test_what_is_installed_is_what_the_lock_says_by_hash_and_the_project_itself_offline() -> None:
    build, final = stages()
    installs = [each for run in given(build, "RUN") for each in re.findall(r"pip install ([^&]+)", run)]
    locked, own = installs
    for option in ("--no-deps", "--require-hashes", "--only-binary :all:", "-r requirements.lock"):
        assert option in locked
    for option in ("--no-deps", "--no-index", "--no-build-isolation"):
        assert option in own
    assert not any("pip" in run for run in given(final, "RUN"))


def test_it_runs_compiled_code_as_a_user_that_owns_no_more_than_the_log() -> None:
    build, final = stages()
    assert any("python -m compileall" in run for run in given(build, "RUN"))
    [user] = given(final, "USER")
    number, _, group = user.partition(":")
    assert int(number) > 0
    assert int(group) > 0
    names = [name for name, _ in final]
    assert "RUN" not in names[names.index("USER") :]
    variables = " ".join(given(final, "ENV")).split()
    assert {"PYTHONDONTWRITEBYTECODE=1", "MALLOC_ARENA_MAX=2", "SlimData__Directory=/database"} <= set(variables)
    assert given(final, "ENTRYPOINT") == ['["slimjobs"]']
    assert given(final, "CMD") == ['["serve"]']


def test_whatever_is_copied_is_in_the_context_and_nothing_else_is() -> None:
    build, _ = stages()
    copied = {source for copy in given(build, "COPY") for source in copy.split()[:-1]}
    assert copied == context()
    assert all((HOUSE / source).exists() for source in copied)


def test_every_package_of_the_house_is_in_it() -> None:
    roots = {root.name for root in HOUSE.iterdir() if (root / "slimjobs").is_dir()}
    copied = {source.removesuffix("/slimjobs") for source in context()}
    assert len(roots) == 5
    assert roots <= copied
