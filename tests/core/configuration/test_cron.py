"""Cron expressions: Kubernetes' grammar with 7 for Sunday, and a column for everything that is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.core.configuration.cron import (
    FIELDS,
    MACROS,
    CronError,
    is_time_zone,
    parse_cron,
    time_zone_complaint,
)


def values(text: str) -> tuple[tuple[int, ...], ...]:
    expression = parse_cron(text)
    fields = (expression.minutes, expression.hours, expression.days, expression.months, expression.weekdays)
    return tuple(field.values for field in fields)


ALL = tuple(tuple(range(bounds.first, bounds.last + 1)) for bounds in FIELDS)
MINUTE, HOUR, DAY, MONTH, WEEKDAY = range(5)


@pytest.mark.parametrize(
    ("text", "field", "numbers"),
    [
        ("0 0 * * *", MINUTE, (0,)),
        ("5,15,10 0 * * *", MINUTE, (5, 10, 15)),
        ("*/15 * * * *", MINUTE, (0, 15, 30, 45)),
        ("?/20 * * * *", MINUTE, (0, 20, 40)),
        ("50/3 * * * *", MINUTE, (50, 53, 56, 59)),
        ("1-5 * * * *", MINUTE, (1, 2, 3, 4, 5)),
        ("1-9/3 * * * *", MINUTE, (1, 4, 7)),
        ("05 * * * *", MINUTE, (5,)),
        ("1-3,2-4,59 * * * *", MINUTE, (1, 2, 3, 4, 59)),
        ("*/90 * * * *", MINUTE, (0,)),
        ("0 9-17/2 * * *", HOUR, (9, 11, 13, 15, 17)),
        ("0 0 ? * *", DAY, ALL[DAY]),
        ("0 0 */10 * *", DAY, (1, 11, 21, 31)),
        ("0 0 * JAN-mar,Dec *", MONTH, (1, 2, 3, 12)),
        ("0 0 * 10/2 *", MONTH, (10, 12)),
        ("0 0 * * mon-FRI", WEEKDAY, (1, 2, 3, 4, 5)),
        ("0 0 * * 0", WEEKDAY, (0,)),
        ("0 0 * * 7", WEEKDAY, (0,)),
        ("0 0 * * 5-7", WEEKDAY, (0, 5, 6)),
        ("0 0 * * 0-7", WEEKDAY, ALL[WEEKDAY]),
        ("0 0 * * MON-7", WEEKDAY, ALL[WEEKDAY]),
        ("0 0 * * */3", WEEKDAY, (0, 3, 6)),
        ("0 0 * * 1/2", WEEKDAY, (1, 3, 5)),
        ("0 0 * * 7/2", WEEKDAY, (0,)),
        (" \t0  0 * *\t* ", HOUR, (0,)),
        ("0 0 29 2 *", DAY, (29,)),
        ("0 0 31 2,3 *", DAY, (31,)),
        ("0 0 31 2 1", DAY, (31,)),
    ],
)
def test_a_field_becomes_the_numbers_it_allows(text: str, field: int, numbers: tuple[int, ...]) -> None:
    assert values(text)[field] == numbers


@pytest.mark.parametrize(
    ("macro", "spelled"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_a_macro_is_what_it_spells(macro: str, spelled: str) -> None:
    assert macro in MACROS
    assert values(macro) == values(spelled)
    assert parse_cron(macro).text == macro


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "expected five fields"),
        ("0 0 * *", 8, "found 4"),
        ("0 0 0 * * *", 11, "found 6"),
        ("60 * * * *", 1, "minute takes 0 to 59, not 60"),
        ("* 24 * * *", 3, "hour takes 0 to 23, not 24"),
        ("* * 0 * *", 5, "day of month takes 1 to 31, not 0"),
        ("* * 32 * *", 5, "not 32"),
        ("* * * 0 *", 7, "month takes 1 to 12"),
        ("* * * 13 *", 7, "not 13"),
        ("* * * * 8", 9, "day of week takes 0 to 7, not 8"),
        ("1,2,99 * * * *", 5, "not 99"),
        ("5-61 * * * *", 3, "not 61"),
        ("5-1 * * * *", 1, "the range 5-1 runs backwards"),
        ("0 0 * * SAT-SUN", 9, "the range SAT-SUN runs backwards"),
        ("*/0 * * * *", 3, "a step of 0 never advances"),
        ("1-5/0 * * * *", 5, "a step of 0"),
        ("1,,2 * * * *", 3, "an empty item"),
        (", * * * *", 1, "an empty item"),
        ("1- * * * *", 2, "'1-' is not understood"),
        ("-1 * * * *", 1, "'-1' is not understood"),
        ("1-2-3 * * * *", 4, "'1-2-3' is not understood"),
        ("*/2/3 * * * *", 4, "not understood"),
        ("*-5 * * * *", 1, "cannot begin a range"),
        ("*5 * * * *", 2, "not understood"),
        ("1.5 * * * *", 2, "not understood"),
        ("+5 * * * *", 1, "not understood"),
        ("٣ * * * *", 1, "not understood"),
        ("0 0 L * *", 5, "'L' is not understood"),
        ("0 0 15W * *", 7, "'15W' is not understood"),
        ("0 0 * * 5#2", 10, "'5#2' is not understood"),
        ("0 0 * * 5L", 10, "not understood"),
        ("R R * * *", 1, "'R' is not understood"),
        ("H * * * *", 1, "not understood"),
        ("0 0 * FOO *", 7, "or a name such as JAN"),
        ("0 0 * * MOND", 9, "did you mean 'MON'?"),
        ("0 0 * JANUARY *", 7, "'JANUARY' is not understood"),
        ("JAN 0 * * *", 1, "not understood"),
        ("@every 1h", 1, "'@every' is not known"),
        ("@every", 1, "'@every' is not known"),
        ("@reboot", 1, "'@reboot' is not known"),
        ("@Daily", 1, "did you mean '@daily'?"),
        ("@daily 5", 8, "nothing may follow @daily"),
        ("TZ=UTC 0 0 * * *", 1, "TimeZone"),
        ("CRON_TZ=UTC 0 0 * * *", 1, "TimeZone"),
        ("0 0 31 2 *", 5, "never due"),
        ("0 0 30,31 FEB ?", 5, "never due"),
        ("0 0 31 4,6,9,11 *", 5, "never due"),
        ("0\n0 * * *", 10, "found 4"),
        ("0 " * 200, 257, "at most 256 characters"),
    ],
)
def test_anything_else_is_refused_with_its_column(text: str, column: int, words: str) -> None:
    with pytest.raises(CronError) as refused:
        parse_cron(text)
    assert words in refused.value.text
    assert refused.value.column == column
    assert f"column {column}" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "restricted"),
    [
        ("0 0 * * *", (False, False)),
        ("0 0 ? * ?", (False, False)),
        ("0 0 */1 * *", (False, False)),
        ("0 0 13 * 5", (True, True)),
        ("0 0 */2 * *", (True, False)),
        ("0 0 1-31 * 0-6", (True, True)),
        ("0 0 1,* * MON", (False, True)),
    ],
)
def test_a_day_is_restricted_unless_a_star_with_step_one_stands_in_it(text: str, restricted: tuple[bool, bool]) -> None:
    expression = parse_cron(text)
    assert (expression.days.restricted, expression.weekdays.restricted) == restricted
    assert expression.either_day == all(restricted)


@pytest.mark.parametrize(
    ("hour", "wildcard", "stepped"),
    [("*", True, False), ("*/2", False, True), ("1/3", False, True), ("2", False, False), ("1-3", False, False)],
)
def test_a_field_remembers_whether_it_was_a_wildcard_or_stepped(hour: str, wildcard: bool, stepped: bool) -> None:
    hours = parse_cron(f"30 {hour} * * *").hours
    assert (hours.wildcard, hours.stepped) == (wildcard, stepped)


def test_time_zones_are_those_of_iana() -> None:
    assert is_time_zone("UTC")
    assert is_time_zone("Europe/Paris")
    for name in (
        "",
        "Mars/Olympus",
        "../etc/passwd",
        "/etc/localtime",
        "localtime",
        "Europe",
        "europe/paris",
        "+01:00",
    ):
        assert not is_time_zone(name)
    assert time_zone_complaint("Europe/Paris") is None
    assert "did you mean 'Europe/Paris'?" in (time_zone_complaint("Europe/Pari") or "")


@st.composite
def items(draw: st.DrawFn, first: int, last: int) -> tuple[str, set[int]]:
    low = draw(st.integers(first, last))
    high = draw(st.integers(low, last))
    step = draw(st.integers(1, 70))
    return draw(
        st.sampled_from(
            [
                (f"{low}", {low}),
                (f"{low}-{high}", set(range(low, high + 1))),
                (f"{low}-{high}/{step}", set(range(low, high + 1, step))),
                (f"{low}/{step}", set(range(low, last + 1, step))),
                (f"*/{step}", set(range(first, last + 1, step))),
            ]
        )
    )


@given(st.lists(items(0, 59), min_size=1, max_size=6))
def test_a_list_allows_what_its_items_allow(drawn: list[tuple[str, set[int]]]) -> None:
    text = ",".join(item for item, _ in drawn)
    assert set(values(f"{text} * * * *")[MINUTE]) == set().union(*(numbers for _, numbers in drawn))


@given(st.text(alphabet="0123456789*/-,?@LW# \tJANmon", max_size=30) | st.text(max_size=20))
def test_any_text_is_an_expression_in_bounds_or_a_refusal_with_a_column(text: str) -> None:
    column = refused_column(text)
    if column is not None:
        assert 1 <= column <= len(text) + 1
        return
    assert values(parse_cron(text).text) == values(text)
    for numbers, allowed in zip(values(text), ALL, strict=True):
        assert numbers
        assert set(numbers) <= set(allowed)


def refused_column(text: str) -> int | None:
    try:
        parse_cron(text)
    except CronError as refused:
        return refused.column
    return None
