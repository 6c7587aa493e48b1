"""Faults towards the world: objects created, released, swept and ended at the wrong time, or those of somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.mutants.mutant import Mutant

MUTANTS: Final[Sequence[Mutant]] = ()
