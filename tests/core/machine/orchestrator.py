"""A simulated orchestrator that follows the rules of the port: names taken once, identities, suspended objects.

Requests arrive late or twice, answers get lost, objects vanish. It judges what is asked of it: at most one object of a
run is ever released, none after its deletion was promised, and never more than the cap are under way.
"""

from __future__ import annotations

from collections import deque

import msgspec

from slimjobs.core.orchestrators.ports import (
    Accepted,
    AlreadyExists,
    Changed,
    Create,
    Created,
    Delete,
    Effect,
    Expire,
    GiveUp,
    Job,
    Listed,
    Missing,
    Observation,
    ObservedAttempt,
    ObservedJob,
    Outcome,
    Phase,
    Release,
    Unobserved,
    Vanished,
)
from slimjobs.eventlog.events.runs import RunId
from tests.core.machine.invariants import Checked, Invariant

FINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED})


class Watch:
    """One watcher: the word that a list begins, the list as it was then, and what changed since."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ahead: deque[Observation] = deque([Unobserved("")])
        self.listed = False


class SimulatedOrchestrator:
    """Objects by name. `caps` are those of the jobs, `forbidden` the runs of which nothing may start any more.

    `strangers` are the uids of objects that belong to another cluster.
    """

    def __init__(self, caps: dict[str, int]) -> None:
        self.objects: dict[str, ObservedJob] = {}
        self.forbidden: set[RunId] = set()
        self.released: dict[RunId, set[str]] = {}
        self.strangers: set[str] = set()
        self.checked = Checked()
        self.watch: Watch | None = None
        self._caps = caps
        self._jobs: dict[str, str] = {}
        self._expiring: set[str] = set()
        self._uids = 0

    def allow(self, name: str, cap: int) -> None:
        """A cap rises. One that falls stops nothing that is under way, so what was allowed once still is."""
        self._caps[name] = max(cap, self._caps.get(name, 0))

    # Requests -------------------------------------------------------------------------------------------------------

    def perform(self, effect: Effect) -> Outcome:
        """Do what is asked, as the Kubernetes API would."""
        if isinstance(effect, Create):
            return self._create(effect.job)
        self.checked.look(Invariant.STRANGERS)
        assert effect.uid not in self.strangers, f"{effect} is about an object of another cluster"
        job = self.objects.get(effect.name)
        if job is None or job.uid != effect.uid:
            return Missing()
        match effect:
            case Release():
                self._release(job)
            case Expire():
                self._expiring.add(job.name)
            case GiveUp():
                self._give_up(job)
            case Delete():
                self._change(msgspec.structs.replace(job, ending=True))
        return Accepted()

    def _create(self, asked: Job) -> Outcome:
        if (there := self.objects.get(asked.name)) is not None:
            return AlreadyExists(there)
        job = ObservedJob(asked.name, self._new_uid(), asked.cluster, asked.run, Phase.SUSPENDED)
        self._jobs[asked.name] = self._queue_of(asked)
        self._change(job)
        return Created(job)

    def _new_uid(self) -> str:
        self._uids += 1
        return f"uid-{self._uids}"

    def _release(self, job: ObservedJob) -> None:
        if job.ending or job.phase is not Phase.SUSPENDED:
            return
        self.checked.look(Invariant.ONE_RELEASE)
        assert job.run not in self.forbidden, "a run starts after its deletion was promised"
        uids = self.released.setdefault(job.run, set())
        uids.add(job.uid)
        assert len(uids) == 1, "two objects of one run were released"
        self._change(msgspec.structs.replace(job, phase=Phase.PENDING))

    def _give_up(self, job: ObservedJob) -> None:
        self.checked.look(Invariant.GIVEN_UP)
        if job.phase not in {Phase.SUSPENDED, *FINAL}:
            self._change(msgspec.structs.replace(job, phase=Phase.FAILED, reason="DeadlineExceeded"))

    # What happens by itself -----------------------------------------------------------------------------------------

    def moving(self) -> list[str]:
        """The objects that will change by themselves."""
        return [
            name
            for name, job in self.objects.items()
            if job.ending or (job.phase is not Phase.SUSPENDED if job.phase not in FINAL else name in self._expiring)
        ]

    def move(self, name: str, *, well: bool = True) -> None:
        """Let an object go on: to the next phase, or away."""
        job = self.objects[name]
        if job.ending or job.phase in FINAL:
            self.vanish(name)
        elif job.phase is Phase.PENDING:
            running = msgspec.structs.replace(job, phase=Phase.RUNNING, attempts=(ObservedAttempt(1, 1),))
            self._change(running)
        else:
            attempts = (ObservedAttempt(1, 1, 2, 0 if well else 1),)
            phase, reason = (Phase.SUCCEEDED, "") if well else (Phase.FAILED, "BackoffLimitExceeded")
            self._change(msgspec.structs.replace(job, phase=phase, attempts=attempts, reason=reason))

    def vanish(self, name: str) -> None:
        """An object goes: at the end of its deletion, when its time is over, or by somebody's hand."""
        job = self.objects.pop(name)
        self._expiring.discard(name)
        self._tell(Vanished(job))

    def _change(self, job: ObservedJob) -> None:
        self.objects[job.name] = job
        self._tell(Changed(job))
        self._judge_caps()

    def _judge_caps(self) -> None:
        self.checked.look(Invariant.CAP)
        under_way = [each for each in self.objects.values() if each.phase not in {Phase.SUSPENDED, *FINAL}]
        for name, cap in self._caps.items():
            assert sum(self._jobs[each.name] == name for each in under_way) <= cap, f"more of {name} than its cap"

    def _queue_of(self, asked: Job) -> str:
        """Whose cap the run counts against: here every job has a definition of its own."""
        return asked.job

    # Watching -------------------------------------------------------------------------------------------------------

    def begin_watch(self, number: int) -> None:
        """Another watcher; the one before ends."""
        self.watch = Watch(number)

    def lose_watch(self) -> None:
        """The thread is lost: it is said, and then a new list begins."""
        if self.watch is not None:
            self.watch.ahead = deque([Unobserved("connection lost")])
            self.watch.listed = False

    def next_observation(self) -> Observation | None:
        """What the watcher is told next. A list is begun when the word of it was taken, and told later."""
        if self.watch is None or not self.watch.ahead:
            return None
        observation = self.watch.ahead.popleft()
        if isinstance(observation, Unobserved):
            self.watch.ahead.append(Listed(tuple(self.objects.values())))
            self.watch.listed = True
        return observation

    def _tell(self, observation: Observation) -> None:
        if self.watch is not None and self.watch.listed:
            self.watch.ahead.append(observation)
