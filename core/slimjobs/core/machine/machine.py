"""The node: one machine without I/O. Everything that waits goes in at once, everything that should be done comes out.

    inputs -> consensus -> (as a leader) members, callers, supervision, time, checkpoints -> consensus -> outputs
                           (as a follower) callers' requests to the leader, lists from what is committed here

It holds Raft, the state, what is wanted and seen of the world, and every timer; it knows no clock, no chance and no
I/O. The trio program around it and the simulator drive exactly this class (design §1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from slimjobs.core.machine.callers import Callers
from slimjobs.core.machine.checkpoints import Checkpoints
from slimjobs.core.machine.discovery import Discovery
from slimjobs.core.machine.fetching import Fetching
from slimjobs.core.machine.forwarding import Forwarding
from slimjobs.core.machine.inputs import (
    Abandoned,
    Asked,
    BackupTold,
    Called,
    ConfigurationRefused,
    EffectEnded,
    HandOver,
    Input,
    Now,
    Observed,
    Received,
    ScalingEnded,
    Sighted,
    Started,
    Tick,
)
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.leading import Leading
from slimjobs.core.machine.letters import (
    Answered,
    Forwarded,
    Letter,
    NotLeading,
    Piece,
    PieceWanted,
    Report,
    Withdrawn,
)
from slimjobs.core.machine.members import Members
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.outputs import Output, Stop, StopReason, Tell, WakeAt
from slimjobs.core.machine.reports import Reports
from slimjobs.core.machine.scheduling import Scheduling
from slimjobs.core.machine.services import Services
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.machine.supervising import Supervising
from slimjobs.core.machine.timetables import Timetables
from slimjobs.core.supervisor.supervisor import Supervisor
from slimjobs.eventlog.events.record import UnreadableRecord, runs_of
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Entry, EntryKind, Index, Membership, NodeId, Options, Raft, Ready, Role, Start, Term
from slimjobs.eventlog.raft.messages import Addressed, Append, AppendAnswer, CommitNotice
from slimjobs.eventlog.storage.requests import (
    Load,
    Loaded,
    LoadState,
    Persist,
    Persisted,
    PieceLoaded,
    PieceSaved,
    Room,
    SnapshotInstalled,
    SnapshotPublished,
    SnapshotRefused,
    StateLoaded,
    Ticket,
)
from slimjobs.eventlog.transport.greeting import NO_BACKUP, Greeting, PeerLost, PeerMet
from slimjobs.projections.desired import desired_of
from slimjobs.projections.snapshot import restore
from slimjobs.projections.state import State

LOAD_BYTES: Final = 3 << 20
"""What is read from the disk at once. With a third of it, a node that is caught up by log waited half of the time."""

TICKS: Final = Options(election_ticks=100, heartbeat_ticks=10, one_notice_a_tick=True)
"""A tick is a hundredth of the election timeout, so that timeouts are finely drawn."""

TICKS_AT_ONCE: Final = 2 * TICKS.heartbeat_ticks
"""A node that stood still for longer listens first: what it missed waits in its sockets."""


class Machine:
    """A node. `founding_id` becomes the cluster's id if this node founds one; `room` is the disk's at the start.

    `blank`: the directory holds nothing, nor ever did, as far as it can tell. `cluster`: whose log it holds.
    `backup`: the time and index of the backup that this node could bring into a new cluster.
    """

    def __init__(
        self,
        start: Start,
        state: State,
        room: int,
        founding_id: str,
        settings: MachineSettings,
        blank: bool,
        cluster: str = "",
        backup: tuple[int, int] = NO_BACKUP,
    ) -> None:
        self._settings = settings
        self._tick_ns = settings.election_milliseconds * 1_000_000 // TICKS.election_ticks
        self._raft = Raft(start, TICKS)
        self._outbox = Outbox(start.id)
        self._journal = Journal(state, self._raft, room)
        self._supervisor = Supervisor(desired_of(state))
        self._reports = Reports(self._raft, self._outbox, settings)
        self._members = Members(self._raft, self._journal, self._reports, blank, cluster, backup, settings)
        timetables = Timetables()
        self._callers = Callers(self._journal, self._supervisor, self._members, timetables, self._outbox, settings)
        self._forwarding = Forwarding(
            self._raft, self._journal, self._members, self._callers, self._outbox, settings, start.seed
        )
        self._fetching = Fetching(self._outbox)
        self._supervising = Supervising(self._journal, self._supervisor, self._callers.answers, self._outbox, settings)
        self._checkpoints = Checkpoints(self._raft, self._journal, self._outbox, settings)
        self._leading = Leading(
            self._raft,
            self._journal,
            self._members,
            self._reports,
            self._callers,
            self._supervising,
            Scheduling(self._journal, timetables, settings),
            Services(self._journal, self._outbox),
            Discovery(self._journal, timetables, settings),
            self._checkpoints,
            self._outbox,
            founding_id,
            settings,
        )
        self._backlog: deque[Entry] = deque()
        self._touched: dict[RunId, None] = {}
        self._states_awaited = 0
        self._patience_ns = int(settings.patience_seconds * 1e9)
        self._slowest_write = Ticket(0)
        self._slow_since_ns = 0
        self._disk_stands_still = False
        self._saving = False
        self._stopped = False
        self._leader_told: tuple[NodeId, Term] = NodeId(0), Term(0)
        self._now = Now(0, 0)
        self._ticked_ns = 0
        self._looks_around = True
        self._wake_ns: int | None = None

    # What may be looked at between calls ----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The tables, those of records that are not committed yet included."""
        return self._journal.state

    @property
    def leads(self) -> bool:
        """Whether this node leads and has applied everything that was written before it did."""
        return self._leading.reigns and not self._states_awaited

    @property
    def can_hand_over(self) -> bool:
        """Whether this node leads, and another one could."""
        return self._raft.role is Role.LEADER and bool(self._members.best_successor())

    @property
    def ready(self) -> bool:
        """Whether this node can serve: a caught-up voter with a leader, and a configuration in force."""
        return not self.not_ready

    @property
    def not_ready(self) -> str:
        """Why this node is not ready; empty if it is."""
        raft = self._raft
        if self._states_awaited:
            return "the state is being made anew"
        if self._disk_stands_still:
            return "the disk takes nothing: it is full, or stands still"
        if raft.leader and not raft.is_voter:
            return "this node is no voter; as a learner it is being caught up"
        if not raft.leader:
            return self._members.why_no_service() or "no leader is known"
        if raft.log.term_at(raft.commit) != raft.term or self._backlog:
            return "this node is being caught up"
        if raft.leader == raft.id and not (self.leads and self._members.has_majority):
            return self._members.why_no_service() or "this node begins to lead"
        return "" if self.state.configured else "no configuration is in force yet"

    @property
    def greeting(self) -> Greeting:
        """How this node introduces itself to others."""
        return self._members.greeting

    def objection(self, greeting: Greeting) -> str:
        """Why this node will not talk to that one; empty if it will."""
        return self._members.objection(greeting)

    # A call ---------------------------------------------------------------------------------------------------------

    def handle(self, inputs: Sequence[Input], now: Now) -> list[Output]:
        """Take everything that waits and decide it as one batch. Drain a `SaveSnapshot` before the next call."""
        if self._stopped:
            return []
        self._now, self._saving = now, False
        kinds = {type(each.letter) if type(each) is Received else type(each) for each in inputs}
        self._looks_around = not kinds <= ROUTINE
        for each in inputs:
            _TAKES[type(each)](self, each)
        self._tick()
        self._turn_consensus()
        if self.leads:
            self._leading.lead(self._touched, self._looks_around, now)
            self._touched.clear()
        elif self._raft.role is not Role.LEADER:
            self._follow()
            self._touched.clear()
        else:
            self._forwarding.look(now)  # it leads, but may not write: whoever asks it as it is can be told
            if self._leading.is_handing_over and not self._states_awaited:
                self._leading.look_after_callers(self._touched, now)
                self._touched.clear()
        self._turn_consensus()
        self._callers.settle_deletions(now)
        self._checkpoints.publish()
        self._watch_disk()
        if self._looks_around:
            self._look_at_time()
            self._wake_ns = self._next_wake_ns()
        outputs = self._outbox.take()
        outputs.append(WakeAt(self._next_look_ns))
        return outputs

    def _look_at_time(self) -> None:
        self._callers.refuse_impatient(self._now)
        self._forwarding.refuse_impatient(self._now)
        self._reports.tell(self._checkpoints.last, self._now)

    def _follow(self) -> None:
        self._supervisor.follow()
        self._callers.turn_guests_away()
        self._found_or_campaign()
        self._forwarding.look(self._now)
        self._forwarding.serve_reads(self._now)

    # A lone voter waits for nobody. The founder stands once its first entry is durable, so that a crash before leaves a
    # node that has voted for nothing.
    def _found_or_campaign(self) -> None:
        raft = self._raft
        if self._members.may_found():
            raft.found()
            self._outbox.outputs.append(Tell("a cluster is founded", {"node": self._settings.name}))
        elif raft.role is Role.FOLLOWER and raft.membership.voters == (raft.id,) and self._is_durable:
            raft.campaign()

    @property
    def _is_durable(self) -> bool:
        return self._raft.log.persisted >= self._raft.last_index

    # What comes in --------------------------------------------------------------------------------------------------

    def _started(self, _: Started) -> None:
        self._check_level()

    def _nothing(self, _: Tick) -> None:
        """Nothing by itself: time has come to look at everything."""

    def _said(self, said: Called | Asked) -> None:
        self._callers.ask(said, self._now)

    def _abandoned(self, abandoned: Abandoned) -> None:
        self._callers.abandon(abandoned.token)
        self._forwarding.abandon(abandoned.token)

    def _received(self, received: Received) -> None:
        letter = received.letter
        if isinstance(letter, Addressed):
            self._raft.step(letter)
        elif letter.to == self._raft.id:
            _READS[type(letter)](self, letter)

    # What was meant for an earlier reign may have been asked of another leader since, and refused by it.
    def _forwarded(self, letter: Forwarded) -> None:
        if self._raft.role is Role.LEADER and letter.term in (self._raft.term, 0):
            self._callers.ask_for_guest(letter, self._now)
        else:
            self._outbox.letters.append(NotLeading(self._raft.id, letter.sender, letter.token))

    def _answered(self, letter: Answered) -> None:
        self._forwarding.answered(letter)

    def _denied(self, letter: NotLeading) -> None:
        self._forwarding.denied(letter, self._now)

    def _withdrawn(self, letter: Withdrawn) -> None:
        self._callers.abandon_guest(letter.sender, letter.token)

    def _piece_wanted(self, letter: PieceWanted) -> None:
        self._fetching.wanted(letter)

    def _piece(self, letter: Piece) -> None:
        self._fetching.came(letter)

    def _report(self, letter: Report) -> None:
        self._reports.take(letter, self._now)

    def _peer_met(self, met: PeerMet) -> None:
        self._members.meet(met.greeting)

    def _peer_lost(self, lost: PeerLost) -> None:
        self._members.lose(lost)
        if lost.refused and lost.node == self._raft.leader:
            self._raft.leader_gone()

    def _hand_over(self, _: HandOver) -> None:
        self._leading.is_leaving = True

    def _observed(self, observed: Observed) -> None:
        if observed.watch == self._leading.watch:
            self._supervisor.observe(self.state.cluster, observed.observation)

    def _effect_ended(self, ended: EffectEnded) -> None:
        self._supervisor.ended(ended.effect, ended.outcome, self._now.monotonic_ns, self._now.wall_ms)

    def _sighted(self, sighted: Sighted) -> None:
        if sighted.watch == self._leading.watch:
            self._leading.services.take(sighted.sight)
            self._leading.discovery.take(sighted.sight)

    def _scaling_ended(self, ended: ScalingEnded) -> None:
        self._leading.services.scaled(ended.number, ended.outcome, self._now)

    def _configuration_refused(self, refused: ConfigurationRefused) -> None:
        self._callers.problems = refused.problems

    def _backup_told(self, told: BackupTold) -> None:
        self._callers.backup_problem = told.problem

    # The disk -------------------------------------------------------------------------------------------------------

    def _persisted(self, persisted: Persisted) -> None:
        self._journal.room_is(persisted.room)
        self._journal.written(persisted.ticket)
        self._raft.persisted(persisted.ticket)

    def _room(self, room: Room) -> None:
        self._journal.room_is(room.room)

    def _loaded(self, loaded: Loaded) -> None:
        self._raft.loaded(loaded.entries)

    def _snapshot_published(self, published: SnapshotPublished) -> None:
        self._checkpoints.settled(published.index)
        self._raft.compacted(published.index, published.first_index)

    def _snapshot_refused(self, refused: SnapshotRefused) -> None:
        if self._fetching.fetches(refused.index):
            self._fetching.ended()
        else:
            self._checkpoints.settled(refused.index)

    def _piece_loaded(self, piece: PieceLoaded) -> None:
        self._fetching.loaded(piece)

    def _piece_saved(self, saved: PieceSaved) -> None:
        self._fetching.saved(saved)

    def _snapshot_installed(self, installed: SnapshotInstalled) -> None:
        self._fetching.ended()
        header = installed.header
        if self._raft.restored(header.index, header.term, header.membership):
            self._make_state_anew()

    # A node that only follows is asked for nothing by callers, and would not be missed while the others go on.
    def _watch_disk(self) -> None:
        write = self._journal.oldest_unwritten
        if write != self._slowest_write:
            self._slowest_write, self._slow_since_ns = write, self._now.monotonic_ns
        stands_still = bool(write) and self._now.monotonic_ns - self._slow_since_ns >= self._patience_ns
        if stands_still and not self._disk_stands_still:
            told = "the disk takes nothing: it is full, or stands still; this node falls behind, and nothing is lost"
            self._outbox.outputs.append(Tell(told, {}, warning=True))
        self._disk_stands_still = stands_still

    # Several may be under way; the last is of the newest snapshot.
    def _state_loaded(self, loaded: StateLoaded) -> None:
        self._states_awaited -= 1
        if self._states_awaited:
            return
        index = loaded.header.index if loaded.header is not None else Index(0)
        self._journal.begin_anew(restore(loaded.frames), index)
        self._supervisor.begin_anew(desired_of(self._journal.state))
        self._raft.replay(self._journal.taken_up)
        self._check_level()

    # Design §3: the old copy is let go first, and reads wait.
    def _make_state_anew(self) -> None:
        self._states_awaited += 1
        self._backlog.clear()
        self._checkpoints.begin_anew()
        self._journal.forget_state()
        self._outbox.outputs.append(LoadState())

    # Consensus ------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        passed = max(0, self._now.monotonic_ns - self._ticked_ns) // self._tick_ns
        self._ticked_ns += passed * self._tick_ns
        self._looks_around |= passed > 0
        if self._hears_others:
            for _ in range(min(passed, TICKS_AT_ONCE)):
                self._raft.tick()

    @property
    def _hears_others(self) -> bool:
        """Whether time means anything to consensus here: a lone voter hears nobody, and an idle one need not wake."""
        membership = self._raft.membership
        return bool(membership.voters or self._raft.leader) and membership != Membership((self._raft.id,))

    def _turn_consensus(self) -> None:
        self._journal.propose()
        barrier = self._callers.answers.barrier_to_ask()
        if barrier is not None:
            self._raft.read(barrier)
        self._look_at_role()
        while (ready := self._raft.ready()) is not None:
            self._look_at_role()
            self._carry_out(ready)
        self._take_up()
        self._callers.give_due()

    # A truncation is seen before anything is applied on top of what was cut.
    def _look_at_role(self) -> None:
        if self._leading.has_ended:
            self._leading.end()
        if self._journal.is_astray:
            self._make_state_anew()
        leader = self._raft.leader, self._raft.term
        if leader == self._leader_told:
            return
        self._looks_around = True
        if name := self._members.name_of(self._raft.leader):
            self._leader_told = leader
            self._outbox.outputs.append(Tell("there is a leader", {"leader": name, "term": self._raft.term}))

    def _carry_out(self, ready: Ready) -> None:
        if ready.needs_disk:
            persist = Persist(
                Ticket(ready.ticket), ready.entries, ready.hard_state, ready.truncate_after, ready.restart_after
            )
            self._journal.reserve(persist)
            self._outbox.outputs.append(persist)
        self._outbox.letters.extend(ready.messages)
        if ready.load is not None:
            self._outbox.outputs.append(Load(*ready.load, LOAD_BYTES))
        if ready.snapshot is not None:
            self._fetching.offered(ready.snapshot)
        # What is handed out while the state is away is handed out once more when it is there again.
        if not self._states_awaited:
            self._backlog.extend(ready.committed_entries)
            self._take_up()
        for number, index in ready.reads:
            if number > 0:
                self._callers.answers.confirm(number)
            else:
                self._forwarding.index_known(number, index)
        for number in ready.lost_reads:
            self._forwarding.index_lost(number)

    # A snapshot is of the moment of its checkpoint: what is committed behind it waits for the next call.
    def _take_up(self) -> None:
        while self._backlog and not self._saving and not self._stopped:
            self._commit(self._backlog.popleft())

    def _commit(self, entry: Entry) -> None:
        raft = self._raft
        if entry.kind is EntryKind.NO_OP and entry.term == raft.term and raft.role is Role.LEADER:
            self._forwarding.recall()
            self._leading.begin(self._now)
        try:
            applied = self._journal.commit(entry)
        except UnreadableRecord as error:
            self._stop(f"the record at index {entry.index} cannot be read: {error}")
            return
        if applied is None:
            self._looks_around = True
            return
        self._check_level()
        self._supervisor.commit(applied.record)
        if self._callers.watch_runs:
            self._touched.update(dict.fromkeys(runs_of(applied.record)))
        self._saving = self._checkpoints.committed(applied)

    def _check_level(self) -> None:
        if (level := self.state.level) > (known := self._settings.event_level):
            self._stop(f"events of level {level} may be written, and this version knows {known}")

    def _stop(self, detail: str) -> None:
        self._stopped = True
        self._outbox.outputs.append(Stop(StopReason.TOO_OLD, f"{detail}; nothing is lost, start a newer version"))

    # Time -----------------------------------------------------------------------------------------------------------

    # What a routine call passed over is looked at with the next tick, whether or not anything comes in until then: a
    # lone voter has no ticks of its own.
    @property
    def _next_look_ns(self) -> int | None:
        if self._is_not_done:
            return self._now.monotonic_ns
        if self._looks_around:
            return self._wake_ns
        next_tick_ns = self._ticked_ns + self._tick_ns
        return next_tick_ns if self._wake_ns is None else min(self._wake_ns, next_tick_ns)

    @property
    def _is_not_done(self) -> bool:
        """Whether there is something to do that nothing will announce."""
        return bool(self._backlog) or self._checkpoints.can_be_published

    def _next_wake_ns(self) -> int | None:
        wakes = [self._callers.next_deadline_ns(), *self._forwarding.deadlines()]
        if self._hears_others:
            # Never later than so many ticks can be made up for at once; who hears a leader wakes as often anyway.
            wakes.append(self._ticked_ns + min(self._raft.ticks_until_due, TICKS.heartbeat_ticks) * self._tick_ns)
        if self.leads:
            wakes.append(self._leading.next_wake_ns(self._now))
        return min((wake for wake in wakes if wake is not None), default=None)


