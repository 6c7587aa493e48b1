"""What is wrong with a configuration and where: the one kind of complaint that everything in this package makes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

Path = Sequence[str | int]

_SHORT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing that must be mended, for the person who wrote the text: JSON path, line and column (from one)."""

    path: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.path} (line {self.line}, column {self.column}): {self.text}"


def path_text(path: Path) -> str:
    """The path as JSONPath writes it (RFC 9535): `$.Schedules['my-job'][0].Schedule`."""
    return "$" + "".join(_segment(step) for step in path)


def _segment(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _SHORT_NAME.fullmatch(step):
        return f".{step}"
    quoted = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{quoted}']"
