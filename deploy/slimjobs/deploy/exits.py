"""Exit codes of the command line (contract §5), and the one exception that carries one with what to tell the person."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """What the shell is told."""

    DONE = 0
    NO = 1
    USAGE = 2
    TAKEN = 3
    DAMAGE = 4
    DIFFERS = 5


class Ended(Exception):
    """The command cannot go on. The message goes to stderr as it is, the code to the shell."""

    def __init__(self, code: Exit, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.code = code
