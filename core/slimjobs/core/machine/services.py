"""What runs depend on, in the leader's hands: seen, recorded where a run waits for it, woken and put to sleep.

Readiness is an event where somebody needs to know: of what a definition in force or a run names. A namespace has
hundreds of services, and nobody waits for most of them; a name that comes up is looked up in the picture at once.
"""

from __future__ import annotations

from slimjobs.core.decide.depending import admit_waiting_for, record_readiness
from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.outputs import StartScaling
from slimjobs.core.orchestrators.ports import Outcome, Sight
from slimjobs.core.supervisor.picture import Picture
from slimjobs.core.supervisor.waking import Waking
from slimjobs.eventlog.events.record import Event


class Services:
    """The leader's view of services. `observed`: those of which the log says what was seen in this reign."""

    def __init__(self, journal: Journal, outbox: Outbox) -> None:
        self.observed: set[str] = set()
        self._journal = journal
        self._outbox = outbox
        self._picture = Picture()
        self._waking = Waking()
        self._is_news = False

    def begin_to_lead(self) -> None:
        """Nothing was seen in this reign yet."""
        self.observed.clear()
        self._picture = Picture()
        self._waking.begin_to_lead()
        self._is_news = False

    def take(self, sight: Sight) -> None:
        """Something was seen."""
        self._picture.take(sight)
        self._is_news = True

    def scaled(self, number: int, outcome: Outcome, now: Now) -> None:
        """A request to scale came to an end."""
        self._waking.ended(number, outcome, now.monotonic_ns)
        self._is_news = True

    @property
    def trouble(self) -> str | None:
        """Why services cannot be seen; empty if they can, None before anything is known of that."""
        return self._picture.trouble or ("" if self._picture.listed else None)

    @property
    def has_news(self) -> bool:
        """Whether something is to be recorded: what was seen, or that somebody needs what nobody has looked up."""
        if not self._picture.listed:
            return False
        return self._is_news or any(name not in self.observed for name in self._journal.state.needed)

    def settle(self, now: Now) -> bool:
        """Record what is news, and admit those who waited for it. False: some of it found no room in the log."""
        state, settled = self._journal.state, True
        names = sorted({*state.needed, *state.named})
        self.observed.intersection_update(names)
        for name in names:
            ready, reason = self._readiness(name)
            if not self._append(record_readiness(state, name, ready, reason), now):
                self.observed.discard(name)
                settled = False
                continue
            is_new = name not in self.observed
            self.observed.add(name)
            if ready and (is_new or self._is_news):
                settled &= self._append(admit_waiting_for(state, name, self.observed), now)
        self._is_news = not settled
        return settled

    def _readiness(self, name: str) -> tuple[bool, str]:
        ready, reason = self._picture.readiness(name)
        trouble = self._waking.trouble(name)
        return ready, reason if ready or not trouble else f"{reason}, and could not be woken: {trouble}"

    def scale(self, now: Now) -> None:
        """Wake what is needed, and let sleep what is not."""
        if self._picture.listed:
            for number, scale in self._waking.due(self._picture, self._journal.state.needed, now.monotonic_ns):
                self._outbox.outputs.append(StartScaling(number, scale))

    def next_wake_ns(self) -> int | None:
        """When a service is to be woken, or put to sleep."""
        return self._waking.next_wake_ns(self._picture, self._journal.state.needed) if self._picture.listed else None

    def _append(self, events: tuple[Event, ...], now: Now) -> bool:
        return not events or self._journal.append(events, "surroundings", now.wall_ms, new_work=False) is not None
