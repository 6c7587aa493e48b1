"""Why a run has not started: every reason that holds now, in the order in which a person would look.

A queued run waits for dependencies, for those ahead of it that could start, or for a slot (contract §3).
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import merge
from itertools import islice

from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.projections.state import Queue, State, queued_numbers, unpack_queued
from slimjobs.projections.views import Why, WhyKind

IDS_SHOWN = 10


def not_ready(state: State, depends_on: Collection[str], observed: Collection[str]) -> list[str]:
    """The dependencies of these that hold a run back: not ready, unknown, or not yet observed in this term."""
    return [name for name in depends_on if name not in observed or not _is_ready(state, name)]


def _is_ready(state: State, name: str) -> bool:
    dependency = state.dependencies.get(name)
    return dependency is not None and dependency.ready


def why_queued(state: State, run: RunId, observed: Collection[str]) -> tuple[Why, ...]:
    """The reasons why a queued run has not been admitted."""
    packed = state.queued[run]
    numbers, queued = queued_numbers(packed), unpack_queued(packed)
    queue = state.queue_of(numbers.definition)
    waits_for = not_ready(state, state.depends_on(numbers.definition, queued.overrides), observed)
    reasons = [_dependency_reason(state, name, numbers.at, name in observed) for name in waits_for]
    if not waits_for:
        reasons += _ahead_reason(state, queue, numbers.ordinal, numbers.at, observed)
    if queue.free <= 0:
        reasons.append(_cap_reason(state, queue))
    return tuple(reasons)


def _dependency_reason(state: State, name: str, enqueued_at: int, observed: bool) -> Why:
    dependency = state.dependencies.get(name)
    if dependency is None:
        return Why(WhyKind.DEPENDENCY, f"'{name}' does not exist.", enqueued_at)
    if not observed:
        return Why(WhyKind.DEPENDENCY, f"'{name}' has not been observed yet since the leader changed.", enqueued_at)
    return Why(WhyKind.DEPENDENCY, f"'{name}' is not ready: {dependency.reason}", max(dependency.since, enqueued_at))


def _ahead_reason(state: State, queue: Queue, ordinal: int, at: int, observed: Collection[str]) -> list[Why]:
    startable = [lane for names, lane in queue.lanes.items() if not not_ready(state, names, observed)]
    if len(startable) == len(queue.lanes):
        count, ahead = queue.order.position(ordinal) - 1, queue.order.after(-1)
    else:
        count, ahead = sum(lane.before(ordinal) for lane in startable), merge(*(lane.after(-1) for lane in startable))
    if not count:
        return []
    said = "1 run of this queue is ahead." if count == 1 else f"{count} runs of this queue are ahead."
    ids = (run_id_text(queue.order.run_at(each)) for each in islice(ahead, min(count, IDS_SHOWN)))
    return [Why(WhyKind.AHEAD, said, at, tuple(ids))]


def _cap_reason(state: State, queue: Queue) -> Why:
    holders = sorted((_admitted_at(state, run), run) for run in queue.holders)
    said = f"{len(holders)} of {queue.slots} slots of '{queue.name}' are held."
    ids = tuple(run_id_text(run) for _, run in holders[:IDS_SHOWN])
    return Why(WhyKind.CAP, said, holders[-1][0] if holders else -1, ids)


def _admitted_at(state: State, run: RunId) -> int:
    active = state.active.get(run)
    return -1 if active is None else active.admitted_at
