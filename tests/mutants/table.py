"""All faults, by what they break. Each file of the table is about one part; a new fault goes where its code lives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants import around, callers, consensus, disk, records, schedules, world
from tests.mutants.mutant import Mutant

MUTANTS: Final[Sequence[Mutant]] = (
    *consensus.MUTANTS,
    *disk.MUTANTS,
    *records.MUTANTS,
    *callers.MUTANTS,
    *world.MUTANTS,
    *schedules.MUTANTS,
    *around.MUTANTS,
)
