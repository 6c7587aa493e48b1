"""Triggers: whether the runs that a caller asks for are taken on, all or none (contract, Triggering rules).

The checks stand in the order in which they are made: may the caller see the job at all, was this request answered
before, is what it asks for allowed, is there room in the queues.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from slimjobs.core.decide.admission import could_start
from slimjobs.core.decide.commands import Accepted, IdempotencyKey, Requested, Trigger
from slimjobs.core.decide.decision import Decision, Limits
from slimjobs.core.decide.overrides import NO_VIOLATIONS, check
from slimjobs.core.decide.refusals import (
    Forbidden,
    Invalid,
    KeyReused,
    NoLeader,
    Problem,
    QueueFull,
    Refusal,
    TooManyKeys,
)
from slimjobs.eventlog.events.definitions import Overrides, Visibility
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import KeyUsed, RunAdmitted, RunEnqueued, RunId
from slimjobs.projections.fold import KEY_LIFETIME_MS
from slimjobs.projections.state import Queue, State, Version
from slimjobs.projections.why import not_ready

PROBLEMS_TOLD = 10_000
"""Beyond this many no further run of a batch is checked: the answer stays in proportion."""

_NO_OVERRIDES = Overrides()
_RUN_BYTES = 10
_encoded = msgspec.msgpack.Encoder().encode


def decide_trigger(
    state: State, command: Trigger, limits: Limits, observed: Collection[str], image_required: bool, wall_ms: int
) -> Decision | Refusal:
    """Enqueue the runs asked for, and admit those that find a free slot. `wall_ms`: the leader's clock, in Unix ms."""
    versions = [state.definition_for(requested.job) for requested in command.runs]
    if not all(versions):
        return NoLeader("no configuration is in force yet")
    accepting = [version for version in versions if version is not None]
    # What the record would say is when its keys were forgotten: its time never goes back behind the log's.
    forgotten_before = max(state.at, wall_ms) - KEY_LIFETIME_MS
    refused = (
        _hidden(state, command)
        or _replay(state, command, forgotten_before)
        or why_not_allowed(command, accepting, image_required)
        or _over_limits(state, command, accepting, limits, forgotten_before)
    )
    if refused is not None:
        return refused
    events = _enqueue(state, command.runs, accepting, observed)
    if command.key is not None:
        joined = b"".join(requested.run for requested in command.runs)
        events.append(KeyUsed(command.key.key, command.key.body, joined))
    return Decision(Accepted(tuple([requested.run for requested in command.runs])), tuple(events))


def private_to_outsiders(state: State, job: str, internal: bool) -> Forbidden | None:
    """Refuse an external caller everything about a job that is not public, whether it exists or not."""
    if internal or _is_public(state, job):
        return None
    return Forbidden(f"Job '{job}' is private: only callers from inside may use it.")


# A name that is defined no more falls back to Default. What was accepted under it while it was private stays so.
def _is_public(state: State, job: str) -> bool:
    version = state.definition_for(job)
    if version is None or version.definition.visibility is not Visibility.PUBLIC:
        return False
    return job in state.current or all(
        each.definition.visibility is Visibility.PUBLIC for each in state.versions.values() if each.name == job
    )


def _hidden(state: State, command: Trigger) -> Forbidden | None:
    if command.internal:
        return None
    problems = tuple(
        Problem(requested.pointer, f"Job '{requested.job}' is private: only callers from inside may use it.")
        for requested in command.runs
        if not _is_public(state, requested.job)
    )
    return Forbidden(problems[0].detail, problems) if problems else None


def answered_before(state: State, key: IdempotencyKey | None, at: int) -> bytes | KeyReused | None:
    """The ids, joined, that a request with this key was answered with before this time; None if there was none."""
    return None if key is None else _answered(state, key, at - KEY_LIFETIME_MS)


def _answered(state: State, key: IdempotencyKey, forgotten_before: int) -> bytes | KeyReused | None:
    used = state.keys.get(key.key)
    if used is None or used.at <= forgotten_before:
        return None
    return used.runs if used.body == key.body else KeyReused()


