"""The table of faults cannot rot: every fault still has its place in the code, and its finders are there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.mutant import Misplaced, Mutant
from tests.mutants.table import MUTANTS
from tests.mutants.tree import HOUSE

FEWEST = 40


def test_there_are_enough_of_them_and_each_has_a_name_of_its_own() -> None:
    assert len(MUTANTS) >= FEWEST
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_has_its_place_in_the_code_and_leaves_it_readable(mutant: Mutant) -> None:
    sound = mutant.path(HOUSE).read_text(encoding="utf-8")
    faulty = mutant.applied(sound)
    assert ast.dump(ast.parse(faulty)) != ast.dump(ast.parse(sound))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_those_who_should_find_it_are_there(mutant: Mutant) -> None:
    assert mutant.finders
    for finder in mutant.finders:
        file, _, test = finder.partition("::")
        functions = _tests_in(HOUSE / "tests" / file)
        assert test.partition("[")[0] in functions, f"{finder} is not there"


def test_a_text_that_stands_in_its_file_twice_or_never_is_told() -> None:
    mutant = Mutant("doubtful", "core/any.py", "x = 1", "x = 2", ())
    for source in ("x = 1\nx = 1\n", "y = 1\n"):
        with pytest.raises(Misplaced, match="doubtful"):
            mutant.applied(source)


def _tests_in(file: Path) -> set[str]:
    module = ast.parse(file.read_text(encoding="utf-8"))
    return {each.name for each in module.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
