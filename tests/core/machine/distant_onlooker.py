"""An onlooker who cannot know which dependencies a leader has seen itself, and judges what holds all the same."""

from __future__ import annotations

from collections.abc import Collection

from slimjobs.eventlog.events.runs import RunId
from tests.core.decide.onlooker import Onlooker
from tests.core.machine.invariants import Checked, Invariant


class DistantOnlooker(Onlooker):
    """Whoever is admitted must be ready by the log, and first among those that wait for no more than it did."""

    def __init__(self, checked: Checked) -> None:
        super().__init__()
        self._checked = checked

    def _admit(self, run: RunId, observed: Collection[str]) -> None:
        name = self.queue_of(run)
        queue, holders = self.queues[name], self.holders.setdefault(name, set())
        self._checked.look(Invariant.CAP)
        assert len(holders) < self.caps[name], f"{name} is above its cap"
        self._checked.look(Invariant.FIFO)
        assert self.could_start(run, self.ready), "a run is admitted before its dependencies are ready"
        needs = self.needs_of(run)
        ahead = [each for each in queue[: queue.index(run)] if self.needs_of(each) <= needs]
        assert not ahead, f"{run.hex()} is admitted before {[each.hex() for each in ahead]}, who were there first"
        queue.remove(run)
        holders.add(run)

    def _end(self, run: RunId, outcome: str) -> None:
        self._checked.look(Invariant.ONE_END)
        super()._end(run, outcome)

    def needs_of(self, run: RunId) -> frozenset[str]:
        """What a run depends on."""
        enqueued = self.enqueued[run]
        names = enqueued.overrides.depends_on
        return frozenset(self.versions[enqueued.definition][1].depends_on if names is None else names)

    def holds_slot(self, run: RunId) -> bool:
        """Whether the log says that the run may be under way."""
        return run in self.enqueued and run in self.holders.get(self.queue_of(run), ())
