"""What the POST routes take: a body read as one trigger's overrides, as a schedule, as a batch of named triggers, as a
node's name.

Everything wrong with a body is told at once (`BadBody`), each with a JSON pointer, for NDJSON also with its line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from slimjobs.core.configuration.cron import CronError, parse_cron, time_zone_complaint
from slimjobs.core.configuration.schedules import STARTING_DEADLINE_SECONDS
from slimjobs.core.configuration.setting_kinds import NAME, NODE_NAME
from slimjobs.core.decide.refusals import Problem
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.names import JOB_NAME_RULE, job_name
from slimjobs.eventlog.events.schedules import ConcurrencyPolicy, Plan
from slimjobs.http.fields import Fields, Trouble, folded, integer, one_of, string, truth
from slimjobs.http.overrides import OVERRIDES, overrides_of
from slimjobs.http.strict_json import Members, NotJson, Value, kind_of, parse, pointer_to, shown

MAX_BATCH: Final = (
    10_000  # one batch is decided in one go: this many take some 100 ms, in which nobody else is answered
)
MAX_BATCH_PROBLEMS: Final = 10_000

_TRANSFER: Final = folded("To")
_PLAN: Final = folded(
    "Schedule", "TimeZone", "ConcurrencyPolicy", "StartingDeadlineSeconds", "Paused", *OVERRIDES.values()
)
_LINE: Final = folded("Name", *OVERRIDES.values())
_WHITE: Final = b" \t\r\n"


class BadBody(Exception):
    """A body that cannot be taken as it is. `read` is what could be read all the same, by place: more may be wrong."""

    def __init__(
        self,
        problems: tuple[Problem, ...],
        lines: tuple[int, ...] | None = None,
        read: Sequence[Read | None] = (),
    ) -> None:
        super().__init__(problems)
        self.problems = problems
        self.lines = lines
        self.read = read


class Line(msgspec.Struct, frozen=True):
    """One trigger of a batch."""

    job: str
    overrides: Overrides


class Planned(msgspec.Struct, frozen=True):
    """A schedule, and whether it is to be paused from the beginning."""

    plan: Plan
    paused: bool


Read = Overrides | Line | Planned
"""What a body, or a part of one, can write."""


class Batch(msgspec.Struct, frozen=True):
    """A batch in order. `lines`: on which line of an NDJSON body each stood, from one; None for a JSON array."""

    triggers: tuple[Line, ...]
    lines: tuple[int, ...] | None


def read_trigger(body: bytes) -> Overrides:
    """The overrides that a body writes; an empty one writes none. Raises BadBody."""
    trouble = Trouble()
    overrides = overrides_of(Fields(_object(body), OVERRIDES, "", trouble))
    _raise_if_any(trouble, None, [overrides])
    return overrides


def read_transfer(body: bytes) -> str:
    """The name of the node that shall lead; empty where the body names none. Raises BadBody."""
    trouble = Trouble()
    fields = Fields(_object(body), _TRANSFER, "", trouble)
    name = fields.take("To", _node_name)
    _raise_if_any(trouble, None, ())
    return name or ""


def read_plan(body: bytes, default_time_zone: str) -> Planned:
    """The schedule that a body writes: when, and what its runs override as a trigger would. Raises BadBody."""
    trouble = Trouble()
    fields = Fields(_object(body), _PLAN, "", trouble)
    expression = fields.need("Schedule", _expression)
    deadline = fields.take("StartingDeadlineSeconds", integer)
    plan = Plan(
        expression or "",
        fields.take("TimeZone", _time_zone) or default_time_zone,
        overrides_of(fields),
        fields.take("ConcurrencyPolicy", one_of(ConcurrencyPolicy)) or ConcurrencyPolicy.ALLOW,
        STARTING_DEADLINE_SECONDS if deadline is None else deadline,
    )
    planned = Planned(plan, fields.take("Paused", truth) or False)
    _raise_if_any(trouble, None, [planned] if expression else [])
    return planned


def read_batch(body: bytes) -> Batch:
    """The batch that a body writes: a JSON array, or else one object a line (NDJSON). Raises BadBody."""
    if body.lstrip(_WHITE).startswith(b"["):
        values, lines = _items(body), None
    else:
        values, lines = _split(body)
    if not 0 < len(values) <= MAX_BATCH:
        raise BadBody((Problem("", f"a batch has 1 to {MAX_BATCH} jobs, not {len(values)}"),))
    trouble = Trouble(MAX_BATCH_PROBLEMS)
    triggers = [_read_line(item, pointer_to("", at), trouble) for at, item in enumerate(values)]
    _raise_if_any(trouble, lines, triggers)
    return Batch(tuple(line for line in triggers if line is not None), lines)


def _object(body: bytes) -> Members:
    """The object that a body writes; an empty one writes an empty one. Raises BadBody."""
    value = _parsed(body) if body.strip(_WHITE) else Members()
    if not isinstance(value, Members):
        raise BadBody((Problem("", f"the body is an object, not {kind_of(value)}"),))
    return value


def _parsed(body: bytes) -> Value:
    try:
        return parse(body)
    except NotJson as error:
        raise BadBody((Problem("", str(error)),)) from None


def _items(body: bytes) -> Sequence[Value | bytes]:
    """The items of a body that begins with a bracket: whatever parses is an array then."""
    value = _parsed(body)
    return value if isinstance(value, list) else []


def _split(body: bytes) -> tuple[Sequence[Value | bytes], tuple[int, ...] | None]:
    """The lines of NDJSON that are not blank, as they are, and which lines of the body they are."""
    numbered = [(number, line) for number, line in enumerate(body.split(b"\n"), start=1) if line.strip(_WHITE)]
    return [line for _, line in numbered], tuple(number for number, _ in numbered)


def _read_line(item: Value | bytes, pointer: str, trouble: Trouble) -> Line | None:
    """One trigger of a batch: of a value of an array, or of the bytes of a line."""
    try:
        value = parse(item) if isinstance(item, bytes) else item
    except NotJson as error:
        trouble.add(pointer, str(error))
        return None
    if not isinstance(value, Members):
        trouble.add(pointer, f"takes an object, not {kind_of(value)}")
        return None
    fields = Fields(value, _LINE, pointer, trouble)
    job = fields.need("Name", _job_name)
    overrides = overrides_of(fields)
    return None if job is None else Line(job, overrides)


def _job_name(value: Value, pointer: str, trouble: Trouble) -> str | None:
    text = string(value, pointer, trouble)
    name = None if text is None else job_name(text)
    if text is not None and name is None:
        trouble.add(pointer, f"'{shown(text)}' is no job name: {JOB_NAME_RULE}")
    return name


def _expression(value: Value, pointer: str, trouble: Trouble) -> str | None:
    text = string(value, pointer, trouble)
    try:
        return None if text is None else parse_cron(text).text
    except CronError as error:
        trouble.add(pointer, str(error))
        return None


def _time_zone(value: Value, pointer: str, trouble: Trouble) -> str | None:
    name = string(value, pointer, trouble)
    complaint = None if name is None else time_zone_complaint(name)
    if complaint is not None:
        trouble.add(pointer, complaint)
        return None
    return name


def _node_name(value: Value, pointer: str, trouble: Trouble) -> str | None:
    name = string(value, pointer, trouble)
    if name is not None and not re.fullmatch(NODE_NAME, name):
        trouble.add(pointer, not_a_node(name))
        return None
    return name


def not_a_node(text: str) -> str:
    """What is said of a text that can be no node's name."""
    return f"'{shown(text)}' is not {NAME.takes}"


def _raise_if_any(trouble: Trouble, lines: tuple[int, ...] | None, read: Sequence[Read | None]) -> None:
    if trouble.unlisted:
        trouble.problems.append(Problem("", f"{trouble.unlisted} further problems are not listed"))
    if trouble.problems:
        raise BadBody(tuple(trouble.problems), lines, read)
