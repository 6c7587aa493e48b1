"""Records as bytes: every event of every released version must decode for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import msgspec
import pytest

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
from slimjobs.eventlog.events.definitions import (
    Definition,
    EnvironmentVariable,
    Overrides,
    Resources,
    RestartPolicy,
    Source,
    Visibility,
)
from slimjobs.eventlog.events.record import (
    CHAIN_START,
    Event,
    Record,
    UnreadableRecord,
    decode_record,
    encode_record,
    extend_chain,
    runs_of,
)
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
    job_object_name,
    parse_run_id,
    run_id_text,
)
from slimjobs.eventlog.events.schedules import (
    BackupExpected,
    BackupRestored,
    ConcurrencyPolicy,
    Plan,
    ScheduleAdded,
    ScheduleFired,
    ScheduleId,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSkipped,
    SkipReason,
)
from slimjobs.eventlog.raft.types import Index, NodeId

GOLDEN = Path(__file__).with_name("golden.txt")
AT, CAUSE = 1_700_000_000_000, "test"

RUN = RunId(b"0123456789")
SCHEDULE = ScheduleId(b"abcdefghij")
RESOURCES = Resources({"cpu": "400m"}, {"cpu": "1", "memory": "400Mi"})
ENVIRONMENT = (EnvironmentVariable("A", "1"), EnvironmentVariable("B", value_from=b'{"fieldRef":{}}'))
OVERRIDES = Overrides(("42",), "image:2", RESOURCES, ENVIRONMENT, ("db",), 3, 100, RestartPolicy.ON_FAILURE)
DEFINITION = Definition(
    image="image:1",
    images_whitelist=("image:*",),
    resources=RESOURCES,
    depends_on=("db", "web"),
    environments=ENVIRONMENT,
    backoff_limit=2,
    visibility=Visibility.PUBLIC,
    number_parallel_job=3,
    ttl_seconds_after_finished=36000,
    restart_policy=RestartPolicy.ON_FAILURE,
    args=("1",),
    command=("fibonacci",),
    pod_template=b"{}",
    max_queued_jobs=10,
    active_deadline_seconds=60,
    image_pull_deadline_seconds=120,
    allow_reference_overrides=True,
)

PLAN = Plan("0 0 * * 1", "Europe/Paris", OVERRIDES, ConcurrencyPolicy.REPLACE, 60)

EVENTS: tuple[Event, ...] = (
    ClusterFounded("c1"),
    Checkpoint(),
    MemberNamed("a", NodeId(1 << 59)),
    MemberDropped("a"),
    CheckpointAgreed(Index(50_000), b"h" * 32),
    LevelRaised(2),
    DefinitionDeclared(7, "fib", Source.CONFIGURATION, DEFINITION),
    DefinitionDeclared(8, "default", Source.BUILT_IN, Definition()),
    DefinitionDeclared(9, "cron", Source.ANNOTATION, Definition()),
    DefinitionRemoved("fib"),
    DependencyChanged("db", ready=True),
    DependencyChanged("db", ready=False, reason="0 of 1 replicas"),
    DiscoveryRefused("cron", ("spec.suspend: expected true",)),
    DiscoveryRefused("cron", ()),
    SightLost("Jobs", "403: forbidden"),
    SightLost("Jobs", ""),
    RunEnqueued(RUN, "fib", 7),
    RunEnqueued(RUN, "fib", 7, OVERRIDES, "a/path"),
    RunEnqueued(RUN, "fib", 7, Overrides(depends_on=())),
    RunAdmitted(RUN),
    RunBound(RUN, "uid"),
    AttemptStarted(RUN, 1, AT),
    AttemptEnded(RUN, 1, AT, 137, "OOMKilled"),
    AttemptEnded(RUN, 1, AT, None, "NodeLost"),
    ImageNotPulled(RUN, "no such image"),
    ImageGivenUp(RUN),
    RunSucceeded(RUN),
    RunFailed(RUN, "JobVanished"),
    RunFailed(RUN, "CreateRejected", "no such thing"),
    RunDeleted(RUN),
    RunGone(RUN),
    RunsExpired((RUN, RunId(b"9876543210"))),
    KeyUsed(b"k" * 16, b"b" * 16, RUN),
    ScheduleAdded(SCHEDULE, "fib", Source.API, Plan("@daily", "UTC"), AT),
    ScheduleAdded(SCHEDULE, "fib", Source.CONFIGURATION, PLAN, -1, last_fired=AT, paused_since=AT),
    ScheduleRemoved(SCHEDULE),
    SchedulePaused(SCHEDULE),
    ScheduleResumed(SCHEDULE, AT),
    ScheduleFired(SCHEDULE, AT, RUN, AT + 60_000),
    ScheduleFired(SCHEDULE, AT, RUN, AT + 60_000, replaced=(RunId(b"9876543210"),)),
    ScheduleSkipped(SCHEDULE, AT, AT + 60_000, 2, SkipReason.NO_LEADER, AT + 120_000),
    ScheduleSkipped(SCHEDULE, AT, AT, 1, SkipReason.REFUSED, -1, "the queue is full"),
    BackupExpected("node-1", 1_700_000_000_000, 50_000),
    BackupRestored("c1", 50_000, 3),
)
"""Every event, in every form in which it is written. New ones are added here, and their lines to the file."""


class Line(msgspec.Struct, frozen=True):
    """One line of the golden file."""

    version: str
    payload: bytes
    decoded: object


def golden_lines() -> list[Line]:
    """The lines: version, name, hex of the encoded record, JSON of what it says."""
    lines = []
    for line in GOLDEN.read_text().splitlines():
        version, _, payload, decoded = line.split(" ", 3)
        lines.append(Line(version, bytes.fromhex(payload), json.loads(decoded)))
    return lines


def golden_line(event: Event, version: str) -> str:
    """The line of an event as this version writes it."""
    record = Record(AT, CAUSE, (event,))
    return f"{version} {type(event).__name__} {encode_record(record).hex()} {_shown(record)}"


def _shown(record: Record) -> str:
    return json.dumps([_by_name(event) for event in record.events], separators=(",", ":"))


def _by_name(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return {name: _by_name(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_by_name(each) for each in value]
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else _plain(value)


def _plain(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_read_as_it_was_written(event: Event) -> None:
    record = Record(AT, CAUSE, (event, event))
    assert decode_record(encode_record(record)) == record


def test_every_event_of_the_vocabulary_is_tried() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize("line", golden_lines(), ids=lambda line: line.version + line.payload.hex()[:40])
def test_what_a_released_version_wrote_is_read_for_ever(line: Line) -> None:
    said = json.loads(_shown(decode_record(line.payload)))
    assert isinstance(line.decoded, list)
    for now, then in zip(said, line.decoded, strict=True):
        assert now | then == now, "fields may have been added since; none has changed"


def test_every_event_has_its_golden_line() -> None:
    written = {line.payload for line in golden_lines()}
    missing = [
        golden_line(event, "NEXT") for event in EVENTS if encode_record(Record(AT, CAUSE, (event,))) not in written
    ]
    assert not missing, "add these to golden.txt, with the version that will be released:\n" + "\n".join(missing)


def test_no_tag_is_used_twice_and_golden_tags_keep_their_events() -> None:
    tags = {kind.__struct_config__.tag: kind.__name__ for kind in get_args(Event)}
    assert len(tags) == len(get_args(Event))
    for line in GOLDEN.read_text().splitlines():
        _, name, payload, _ = line.split(" ", 3)
        tag = msgspec.msgpack.decode(bytes.fromhex(payload))[2][0][0]
        assert tags[tag] == name


def test_a_field_that_a_newer_version_appended_is_passed_over() -> None:
    at, cause, (event,) = msgspec.msgpack.decode(encode_record(Record(AT, CAUSE, (RunAdmitted(RUN),))))
    newer = msgspec.msgpack.encode([at, cause, [[*event, "news"]]])
    assert decode_record(newer) == Record(AT, CAUSE, (RunAdmitted(RUN),))


@pytest.mark.parametrize("payload", [b"", b"\x93", b"\xff" * 20, msgspec.msgpack.encode([AT, CAUSE, [[9999, RUN]]])])
def test_what_is_no_record_is_unreadable(payload: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        decode_record(payload)


def test_a_record_says_which_runs_it_is_about() -> None:
    other = RunId(b"9876543210")
    record = Record(AT, CAUSE, (Checkpoint(), RunDeleted(RUN), RunsExpired((other,)), ClusterFounded("c1")))
    assert list(runs_of(record)) == [RUN, other]


def test_the_chain_depends_on_every_payload_and_its_place() -> None:
    one, other = (extend_chain(CHAIN_START, payload) for payload in (b"one", b"other"))
    assert len({CHAIN_START, one, other, extend_chain(one, b"other"), extend_chain(other, b"one")}) == 5
    assert all(len(chain) == 32 for chain in (CHAIN_START, one))


# Ids ----------------------------------------------------------------------------------------------------------------


def test_an_id_is_shown_as_16_characters_and_read_back() -> None:
    assert run_id_text(RUN) == "gaytemzugu3doobz"
    assert parse_run_id("gaytemzugu3doobz") == RUN
    assert job_object_name("fib", RUN) == "fib-slimfaas-job-gaytemzugu3doobz"
    assert len(job_object_name("x" * 30, RUN)) <= 63


@pytest.mark.parametrize(
    "text",
    ["", "gaytemzugu3doob", "gaytemzugu3doobzz", "GAYTEMZUGU3DOOBZ", "1" * 16, "gaytemzugu3doob=", "é" * 16],
)
def test_no_other_text_is_an_id(text: str) -> None:
    assert parse_run_id(text) is None
