"""Cron expressions: the five fields of a schedule, as numbers.

The grammar is Kubernetes' (its CronJob documentation, and robfig/cron v3 that it parses with): `*` and `?`, numbers,
ranges, steps, lists, names of months and weekdays, `@daily` and its like; without `@every`, and with 7 for Sunday too.
Everything else is refused, with the column, rather than guessed at: `L`, `#`, `W`, reversed ranges, a sixth field, and
an expression that is never due.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from slimjobs.core.configuration.nearest import did_you_mean

MAX_CHARACTERS: Final = 256


class CronError(ValueError):
    """An expression that is refused; `column` counts the characters of the expression from one."""

    def __init__(self, column: int, text: str) -> None:
        super().__init__(f"{text} (column {column} of the expression)")
        self.column = column
        self.text = text


@dataclass(frozen=True, slots=True)
class Field:
    """The numbers that a field allows, in order, and how it was written."""

    values: tuple[int, ...]
    wildcard: bool
    """Some item is `*` or `?` with step 1: the field restricts nothing, and is not counted as a restriction."""
    stepped: bool
    """Some item has a step above 1 (`*/2`, `5/10`, `8-18/2`)."""

    @property
    def restricted(self) -> bool:
        return not self.wildcard


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A schedule in numbers: minutes 0-59, hours 0-23, days 1-31, months 1-12, weekdays 0-6 from Sunday.

    A day matches if both `days` and `weekdays` do, or, when both are restricted, if either does.
    """

    text: str
    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field

    @property
    def either_day(self) -> bool:
        """Whether one of day-of-month and day-of-week is enough (both are restricted)."""
        return self.days.restricted and self.weekdays.restricted


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a field may hold. Sunday is 7 too, but `*` and `N/step` end at `last`."""

    name: str
    first: int
    last: int
    highest: int
    names: Mapping[str, int]


def _numbered(words: str, first: int) -> Mapping[str, int]:
    return MappingProxyType({word: number for number, word in enumerate(words.split(), first)})


_NO_NAMES: Final[Mapping[str, int]] = MappingProxyType({})
_MONTHS: Final = _numbered("jan feb mar apr may jun jul aug sep oct nov dec", 1)
_WEEKDAYS: Final = _numbered("sun mon tue wed thu fri sat", 0)

FIELDS: Final = (
    _Bounds("minute", 0, 59, 59, _NO_NAMES),
    _Bounds("hour", 0, 23, 23, _NO_NAMES),
    _Bounds("day of month", 1, 31, 31, _NO_NAMES),
    _Bounds("month", 1, 12, 12, _MONTHS),
    _Bounds("day of week", 0, 6, 7, _WEEKDAYS),
)

MACROS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "@hourly": "0 * * * *",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
    }
)

LONGEST_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_cron(text: str) -> CronExpression:
    """The numbers of this expression.

    Raises CronError with the column of the first thing that is not taken.
    """
    if len(text) > MAX_CHARACTERS:
        raise CronError(MAX_CHARACTERS + 1, f"an expression takes at most {MAX_CHARACTERS} characters")
    words = [(match.group(), match.start() + 1) for match in re.finditer(r"[^ \t]+", text)]
    if words and words[0][0].startswith("@"):
        return _macro(text, words)
    if words and "TZ=" in words[0][0]:
        raise CronError(words[0][1], "a time zone is given as TimeZone beside the schedule, not in it")
    if len(words) != len(FIELDS):
        column = words[len(FIELDS)][1] if len(words) > len(FIELDS) else len(text) + 1
        raise CronError(column, f"expected five fields (minute hour day month weekday), found {len(words)}")
    fields = [_field(word, column, bounds) for (word, column), bounds in zip(words, FIELDS, strict=True)]
    expression = CronExpression(text.strip(" \t"), *fields)
    if not _ever_due(expression):
        raise CronError(words[2][1], "no month of the expression has such a day, so it is never due")
    return expression


def _macro(text: str, words: list[tuple[str, int]]) -> CronExpression:
    word, column = words[0]
    if word not in MACROS:
        known = ", ".join(MACROS)
        raise CronError(column, f"'{word}' is not known (known: {known}){did_you_mean(word, MACROS)}")
    if len(words) > 1:
        raise CronError(words[1][1], f"nothing may follow {word}")
    spelled = parse_cron(MACROS[word])
    return CronExpression(
        text.strip(" \t"), spelled.minutes, spelled.hours, spelled.days, spelled.months, spelled.weekdays
    )


def _field(word: str, column: int, bounds: _Bounds) -> Field:
    values: set[int] = set()
    wildcard = stepped = False
    for item, at in _items(word, column):
        numbers, step, starred = _item(item, at, bounds)
        # 7 is Sunday, as 0 is.
        values.update(0 if bounds.highest > bounds.last and number == bounds.highest else number for number in numbers)
        wildcard = wildcard or (starred and step == 1)
        stepped = stepped or step > 1
    return Field(tuple(sorted(values)), wildcard, stepped)


def _items(word: str, column: int) -> Iterator[tuple[str, int]]:
    for item in word.split(","):
        yield item, column
        column += len(item) + 1


_ITEM: Final = re.compile(r"(?P<low>\*|\?|[0-9]+|[A-Za-z]+)(?:-(?P<high>[0-9]+|[A-Za-z]+))?(?:/(?P<step>[0-9]+))?")


def _item(item: str, column: int, bounds: _Bounds) -> tuple[range, int, bool]:
    """The numbers of one item of a list, its step, and whether it is `*` or `?`."""
    match = _ITEM.match(item)
    if match is None or match.end() < len(item):
        raise _unexpected(item, column + (match.end() if match else 0), bounds)
    starred = match["low"] in {"*", "?"}
    if starred and match["high"] is not None:
        raise CronError(column, f"'{match['low']}' cannot begin a range")
    step = 1 if match["step"] is None else int(match["step"])
    if step == 0:
        raise CronError(column + match.start("step"), "a step of 0 never advances: expected 1 or more")
    low = bounds.first if starred else _number(match["low"], column, bounds)
    high = _last(match, column, low, bounds)
    if low > high:
        raise CronError(column, f"the range {match['low']}-{match['high']} runs backwards")
    return range(low, high + 1, step), step, starred


def _last(match: re.Match[str], column: int, low: int, bounds: _Bounds) -> int:
    """The end of an item: as written, or the field's last for `*` and for `N/step`, or the number itself."""
    if match["high"] is not None:
        return _number(match["high"], column + match.start("high"), bounds)
    if match["low"] in {"*", "?"} or match["step"] is not None:
        return max(low, bounds.last)
    return low


def _number(word: str, column: int, bounds: _Bounds) -> int:
    if not word.isdecimal():
        if word.lower() in bounds.names:
            return bounds.names[word.lower()]
        raise _unexpected(word, column, bounds)
    number = int(word)
    if not bounds.first <= number <= bounds.highest:
        raise CronError(column, f"{bounds.name} takes {bounds.first} to {bounds.highest}, not {number}")
    return number


def _unexpected(word: str, column: int, bounds: _Bounds) -> CronError:
    takes = f"{bounds.first}-{bounds.highest}, *, lists, ranges and steps"
    names = f", or a name such as {next(iter(bounds.names)).upper()}" if bounds.names else ""
    meant = did_you_mean(word.upper(), [name.upper() for name in bounds.names])
    what = f"'{word}'" if word else "an empty item"
    return CronError(column, f"{bounds.name}: {what} is not understood (it takes {takes}{names}){meant}")


def _ever_due(expression: CronExpression) -> bool:
    """False for the likes of 31 February. A restricted weekday is due in every month, alone or as the other way."""
    if expression.weekdays.restricted or expression.days.wildcard:
        return True
    return any(expression.days.values[0] <= LONGEST_MONTH[month - 1] for month in expression.months.values)
