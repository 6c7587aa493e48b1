"""The document of a backup: it gives back what went in, people can read it, and what is not whole is refused."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from slimjobs.core.backups.document import Head, UnusableBackup, checksum, document, head_of, read, read_head
from slimjobs.eventlog.events.definitions import EnvironmentVariable, Overrides, Resources, RestartPolicy
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.eventlog.events.schedules import ConcurrencyPolicy, Plan, ScheduleId
from slimjobs.projections.backups import BackedSchedule, Backup

ID = ScheduleId(b"schedule-1")
EVERYTHING = Overrides(
    args=("--n", "9 \u2603", ""),
    image="registry.local/fib:2",
    resources=Resources({"cpu": "100m"}, {"cpu": "1", "memory": "64Mi"}),
    environments=(
        EnvironmentVariable("PLAIN", "a=b"),
        EnvironmentVariable("EMPTY", ""),
        EnvironmentVariable("SECRET", value_from=b'{"secretKeyRef":{"key":"k","name":"s","optional":true}}'),
    ),
    depends_on=("db", "cache"),
    backoff_limit=0,
    ttl_seconds_after_finished=7,
    restart_policy=RestartPolicy.ON_FAILURE,
)
FULL = BackedSchedule(
    ID,
    "fib",
    Plan("*/5 8-18 * * MON-FRI", "Europe/Berlin", EVERYTHING, ConcurrencyPolicy.REPLACE, 30),
    next_due=1_700_000_100_000,
    last_fired=1_699_999_800_000,
    paused_since=1_700_000_000_000,
)
PLAIN = BackedSchedule(ScheduleId(b"schedule-2"), "web", Plan("@daily", "UTC"), next_due=1_700_006_400_000)
BACKUP = Backup("c1", 77, 1_700_000_000_500, (FULL, PLAIN))


def lines_of(head: Head) -> list[str]:
    return document(head).decode().splitlines()


def test_it_gives_back_what_went_in() -> None:
    assert read(read_head(document(head_of(BACKUP)))) == BACKUP


def test_overrides_of_any_kind_come_back() -> None:
    chance = random.Random(1)
    fields = EVERYTHING.__struct_fields__
    for _ in range(200):
        kept = {field: getattr(EVERYTHING, field) for field in fields if chance.random() < 0.5}
        plan = msgspec.structs.replace(FULL.plan, overrides=Overrides(**kept))
        backup = Backup("c1", 1, 2, (msgspec.structs.replace(FULL, plan=plan),))
        assert read(read_head(document(head_of(backup)))) == backup


def test_it_is_json_in_the_words_of_the_configuration_with_one_schedule_a_line() -> None:
    head = head_of(BACKUP)
    said = json.loads(document(head))
    assert list(said) == ["Format", "Cluster", "Index", "Time", "Sha256", "Schedules"]
    assert said["Schedules"][1] == {
        "Id": run_id_text(RunId(PLAIN.schedule)),
        "Job": "web",
        "Schedule": "@daily",
        "TimeZone": "UTC",
        "ConcurrencyPolicy": "Allow",
        "StartingDeadlineSeconds": 200,
        "NextDue": 1_700_006_400_000,
    }
    assert sum(line.startswith('{"Id"') for line in lines_of(head)) == 2


def test_an_empty_one_is_whole_too() -> None:
    nothing = Backup("c1", 3, 4, ())
    assert read(read_head(document(head_of(nothing)))) == nothing


@pytest.mark.parametrize("at", range(0, 1200, 37))
def test_a_changed_byte_is_noticed(at: int) -> None:
    content = bytearray(document(head_of(BACKUP)))
    at %= len(content)
    content[at] ^= 1
    try:
        head = read_head(bytes(content))
    except UnusableBackup:
        return
    # What the checksum does not cover says whose backup it is, and is seen to differ by whoever asks for it.
    assert head.schedules == head_of(BACKUP).schedules


@pytest.mark.parametrize("length", [0, 1, 50, 400, -2])
def test_one_that_is_cut_is_refused(length: int) -> None:
    with pytest.raises(UnusableBackup, match="no backup of schedules"):
        read_head(document(head_of(BACKUP))[:length])


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b'{"ScheduleJob:fib": {"id": 1}}', b"\xff\xfe", b"{" * 10_000, b'{"Format": "one"}']
)
def test_what_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(UnusableBackup, match="no backup of schedules"):
        read_head(content)


def test_a_newer_format_is_refused() -> None:
    head = msgspec.structs.replace(head_of(BACKUP), format=2)
    with pytest.raises(UnusableBackup, match="its format is 2, and this version reads 1"):
        read_head(document(head))


def test_an_edited_one_is_refused_unless_somebody_means_it() -> None:
    content = document(head_of(BACKUP)).replace(b'"Job":"web"', b'"Job":"www"')
    with pytest.raises(UnusableBackup, match="damaged, or somebody edited it"):
        read_head(content)
    assert [each.job for each in read(read_head(content, edited=True)).schedules] == ["fib", "www"]


def test_everything_that_is_wrong_with_its_schedules_is_told() -> None:
    schedules = [
        b'{"Id":"short","Job":"web","Schedule":"@daily","TimeZone":"UTC"}',
        b'{"Id":"aaaaaaaaaaaaaaaa","Job":"No Name","Schedule":"61 * * * *","NextDue":"soon"}',
        b'{"Id":"aaaaaaaaaaaaaaaa","Job":"web","Schedule":"@daily"}',
        b'{"Id":"aaaaaaaaaaaaaaaa","Job":"web","Schedule":"@daily","Image":3}',
    ]
    raw = [msgspec.Raw(each) for each in schedules]
    with pytest.raises(UnusableBackup) as refused:
        read(Head(1, "c1", 1, 1, checksum(raw), raw))
    said = str(refused.value)
    for problem in ("$.Schedules[0].Id: expected an id", "$.Schedules[1].Job", "$.Schedules[1].Schedule", "NextDue"):
        assert problem in said
    assert "$.Schedules[3]: the id aaaaaaaaaaaaaaaa is given twice" in said
    assert "$.Schedules[3].Image" in said
