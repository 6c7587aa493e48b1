"""One deliberate fault: what is wrong, where, and who should notice.

A row is text, so it can rot: its text has to stand in its file exactly once, and each of its finders has to exist.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Misplaced(Exception):
    """A row whose text does not stand in its file exactly once."""


class Mutant(NamedTuple):
    """A fault by name. `file` begins with its root; `finders` are arguments of pytest below tests, cheapest first.

    The seeds of a simulation are tests like others: `core/machine/test_cluster_chaos.py::...[7]` is the seventh.
    """

    name: str
    file: str
    text: str
    replacement: str
    finders: tuple[str, ...]

    def path(self, tree: Path) -> Path:
        """Where its file is in this copy of the tree."""
        root = self.file.partition("/")[0]
        return tree / root / "slimjobs" / self.file

    def applied(self, source: str) -> str:
        """The faulty source; `Misplaced` if it cannot be made."""
        count = source.count(self.text)
        if count != 1:
            raise Misplaced(f"{self.name}: its text stands {count} times in {self.file}, not once")
        return source.replace(self.text, self.replacement)
