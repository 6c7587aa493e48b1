"""The document of a backup: JSON that people can read, one schedule a line, in the words of the configuration.

Its checksum covers the schedules as they stand in it. Who reads only its head knows whose backup it is and whether it
is whole; the schedules are read by the reader of the configuration, with all that it checks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from slimjobs.core.configuration.names import job_name_complaint
from slimjobs.core.configuration.reading import Fields, Spot, known_keys, text, whole
from slimjobs.core.configuration.relaxed_json import parse
from slimjobs.core.configuration.schedules import KEYS, schedule_of
from slimjobs.eventlog.events.definitions import EnvironmentVariable, Resources
from slimjobs.eventlog.events.runs import RunId, parse_run_id, run_id_text
from slimjobs.eventlog.events.schedules import ScheduleId
from slimjobs.projections.backups import BackedSchedule, Backup

FORMAT: Final = 1
NEVER: Final = -1
LATEST_MS: Final = 2**53 - 1

_KEYS: Final = {**KEYS, **known_keys("Id", "Job", "NextDue", "LastFired", "PausedSince")}


class UnusableBackup(Exception):
    """What is no backup, or none that can be used; the message says why, for people."""


class Head(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """Whose backup it is: the cluster, the index of its log, and the time of that record (Unix ms)."""

    format: int
    cluster: str
    index: int
    time: int
    sha256: str
    schedules: list[msgspec.Raw]

    @property
    def mark(self) -> tuple[int, int]:
        """What says which of two backups is newer."""
        return self.time, self.index


class _Variable(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    value: str | None = None
    value_from: msgspec.Raw | None = msgspec.field(name="valueFrom", default=None)


class _Resources(msgspec.Struct, frozen=True, rename="pascal"):
    requests: Mapping[str, str]
    limits: Mapping[str, str]


class _Schedule(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    id: str
    job: str
    schedule: str
    time_zone: str
    concurrency_policy: str
    starting_deadline_seconds: int
    next_due: int = NEVER
    last_fired: int = NEVER
    paused_since: int = NEVER
    args: Sequence[str] | None = None
    image: str | None = None
    depends_on: Sequence[str] | None = None
    resources: _Resources | None = None
    environments: Sequence[_Variable] | None = None
    backoff_limit: int | None = None
    ttl_seconds_after_finished: int | None = None
    restart_policy: str | None = None


def head_of(backup: Backup) -> Head:
    """A backup as its document has it. Times that are -1 are left out, and what a schedule does not override."""
    schedules = [msgspec.Raw(msgspec.json.encode(_schedule(each))) for each in backup.schedules]
    return Head(FORMAT, backup.cluster, backup.index, backup.at, checksum(schedules), schedules)


def document(head: Head) -> bytes:
    """The document itself."""
    said = {"Format": head.format, "Cluster": head.cluster, "Index": head.index, "Time": head.time}
    first = b",\n".join(b'"%s": %s' % (key.encode(), msgspec.json.encode(value)) for key, value in said.items())
    schedules = b",\n".join(map(bytes, head.schedules))
    return b'{%s,\n"Sha256": "%s",\n"Schedules": [\n%s\n]}\n' % (first, head.sha256.encode(), schedules)


def checksum(schedules: Sequence[msgspec.Raw]) -> str:
    """The checksum of schedules as they stand."""
    return hashlib.sha256(b"\n".join(map(bytes, schedules))).hexdigest()


def read_head(content: bytes, *, edited: bool = False) -> Head:
    """Whose backup this is, its schedules unread; `edited`: whatever its checksum says. Raises `UnusableBackup`."""
    try:
        head = msgspec.json.decode(content, type=Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnusableBackup(f"it is no backup of schedules: {error}") from None
    if head.format != FORMAT:
        raise UnusableBackup(f"its format is {head.format}, and this version reads {FORMAT}")
    if checksum(head.schedules) != head.sha256 and not edited:
        raise UnusableBackup("its schedules do not match its Sha256: it is damaged, or somebody edited it")
    return head


def read(head: Head) -> Backup:
    """The backup with all its schedules. Raises `UnusableBackup` with everything that is wrong with them."""
    problems: list[str] = []
    schedules: dict[ScheduleId, BackedSchedule] = {}
    for number, raw in enumerate(head.schedules):
        page = parse(bytes(raw))
        found = None if page.root is None else _read_schedule(Spot(page, page.root, ("Schedules", number)))
        problems += [f"{problem.path}: {problem.text}" for problem in page.problems]
        if found is not None and found.schedule in schedules:
            problems.append(f"$.Schedules[{number}]: the id {run_id_text(RunId(found.schedule))} is given twice")
        elif found is not None:
            schedules[found.schedule] = found
    if problems:
        raise UnusableBackup("; ".join(problems[:10]) + (f"; and {len(problems) - 10} more" if problems[10:] else ""))
    return Backup(head.cluster, head.index, head.time, tuple(schedules.values()))


def _schedule(backed: BackedSchedule) -> _Schedule:
    plan, overrides = backed.plan, backed.plan.overrides
    return _Schedule(
        id=run_id_text(RunId(backed.schedule)),
        job=backed.job,
        schedule=plan.expression,
        time_zone=plan.time_zone,
        concurrency_policy=plan.concurrency,
        starting_deadline_seconds=plan.starting_deadline_seconds,
        next_due=backed.next_due,
        last_fired=backed.last_fired,
        paused_since=backed.paused_since,
        args=overrides.args,
        image=overrides.image,
        depends_on=overrides.depends_on,
        resources=_resources(overrides.resources),
        environments=None if overrides.environments is None else [*map(_variable, overrides.environments)],
        backoff_limit=overrides.backoff_limit,
        ttl_seconds_after_finished=overrides.ttl_seconds_after_finished,
        restart_policy=overrides.restart_policy,
    )


def _resources(resources: Resources | None) -> _Resources | None:
    return None if resources is None else _Resources(resources.requests, resources.limits)


def _variable(variable: EnvironmentVariable) -> _Variable:
    reference = None if variable.value_from is None else msgspec.Raw(variable.value_from)
    return _Variable(variable.name, variable.value, reference)


_moment: Final = whole(NEVER, LATEST_MS)


def _read_schedule(spot: Spot) -> BackedSchedule | None:
    fields = Fields(spot, _KEYS)
    schedule, job, declared = fields.need("Id", _id), fields.need("Job", _job), schedule_of(fields)
    next_due, last_fired, paused_since = (
        fields.take_or(key, _moment, NEVER) for key in ("NextDue", "LastFired", "PausedSince")
    )
    if schedule is None or job is None or declared is None:
        return None
    return BackedSchedule(schedule, job, declared.plan("UTC"), next_due, last_fired, paused_since)


def _id(spot: Spot) -> ScheduleId | None:
    if (said := text(spot)) is None:
        return None
    if (parsed := parse_run_id(said)) is None:
        spot.expected("an id: 16 characters of a-z and 2-7")
        return None
    return ScheduleId(parsed)


def _job(spot: Spot) -> str | None:
    said = text(spot)
    complaint = None if said is None else job_name_complaint(said)
    if complaint is not None:
        spot.problem(complaint)
        return None
    return said
