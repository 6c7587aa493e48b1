"""What must hold in every world, by the numbers of the design, and how often each was looked at."""

from __future__ import annotations

import enum
from collections import Counter


class Invariant(enum.Enum):
    """Each is judged from outside: by what callers were told, what the orchestrator saw, and what the logs hold."""

    ONE_END = "1: an acknowledged trigger stays in the log and ends exactly once"
    ONE_RELEASE = "2: at most one object of a run is released, none after its deletion was promised"
    CAP = "3: nothing is admitted above the cap, and only who holds a slot runs"
    FIFO = "4: of those with the same dependencies the first is admitted first"
    INSTANTS = "5: every instant of a schedule fires once, or is in the ledger with its reason"
    SAME_STATE = "6: every node comes to the same log, the same state and the same snapshots"
    TRUTH = "7: reads show what was at their index, keys enqueue once, what was refused never happened"
    REST = "8: after the last fault everything comes to an end"
    STRANGERS = "9: objects of other clusters are left alone"
    SLEEP = "only services that say so are scaled, woken from zero alone, and never put to sleep while a run needs them"
    DECLARED = "what the configuration and annotated CronJobs declare is in force, and nothing else is"
    GIVEN_UP = "only what waits for its image is given up"
    BOUNDS = "nothing grows without bound"


class Checked:
    """`counts` by invariant; `last` is the one that was looked at last, and so the one that a failure is about."""

    def __init__(self) -> None:
        self.counts: Counter[Invariant] = Counter()
        self.last: Invariant | None = None

    def look(self, invariant: Invariant) -> None:
        """The next assertion is about this one."""
        self.counts[invariant] += 1
        self.last = invariant