ROUTINE: Final = frozenset[type[Input | Letter]](
    {Called, Asked, Forwarded, Answered, Append, AppendAnswer, CommitNotice, Persisted, Room}
)
"""Of these there are thousands a second. In a call that brings nothing else, and before the next tick, a node looks
neither at the clock nor at the others."""

_TAKES: Final[Mapping[type, Callable[[Machine, Any], None]]] = {
    Started: Machine._started,
    Called: Machine._said,
    Asked: Machine._said,
    Abandoned: Machine._abandoned,
    Received: Machine._received,
    PeerMet: Machine._peer_met,
    PeerLost: Machine._peer_lost,
    HandOver: Machine._hand_over,
    Observed: Machine._observed,
    Sighted: Machine._sighted,
    ScalingEnded: Machine._scaling_ended,
    EffectEnded: Machine._effect_ended,
    ConfigurationRefused: Machine._configuration_refused,
    BackupTold: Machine._backup_told,
    Tick: Machine._nothing,
    Persisted: Machine._persisted,
    Room: Machine._room,
    Loaded: Machine._loaded,
    SnapshotPublished: Machine._snapshot_published,
    SnapshotRefused: Machine._snapshot_refused,
    StateLoaded: Machine._state_loaded,
    PieceLoaded: Machine._piece_loaded,
    PieceSaved: Machine._piece_saved,
    SnapshotInstalled: Machine._snapshot_installed,
}

_READS: Final[Mapping[type[Letter], Callable[[Machine, Any], None]]] = {
    Forwarded: Machine._forwarded,
    Answered: Machine._answered,
    NotLeading: Machine._denied,
    Withdrawn: Machine._withdrawn,
    PieceWanted: Machine._piece_wanted,
    Piece: Machine._piece,
    Report: Machine._report,
}
"""Letters beside the words of consensus, which `Raft.step` takes."""
