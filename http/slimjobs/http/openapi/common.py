"""What many routes of the table have in common: refusals, and the ids and instants of examples."""

from __future__ import annotations

from typing import Final

from slimjobs.core.decide.refusals import (
    Forbidden,
    Invalid,
    KeyReused,
    NoLeader,
    NoRoom,
    OutcomeUnknown,
    QueueFull,
    TooManyKeys,
)
from slimjobs.http.openapi.parts import RefusalKind

TOO_OFTEN: Final = 429
NOT_FOUND: Final = 404

READ: Final[tuple[RefusalKind, ...]] = (Invalid, Forbidden, TOO_OFTEN, NoLeader)
WRITE: Final[tuple[RefusalKind, ...]] = (*READ, OutcomeUnknown, NoRoom)
ENQUEUE: Final[tuple[RefusalKind, ...]] = (*WRITE, KeyReused, QueueFull, TooManyKeys)

REPLAYABLE: Final = ("Location", "Idempotent-Replayed")
OF_A_RUN: Final = ("showRun", "showOutput", "deleteRun")

ID: Final = "aaaaaaaaaaaaaaaa"
AT: Final = 1_760_000_000_000
