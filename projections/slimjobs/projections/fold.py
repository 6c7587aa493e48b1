"""The fold: what each event does to the state. Total on logs that `decide` wrote; anything else is a broken log.

One function an event, and a table of them. Nothing here knows a clock, a setting or a rule about what may be asked:
that was decided before the event was written. The one thing that time does by itself is that idempotency keys are
forgotten 24 hours (by the log's time) after their use.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from slimjobs.eventlog.events.cluster import (
    Checkpoint,
    CheckpointAgreed,
    ClusterFounded,
    DefinitionDeclared,
    DefinitionRemoved,
    DependencyChanged,
    DiscoveryRefused,
    LevelRaised,
    MemberDropped,
    MemberNamed,
    SightLost,
)
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.record import Event, Record, extend_chain
from slimjobs.eventlog.events.runs import (
    AttemptEnded,
    AttemptStarted,
    ImageGivenUp,
    ImageNotPulled,
    KeyUsed,
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
from slimjobs.eventlog.raft.types import Index
from slimjobs.projections.order import Lane
from slimjobs.projections.run_states import RUN_STATES, RunState
from slimjobs.projections.schedules import SCHEDULE_FOLDS, Schedules
from slimjobs.projections.state import (
    DeletedRun,
    Departure,
    Dependency,
    HistoryEvent,
    JobIndex,
    Key,
    Queue,
    QueuedRun,
    Run,
    State,
    Trouble,
    Version,
    decode_run,
    encode_run,
    pack_queued,
    queued_numbers,
    unpack_queued,
)
from slimjobs.projections.views import RunStatus

KEY_LIFETIME_MS = 24 * 3600 * 1000
DEPARTURES_KEPT = 10_000
FORMER_MEMBERS_KEPT = 1_000
HISTORY_HEAD, HISTORY_TAIL = 8, 56

_K = TypeVar("_K")
_NO_OVERRIDES = Overrides()
_encode = msgspec.msgpack.Encoder().encode


class BrokenLog(Exception):
    """An event cannot follow what came before it: this log was not written by these rules."""


def apply(state: State, index: Index, payload: bytes, record: Record) -> None:
    """Fold one record, at this index of the log, into the state. `payload` is its encoded form, for the chain.

    Raises `BrokenLog`; the state is of no use then.
    """
    state.index = index
    state.at = record.at
    state.chain = extend_chain(state.chain, payload)
    _forget_keys(state, record.at)
    for event in record.events:
        try:
            _FOLDS[type(event)](state, event)
        except KeyError as missing:
            raise _broken(state, event, f"names {missing}, which is unknown") from missing


def _broken(state: State, event: Event, why: str) -> BrokenLog:
    return BrokenLog(f"{type(event).__name__} at index {state.index} {why}: {event}")


def _forget_keys(state: State, at: int) -> None:
    while state.keys:
        key = next(iter(state.keys))
        if state.keys[key].at > at - KEY_LIFETIME_MS:
            return
        del state.keys[key]


# The service itself -------------------------------------------------------------------------------------------------


# A log is founded again when one survivor becomes a cluster of its own: the objects there are belong to the cluster
# of before, and nobody touches another's (contract §3).
def _founded(state: State, event: ClusterFounded) -> None:
    if state.active or state.deleted:
        raise _broken(state, event, "comes while there are runs that may have objects")
    for run in map(decode_run, list(state.finished.values())):
        run.uid = ""
        state.finished[run.run] = encode_run(run)
    state.cluster = event.cluster


def _checkpoint(state: State, event: Checkpoint) -> None:
    """A checkpoint changes nothing; it says where snapshots are taken."""


# A node that goes by another name than before gives its old one up.
def _named(state: State, event: MemberNamed) -> None:
    state.members = {name: node for name, node in state.members.items() if node != event.node}
    if event.name in state.members:
        _leave(state, event.name)
    state.members[event.name] = event.node


def _dropped(state: State, event: MemberDropped) -> None:
    _leave(state, event.name)


def _leave(state: State, name: str) -> None:
    state.former_members[state.members.pop(name)] = None
    if len(state.former_members) > FORMER_MEMBERS_KEPT:
        del state.former_members[next(iter(state.former_members))]


def _agreed(state: State, event: CheckpointAgreed) -> None:
    """What was agreed is about states; it is none of them."""


def _level_raised(state: State, event: LevelRaised) -> None:
    state.level = event.level


def _declared(state: State, event: DefinitionDeclared) -> None:
    previous = state.current.get(event.name)
    state.current[event.name] = event.number
    state.versions[event.number] = Version(event.number, event.name, event.source, event.definition)
    state.next_version = event.number + 1
    state.configured = True
    queue = state.queues.get(event.name)
    if queue is None:
        queue = state.queues[event.name] = Queue(event.name)
    queue.slots = event.definition.number_parallel_job
    queue.limit = event.definition.max_queued_jobs
    count_names(state.named, event.definition.depends_on, 1)
    if previous is not None:
        count_names(state.named, state.versions[previous].definition.depends_on, -1)
        _drop_version_if_unused(state, previous)


def _removed(state: State, event: DefinitionRemoved) -> None:
    number = state.current.pop(event.name)
    count_names(state.named, state.versions[number].definition.depends_on, -1)
    _drop_version_if_unused(state, number)


def _dependency(state: State, event: DependencyChanged) -> None:
    state.dependencies[event.name] = Dependency(event.ready, event.reason, state.at)


def _discovery_refused(state: State, event: DiscoveryRefused) -> None:
    if event.problems:
        state.refused[event.name] = event.problems
    else:
        del state.refused[event.name]


def _sight_lost(state: State, event: SightLost) -> None:
    state.troubles[event.what] = Trouble(event.detail, state.at)


# A version, and with the last of a name its queue, stays as long as runs in the lists were accepted with it.
def _drop_version_if_unused(state: State, number: int) -> None:
    version = state.versions[number]
    if version.runs or state.current.get(version.name) == number:
        return
    del state.versions[number]
    _drop_queue_if_unused(state, version.name)


def _drop_queue_if_unused(state: State, name: str) -> None:
    queue = state.queues.get(name)
    if queue is None or name in state.current or queue.order.length or queue.holders or queue.finished:
        return
    del state.queues[name]


# Into and out of the queue ------------------------------------------------------------------------------------------


def enter_queue(state: State, run: RunId, packed: bytes, queued: QueuedRun) -> None:
    """Put a packed run where its numbers say; what a restored snapshot does too."""
    numbers = queued_numbers(packed)
    version = state.versions[numbers.definition]
    version.runs += 1
    queue = state.queues[version.name]
    queue.order.join(numbers.ordinal, run)
    state.queued[run] = packed
    if queued.overrides != _NO_OVERRIDES:
        state.queued_override_bytes += len(_encode(queued.overrides))
    lane = queue.lanes.get(waits_for := state.depends_on(numbers.definition, queued.overrides))
    if lane is None:
        lane = queue.lanes[waits_for] = Lane()
        count_names(state.needed, waits_for, 1)
    lane.append(numbers.ordinal)
    job = _job_index(state, queued.job)
    lane = job.queued.get(version.name)
    if lane is None:
        lane = job.queued[version.name] = Lane()
    lane.append(numbers.ordinal)


def _enqueued(state: State, event: RunEnqueued) -> None:
    if (known := state.run_state(event.run)) is not None:
        raise _broken(state, event, f"is of a run that is {known}")
    queued = QueuedRun(event.job, event.overrides, event.path)
    ordinal = state.queue_of(event.definition).order.next_ordinal
    packed = pack_queued(ordinal, state.at, state.index, event.definition, queued)
    enter_queue(state, event.run, packed, queued)


def _leave_queue(state: State, run: RunId) -> tuple[bytes, QueuedRun]:
    packed = state.queued.pop(run)
    queued, numbers = unpack_queued(packed), queued_numbers(packed)
    queue = state.queue_of(numbers.definition)
    queue.order.remove(numbers.ordinal)
    if queued.overrides != _NO_OVERRIDES:
        state.queued_override_bytes -= len(_encode(queued.overrides))
    waited_for = state.depends_on(numbers.definition, queued.overrides)
    if _leave_lane(queue.lanes, waited_for, numbers.ordinal):
        count_names(state.needed, waited_for, -1)
    job = state.jobs[queued.job]
    _leave_lane(job.queued, queue.name, numbers.ordinal)
    return packed, queued


def _leave_lane(lanes: dict[_K, Lane], key: _K, ordinal: int) -> bool:
    """Whether that was the last of its lane, which is gone with it."""
    lane = lanes[key]
    lane.remove(ordinal)
    if lane:
        return False
    del lanes[key]
    return True


def count_names(counts: dict[str, int], names: Iterable[str], more: int) -> None:
    """Count names; those that come to nothing are not kept."""
    for name in names:
        count = counts.get(name, 0) + more
        if count:
            counts[name] = count
        else:
            del counts[name]


def _job_index(state: State, job: str) -> JobIndex:
    index = state.jobs.get(job)
    if index is None:
        index = state.jobs[job] = JobIndex()
    return index


def _admitted(state: State, event: RunAdmitted) -> None:
    packed, queued = _leave_queue(state, event.run)
    numbers = queued_numbers(packed)
    run = Run(
        event.run,
        queued.job,
        numbers.definition,
        queued.overrides,
        queued.path,
        numbers.at,
        numbers.ordinal,
        state.next_admission,
        state.at,
    )
    enqueued = RunEnqueued(event.run, queued.job, numbers.definition, queued.overrides, queued.path)
    run.history = [HistoryEvent(numbers.index, numbers.at, enqueued), HistoryEvent(state.index, state.at, event)]
    state.next_admission += 1
    enter_active(state, run)


def enter_active(state: State, run: Run) -> None:
    """Give a run its slot; what a restored snapshot does too (the version's count of runs is the caller's)."""
    state.active[run.run] = run
    state.jobs.setdefault(run.job, JobIndex()).admitted[run.admission] = run.run
    state.queue_of(run.definition).holders[run.run] = None
    count_names(state.needed, state.depends_on(run.definition, run.overrides), 1)
    if run.without_image_since >= 0 and not run.given_up:
        state.without_image[run.run] = run.without_image_since


# While it holds its slot --------------------------------------------------------------------------------------------


def _active(state: State, event: Any) -> Run:
    run = state.active.get(event.run)
    if run is None or type(event) not in RUN_STATES[RunState.BOUND if run.uid else RunState.ADMITTED]:
        raise _broken(state, event, f"is of a run that is {state.run_state(event.run)}")
    _remember(run, HistoryEvent(state.index, state.at, event))
    return run


# A run may be tried again very often; its life is shown with a gap then, never without its beginning and its latest.
def _remember(run: Run, event: HistoryEvent) -> None:
    run.history.append(event)
    if len(run.history) > HISTORY_HEAD + HISTORY_TAIL:
        del run.history[HISTORY_HEAD]


def _bound(state: State, event: RunBound) -> None:
    _active(state, event).uid = event.uid


def _attempt_started(state: State, event: AttemptStarted) -> None:
    run = _active(state, event)
    run.attempt, run.attempt_ended = event.attempt, False
    run.without_image_since = -1
    state.without_image.pop(event.run, None)
    run.status, run.reason = RunStatus.RUNNING, ""


def _attempt_ended(state: State, event: AttemptEnded) -> None:
    run = _active(state, event)
    run.attempt, run.attempt_ended = event.attempt, True
    run.status, run.reason = RunStatus.PENDING, event.reason


def _image_not_pulled(state: State, event: ImageNotPulled) -> None:
    run = _active(state, event)
    run.status, run.reason, run.detail = RunStatus.IMAGE_PULL_BACK_OFF, "ImagePullBackOff", event.detail
    run.without_image_since = state.at
    if not run.given_up:
        state.without_image[event.run] = state.at


def _image_given_up(state: State, event: ImageGivenUp) -> None:
    _active(state, event).given_up = True
    state.without_image.pop(event.run, None)


def _succeeded(state: State, event: RunSucceeded) -> None:
    _end(state, _active(state, event), RunStatus.SUCCEEDED, "", "")


def _failed(state: State, event: RunFailed) -> None:
    _end(state, _active(state, event), RunStatus.FAILED, event.reason, event.detail)


def _end(state: State, run: Run, status: RunStatus, reason: str, detail: str) -> None:
    run.status, run.reason, run.detail, run.ended_at = status, reason, detail, state.at
    del state.active[run.run]
    del state.queue_of(run.definition).holders[run.run]
    count_names(state.needed, state.depends_on(run.definition, run.overrides), -1)
    state.without_image.pop(run.run, None)
    state.schedules.finished(run.run)
    enter_finished(state, run)


def enter_finished(state: State, run: Run) -> None:
    """Put an ended run into the lists; what a restored snapshot does too (the version's count is the caller's)."""
    state.finished[run.run] = encode_run(run)
    state.queue_of(run.definition).finished[run.run] = None
    state.jobs.setdefault(run.job, JobIndex()).admitted[run.admission] = run.run
    heapq.heappush(state.expiries, (run.ended_at + 1000 * ttl_seconds(state, run), run.run))


def ttl_seconds(state: State, run: Run) -> int:
    """How long a run stays in the lists after its end."""
    if run.overrides.ttl_seconds_after_finished is not None:
        return run.overrides.ttl_seconds_after_finished
    return state.versions[run.definition].definition.ttl_seconds_after_finished


# Out of the lists ---------------------------------------------------------------------------------------------------


def _deleted(state: State, event: RunDeleted) -> None:
    state.schedules.finished(event.run)
    if event.run in state.queued:
        packed, queued = _leave_queue(state, event.run)
        _depart(state, event.run, queued.job, queued_numbers(packed).definition, deleted=True)
        return
    run = state.left_queue(event.run)
    if run is None:
        raise _broken(state, event, "is of a run that is in no list")
    held_slot = run.ended_at < 0
    queue = state.queue_of(run.definition)
    if run.uid:
        enter_deleted(state, DeletedRun(run.run, run.job, queue.name, run.uid, held_slot))
    elif held_slot:
        del queue.holders[run.run]
    state.without_image.pop(run.run, None)
    if state.active.pop(run.run, None) is not None:
        count_names(state.needed, state.depends_on(run.definition, run.overrides), -1)
    _leave_lists(state, run, deleted=True)


def enter_deleted(state: State, deleted: DeletedRun) -> None:
    """Keep a deleted run until its object is gone; what a restored snapshot does too."""
    state.deleted[deleted.run] = deleted
    if deleted.holds_slot:
        state.queues[deleted.queue].holders[deleted.run] = None


def _gone(state: State, event: RunGone) -> None:
    deleted = state.deleted.pop(event.run)
    if deleted.holds_slot:
        del state.queues[deleted.queue].holders[deleted.run]
    _drop_queue_if_unused(state, deleted.queue)


def _expired(state: State, event: RunsExpired) -> None:
    for each in event.runs:
        _leave_lists(state, decode_run(state.finished[each]), deleted=False)


def _leave_lists(state: State, run: Run, *, deleted: bool) -> None:
    state.finished.pop(run.run, None)
    state.queue_of(run.definition).finished.pop(run.run, None)
    _drop_stale_expiries(state)
    del state.jobs[run.job].admitted[run.admission]
    _depart(state, run.run, run.job, run.definition, deleted=deleted)


# Runs also leave before they are due, and most do where lists are full: what is left of them is dropped when it comes
# to the top, or all at once when it is most of the heap.
def _drop_stale_expiries(state: State) -> None:
    while state.expiries and state.expiries[0][1] not in state.finished:
        heapq.heappop(state.expiries)
    if len(state.expiries) > 2 * len(state.finished) + 64:
        state.expiries = [expiry for expiry in state.expiries if expiry[1] in state.finished]
        heapq.heapify(state.expiries)


def _depart(state: State, run: RunId, job: str, definition: int, *, deleted: bool) -> None:
    if not state.jobs[job]:
        del state.jobs[job]
    state.departures[run] = _encode(Departure(job, state.at, deleted))
    if len(state.departures) > DEPARTURES_KEPT:
        del state.departures[next(iter(state.departures))]
    version = state.versions[definition]
    version.runs -= 1
    _drop_version_if_unused(state, definition)


def _key_used(state: State, event: KeyUsed) -> None:
    state.keys[event.key] = Key(state.at, event.body, event.runs)


def _of_schedules(fold: Callable[[Schedules, Any, int], None]) -> Callable[[State, Any], None]:
    return lambda state, event: fold(state.schedules, event, state.at)


_FOLDS: Final[Mapping[type, Callable[[State, Any], None]]] = {
    ClusterFounded: _founded,
    Checkpoint: _checkpoint,
    MemberNamed: _named,
    MemberDropped: _dropped,
    CheckpointAgreed: _agreed,
    LevelRaised: _level_raised,
    DefinitionDeclared: _declared,
    DefinitionRemoved: _removed,
    DependencyChanged: _dependency,
    DiscoveryRefused: _discovery_refused,
    SightLost: _sight_lost,
    RunEnqueued: _enqueued,
    RunAdmitted: _admitted,
    RunBound: _bound,
    AttemptStarted: _attempt_started,
    AttemptEnded: _attempt_ended,
    ImageNotPulled: _image_not_pulled,
    ImageGivenUp: _image_given_up,
    RunSucceeded: _succeeded,
    RunFailed: _failed,
    RunDeleted: _deleted,
    RunGone: _gone,
    RunsExpired: _expired,
    KeyUsed: _key_used,
    **{event: _of_schedules(fold) for event, fold in SCHEDULE_FOLDS.items()},
}
