"""What a leader has found declared in the cluster, decided on when it is news: it changed, or the configuration did."""

from __future__ import annotations

from collections.abc import Collection

from slimjobs.core.decide.discovering import decide_discovery
from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.machine.timetables import Timetables
from slimjobs.core.orchestrators.ports import DefinitionsFound, FoundDefinition, Sight, Unseen


class Discovery:
    """The definitions that were found in this reign; None before any were looked for."""

    def __init__(self, journal: Journal, timetables: Timetables, settings: MachineSettings) -> None:
        self._trouble = ""
        self._journal = journal
        self._timetables = timetables
        self._settings = settings
        self._found: tuple[FoundDefinition, ...] | None = None
        self._decided: tuple[object, int, int] | None = None

    def begin_to_lead(self) -> None:
        """Nothing was found in this reign yet: what is in force stays so."""
        self._found, self._decided, self._trouble = None, None, ""

    def take(self, sight: Sight) -> None:
        """Something was seen."""
        match sight:
            case DefinitionsFound(found):
                self._found, self._trouble = found, ""
            case Unseen("definitions", detail):
                self._trouble = detail

    @property
    def trouble(self) -> str | None:
        """Why CronJobs cannot be seen; empty if they can, None before anything is known of that."""
        return self._trouble or (None if self._found is None else "")

    # Versions are numbered, so a definition that came or changed shows in the number of the next, and one that went in
    # how many there are.
    @property
    def _basis(self) -> tuple[object, int, int]:
        state = self._journal.state
        return self._found, state.next_version, len(state.current)

    @property
    def has_news(self) -> bool:
        """Whether anything may follow from what was found."""
        if self._found is None or not self._journal.state.configured:
            return False
        return self._decided is None or any(
            one is not other and one != other for one, other in zip(self._basis, self._decided, strict=True)
        )

    def decide(self, observed: Collection[str], now: Now) -> None:
        """Write what follows from what was found; what finds no room is decided on again."""
        assert self._found is not None
        state, zone = self._journal.state, self._settings.default_time_zone
        events = decide_discovery(state, self._found, observed, self._timetables, zone, now.wall_ms)
        if not events or self._journal.append(events, "discovery", now.wall_ms, new_work=False) is not None:
            self._decided = self._basis
