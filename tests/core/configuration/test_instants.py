"""When schedules are due: on walls whose clocks are put forward and back, beside every minute looked at one by one."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from slimjobs.core.configuration.cron import CronExpression, Timetable, parse_cron
from tests.core.configuration.wall_clock import looked_at, ms


def utc(text: str) -> int:
    return ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


def due(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next instants after this time on UTC's clock, as UTC has them."""
    timetable, found, at = Timetable(parse_cron(expression), zone), list[str](), utc(after)
    for _ in range(count):
        following = timetable.next_after(at)
        assert following is not None
        found.append(f"{datetime.fromtimestamp(following / 1000, UTC):%Y-%m-%d %H:%M}")
        at = following
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("0 0 * * *", "UTC", "2026-01-01 00:00", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("30 9 * * *", "Europe/Paris", "2026-01-01 00:00", ["2026-01-01 08:30", "2026-01-02 08:30"]),
        ("30 9 * * *", "Europe/Paris", "2026-07-01 00:00", ["2026-07-01 07:30", "2026-07-02 07:30"]),
        ("30 9 * * *", "Asia/Kathmandu", "2026-07-01 00:00", ["2026-07-01 03:45"]),
        ("0 0 29 2 *", "UTC", "2026-01-01 00:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 13 * 5", "UTC", "2026-03-01 00:00", ["2026-03-06 00:00", "2026-03-13 00:00", "2026-03-20 00:00"]),
        ("0 0 13 * 0-7", "UTC", "2026-03-01 00:00", ["2026-03-02 00:00", "2026-03-03 00:00"]),
        ("0 0 1-31 * 1", "UTC", "2026-03-01 00:00", ["2026-03-02 00:00", "2026-03-03 00:00"]),
        ("0 0 */2 * 1", "UTC", "2026-03-01 00:00", ["2026-03-02 00:00", "2026-03-03 00:00", "2026-03-05 00:00"]),
        ("0 0 ? * 1", "UTC", "2026-03-01 00:00", ["2026-03-02 00:00", "2026-03-09 00:00"]),
    ],
)
def test_when_it_is_due(expression: str, zone: str, after: str, expected: list[str]) -> None:
    assert due(expression, zone, after, len(expected)) == expected


