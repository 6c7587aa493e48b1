"""A second, naive understanding of the log: plain lists and sets, no index, no order statistics.

It reads records as anybody could who has only the vocabulary, judges every event against the invariants of the design
(§6: one outcome a run, never above the cap, FIFO among those that are ready), and can be compared with the state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from slimjobs.eventlog.events.cluster import DefinitionDeclared, DependencyChanged
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.events.record import Event, Record
from slimjobs.eventlog.events.runs import (
    RunAdmitted,
    RunBound,
    RunDeleted,
    RunEnqueued,
    RunFailed,
    RunGone,
    RunId,
    RunsExpired,
    RunSucceeded,
)
from slimjobs.projections.state import State


class Onlooker:
    """What can be known from the records alone, kept as simply as possible."""

    def __init__(self) -> None:
        self.versions: dict[int, tuple[str, Definition]] = {}
        self.caps: dict[str, int] = {}
        self.ready: dict[str, bool] = {}
        self.enqueued: dict[RunId, RunEnqueued] = {}
        self.queues: dict[str, list[RunId]] = {}
        self.holders: dict[str, set[RunId]] = {}
        self.bound: dict[RunId, str] = {}
        self.outcomes: dict[RunId, str] = {}
        self.going: set[RunId] = set()

    def read(self, record: Record, observed: Collection[str]) -> None:
        """Judge the record's events one by one. `observed`: the dependencies that the leader has seen itself."""
        for event in record.events:
            self._judge(event, observed)

    def _judge(self, event: Event, observed: Collection[str]) -> None:
        match event:
            case DefinitionDeclared(number, name, _, definition):
                self.versions[number] = name, definition
                self.caps[name] = definition.number_parallel_job
            case DependencyChanged(name, ready, _):
                self.ready[name] = ready
            case RunEnqueued(run):
                assert run not in self.enqueued, "a run is enqueued once"
                self.enqueued[run] = event
                self.queues.setdefault(self.queue_of(run), []).append(run)
            case RunAdmitted(run):
                self._admit(run, observed)
            case RunBound(run, uid):
                assert run not in self.bound, "a run is bound once"
                self.bound[run] = uid
            case RunSucceeded(run) | RunFailed(run):
                self._end(run, type(event).__name__)
                self.holders[self.queue_of(run)].remove(run)
            case RunDeleted(run):
                self._delete(run)
            case RunGone(run):
                self.going.remove(run)
                self.holders[self.queue_of(run)].discard(run)
            case RunsExpired(runs):
                assert all(each in self.outcomes for each in runs), "only ended runs expire"
            case _:
                pass

    def _admit(self, run: RunId, observed: Collection[str]) -> None:
        queue, name = self.queues[self.queue_of(run)], self.queue_of(run)
        holders = self.holders.setdefault(name, set())
        assert len(holders) < self.caps[name], f"{name} is above its cap"
        assert self.could_start(run, observed), "a run is admitted before its dependencies are ready"
        ahead = [each for each in queue[: queue.index(run)] if self.could_start(each, observed)]
        assert not ahead, "a run is admitted before one that was there first"
        queue.remove(run)
        holders.add(run)

    def _end(self, run: RunId, outcome: str) -> None:
        assert run not in self.outcomes, f"{run.hex()} ends twice: {self.outcomes.get(run)}, {outcome}"
        self.outcomes[run] = outcome

    def _delete(self, run: RunId) -> None:
        queue, holders = self.queues[self.queue_of(run)], self.holders.setdefault(self.queue_of(run), set())
        held_slot = run not in self.outcomes and run not in queue
        if run not in self.outcomes:
            self._end(run, "RunDeleted")
        if run in queue:
            queue.remove(run)
        elif run in self.bound:
            self.going.add(run)
        elif held_slot:
            holders.remove(run)

    def queue_of(self, run: RunId) -> str:
        """The definition that accepted the run."""
        return self.versions[self.enqueued[run].definition][0]

    def could_start(self, run: RunId, observed: Collection[str]) -> bool:
        """Whether the run waits for nothing but a slot."""
        enqueued = self.enqueued[run]
        names = enqueued.overrides.depends_on
        if names is None:
            names = self.versions[enqueued.definition][1].depends_on
        return all(name in observed and self.ready.get(name, False) for name in names)

    def idle_slots(self, observed: Collection[str]) -> Iterator[RunId]:
        """Those who wait although a slot is free and they could start: there should be none between records."""
        for name, queue in self.queues.items():
            if len(self.holders.get(name, ())) < self.caps[name]:
                yield from (run for run in queue if self.could_start(run, observed))

    def agrees_with(self, state: State) -> None:
        """The state says the same: who waits in which order and position, who holds a slot, who has ended how."""
        for name, runs in self.queues.items():
            queue = state.queues.get(name)
            ordinals = [] if queue is None else list(queue.order.after(-1))
            assert [queue.order.run_at(ordinal) for ordinal in ordinals if queue] == runs
            assert [queue.order.position(each) for each in ordinals if queue] == list(range(1, len(runs) + 1))
            assert (set() if queue is None else set(queue.holders)) == self.holders.get(name, set())
        assert set(state.queued) == {run for runs in self.queues.values() for run in runs}
        assert set(state.deleted) == self.going
        for run in state.finished:
            assert self.outcomes[run] in ("RunSucceeded", "RunFailed")
        for run in state.active:
            assert run not in self.outcomes
