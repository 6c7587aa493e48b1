"""The node: one machine without I/O. Everything that waits goes in at once, everything that should be done comes out.

    inputs -> consensus -> (as a leader) callers, supervision, time, checkpoints -> consensus -> outputs

It holds Raft, the state, what is wanted and seen of the world, and every timer; it knows no clock, no chance and no
I/O. The trio program around it and the simulator drive exactly this class (design §1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from slimjobs.core.decide.admission import admit_everywhere, expire_surplus
from slimjobs.core.decide.depending import admit_waiting_for, record_readiness
from slimjobs.core.decide.expiring import expire_due, next_expiry
from slimjobs.core.machine.callers import Callers
from slimjobs.core.machine.checkpoints import Checkpoints
from slimjobs.core.machine.inputs import (
    Abandoned,
    Asked,
    Called,
    ConfigurationRefused,
    DependencySeen,
    EffectEnded,
    Input,
    Now,
    Observed,
    Received,
    Started,
    Tick,
)
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.outputs import Observe, Output, Send, WakeAt
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.machine.supervising import Supervising
from slimjobs.core.supervisor.supervisor import Supervisor
from slimjobs.eventlog.events.cluster import ClusterFounded
from slimjobs.eventlog.events.record import Event, runs_of
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Entry, EntryKind, Options, Raft, Ready, Role, Start
from slimjobs.eventlog.storage.requests import (
    Load,
    Loaded,
    Persist,
    Persisted,
    Room,
    SnapshotPublished,
    SnapshotRefused,
    Ticket,
)
from slimjobs.projections.desired import desired_of
from slimjobs.projections.state import State

LOAD_BYTES = 1 << 20
CLOCK_LOOKED_AT_NS = 1_000_000_000
"""The wall clock may jump, so it is read again at least this often while something is due by it."""

SHORTEST_WAIT_NS = 10_000_000
"""What is due but could not be written is tried again after this long, not at once."""


class Machine:
    """A node. `founding_id` becomes the cluster's id if this node founds one; `room` is the disk's at the start."""

    def __init__(self, start: Start, state: State, room: int, founding_id: str, settings: MachineSettings) -> None:
        self._settings = settings
        self._founding_id = founding_id
        self._raft = Raft(start, Options())
        self._journal = Journal(state, self._raft, room)
        self._supervisor = Supervisor(desired_of(state))
        self._callers = Callers(self._journal, self._supervisor, settings)
        self._supervising = Supervising(self._journal, self._supervisor, self._callers.answers, settings)
        self._checkpoints = Checkpoints(self._journal, self._raft, settings)
        self._dependency_reports: dict[str, DependencySeen] = {}
        self._dependencies_seen: set[str] = set()
        self._touched: set[RunId] = set()
        self._leads = False
        self._unsettled = False
        self._watch = 0
        self._watching = False
        self._now = Now(0, 0)
        self._next_tick_ns = 0
        self._out: list[Output] = []

    @property
    def state(self) -> State:
        """The tables, those of records that are not committed yet included."""
        return self._journal.state

    @property
    def leads(self) -> bool:
        """Whether this node leads and has applied everything that was written before it did."""
        return self._leads

    @property
    def ready(self) -> bool:
        """Whether this node can serve: a caught-up voter with a leader, and a configuration in force."""
        return self._leads and self.state.configured

    def handle(self, inputs: Sequence[Input], now: Now) -> list[Output]:
        """Take everything that waits and decide it as one batch. Drain a `SaveSnapshot` before the next call."""
        self._now, self._out = now, []
        for each in inputs:
            _TAKES[type(each)](self, each)
        self._tick()
        self._turn_consensus()
        if self._leads:
            self._lead()
        else:
            self._supervisor.follow()
        self._touched.clear()
        self._turn_consensus()
        self._out.extend(self._callers.refuse_impatient(now))
        self._out.extend(self._callers.settle_deletions(self._raft.commit, now))
        self._out.append(WakeAt(self._next_wake_ns()))
        return self._out

    # What comes in --------------------------------------------------------------------------------------------------

    def _started(self, _: Started) -> None:
        if self._raft.membership.voters == (self._raft.id,):
            self._raft.campaign()

    def _said(self, said: Called | Asked) -> None:
        refused = self._callers.ask(said, self._now)
        if refused is not None:
            self._out.append(refused)

    def _abandoned(self, abandoned: Abandoned) -> None:
        self._callers.abandon(abandoned.token)

    def _received(self, received: Received) -> None:
        self._raft.step(received.message)

    def _observed(self, observed: Observed) -> None:
        if observed.watch == self._watch:
            self._supervisor.observe(self.state.cluster, observed.observation)

    def _effect_ended(self, ended: EffectEnded) -> None:
        self._supervisor.ended(ended.effect, ended.outcome, self._now.monotonic_ns, self._now.wall_ms)

    def _dependency_seen(self, seen: DependencySeen) -> None:
        self._dependency_reports[seen.name] = seen

    def _configuration_refused(self, refused: ConfigurationRefused) -> None:
        self._callers.problems = refused.problems

    def _ticked(self, _: Tick) -> None:
        """Nothing by itself: every call looks at the clock."""

    def _persisted(self, persisted: Persisted) -> None:
        self._journal.room_is(persisted.room)
        self._journal.written(persisted.ticket)
        self._raft.persisted(persisted.ticket)

    def _room(self, room: Room) -> None:
        self._journal.room_is(room.room)

    def _loaded(self, loaded: Loaded) -> None:
        self._raft.loaded(loaded.entries)

    def _snapshot_published(self, published: SnapshotPublished) -> None:
        self._checkpoints.settled()
        self._raft.compacted(published.index, published.first_index)

    def _snapshot_refused(self, _: SnapshotRefused) -> None:
        self._checkpoints.settled()

    # Consensus ------------------------------------------------------------------------------------------------------

    # A lone voter hears nobody, so an idle node does not wake for ticks.
    def _tick(self) -> None:
        if len(self._raft.membership.voters) <= 1:
            return
        tick_ns = self._settings.election_milliseconds * 100_000
        while self._next_tick_ns <= self._now.monotonic_ns:
            self._next_tick_ns = max(self._next_tick_ns, self._now.monotonic_ns - tick_ns) + tick_ns
            self._raft.tick()

    def _turn_consensus(self) -> None:
        self._journal.propose()
        barrier = self._callers.answers.barrier_to_ask()
        if barrier is not None:
            self._raft.read(barrier)
        while (ready := self._raft.ready()) is not None:
            self._carry_out(ready)
        self._leads = self._leads and self._raft.role is Role.LEADER
        self._out.extend(self._callers.answers.due(self._raft.commit))

    def _carry_out(self, ready: Ready) -> None:
        if ready.needs_disk:
            persist = Persist(Ticket(ready.ticket), ready.entries, ready.hard_state, ready.truncate_after)
            self._journal.reserve(persist)
            self._out.append(persist)
        if ready.messages:
            self._out.append(Send(ready.messages))
        if ready.load is not None:
            self._out.append(Load(*ready.load, LOAD_BYTES))
        for entry in ready.committed_entries:
            self._commit(entry)
        for barrier, _ in ready.reads:
            self._callers.answers.confirm(barrier)

    def _commit(self, entry: Entry) -> None:
        if entry.kind is EntryKind.NO_OP and entry.term == self._raft.term and self._raft.role is Role.LEADER:
            self._begin_to_lead()
        applied = self._journal.commit(entry)
        if applied is not None:
            self._supervisor.commit(applied.record)
            self._touched.update(runs_of(applied.record))
            self._checkpoints.committed(applied, self._out)

    # Leading --------------------------------------------------------------------------------------------------------

    # When the no-op of its term commits, everything older is applied: from here on the state is the log's whole truth.
    def _begin_to_lead(self) -> None:
        self._leads = self._unsettled = True
        self._watching = False
        self._dependencies_seen.clear()
        self._supervisor.begin_to_lead()

    def _lead(self) -> None:
        if not self.state.cluster and not self._append((ClusterFounded(self._founding_id),), "founding"):
            return
        self._watch_anew()
        self._take_reports()
        if self._unsettled:
            self._settle()
        self._callers.serve(self._dependencies_seen, self._now)
        self._supervising.look(self._dependencies_seen, self._now, self._out)
        self._append(expire_due(self.state, self._now.wall_ms), "time")
        self._checkpoints.write_if_due(self._now, self._out)
        self._callers.look_after(self._touched, self._dependencies_seen, self._now)

    # What is missing in a list is gone only if it was there when the list began. So a leader trusts no list that was
    # begun before it knew all that the log says is bound.
    def _watch_anew(self) -> None:
        if not self._watching:
            self._watching = True
            self._watch += 1
            self._out.append(Observe(self._watch))

    def _take_reports(self) -> None:
        reports, self._dependency_reports = self._dependency_reports, {}
        for name, seen in reports.items():
            if not self._append(record_readiness(self.state, name, seen.ready, seen.reason), "surroundings"):
                self._dependencies_seen.discard(name)
                self._dependency_reports[name] = seen
                continue
            self._dependencies_seen.add(name)
            if seen.ready:
                admitted = admit_waiting_for(self.state, name, self._dependencies_seen)
                self._unsettled |= not self._append(admitted, "surroundings")

    # What may be due in any queue: after a change of leader, whose limits may be others; and what found no room.
    def _settle(self) -> None:
        settled = self._append(admit_everywhere(self.state, self._dependencies_seen), "leader")
        for queue in list(self.state.queues.values()):
            settled &= self._append(expire_surplus(queue, self._settings.limits.finished_jobs), "leader")
        self._unsettled = not settled

    def _append(self, events: Sequence[Event], cause: str) -> bool:
        """Whether they are in the log; False means that there is no room for them."""
        return not events or self._journal.append(events, cause, self._now.wall_ms, new_work=False) is not None

    # Time -----------------------------------------------------------------------------------------------------------

    def _next_wake_ns(self) -> int | None:
        wakes = [self._callers.next_deadline_ns(), self._supervisor.next_retry_ns()]
        if len(self._raft.membership.voters) > 1:
            wakes.append(self._next_tick_ns)
        if self._supervising.can_go_on:
            wakes.append(self._now.monotonic_ns)
        if self._leads and (due_ms := next_expiry(self.state)) is not None:
            until_ns = max(due_ms - self._now.wall_ms, 0) * 1_000_000
            wakes.append(self._now.monotonic_ns + min(max(until_ns, SHORTEST_WAIT_NS), CLOCK_LOOKED_AT_NS))
        return min((wake for wake in wakes if wake is not None), default=None)


_TAKES: Final[Mapping[type, Callable[[Machine, Any], None]]] = {
    Started: Machine._started,
    Called: Machine._said,
    Asked: Machine._said,
    Abandoned: Machine._abandoned,
    Received: Machine._received,
    Observed: Machine._observed,
    DependencySeen: Machine._dependency_seen,
    EffectEnded: Machine._effect_ended,
    ConfigurationRefused: Machine._configuration_refused,
    Tick: Machine._ticked,
    Persisted: Machine._persisted,
    Room: Machine._room,
    Loaded: Machine._loaded,
    SnapshotPublished: Machine._snapshot_published,
    SnapshotRefused: Machine._snapshot_refused,
}
