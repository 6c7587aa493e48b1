"""A reign: what a leader does at every turn, from the moment that it knows all that was written before it.

begin (the no-op of its term is applied) -> clocks are known -> founded -> members -> callers, supervision, time -> end

Everything here appends records; who follows never comes here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from slimjobs.core.decide.admission import admit_everywhere, expire_surplus
from slimjobs.core.decide.expiring import expire_due, next_expiry
from slimjobs.core.decide.giving_up import give_up_due, next_giving_up
from slimjobs.core.machine.blindness import Blindness
from slimjobs.core.machine.callers import Callers
from slimjobs.core.machine.checkpoints import Checkpoints
from slimjobs.core.machine.discovery import Discovery
from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.members import NOBODY, Members
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.outputs import Observe, Tell
from slimjobs.core.machine.reports import Reports
from slimjobs.core.machine.scheduling import Scheduling
from slimjobs.core.machine.services import Services
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.machine.supervising import Supervising
from slimjobs.eventlog.events.cluster import LevelRaised, SightLost
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Raft, Role, Term
from slimjobs.projections.state import Trouble

CLOCK_LOOKED_AT_NS = 1_000_000_000
"""The wall clock may jump, so it is read again at least this often while something is due by it."""

SHORTEST_WAIT_NS = 10_000_000
"""What is due but could not be written is tried again after this long, not at once."""

TROUBLE_TOLD_MS = 60_000
TROUBLE_CHARACTERS = 500

NO_REIGN = Term(0)

_WELL = Trouble("", -1)


class Leading:
    """The leader's work. `watch` numbers the watch of the orchestrator, of this reign or the last."""

    def __init__(
        self,
        raft: Raft,
        journal: Journal,
        members: Members,
        reports: Reports,
        callers: Callers,
        supervising: Supervising,
        scheduling: Scheduling,
        services: Services,
        discovery: Discovery,
        checkpoints: Checkpoints,
        outbox: Outbox,
        founding_id: str,
        settings: MachineSettings,
    ) -> None:
        self._raft = raft
        self._journal = journal
        self._members = members
        self._reports = reports
        self._callers = callers
        self._supervising = supervising
        self._scheduling = scheduling
        self.services = services
        self.discovery = discovery
        self._checkpoints = checkpoints
        self._outbox = outbox
        self._founding_id = founding_id
        self._settings = settings
        self._reign = NO_REIGN
        self._began_ns = 0
        self._unsettled = False
        self._watching = False
        self._may_stamp = self._is_whole = False
        self._blindness = Blindness()
        self.is_leaving = False
        self.watch = 0

    # Beginning and end ----------------------------------------------------------------------------------------------

    @property
    def reigns(self) -> bool:
        """Whether this node leads, knows all that was written before, and may write."""
        return bool(self._reign) and not self.has_ended and not self._raft.transferee

    @property
    def is_handing_over(self) -> bool:
        """Whether this node reigned until it told another to lead, and may not write until that has come to an end."""
        return bool(self._reign) and not self.has_ended and bool(self._raft.transferee)

    def look_after_callers(self, touched: Collection[RunId], now: Now) -> None:
        """Nobody waits longer because leadership is on its way."""
        self._callers.look_after(touched, self.services.observed, now)

    @property
    def has_ended(self) -> bool:
        """Whether a reign is over that nobody has ended yet."""
        ended = self._raft.role is not Role.LEADER or self._raft.term != self._reign
        return bool(self._reign) and ended

    # When the no-op of its term commits, everything older is applied: from here on the state is the log's whole truth.
    def begin(self, now: Now) -> None:
        """This node leads from here on."""
        self._reign = self._raft.term
        self._began_ns = now.monotonic_ns
        self._unsettled = True
        self._watching = self._may_stamp = False
        self.services.begin_to_lead()
        self.discovery.begin_to_lead()
        self._members.begin_to_lead()
        self._supervising.begin_to_lead()
        self._scheduling.begin_to_lead(now)
        self._blindness.begin_to_lead(now)

    def end(self) -> None:
        """This node leads no more."""
        self._reign = NO_REIGN
        self._callers.lose_leadership()
        self._supervising.end_leading()
        if self._watching:
            self._watching = False
            self.watch += 1  # what is still on its way was seen for a reign that is over
            self._outbox.outputs.append(Observe(None))

    # A turn ---------------------------------------------------------------------------------------------------------

    def lead(self, touched: Collection[RunId], looks_around: bool, now: Now) -> None:
        """Do everything that is due. `touched`: the runs about which something was committed.

        `looks_around`: something else than requests and acknowledgements came in, or time has passed.
        """
        if looks_around or not self._may_stamp:
            enough = self._reports.are_enough(now.monotonic_ns - self._began_ns)
            self._may_stamp = enough and not self._hands_over(now)
        if not self._may_stamp:
            self._callers.look_after(touched, self.services.observed, now)
            return
        if not self._journal.state.cluster and not self._found(now):
            return
        if looks_around or not self._is_whole:
            self._is_whole = self._members.has_majority
        self._watch_anew()
        if self.services.has_news:
            self.services.settle(now)
        if self.discovery.has_news:
            self.discovery.decide(self.services.observed, now)
        if self._unsettled:
            self._settle(now)
        if self._is_whole:
            self._callers.serve(self.services.observed, now)
        else:
            self._callers.serve_questions(self.services.observed, now)
        if self.services.has_news:
            self.services.settle(now)  # somebody needs what nobody needed before
        self._supervising.look(self.services.observed, now)
        if looks_around:
            self._append(expire_due(self._journal.state, now.wall_ms), "time", now)
            self._append(give_up_due(self._journal.state, now.wall_ms), "time", now)
            if self._is_whole:
                self._scheduling.fire(self.services.observed, now)
            self.services.scale(now)
            self._say_what_is_not_seen(now)
            self._let_another_see(now)
            self._tend_members(now)
        self._checkpoints.write_if_due(now)
        self._callers.look_after(touched, self.services.observed, now)
        self._journal.propose()
        if looks_around:
            self._change_membership()
        self._transfer()

    # Who has the newest backup is known while all are there; a founder that was interrupted meets them again.
    def _found(self, now: Now) -> bool:
        return self._members.has_met_all and self._append(self._members.founding(self._founding_id), "founding", now)

    # Design §2: whose clock is wrong stamps nothing.
    def _hands_over(self, now: Now) -> bool:
        if not self._reports.is_skewed:
            return False
        facts = {"milliseconds": self._reports.clock_skew_ms}
        self._outbox.outputs.append(Tell("this node's clock differs from the others'; it leads no more", facts, True))
        successor = self._members.successor_by_clock()
        if successor == NOBODY or not self._raft.transfer(successor):
            self._raft.resign()
        return True

    # What is missing in a list is gone only if it was there when the list began. So a leader trusts no list that was
    # begun before it knew all that the log says is bound.
    def _watch_anew(self) -> None:
        if not self._watching:
            self._watching = True
            self.watch += 1
            self._outbox.outputs.append(Observe(self.watch))

    # What may be due in any queue: after a change of leader, whose limits may be others; and what found no room.
    def _settle(self, now: Now) -> None:
        state = self._journal.state
        settled = self._append(admit_everywhere(state, self.services.observed), "leader", now)
        for queue in list(state.queues.values()):
            settled &= self._append(expire_surplus(queue, self._settings.limits.finished_jobs), "leader", now)
        self._unsettled = not settled

    def _append(self, events: Sequence[Event], cause: str, now: Now) -> bool:
        """Whether they are in the log; False means that there is no room for them."""
        return not events or self._journal.append(events, cause, now.wall_ms, new_work=False) is not None

    # The cluster itself ---------------------------------------------------------------------------------------------

    def _tend_members(self, now: Now) -> None:
        self._append(self._members.naming(), "membership", now)
        level = self._reports.level(self._members.everybody)
        if level > self._journal.state.level:
            self._append((LevelRaised(level),), "membership", now)
        agreement = self._reports.agreement(self._checkpoints.last)
        if agreement is not None and self._append((agreement,), "checkpoint", now):
            self._reports.agreed(agreement.index)

    def _change_membership(self) -> None:
        change = self._members.change()
        if change is not None and self._raft.change_membership(change) is not None:
            node = self._members.name_of(change.node) or f"{change.node:x}"
            self._outbox.outputs.append(Tell("the membership changes", {"step": change.kind.value, "node": node}))

    def _transfer(self) -> None:
        if self.is_leaving and self._members.successor == NOBODY:
            self.is_leaving = False  # once: where all are leaving, leadership would go round for ever
            self._members.successor = self._members.best_successor()
        successor, self._members.successor = self._members.successor, NOBODY
        if successor != NOBODY:
            self._raft.transfer(successor)

    def _let_another_see(self, now: Now) -> None:
        if not self._blindness.is_over(self._supervising.sees, now):
            return
        self._members.successor = self._members.best_successor()
        if self._members.successor != NOBODY:
            to = self._members.name_of(self._members.successor)
            said = "what runs the jobs cannot be seen from here; another leads"
            self._outbox.outputs.append(Tell(said, {"to": to}, warning=True))

    # In the log, every node can say it, and who reads it later knows what could be known. What changes its words all
    # the time does not fill it.
    def _say_what_is_not_seen(self, now: Now) -> None:
        seen = {
            "Jobs": self._supervising.trouble,
            "Services": self.services.trouble,
            "CronJobs": self.discovery.trouble,
        }
        for what, trouble in seen.items():
            known = self._journal.state.troubles.get(what, _WELL)
            too_soon = bool(trouble) and now.wall_ms - known.since < TROUBLE_TOLD_MS and bool(known.detail)
            if trouble is not None and trouble != known.detail and not too_soon:
                self._append((SightLost(what, trouble[:TROUBLE_CHARACTERS]),), "surroundings", now)

    # Time -----------------------------------------------------------------------------------------------------------

    def next_wake_ns(self, now: Now) -> int | None:
        """When something is due that nothing will announce."""
        if self._supervising.can_go_on or self._scheduling.has_more:
            return now.monotonic_ns
        wakes = (self._supervising.next_retry_ns(), self.services.next_wake_ns())
        retry_ns = min((wake for wake in wakes if wake is not None), default=None)
        state = self._journal.state
        times = (next_expiry(state), next_giving_up(state), self._scheduling.next_due_ms)
        due = [each for each in times if each is not None]
        if not due:
            return retry_ns
        until_ns = max(min(due) - now.wall_ms, 0) * 1_000_000
        due_ns = now.monotonic_ns + min(max(until_ns, SHORTEST_WAIT_NS), CLOCK_LOOKED_AT_NS)
        return due_ns if retry_ns is None else min(due_ns, retry_ns)
