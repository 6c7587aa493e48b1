"""The house itself: its layout, its locks, its wheel, and what no file of it may name."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOUSE: Final = Path(__file__).parent.parent
ROOTS: Final = ("eventlog", "projections", "core", "http", "deploy")
LOCKS: Final = ("requirements.lock", "requirements-dev.lock", "requirements-cluster.lock")
NOT_OURS: Final = frozenset({"__pycache__", "data", "dist", "build"})

MACHINE_PATH: Final = re.compile(r"/(work|root|home)/")
REGISTRY: Final = re.compile(r"\b(pypi|pythonhosted|npmjs|crates|proxy\.golang|maven|deb\.debian)\.(org|io|com)\b")
PIN: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)[^\\\n]*(?P<hashes>(\\\n +--hash=sha256:[0-9a-f]{64} ?)*)$", re.M
)
POSSESSIVE_GROUP: Final = re.compile(r"\)[*+?]\+")


def read(path: str) -> str:
    return (HOUSE / path).read_text(encoding="utf-8")


def pins(lock: str) -> Mapping[str, str]:
    return {canonicalize_name(pin["name"]): pin["version"] for pin in PIN.finditer(read(lock))}


def files() -> Iterator[Path]:
    """Every file of the repository, found without asking git: a downloaded archive is a house too."""
    for folder, below, names in os.walk(HOUSE):
        below[:] = [name for name in below if name not in NOT_OURS and (name == ".ci" or not name.startswith("."))]
        yield from (Path(folder, name) for name in names if not name.startswith(".coverage"))


@pytest.mark.parametrize("root", ROOTS)
def test_a_root_is_no_package_and_slimjobs_is_a_namespace(root: str) -> None:
    # A top-level http/__init__.py would shadow the standard library; a slimjobs/__init__.py would hide four roots.
    assert not (HOUSE / root / "__init__.py").exists()
    assert not (HOUSE / root / "slimjobs" / "__init__.py").exists()
    assert (HOUSE / root / "slimjobs" / root / "__init__.py").is_file()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_pin_with_hashes_and_nothing_else(lock: str) -> None:
    assert all(pin["hashes"] for pin in PIN.finditer(read(lock)))
    assert PIN.sub("", read(lock)).strip() == ""


@pytest.mark.parametrize(
    ("lock", "parts"),
    [(LOCKS[0], ["project", "build"]), (LOCKS[1], ["project", "build", "dev"]), (LOCKS[2], ["cluster"])],
)
def test_a_lock_has_what_the_project_asks_for(lock: str, parts: list[str]) -> None:
    project = tomllib.loads(read("pyproject.toml"))
    groups = {"project": project["project"]["dependencies"], **project["dependency-groups"]}
    asked = [line for part in parts for line in groups[part]]
    locked = pins(lock)
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement


def test_what_is_tested_is_what_is_installed() -> None:
    tested = pins("requirements-dev.lock")
    assert {name: tested[name] for name in pins("requirements.lock")} == pins("requirements.lock")


def test_the_wheel_holds_all_five_packages_and_works_unpacked(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=HOUSE, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("slimjobs-*.whl")
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(wheel).extractall(unpacked)
    assert sorted(path.name for path in (unpacked / "slimjobs").iterdir()) == sorted(ROOTS)
    # Put on the path by hand, the libraries bring no .pth files with them, so no editable install either.
    program = f"""
import importlib, sys
sys.path[:0] = {[str(unpacked), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]}
for root in {ROOTS}:
    print(importlib.import_module("slimjobs." + root).__file__)
"""
    run = subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.split() == [str(unpacked / "slimjobs" / root / "__init__.py") for root in ROOTS]


def test_no_file_names_a_package_registry_or_a_path_of_some_machine() -> None:
    seen = {path: path.read_text(encoding="utf-8", errors="replace") for path in files()}
    assert HOUSE / "Makefile" in seen
    assert [path for path, text in seen.items() if REGISTRY.search(text) or MACHINE_PATH.search(text)] == []


def test_make_without_a_fitting_python_says_what_it_needs(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    make = ["make", f"VENV={tmp_path}/venv", "PYTHON=false", f"{tmp_path}/venv/.locked"]
    run = subprocess.run(make, cwd=HOUSE, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "slimjobs needs Python 3.11 or newer with its venv module" in run.stderr
    assert not (tmp_path / "venv").exists()


def test_no_pattern_has_a_possessive_group() -> None:
    # Before 3.11.5 one that fails half-way leaves its position moved: "1e" was a number, an open comment was closed.
    sources = [path for root in ROOTS for path in (HOUSE / root).rglob("*.py")]
    assert sources
    assert [path for path in sources if POSSESSIVE_GROUP.search(path.read_text(encoding="utf-8"))] == []
