"""A log written by the real decisions, without a machine: commands and observations go in, records are applied.

`Chronicle` speaks in commands; `tell` takes any sequence of small numbers for a history, so that Hypothesis can draw
one and shrink it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from slimjobs.core.decide.admission import admit_everywhere, expire_surplus, with_consequences
from slimjobs.core.decide.commands import Configure, Configured, Declared, DeleteRun, IdempotencyKey, Requested, Trigger
from slimjobs.core.decide.configuring import decide_configuration
from slimjobs.core.decide.decision import Decision, Limits
from slimjobs.core.decide.deleting import decide_deletion
from slimjobs.core.decide.depending import admit_waiting_for, record_readiness
from slimjobs.core.decide.expiring import expire_due
from slimjobs.core.decide.observing import Seen, events_of
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.decide.triggering import decide_trigger
from slimjobs.core.machine.timetables import Timetables
from slimjobs.core.orchestrators.ports import ObservedAttempt, ObservedJob, Phase
from slimjobs.eventlog.events.cluster import ClusterFounded
from slimjobs.eventlog.events.definitions import Definition, Overrides, Source, Visibility
from slimjobs.eventlog.events.record import Event, Record, encode_record
from slimjobs.eventlog.events.runs import RunFailed, RunId, job_object_name
from slimjobs.eventlog.raft.types import Index
from slimjobs.projections.fold import apply
from slimjobs.projections.state import State
from tests.core.decide.onlooker import Onlooker

CLUSTER = "c1"
DEFAULT_LIMITS, NO_OVERRIDES = Limits(), Overrides()
DEFAULT = Definition(command=("default",), visibility=Visibility.PUBLIC)
FIB = Definition(command=("fib",), visibility=Visibility.PUBLIC, number_parallel_job=2)


class Written(msgspec.Struct, frozen=True):
    """A record at its place in the log."""

    index: Index
    payload: bytes
    record: Record


def run_of(number: int) -> RunId:
    """The id of the n-th run of a test."""
    return RunId(number.to_bytes(10, "big"))


class Chronicle:
    """One state, the log that made it, and an onlooker who judges every record."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.state = State()
        self.limits = limits
        self.now = 1_700_000_000_000
        self.observed: set[str] = set()
        self.log: list[Written] = []
        self.onlooker = Onlooker()
        self.runs: list[tuple[str, RunId]] = []
        self.append((ClusterFounded(CLUSTER),))

    def append(self, events: tuple[Event, ...]) -> None:
        """Stamp and apply a record, if there is anything in it."""
        if not events:
            return
        record = Record(max(self.now, self.state.at), "test", events)
        written = Written(Index(self.state.index + 1), encode_record(record), record)
        apply(self.state, written.index, written.payload, record)
        self.log.append(written)
        self.onlooker.read(record, self.observed)

    def _take(self, decided: Decision | Refusal) -> Decision | Refusal:
        if isinstance(decided, Decision):
            self.append(decided.events)
        return decided

    # Commands -------------------------------------------------------------------------------------------------------

    def configure(self, definitions: Mapping[str, Definition]) -> Configured:
        """Put these definitions in force; Default is always among them."""
        everything = {"default": DEFAULT, **definitions}
        command = Configure({name: Declared(each, Source.CONFIGURATION) for name, each in everything.items()})
        decision = decide_configuration(self.state, command, self.observed, Timetables(), self.now)
        self.append(decision.events)
        assert isinstance(decision.result, Configured)
        return decision.result

    def trigger(
        self,
        *jobs: str,
        overrides: Overrides = NO_OVERRIDES,
        key: IdempotencyKey | None = None,
        internal: bool = True,
        path: str = "",
    ) -> Decision | Refusal:
        """Trigger a run of each of these jobs, as one batch."""
        first = len(self.runs) + 1
        asked = tuple(Requested(run_of(first + i), job, overrides, path, f"/{i}") for i, job in enumerate(jobs))
        self.runs += [(each.job, each.run) for each in asked]
        command = Trigger(asked, internal, key)
        return self._take(decide_trigger(self.state, command, self.limits, self.observed, False, self.now))

    def enqueue(self, job: str, overrides: Overrides = NO_OVERRIDES) -> RunId:
        """Trigger one run that must be accepted; gives its id."""
        assert isinstance(self.trigger(job, overrides=overrides), Decision)
        return self.runs[-1][1]

    def delete(self, job: str, run: RunId, *, internal: bool = True) -> Decision | Refusal:
        """Delete a run."""
        return self._take(decide_deletion(self.state, DeleteRun(job, run, internal), self.observed))

    # What is seen ---------------------------------------------------------------------------------------------------

    def see(self, run: RunId, phase: Phase, *attempts: ObservedAttempt, uid: str = "", gone: bool = False) -> None:
        """See the run's object, until the log has nothing more to learn from it."""
        name = job_object_name(self.state.job_of(run) or "gone", run)
        job = ObservedJob(name, uid or f"uid-{run.hex()}", CLUSTER, run, phase, attempts=attempts)
        self._learn(run, Seen(job, gone))

    def see_nothing(self, run: RunId) -> None:
        """See that the run's object is gone."""
        self._learn(run, Seen(None, gone=True))

    def _learn(self, run: RunId, seen: Seen) -> None:
        while events := events_of(self.state, run, seen):
            self.append(with_consequences(self.state, events, self.observed, self.limits.finished_jobs))

    def reject(self, run: RunId) -> None:
        """The orchestrator refuses the run's object for good."""
        events = (RunFailed(run, "CreateRejected", "no such thing"),)
        self.append(with_consequences(self.state, events, self.observed, self.limits.finished_jobs))

    def depend(self, name: str, ready: bool) -> None:
        """A dependency is seen, ready or not."""
        self.append(record_readiness(self.state, name, ready, "" if ready else "0 of 1 replicas"))
        self.observed.add(name)
        if ready:
            self.append(admit_waiting_for(self.state, name, self.observed))

    def new_leader(self) -> None:
        """Leadership changes: nothing was observed by the new leader."""
        self.observed.clear()
        self.append(admit_everywhere(self.state, self.observed))
        for queue in list(self.state.queues.values()):
            self.append(expire_surplus(queue, self.limits.finished_jobs))

    def wait(self, seconds: float) -> None:
        """Let time pass, and what is due leave the lists."""
        self.now += int(seconds * 1000)
        self.append(expire_due(self.state, self.now))

    # Any history ----------------------------------------------------------------------------------------------------

    def tell(self, steps: Iterable[tuple[int, int, int]]) -> None:
        """Do what these numbers say."""
        for kind, a, b in steps:
            _DEEDS[kind % len(_DEEDS)](self, a, b)

    def drain(self) -> None:
        """Bring everything to an end: all dependencies are ready, every object succeeds or is gone."""
        for name in ("db", "web"):
            self.depend(name, True)
        while self.state.active or self.state.deleted:
            for run in list(self.state.active):
                self.see(run, Phase.SUCCEEDED)
            for run in list(self.state.deleted):
                self.see_nothing(run)