# A request may come twice: passed on by its node again (same ids), or sent again by its caller (same key). Refusals are
# not remembered: the same request may be accepted later (contract §2).
def _replay(state: State, command: Trigger, forgotten_before: int) -> Decision | Refusal | None:
    before = None if command.key is None else _answered(state, command.key, forgotten_before)
    if before is not None:
        if isinstance(before, KeyReused):
            return before
        ids = (before[start : start + _RUN_BYTES] for start in range(0, len(before), _RUN_BYTES))
        return Decision(Accepted(tuple(map(RunId, ids)), replayed=True))
    for requested in command.runs:
        if state.run_state(requested.run) is not None:
            return Decision(Accepted(tuple([requested.run for requested in command.runs])))
    return None


def why_not_allowed(command: Trigger, versions: list[Version], image_required: bool) -> Refusal | None:
    """Why these versions do not allow what is asked of them; None if they do."""
    invalid: list[Problem] = list(command.problems)
    forbidden: list[Problem] = []
    for requested, version in zip(command.runs, versions, strict=True):
        found = check(version.definition, requested.overrides, requested.pointer, image_required=image_required)
        if found is NO_VIOLATIONS:
            continue
        invalid += (Problem(each.pointer, each.detail) for each in found.invalid)
        forbidden += (Problem(each.pointer, each.detail) for each in found.forbidden)
        if len(invalid) > PROBLEMS_TOLD:
            break
    if invalid:
        return Invalid(tuple(sorted(invalid, key=_place)))
    return Forbidden(forbidden[0].detail, tuple(forbidden)) if forbidden else None


def _place(problem: Problem) -> int:
    """Where in a batch a problem is, so that those of a line stand together; -1 for what is about the whole."""
    line = problem.pointer.partition("/")[2].partition("/")[0]
    return int(line) if line.isdecimal() else -1


def _over_limits(
    state: State, command: Trigger, versions: list[Version], limits: Limits, forgotten_before: int
) -> Refusal | None:
    if command.key is not None and _keys_remembered(state, limits, forgotten_before) >= limits.idempotency_keys:
        return TooManyKeys(limits.idempotency_keys)
    if len(state.queued) + len(command.runs) > limits.queued_jobs:
        return QueueFull(_full(f"{len(state.queued)} runs are queued", limits.queued_jobs, "SlimFaas__MaxQueuedJobs"))
    asked = sum([len(_encoded(each.overrides)) for each in command.runs if each.overrides != _NO_OVERRIDES])
    if state.queued_override_bytes + asked > limits.queued_bytes:
        said = f"The overrides of the queued runs take {state.queued_override_bytes} bytes"
        return QueueFull(_full(said, limits.queued_bytes, "SlimFaas__MaxQueuedBytes"))
    for name, count in _by_queue(versions).items():
        queue = state.queues[name]
        if queue.limit is not None and queue.order.length + count > queue.limit:
            said = f"{queue.order.length} runs are queued for '{name}'"
            return QueueFull(_full(said, queue.limit, "MaxQueuedJobs of its definition"))
    return None


def _by_queue(versions: Iterable[Version]) -> Mapping[str, int]:
    """How many runs each queue gets. (A `Counter` takes longer than all other checks of a single trigger together.)"""
    counts: dict[str, int] = {}
    for version in versions:
        counts[version.name] = counts.get(version.name, 0) + 1
    return counts


def _keys_remembered(state: State, limits: Limits, forgotten_before: int) -> int:
    if len(state.keys) < limits.idempotency_keys:
        return len(state.keys)
    return sum(key.at > forgotten_before for key in state.keys.values())


def _full(said: str, limit: int, setting: str) -> str:
    return f"{said}; the limit is {limit} ({setting}). Nothing was enqueued; try again when some have started."


def _enqueue(
    state: State, runs: tuple[Requested, ...], versions: list[Version], observed: Collection[str]
) -> list[Event]:
    events: list[Event] = []
    given: dict[str, int] = {}
    for requested, version in zip(runs, versions, strict=True):
        events.append(RunEnqueued(requested.run, requested.job, version.number, requested.overrides, requested.path))
        queue = state.queues[version.name]
        taken = given.get(version.name, 0)
        if queue.free > taken and _starts_now(state, queue, version, requested.overrides, observed):
            events.append(RunAdmitted(requested.run))
            given[version.name] = taken + 1
    return events


def _starts_now(state: State, queue: Queue, version: Version, overrides: Overrides, observed: Collection[str]) -> bool:
    waits_for = state.depends_on(version.number, overrides)
    if waits_for and not_ready(state, waits_for, observed):
        return False
    return not queue.order.length or next(could_start(state, queue, observed), None) is None