# 29 March 2026, 01:00 UTC: 02:00 becomes 03:00. 25 October 2026, 01:00 UTC: 03:00 becomes 02:00.
@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        # In spring 02:30 is not there: it is due when the clocks are put forward.
        ("30 2 * * *", "2026-03-28 00:00", ["2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30"]),
        ("0 2 * * *", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:00"]),
        ("*/20 2 * * *", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:00", "2026-03-30 00:20"]),
        ("0 2,3 * * *", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:00", "2026-03-30 01:00"]),
        ("30 1-3 * * *", "2026-03-28 12:00", ["2026-03-29 00:30", "2026-03-29 01:00", "2026-03-29 01:30"]),
        ("30 * * * *", "2026-03-29 00:00", ["2026-03-29 00:30", "2026-03-29 01:00", "2026-03-29 01:30"]),
        ("59 1 29 3 *", "2026-03-28 12:00", ["2026-03-29 00:59", "2027-03-28 23:59"]),
        # In autumn 02:30 is there twice: a fixed hour takes the first.
        ("30 2 * * *", "2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
        ("0 2 * * *", "2026-10-24 12:00", ["2026-10-25 00:00", "2026-10-26 01:00"]),
        ("0 3 * * *", "2026-10-24 12:00", ["2026-10-25 02:00", "2026-10-26 02:00"]),
        ("*/30 1-3 * * *", "2026-10-25 00:00", ["2026-10-25 00:30", "2026-10-25 02:00", "2026-10-25 02:30"]),
        # A wildcard or stepped hour takes both.
        ("30 * * * *", "2026-10-25 00:00", ["2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 02:30"]),
        ("0 */2 * * *", "2026-10-24 23:00", ["2026-10-25 00:00", "2026-10-25 01:00", "2026-10-25 03:00"]),
        ("30 1,*/2 * * *", "2026-10-24 23:00", ["2026-10-24 23:30", "2026-10-25 00:30", "2026-10-25 01:30"]),
        # Whoever asks in the middle of it gets the same.
        ("30 2 * * *", "2026-10-25 00:45", ["2026-10-26 01:30"]),
        ("30 2 * * *", "2026-10-25 01:15", ["2026-10-26 01:30"]),
        ("30 2 * * *", "2026-03-29 01:00", ["2026-03-30 00:30"]),
    ],
)
def test_what_a_change_of_the_clocks_does(expression: str, after: str, expected: list[str]) -> None:
    assert due(expression, "Europe/Paris", after, len(expected)) == expected


def test_a_whole_day_that_was_left_out_is_due_at_its_end() -> None:
    # Samoa crossed the date line: there was no 30 December 2011.
    assert due("0 12 30 12 *", "Pacific/Apia", "2011-12-29 00:00", 2) == ["2011-12-30 10:00", "2012-12-29 22:00"]


def test_half_an_hour_is_put_back_too() -> None:
    # Lord Howe puts its clocks back by 30 minutes, from 02:00 to 01:30.
    found = due("45 1 * * *", "Australia/Lord_Howe", "2026-04-04 00:00", 2)
    assert found == ["2026-04-04 14:45", "2026-04-05 15:15"]


# The same rules, written down as one looks at a wall clock minute after minute. -------------------------------------


ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Africa/Casablanca", "UTC")
CHANGES = {
    "Europe/Paris": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-04", "2026-10-03"),
    "America/St_Johns": ("2026-03-08", "2026-11-01"),
    "Africa/Casablanca": ("2026-02-15", "2026-03-22"),
    "UTC": ("2026-02-28", "2026-12-31"),
}


def field(choice: random.Random, low: int, high: int) -> str:
    first, second = sorted((choice.randint(low, high), choice.randint(low, high)))
    return choice.choice(["*", str(first), f"{first}-{second}", f"*/{choice.randint(1, 7)}", f"{first},{second}"])


def expressions(seed: int) -> Iterator[CronExpression]:
    """Those that are often due within a day or two."""
    choice = random.Random(seed)
    while True:
        text = f"{field(choice, 0, 59)} {field(choice, 0, 4)} {choice.choice('***?')} * {field(choice, 0, 6)}"
        yield parse_cron(text)


@pytest.mark.parametrize("zone", ZONES)
def test_it_is_due_when_a_wall_clock_says_so(zone: str) -> None:
    for day in CHANGES[zone]:
        begin = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=13, minutes=7)
        end = begin + timedelta(hours=40)
        for expression in islice(expressions(len(zone)), 12):
            timetable = Timetable(expression, zone)
            found = list(timetable.upto(ms(begin) - 1, ms(end) - 1))
            assert found == list(looked_at(expression, zone, begin, end)), (expression.text, zone, day)
            for first, last in ((0, -1), (len(found) // 3, -2), (len(found) // 4, len(found) // 2)):
                if found[first:last]:
                    counted = timetable.count(found[first], found[last])
                    assert counted == len(found[first:]) - len(found[last:]) + 1, (expression.text, zone, day)
                    assert timetable.latest(found[last] + 59_999, found[first]) == found[last]


@pytest.mark.parametrize(
    "text", ["0 0 29 2 *", "59 23 31 12 *", "0 0 29 2 0", "* * * * *", "7 3 */31 1 *", "0 2 * * *"]
)
def test_the_next_instant_is_known_within_ten_milliseconds(text: str) -> None:
    timetable = Timetable(parse_cron(text), "Europe/Paris")
    at, taken = utc("2026-03-01 00:00"), list[float]()
    for _ in range(20):
        begun = time.process_time()
        following = timetable.next_after(at)
        taken.append(time.process_time() - begun)
        assert following is not None
        at = following
    assert sorted(taken)[10] < 0.010


@pytest.mark.parametrize("text", ["* * * * *", "*/7 3,4 * * *", "* * * 1 *", "30 2 * * *", "0 0 29 2 *", "0 0 1 * 1"])
def test_years_of_instants_are_counted_and_the_last_of_them_is_found_at_once(text: str) -> None:
    timetable = Timetable(parse_cron(text), "Europe/Paris")
    first = timetable.next_after(utc("2024-01-01 00:00"))
    assert first is not None
    begun = time.process_time()
    last = timetable.latest(utc("2026-07-03 12:34"), first)
    counted = timetable.count(first, last)
    assert time.process_time() - begun < 0.5
    if counted < 20_000:
        found = list(timetable.upto(first - 1, utc("2026-07-03 12:34")))
        assert (counted, last) == (len(found), found[-1])
    following = timetable.next_after(last)
    assert following is not None
    assert last <= utc("2026-07-03 12:34") < following


def test_after_the_last_year_nothing_is_due() -> None:
    assert Timetable(parse_cron("0 0 1 1 *"), "UTC").next_after(utc("8999-06-01 00:00")) == utc("9000-01-01 00:00")
    assert Timetable(parse_cron("0 0 1 1 *"), "UTC").next_after(utc("9000-06-01 00:00")) is None