JOBS = ("fib", "web-job", "elsewhere", "unheard-of")
OVERRIDES = (
    Overrides(),
    Overrides(args=("1",)),
    Overrides(depends_on=("db",)),
    Overrides(depends_on=("db", "web"), ttl_seconds_after_finished=5),
    Overrides(depends_on=()),
)
CONFIGURATIONS: tuple[Mapping[str, Definition], ...] = (
    {"fib": FIB, "web-job": msgspec.structs.replace(FIB, depends_on=("web",), number_parallel_job=1)},
    {"fib": msgspec.structs.replace(FIB, number_parallel_job=1, ttl_seconds_after_finished=1)},
    {"fib": msgspec.structs.replace(FIB, number_parallel_job=4, max_queued_jobs=5), "elsewhere": FIB},
    {},
)
ATTEMPT = ObservedAttempt(1, 10)
SIGHTS = (
    (Phase.SUSPENDED, (), False),
    (Phase.RUNNING, (ATTEMPT,), False),
    (Phase.PENDING, (ObservedAttempt(1, 10, 20, 1, "Error"),), False),
    (Phase.RUNNING, (ObservedAttempt(1, 10, 20, 1, "Error"), ObservedAttempt(2, 30)), False),
    (Phase.WAITING_FOR_IMAGE, (), False),
    (Phase.SUCCEEDED, (ObservedAttempt(2, 30, 40, 0),), False),
    (Phase.FAILED, (), False),
    (Phase.RUNNING, (), True),
)


def _trigger(chronicle: Chronicle, a: int, b: int) -> None:
    jobs = (JOBS[a % len(JOBS)],) if b % 3 else (JOBS[a % len(JOBS)], JOBS[b % len(JOBS)])
    chronicle.trigger(*jobs, overrides=OVERRIDES[b % len(OVERRIDES)])


def _trigger_with_key(chronicle: Chronicle, a: int, b: int) -> None:
    key = IdempotencyKey((a % 4).to_bytes(16, "big"), (b % 2).to_bytes(16, "big"))
    chronicle.trigger(JOBS[b % len(JOBS)], key=key)


def _see(chronicle: Chronicle, a: int, b: int) -> None:
    if runs := list(chronicle.state.active):
        phase, attempts, gone = SIGHTS[b % len(SIGHTS)]
        chronicle.see(runs[a % len(runs)], phase, *attempts, gone=gone)


def _see_another(chronicle: Chronicle, a: int, b: int) -> None:
    if runs := [*chronicle.state.active, *chronicle.state.deleted]:
        chronicle.see(runs[a % len(runs)], Phase.SUSPENDED, uid=f"another-{b}")


def _see_nothing(chronicle: Chronicle, a: int, _: int) -> None:
    if runs := list(chronicle.state.deleted):
        chronicle.see_nothing(runs[a % len(runs)])


def _reject(chronicle: Chronicle, a: int, _: int) -> None:
    if runs := [run.run for run in chronicle.state.active.values() if not run.uid]:
        chronicle.reject(runs[a % len(runs)])


def _delete(chronicle: Chronicle, a: int, _: int) -> None:
    if chronicle.runs:
        chronicle.delete(*chronicle.runs[a % len(chronicle.runs)])


def _configure(chronicle: Chronicle, a: int, _: int) -> None:
    chronicle.configure(CONFIGURATIONS[a % len(CONFIGURATIONS)])


def _depend(chronicle: Chronicle, a: int, b: int) -> None:
    chronicle.depend(("db", "web")[a % 2], ready=bool(b % 2))


def _wait(chronicle: Chronicle, a: int, _: int) -> None:
    chronicle.wait((0.5, 2, 70, 90_000)[a % 4])


def _new_leader(chronicle: Chronicle, _: int, __: int) -> None:
    chronicle.new_leader()


_DEEDS = (
    _trigger,
    _see,
    _trigger,
    _see,
    _delete,
    _see,
    _depend,
    _trigger_with_key,
    _wait,
    _configure,
    _see_nothing,
    _see_another,
    _reject,
    _new_leader,
)
