"""Tables on stdout, for people; machines ask for `--json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from slimjobs.deploy.streams import tell

UNBOUNDED_COLUMNS: Final = 200
"""How wide a table may be where it goes to no terminal: no cell is broken into lines there."""


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> None:
    """Print a table; one without rows is said to be empty, in these words, on stderr."""
    if not rows:
        tell(nothing)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    console.width = console.width if console.is_terminal else UNBOUNDED_COLUMNS
    console.print(table)
