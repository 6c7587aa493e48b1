"""The binary is kept by the content of its sources, and compiled only where it never was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.binary import KUBERNETES, SOURCES, built, kept_at


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_byte_and_every_name_of_the_sources_counts(tmp_path: Path, cache: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(SOURCES, sources)
    seen = [kept_at(SOURCES)]
    assert kept_at(sources) == seen[0]
    assert seen[0].is_relative_to(cache)
    with (sources / "go.mod").open("a") as file:
        file.write("\n")
    seen.append(kept_at(sources))
    (sources / "main.go").rename(sources / "other.go")
    seen.append(kept_at(sources))
    assert len(set(seen)) == 3


def test_what_is_there_is_not_compiled_again() -> None:
    binary = kept_at(SOURCES)
    binary.parent.mkdir(parents=True)
    binary.write_text("as it was")
    assert built() == binary
    assert binary.read_text() == "as it was"


def test_the_release_that_the_binary_claims_is_the_one_of_its_modules() -> None:
    lines = (SOURCES / "go.mod").read_text().splitlines()
    assert f"\tk8s.io/kubernetes v{KUBERNETES}" in lines
