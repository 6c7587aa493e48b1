"""Who gets a slot. FIFO per definition among the runs whose dependencies are ready; never more than the cap.

Admission follows at once from whatever makes it possible: in the same record as a trigger that finds a free slot, an
end that frees one, a cap that rises; in the next one after a dependency became ready. So nobody waits who could run.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from itertools import islice

from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import RunAdmitted, RunFailed, RunGone, RunsExpired, RunSucceeded
from slimjobs.projections.state import Queue, State
from slimjobs.projections.why import not_ready


def could_start(state: State, queue: Queue, observed: Collection[str]) -> Iterator[int]:
    """The ordinals of the queued runs that wait for nothing but a slot, in order."""
    lanes = [lane for names, lane in queue.lanes.items() if not not_ready(state, names, observed)]
    return heapq.merge(*(lane.after(-1) for lane in lanes))


def admit_next(state: State, queue: Queue, observed: Collection[str], free: int) -> tuple[RunAdmitted, ...]:
    """Admit as many queued runs as there are free slots, in order."""
    if free <= 0 or not queue.order.length:
        return ()
    ordinals = islice(could_start(state, queue, observed), free)
    return tuple(RunAdmitted(queue.order.run_at(ordinal)) for ordinal in ordinals)


def admit_everywhere(state: State, observed: Collection[str]) -> tuple[RunAdmitted, ...]:
    """Admit whoever can be, in every queue: for a new leader, and when dependencies changed."""
    return tuple(admitted for queue in state.occupying() for admitted in admit_next(state, queue, observed, queue.free))


def with_consequences(
    state: State, events: tuple[Event, ...], observed: Collection[str], finished_limit: int
) -> tuple[Event, ...]:
    """What ends or removes a run also admits the next, and makes the oldest ended run leave a list that is full."""
    freed: dict[str, int] = {}
    ended: dict[str, int] = {}
    for event in events:
        match event:
            case RunSucceeded(run) | RunFailed(run):
                queue = state.queue_of(state.active[run].definition).name
                freed[queue] = freed.get(queue, 0) + 1
                ended[queue] = ended.get(queue, 0) + 1
            case RunGone(run) if state.deleted[run].holds_slot:
                queue = state.deleted[run].queue
                freed[queue] = freed.get(queue, 0) + 1
            case _:
                pass
    for name, count in freed.items():
        queue_freed = state.queues[name]
        events += admit_next(state, queue_freed, observed, queue_freed.free + count)
    for name, count in ended.items():
        events += expire_surplus(state.queues[name], finished_limit - count)
    return events


def expire_surplus(queue: Queue, finished_limit: int) -> tuple[RunsExpired, ...]:
    """Let the oldest ended runs of a definition leave the lists, above the limit."""
    surplus = len(queue.finished) - max(finished_limit, 0)
    return (RunsExpired(tuple(islice(queue.finished, surplus))),) if surplus > 0 else ()
